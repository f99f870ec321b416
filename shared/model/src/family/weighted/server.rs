//! The server half: from spectral factors to first item factors, and from the noisy sum of one
//! round to the next ones.
//!
//! f64, sequential and order-fixed, as in [`crate::family::spectral::server`].

use ndarray::{Array2, ArrayView2, Axis};

use super::model::{ROW_NORM_MAX, WeightedModel};
use super::terms::WeightedTerms;
use crate::family::spectral::SpectralModel;
use crate::maths::linalg::{eigen_descending, narrow, narrow_all};

/// Root mean square of the first item factors.
const START: f64 = 0.3;
/// Eigenvalues below this share of the largest are held up to it, so that noise cannot make a step
/// unbounded.
const EIGENVALUE_FLOOR: f64 = 1e-3;
/// A step is trusted up to this share of the factors it changes; noise beyond it is damped away.
const TRUST: f64 = 0.3;

/// First item factors: the spectral basis with its popularity axis as one more column, over the
/// whole catalogue.
pub fn warm_start(model: &SpectralModel, terms: WeightedTerms) -> WeightedModel {
    let (items, d) = (model.counts().len(), model.factor_count() + 1);
    let scale = START * (items as f64 / d as f64).sqrt();
    let mut factors = Array2::zeros((items, d));
    let (mut tastes, mut popularity) = factors.view_mut().split_at(Axis(1), d - 1);
    for (row, &item) in model.factors().rows().into_iter().zip(model.block()) {
        tastes.row_mut(item as usize).assign(&row);
    }
    popularity
        .iter_mut()
        .zip(model.axis())
        .for_each(|(v, &axis)| *v = axis);
    factors.mapv_inplace(|v: f32| narrow(scale * f64::from(v)));
    WeightedModel::new(factors, model.counts().to_vec(), terms)
}

/// Turns the noisy sum of `device::gradient`, length (M + d) d, into the next item factors.
///
/// One Newton step per item, with the curvature `sum_u p_u p_u^T` of item j taken as its share of
/// all owners times that of everybody, so nothing but the sum is needed. Ten such steps reach what
/// twenty of Adam do not. Where noise is larger than the step may be, the step is damped by `1 / (1
/// + (noise / (curvature trust))^2)`.
///
/// `contributors` devices are in the sum; `noise_std` is the standard deviation of its noise.
///
/// # Panics
/// When `sum` does not have the model's gradient length, or holds a value that is not finite.
pub fn apply_gradient(
    model: &WeightedModel,
    sum: &[f64],
    contributors: u32,
    noise_std: f64,
) -> WeightedModel {
    let (items, d, terms) = (model.catalogue_len(), model.factor_count(), &model.terms);
    let sum = ArrayView2::from_shape((items + d, d), sum)
        .expect("a gradient sum has the shape of the model");
    let (rows, gram) = sum.split_at(Axis(0), items);
    let (values, basis) = curvature(&(&gram * (terms.clip_norm / terms.gram_weight)));
    let factors = model.factors.mapv(f64::from).dot(&basis);
    let mut next = (&rows * terms.clip_norm).dot(&basis);
    let trust = factors.map_axis(Axis(0), |column| {
        TRUST * (column.dot(&column) / items as f64).sqrt()
    });
    let devices = f64::from(contributors.max(1));
    for ((mut step, old), share) in next
        .rows_mut()
        .into_iter()
        .zip(factors.rows())
        .zip(owner_shares(model, devices))
    {
        // Owners have sent their own part of the regulariser.
        let ridge = terms.regularisation * devices * terms.unobserved_weight;
        for k in 0..d {
            let gradient = step[k] - (terms.unobserved_weight * values[k] + ridge) * old[k];
            let curvature = (terms.unobserved_weight + share) * values[k]
                + ridge
                + terms.regularisation * devices * share;
            let noise = noise_std * terms.clip_norm / (curvature * trust[k]);
            let damping = if noise_std > 0.0 {
                (1.0 + noise * noise).recip()
            } else {
                1.0
            };
            step[k] = old[k] + damping * gradient / curvature;
        }
    }
    let mut next = next.dot(&basis.t());
    for mut row in next.rows_mut() {
        let too_long = row.dot(&row).sqrt() / ROW_NORM_MAX;
        if too_long > 1.0 {
            row.mapv_inplace(|v| v / too_long);
        }
    }
    WeightedModel::new(narrow_all(&next), model.counts.clone(), terms.clone())
}

/// Eigenvalues and eigenvectors of the symmetric part of `sum_u p_u p_u^T`, floored.
fn curvature(gram: &Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let (values, basis) = eigen_descending(((gram + &gram.t()) / 2.0).view());
    let floor = (EIGENVALUE_FLOOR * values[0]).max(f64::MIN_POSITIVE);
    (
        values.into_iter().map(|value| value.max(floor)).collect(),
        basis,
    )
}

/// Share of the devices that own each item, from counts `c_j = sum 1/sqrt|I_u|`: a count stands for
/// about `sum c / n` as many owners, the mean of `sqrt|I_u|`.
fn owner_shares(model: &WeightedModel, devices: f64) -> impl Iterator<Item = f64> + use<'_> {
    let root_length = model.counts.iter().map(|&c| f64::from(c)).sum::<f64>() / devices;
    model
        .counts
        .iter()
        .map(move |&c| (f64::from(c) * root_length / devices).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::recipe::Recipe;
    use crate::family::spectral::{device as spectral_device, server as spectral_server};
    use crate::family::weighted::device::{gradient, scores};
    use crate::history::preference::History;
    use crate::measure::baseline::{IalsConfig, ials};
    use crate::measure::metric::Ranking;
    use crate::synthetic::{Planted, planted};

    fn sum(vectors: impl Iterator<Item = tacit_types::ItemGradient>) -> Vec<f64> {
        let mut total = Vec::new();
        for vector in vectors.map(tacit_types::ItemGradient::into_coordinates) {
            total.resize(vector.len(), 0.0);
            total
                .iter_mut()
                .zip(vector)
                .for_each(|(sum, v)| *sum += f64::from(v));
        }
        total
    }

    fn spectral(data: &Planted) -> SpectralModel {
        let recipe = Recipe {
            head: 0,
            factors: 7,
            rounds: 3,
            ..Recipe::for_signal(f64::INFINITY, data.catalogue_len).unwrap()
        };
        let counts = sum(data
            .histories
            .iter()
            .map(|used| spectral_device::counts(used, data.catalogue_len)));
        let counted = spectral_server::apply_counts(&counts, 0.0, &recipe);
        let mut model = spectral_server::random_init(&counted, &recipe, 5);
        for round in 0..recipe.rounds {
            let gradient = sum(data
                .histories
                .iter()
                .map(|used| spectral_device::gradient(used, &model)));
            model = spectral_server::apply_gradient(&model, &gradient, &recipe, round == 0);
        }
        model
    }

    fn trained(data: &Planted, terms: WeightedTerms, rounds: u32) -> WeightedModel {
        let mut model = warm_start(&spectral(data), terms);
        for _ in 0..rounds {
            let gradient = sum(data.histories.iter().map(|used| gradient(used, &model)));
            model = apply_gradient(
                &model,
                &gradient,
                u32::try_from(data.histories.len()).unwrap(),
                0.0,
            );
        }
        model
    }

    fn hits(data: &Planted, score: impl Fn(&History) -> Vec<f32>) -> f64 {
        let judge = |(used, held_out): (&History, &_)| {
            Ranking::full(&score(used), used.items(), &[*held_out])
        };
        Ranking::mean(
            &data
                .histories
                .iter()
                .zip(&data.held_out)
                .map(judge)
                .collect::<Vec<_>>(),
        )
        .hr_at_10
    }

    #[test]
    fn ten_rounds_are_as_good_as_central_implicit_als() {
        let data = planted(1500, 400, 8, 2);
        let central = ials(&data.histories, 400, &IalsConfig::new(8, 1));
        let central = hits(&data, |used| central.scores(used));
        for terms in [
            WeightedTerms::default(),
            WeightedTerms::default().unclipped(12),
        ] {
            let model = trained(&data, terms, 10);
            let federated = hits(&data, |used| scores(used, &model, None));
            assert!(federated > central - 0.01, "{federated} against {central}");
        }
    }

    #[test]
    fn a_device_less_sum_of_noise_moves_little_and_stays_finite() {
        let model = warm_start(
            &spectral(&planted(300, 100, 4, 3)),
            WeightedTerms::default(),
        );
        let noise: Vec<f64> = (0..model.gradient_len())
            .map(|i| 1e4 * ((i * 7919 % 101) as f64 / 50.0 - 1.0))
            .collect();
        let next = apply_gradient(&model, &noise, 300, 1e4);
        let change = &next.factors() - &model.factors();
        assert!(change.iter().all(|v| v.is_finite() && v.abs() < 1.0));
        let empty = apply_gradient(&model, &vec![0.0; model.gradient_len()], 0, 0.0);
        assert!(empty.factors().iter().all(|v| v.is_finite()));
    }
}
