//! The server half: from spectral factors to first item factors, and from the noisy sum of one
//! round to the next ones.
//!
//! f64, sequential and order-fixed, as in [`crate::family::spectral::server`].

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, Slice};

use super::model::{ROW_NORM_MAX, WeightedModel};
use super::terms::WeightedTerms;
use crate::family::spectral::SpectralModel;
use crate::maths::linalg::{eigen_descending, narrow, narrow_all, widened};

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
    let items = model.counts().len();
    let tastes = model.factor_count();
    let d = tastes + 1;
    let mut factors = Array2::zeros((items, d));
    for (row, &item) in model.factors().rows().into_iter().zip(model.block()) {
        let item = item as usize;
        let mut own = factors.row_mut(item);
        own.slice_axis_mut(Axis(0), Slice::from(..tastes))
            .assign(&row);
    }
    for (item, &axis) in model.axis().iter().enumerate() {
        factors[(item, tastes)] = axis;
    }
    // Columns of norm 1 have a root mean square of 1/sqrt(M) over the items.
    let scale = START * (items as f64 / d as f64).sqrt();
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
    let terms = &model.terms;
    let (items, d) = (model.catalogue_len(), model.factor_count());
    let sum = ArrayView2::from_shape((items + d, d), sum)
        .expect("a gradient sum has the shape of the model");
    let (rows, gram) = sum.split_at(Axis(0), items);
    let everybody = &gram * (terms.clip_norm / terms.gram_weight);
    let (values, basis) = curvature(&everybody);

    // In the basis of the curvature each number has a step of its own.
    let factors = model.factors.mapv(f64::from).dot(&basis);
    let mut next = (&rows * terms.clip_norm).dot(&basis);
    let devices = f64::from(contributors.max(1));
    let newton = Newton {
        terms,
        values,
        trust: trusted_sizes(&factors),
        devices,
        noise_std: noise_std * terms.clip_norm,
    };
    let shares = owner_shares(model, devices);
    for ((step, old), share) in next
        .rows_mut()
        .into_iter()
        .zip(factors.rows())
        .zip(shares)
    {
        newton.advance(step, old, share);
    }
    let mut next = next.dot(&basis.t());
    shorten(&mut next);
    WeightedModel::new(narrow_all(&next), model.counts.clone(), terms.clone())
}

/// What the steps of all items have in common, in the basis of the curvature.
struct Newton<'a> {
    terms: &'a WeightedTerms,
    /// Eigenvalues of `sum_u p_u p_u^T`: (d).
    values: Vec<f64>,
    /// How far a step is trusted: (d).
    trust: Array1<f64>,
    devices: f64,
    /// Standard deviation of the noise on a gradient before it was scaled.
    noise_std: f64,
}

impl Newton<'_> {
    /// Turns the summed gradient of one item, of which `share` of the devices are owners, into its
    /// next factors.
    fn advance(&self, mut gradient: ArrayViewMut1<'_, f64>, old: ArrayView1<'_, f64>, share: f64) {
        let unobserved = self.terms.unobserved_weight;
        let penalty = self.terms.regularisation * self.devices;
        // Owners have sent their own part of the regulariser.
        let ridge = self.terms.regularisation * self.devices * unobserved;
        for (k, &value) in self.values.iter().enumerate() {
            let slope = gradient[k] - (unobserved * value + ridge) * old[k];
            let curvature = (unobserved + share) * value + ridge + penalty * share;
            let damping = self.damping(curvature * self.trust[k]);
            gradient[k] = old[k] + damping * slope / curvature;
        }
    }

    /// Share of a step that is taken, where `trusted` is the gradient of the largest trusted step.
    fn damping(&self, trusted: f64) -> f64 {
        if self.noise_std > 0.0 {
            let noise = self.noise_std / trusted;
            (1.0 + noise * noise).recip()
        } else {
            1.0
        }
    }
}

/// [`TRUST`] times the root mean square of each column: (d).
fn trusted_sizes(factors: &Array2<f64>) -> Array1<f64> {
    let items = factors.nrows() as f64;
    factors.map_axis(Axis(0), |column| {
        let squares = column.dot(&column);
        TRUST * (squares / items).sqrt()
    })
}

/// Shortens rows that are longer than the loss is about.
fn shorten(factors: &mut Array2<f64>) {
    for mut row in factors.rows_mut() {
        let too_long = row.dot(&row).sqrt() / ROW_NORM_MAX;
        if too_long > 1.0 {
            row.mapv_inplace(|v| v / too_long);
        }
    }
}

/// Eigenvalues and eigenvectors of the symmetric part of `sum_u p_u p_u^T`, floored.
fn curvature(gram: &Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let symmetric = (gram + &gram.t()) / 2.0;
    let (mut values, basis) = eigen_descending(symmetric.view());
    let floor = (EIGENVALUE_FLOOR * values[0]).max(f64::MIN_POSITIVE);
    for value in &mut values {
        *value = value.max(floor);
    }
    (values, basis)
}

/// Share of the devices that own each item, from counts `c_j = sum 1/sqrt|I_u|`: a count stands for
/// about `sum c / n` as many owners, the mean of `sqrt|I_u|`.
fn owner_shares(model: &WeightedModel, devices: f64) -> impl Iterator<Item = f64> + use<'_> {
    let total = widened(&model.counts).sum::<f64>();
    let root_length = total / devices;
    widened(&model.counts).map(move |count| {
        let owners = count * root_length;
        (owners / devices).min(1.0)
    })
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
            let gradient = sum(data
                .histories
                .iter()
                .map(|used| gradient(used, &model)));
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
