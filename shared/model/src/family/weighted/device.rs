//! The device half: exact user factors, which stay, and the gradient of the item factors, which may
//! be sent.

use std::sync::Arc;

use tacit_types::ItemGradient;

use super::model::WeightedModel;
use crate::family::fit::{Fit, Fitted};
use crate::family::sparse::SparseGradient;
use crate::history::preference::History;
use crate::history::recency::decayed;
use crate::maths::linalg::{dot, narrow};
use crate::maths::solve::{NormalEquation, implicit};

/// Scores every catalogue item by `p . v_j`: length M; all 0 for a history without known items.
/// With a `half_life`, in interactions, `p` is fitted to a timed history whose older items count
/// less, as serving does.
pub fn scores(history: &History, model: &WeightedModel, half_life: Option<f32>) -> Vec<f32> {
    let mut fitted = Fitted::new(&Arc::new(Fit::weighted(model)));
    let mut aims = vec![0.0; model.factor_count() + 1];
    let mut count = 0.0;
    for (item, weight) in decayed(history, half_life) {
        let item = item.0 as usize;
        if item >= model.catalogue_len() {
            continue;
        }
        // The equation has one more unknown, along an axis that weighted squares do not use.
        let row = [model.row(item), &[0.0]].concat();
        count += fitted.shift(&row, weight, 1.0);
        for (aim, &v) in aims.iter_mut().zip(&row) {
            *aim += weight * f64::from(v);
        }
    }
    let (p, _) = fitted.user_factors(aims, count);
    (0..model.catalogue_len())
        .map(|item| dot(model.row(item), &p))
        .collect()
}

/// How the item factors should move for this owner: length (M + d) d, row-major, L2 norm at most 1.
///
/// With `p` the exact user factors and `r_j = 1 - p . v_j`, row j is `r_j p - lambda v_j` for each
/// item used: the owner's part of the regulariser is sent by the owner, so the server need not know
/// how many owners an item has. The last d rows are `gamma p p^T`. The whole is divided by `max(C,
/// its norm)`.
///
/// # Guarantees
/// The norm is at most 1 up to f32 rounding, whatever the history and the model hold; all zeros
/// where nothing known was used or a published number is not finite.
pub fn gradient(history: &History, model: &WeightedModel) -> ItemGradient {
    sparse_gradient(history, model).dense(model.gradient_len())
}

/// [`gradient`] without the rows of items the owner did not use.
pub fn sparse_gradient(history: &History, model: &WeightedModel) -> SparseGradient {
    let used = rows(history, model);
    let p = user_factors(&used, model);
    let mut values = pulls(&used, &p, model);
    values.extend(weighted_gram(&p, model.terms.gram_weight));
    let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();

    let d = p.len();
    let mut gradient = SparseGradient::empty(d);
    // A norm that is not finite comes from published numbers, and says nothing about the owner.
    if !(norm > 0.0 && norm.is_finite()) {
        return gradient;
    }
    let scale = norm.max(model.terms.clip_norm).recip();
    // The rows of `p p^T` stand after those of the catalogue.
    let places = used.into_iter().chain(model.catalogue_len()..);
    for (row, values) in places.zip(values.chunks_exact(d)) {
        gradient.push(row, values.iter().map(|&v| narrow(v * scale)));
    }
    gradient
}

/// `r_j p - lambda v_j` of each item used, one row of d numbers after the other.
fn pulls(used: &[usize], p: &[f32], model: &WeightedModel) -> Vec<f64> {
    let penalty = model.terms.regularisation;
    let mut pulls = Vec::with_capacity((used.len() + p.len()) * p.len());
    for &item in used {
        let factors = model.row(item);
        let residual = 1.0 - f64::from(dot(factors, p));
        for (&p, &v) in p.iter().zip(factors) {
            pulls.push(residual * f64::from(p) - penalty * f64::from(v));
        }
    }
    pulls
}

/// `gamma p p^T`, row by row.
fn weighted_gram(p: &[f32], gamma: f64) -> impl Iterator<Item = f64> + '_ {
    p.iter().flat_map(move |&a| {
        let a = f64::from(a);
        p.iter().map(move |&b| gamma * (a * f64::from(b)))
    })
}

/// `p`: (d), the exact minimum of the loss for this owner given the item factors.
///
/// The loss at the minimum is at most that at `p = 0`, which is `|I_u|`; so `lambda (|I_u| +
/// alpha_0 M) |p|^2 <= |I_u|`, and `|p| < 1/sqrt(lambda)`.
fn user_factors(used: &[usize], model: &WeightedModel) -> Vec<f32> {
    let terms = &model.terms;
    let cells = used.len() as f64 + terms.unobserved_weight * model.catalogue_len() as f64;
    let mut p = vec![0.0; model.factor_count()];
    let met = used.iter().map(|&row| (model.row(row), 1.0));
    implicit(
        &mut NormalEquation::new(p.len()),
        met,
        &model.gram,
        terms.unobserved_weight,
        terms.regularisation * cells,
        &mut p,
    );
    p
}

/// Items used that the model knows, ascending.
fn rows(history: &History, model: &WeightedModel) -> Vec<usize> {
    let known = history
        .items()
        .iter()
        .map(|item| item.0 as usize)
        .filter(|&row| row < model.catalogue_len());
    let mut rows: Vec<usize> = known.collect();
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::family::weighted::WeightedTerms;
    use crate::maths::linalg::norm_squared;
    use crate::synthetic::history;

    fn model(values: &[f32], terms: WeightedTerms) -> WeightedModel {
        let factors = Array2::from_shape_fn((20, 3), |(i, j)| values[(i * 3 + j) % values.len()]);
        WeightedModel::new(factors, vec![1.0; 20], terms)
    }

    proptest! {
        #[test]
        fn no_device_sends_more_than_norm_one(
            used in proptest::collection::vec(0u32..25, 0..20),
            values in proptest::collection::vec(-1e3f32..1e3, 1..60),
            clip_norm in 0.0..100.0f64,
            gram_weight in 0.0..10.0f64,
        ) {
            let terms = WeightedTerms { clip_norm, gram_weight, ..WeightedTerms::default() };
            let sent = gradient(&history(&used), &model(&values, terms)).into_coordinates();
            prop_assert_eq!(sent.len(), 23 * 3);
            prop_assert!(norm_squared(&sent).sqrt() <= 1.0 + 1e-6);
        }

        #[test]
        fn user_factors_are_bounded_and_the_loose_clip_never_binds(
            used in proptest::collection::vec(0usize..20, 0..20),
            values in proptest::collection::vec(-1e3f32..1e3, 1..60),
        ) {
            let model = model(&values, WeightedTerms::default().unclipped(20));
            let p_norm = norm_squared(&user_factors(&used, &model)).sqrt();
            prop_assert!(p_norm < model.terms().regularisation.sqrt().recip());
            let used: Vec<u32> = (0u32..).zip(0..used.len()).map(|(item, _)| item).collect();
            let sent = gradient(&history(&used), &model).into_coordinates();
            prop_assert!(norm_squared(&sent).sqrt() < 1.0);
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let values: Vec<f32> = (0..60u8)
            .map(|i| f32::from(i * 37 % 23) / 20.0 - 0.5)
            .collect();
        let model = model(&values, WeightedTerms::default().unclipped(20));
        let used = [2usize, 5, 11];
        let p = user_factors(&used, &model);
        let sent = gradient(&history(&[5, 11, 2]), &model).into_coordinates();
        let (clip, alpha) = (model.terms().clip_norm, model.terms().unobserved_weight);
        let loss = |factors: &Array2<f32>| -> f64 {
            let score = |item: usize| -> f64 {
                (0..3)
                    .map(|k| f64::from(factors[(item, k)]) * f64::from(p[k]))
                    .sum()
            };
            let met: f64 = used
                .iter()
                .map(|&item| (1.0 - score(item)).powi(2))
                .sum();
            let size = |item: &usize| -> f64 {
                (0..3)
                    .map(|k| f64::from(factors[(*item, k)]).powi(2))
                    .sum()
            };
            let owned = model.terms().regularisation * used.iter().map(size).sum::<f64>();
            (met + owned + alpha * (0..20).map(|item| score(item).powi(2)).sum::<f64>()) / 2.0
        };
        for (item, k) in [(2, 0), (5, 1), (11, 2), (0, 0), (19, 1)] {
            let step = 1e-2f32;
            let (mut up, mut down) = (model.factors.clone(), model.factors.clone());
            up[(item, k)] += step;
            down[(item, k)] -= step;
            let slope = (loss(&up) - loss(&down)) / (2.0 * f64::from(step));
            // What the server makes of the vector: its row, less alpha_0 times the item factors
            // times `p p^T`.
            let unobserved: f64 = (0..3)
                .map(|l| {
                    f64::from(model.row(item)[l]) * f64::from(sent[(20 + l) * 3 + k])
                        / model.terms().gram_weight
                })
                .sum();
            let down_hill = clip * (f64::from(sent[item * 3 + k]) - alpha * unobserved);
            assert!(
                (slope + down_hill).abs() < 1e-4,
                "{item} {k}: {slope} {down_hill}"
            );
        }
    }

    #[test]
    fn nothing_known_or_nothing_finite_sends_zeros() {
        let zeros = |used: &[u32], model: &WeightedModel| {
            gradient(&history(used), model)
                .into_coordinates()
                .iter()
                .all(|&v| v == 0.0)
        };
        let fine = model(&[0.5, -0.2], WeightedTerms::default());
        assert!(zeros(&[], &fine) && zeros(&[20, 99], &fine) && !zeros(&[3], &fine));
        assert!(zeros(&[3], &model(&[f32::NAN], WeightedTerms::default())));
        assert!(
            scores(&history(&[]), &fine, None)
                .iter()
                .all(|&score| score == 0.0)
        );
    }
}
