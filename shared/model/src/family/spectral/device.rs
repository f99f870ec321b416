//! The device half: the three statistics a device can be asked for.
//!
//! # Guarantees
//! Each is dense over a public support whose length depends on the model only, and has L2 norm 1 up
//! to f32 rounding, or 0 where the owner used nothing in that support. So clipping to norm 1 takes
//! nothing away, and no clipping norm needs tuning.

use tacit_types::{ItemGradient, ItemId};

use super::model::SpectralModel;
use crate::family::sparse::SparseGradient;
use crate::history::preference::History;
use crate::maths::linalg::{add_scaled, make_unit, narrow, norm_squared};

/// Counts the items an owner used: `1/sqrt|I_u|` on each, length `catalogue_len`.
pub fn counts(history: &History, catalogue_len: u32) -> ItemGradient {
    sparse_counts(history, catalogue_len).dense(catalogue_len as usize)
}

/// Pairs of popular items the owner used together: length K(K+1)/2, the upper triangle row by row
/// in the order of [`SpectralModel::head_items`].
///
/// With `h` the unit vector of the weights of the head items used, it is `h_i^2` on the diagonal
/// and `sqrt2 h_i h_j` off it, so its squared norm is `(sum h_i^2)^2 = 1`.
pub fn head_gram(history: &History, model: &SpectralModel) -> ItemGradient {
    sparse_head_gram(history, model).dense(model.head_gram_len())
}

/// The gradient of the item factors for this owner, `x p^T`: length M' d, row-major.
///
/// `x` is the unit vector of the weights of the block items used and `p = unit(Q^T x)` the user
/// factors, which stay on the device. All zeros where no item used has factors.
pub fn gradient(history: &History, model: &SpectralModel) -> ItemGradient {
    sparse_gradient(history, model).dense(model.gradient_len())
}

/// [`counts`] without its zeros.
pub fn sparse_counts(history: &History, catalogue_len: u32) -> SparseGradient {
    let mut rows: Vec<usize> = history
        .items()
        .iter()
        .filter(|item| item.0 < catalogue_len)
        .map(|item| item.0 as usize)
        .collect();
    rows.sort_unstable();
    let share = narrow((rows.len() as f64).sqrt().recip());
    let mut counts = SparseGradient::with_capacity(1, rows.len());
    for row in rows {
        counts.push(row, [share]);
    }
    counts
}

/// [`head_gram`] without its zeros.
pub fn sparse_head_gram(history: &History, model: &SpectralModel) -> SparseGradient {
    let head = model.head_items();
    let mut used: Vec<ItemId> = history.items().to_vec();
    used.sort_unstable();
    let weighted = head.iter().enumerate().filter_map(|(place, item)| {
        used.binary_search(item).ok()?;
        Some((place, model.weights()[item.0 as usize]))
    });
    let h = unit(weighted);
    let pairs = h.len() * (h.len() + 1) / 2;
    let mut gram = SparseGradient::with_capacity(1, pairs);
    for (n, &(i, h_i)) in h.iter().enumerate() {
        let diagonal = gram_row(i, head.len());
        gram.push(diagonal, [h_i * h_i]);
        for &(j, h_j) in &h[n + 1..] {
            let value = std::f32::consts::SQRT_2 * h_i * h_j;
            gram.push(diagonal + j - i, [value]);
        }
    }
    gram
}

/// [`gradient`] without the rows of items the owner did not use.
pub fn sparse_gradient(history: &History, model: &SpectralModel) -> SparseGradient {
    let x = block_profile(history, model);
    let p = user_factors(&x, model);
    let mut gradient = SparseGradient::with_capacity(p.len(), x.len());
    for (row, weight) in x {
        gradient.push(row, p.iter().map(|p| weight * p));
    }
    gradient
}

/// Where row `i` of a packed upper triangle of a (k, k) matrix begins, at its diagonal.
pub(crate) fn gram_row(i: usize, k: usize) -> usize {
    i * (2 * k + 1 - i) / 2
}

/// `p = unit(Q^T x)`: (d), of the owner whose profile this is.
pub(crate) fn user_factors(x: &[(usize, f32)], model: &SpectralModel) -> Vec<f32> {
    let (d, factors) = (model.factor_count(), model.factor_slice());
    let mut p = vec![0.0f32; d];
    for &(row, x_row) in x {
        add_scaled(&mut p, x_row, &factors[row * d..][..d]);
    }
    let norm = norm_squared(&p);
    make_unit(p.iter_mut(), norm);
    p
}

/// `x`: (row in the block, weight) of the block items used, rows ascending, norm 1.
pub(crate) fn block_profile(history: &History, model: &SpectralModel) -> Vec<(usize, f32)> {
    // Numbers alone sort in half the time of pairs, and the block is in the order of its items.
    let mut used: Vec<u32> = history.items().iter().map(|item| item.0).collect();
    used.sort_unstable();
    let weighted = used.into_iter().filter_map(|item| {
        let row = model.block_row(ItemId(item))?;
        Some((row, model.weights()[item as usize]))
    });
    unit(weighted)
}

fn unit(entries: impl Iterator<Item = (usize, f32)>) -> Vec<(usize, f32)> {
    let mut entries: Vec<(usize, f32)> = entries.collect();
    let norm = entries
        .iter()
        .map(|&(_, v)| f64::from(v) * f64::from(v))
        .sum();
    make_unit(entries.iter_mut().map(|(_, v)| v), norm);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::recipe::Recipe;
    use crate::family::spectral::server::{apply_counts, random_init};
    use crate::synthetic::{history, planted};

    fn norm(vector: ItemGradient) -> f64 {
        norm_squared(&vector.into_coordinates()).sqrt()
    }

    fn trained(catalogue_len: u32, head: u32) -> SpectralModel {
        let recipe = Recipe {
            head,
            factors: 4,
            coverage: 0.9,
            ..Recipe::for_signal(50.0, catalogue_len).unwrap()
        };
        let sum: Vec<f64> = (0..catalogue_len)
            .map(|j| 1.0 + 50.0 / f64::from(j + 1))
            .collect();
        random_init(&apply_counts(&sum, 0.5, &recipe), &recipe, 7)
    }

    #[test]
    fn every_statistic_has_norm_one() {
        let model = trained(400, 60);
        for used in planted(50, 400, 4, 3).histories {
            for vector in [
                counts(&used, 400),
                head_gram(&used, &model),
                gradient(&used, &model),
            ] {
                let norm = norm(vector);
                assert!(norm == 0.0 || (norm - 1.0).abs() < 1e-6, "{norm}");
            }
        }
        let everything = history(&(0..400).collect::<Vec<_>>());
        for vector in [
            counts(&everything, 400),
            head_gram(&everything, &model),
            gradient(&everything, &model),
        ] {
            assert!((norm(vector) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn nothing_used_sends_zeros_of_the_same_length() {
        let model = trained(400, 60);
        for used in [history(&[]), history(&[400, 9999])] {
            for (vector, len) in [
                (counts(&used, 400), 400),
                (head_gram(&used, &model), model.head_gram_len()),
                (gradient(&used, &model), model.gradient_len()),
            ] {
                assert_eq!((vector.len(), norm(vector)), (len, 0.0));
            }
        }
    }

    #[test]
    fn one_item_puts_all_weight_on_it() {
        assert_eq!(
            counts(&history(&[2]), 4).into_coordinates(),
            vec![0.0, 0.0, 1.0, 0.0]
        );
        let model = trained(400, 60);
        let first = model.head_items()[0].0;
        let gram = head_gram(&history(&[first]), &model).into_coordinates();
        assert_eq!((gram[0], gram.iter().sum::<f32>()), (1.0, 1.0));
    }

    #[test]
    fn a_catalogue_of_one_item_works() {
        let recipe = Recipe {
            head: 1,
            ..Recipe::for_signal(50.0, 1).unwrap()
        };
        let model = random_init(&apply_counts(&[3.0], 0.1, &recipe), &recipe, 1);
        let used = history(&[0]);
        assert_eq!(counts(&used, 1).into_coordinates(), vec![1.0]);
        assert_eq!(head_gram(&used, &model).into_coordinates(), vec![1.0]);
        // Popularity is the only direction there is, so no taste is left.
        assert_eq!(norm(gradient(&used, &model)), 0.0);
    }

    #[test]
    fn pairs_are_packed_row_by_row() {
        let model = trained(400, 3);
        let head: Vec<u32> = model.head_items().iter().map(|item| item.0).collect();
        let gram = head_gram(&history(&[head[2], head[0]]), &model).into_coordinates();
        let used: Vec<usize> = (0..6).filter(|&i| gram[i] > 0.0).collect();
        assert_eq!(used, vec![0, 2, 5]);
        assert_eq!([gram_row(0, 3), gram_row(1, 3), gram_row(2, 3)], [0, 3, 5]);
    }

    #[test]
    fn order_of_use_does_not_show() {
        let model = trained(400, 60);
        let (there, back) = (history(&[1, 2, 30]), history(&[30, 2, 1]));
        assert_eq!(
            head_gram(&there, &model).into_coordinates(),
            head_gram(&back, &model).into_coordinates()
        );
        let (there, back) = (
            gradient(&there, &model).into_coordinates(),
            gradient(&back, &model).into_coordinates(),
        );
        assert!(
            there
                .iter()
                .zip(&back)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }
}
