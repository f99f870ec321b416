//! The server half: from the noisy sum of one release to the next model.
//!
//! Sums come in real units, already divided by the grid, and carry their noise. Nothing here
//! divides by a noisy quantity; everything is f64, sequential and order-fixed, so a replay gives
//! the same model bit for bit.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};

use super::device::gram_row;
use super::model::{HEAD_MAX, Parts, SpectralModel, most_popular};
use crate::family::limits::CATALOGUE_MAX;
use crate::family::recipe::Recipe;
use crate::maths::linalg::{eigen_descending, narrow, narrow_all, polar, widened};

/// Least count of an item, so that no weight is unbounded when there is no noise to floor with: one
/// owner of 2,500 items.
const COUNT_FLOOR: f64 = 0.02;
/// Eigenvalues of pure noise stay below `z sqrt(2K)`; this much above counts as signal.
const EDGE_MARGIN: f64 = 1.02;

/// Turns the noisy sum of `device::counts`, length M, into popularity, weights, and the block of
/// items to train.
///
/// # Panics
/// When the length of `sum` is not that of a catalogue.
pub fn apply_counts(sum: &[f64], noise_std: f64, recipe: &Recipe) -> SpectralModel {
    assert!(
        (1..=CATALOGUE_MAX as usize).contains(&sum.len()),
        "a catalogue has 1 to {CATALOGUE_MAX} items"
    );
    let floor = noise_std.max(COUNT_FLOOR);
    let counts: Vec<f32> = sum.iter().map(|&y| narrow(y.max(floor))).collect();
    let block = covering_block(&counts, f64::from(recipe.coverage));
    SpectralModel::assemble(Parts {
        head: (recipe.head.min(HEAD_MAX) as usize).min(block.len()),
        factors: Array2::zeros((block.len(), 0)),
        weight_exponent: recipe.weight_exponent,
        popularity_exponent: recipe.popularity_exponent,
        counts,
        block,
    })
}

/// Turns the noisy sum of `device::head_gram`, length K(K+1)/2, into first factors: (M', 1 to
/// `recipe.factors`).
///
/// The off-diagonal noise is `noise_std / sqrt 2` after undoing the packing, so the matrix carries
/// a Wigner noise whose eigenvalues end at `z sqrt(2K)`. Directions above that edge are kept and
/// shrunk to their noise-free size, `s = (l + sqrt(l^2 - 2 K z^2)) / 2`.
///
/// # Panics
/// When `sum` does not have the model's head length, or the model has no head.
pub fn apply_head_gram(
    model: &SpectralModel,
    sum: &[f64],
    noise_std: f64,
    recipe: &Recipe,
) -> SpectralModel {
    let k = model.head_items().len();
    assert!(
        k > 0 && sum.len() == model.head_gram_len(),
        "a head Gram of {k} items"
    );
    let (values, vectors) = eigen_descending(unpack(sum, k).view());
    let edge = noise_std * (2.0 * k as f64).sqrt();
    let above = values
        .iter()
        .take_while(|&&l| l > EDGE_MARGIN * edge)
        .count();
    let keep = above.min(recipe.factors as usize).max(1);
    let mut a = Array2::zeros((model.block().len(), keep));
    for (place, &item) in model.head_items().iter().enumerate() {
        let row = model
            .block_row(item)
            .expect("head items are block items");
        for (column, l) in values.iter().take(keep).enumerate() {
            let size = (l + (l * l - edge * edge).max(0.0).sqrt()) / 2.0;
            a[(row, column)] = vectors[(place, column)] * size.max(0.0).sqrt();
        }
    }
    with_basis(model, a.view())
}

/// Random first factors, for a recipe without a head Gram: Gaussian, item j with standard deviation
/// `sqrt(c_j w_j)`.
///
/// # Panics
/// When block length times `recipe.factors` exceeds [`crate::family::limits::FACTORS_MAX`].
pub fn random_init(model: &SpectralModel, recipe: &Recipe, seed: u64) -> SpectralModel {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let shape = (model.block().len(), recipe.factors as usize);
    let mut a = Array2::<f64>::zeros(shape);
    for (mut row, &item) in a.rows_mut().into_iter().zip(model.block()) {
        let std = model.size(item as usize);
        for value in &mut row {
            let normal: f64 = StandardNormal.sample(&mut rng);
            *value = std * normal;
        }
    }
    with_basis(model, a.view())
}

/// Turns the noisy sum of `device::gradient`, length M' d row-major, into the next factors.
///
/// In the `first` round they are the polar factor of the sum; later, `recipe.carry` of the previous
/// factors stays. The polar factor keeps the basis aligned from round to round, which is why
/// averaging means something.
///
/// # Panics
/// When `sum` does not have the model's gradient length, or holds a value that is not finite.
pub fn apply_gradient(
    model: &SpectralModel,
    sum: &[f64],
    recipe: &Recipe,
    first: bool,
) -> SpectralModel {
    let previous = model.factors();
    let y = ArrayView2::from_shape(previous.dim(), sum)
        .expect("a gradient sum has the shape of the factors");
    if first {
        return with_basis(model, y);
    }
    let carry = f64::from(recipe.carry);
    let kept = previous.mapv(f64::from) * carry;
    let learned = polar(without_axis(model, y).view()) * (1.0 - carry);
    let next = polar((learned + kept).view());
    model.with_factors(narrow_all(&next))
}

/// The model with the nearest basis to `a` that is orthogonal to popularity.
pub(super) fn with_basis(model: &SpectralModel, a: ArrayView2<'_, f64>) -> SpectralModel {
    let taste = without_axis(model, a);
    let basis = polar(taste.view());
    model.with_factors(narrow_all(&basis))
}

/// The fewest most popular items that cover `coverage` of all counts, ascending.
fn covering_block(counts: &[f32], coverage: f64) -> Vec<u32> {
    let all: Vec<u32> = (0u32..).take(counts.len()).collect();
    if coverage >= 1.0 {
        return all;
    }
    let wanted = coverage * widened(counts).sum::<f64>();
    let mut covered = 0.0;
    let mut block = Vec::new();
    for item in most_popular(counts, &all, counts.len()) {
        if covered >= wanted {
            break;
        }
        covered += f64::from(counts[item as usize]);
        block.push(item);
    }
    block.sort_unstable();
    block
}

/// Undoes the packing of `device::head_gram`: a symmetric (k, k) matrix.
fn unpack(sum: &[f64], k: usize) -> Array2<f64> {
    Array2::from_shape_fn((k, k), |(i, j)| {
        let (low, high) = (i.min(j), i.max(j));
        let packed = sum[gram_row(low, k) + high - low];
        if i == j {
            packed
        } else {
            packed * std::f64::consts::FRAC_1_SQRT_2
        }
    })
}

/// `y - q q^T y` for the popularity axis within the block: popularity comes from the counts,
/// factors carry taste only.
pub(super) fn without_axis(model: &SpectralModel, y: ArrayView2<'_, f64>) -> Array2<f64> {
    let axis: Array1<f64> = model
        .block()
        .iter()
        .map(|&item| f64::from(model.axis()[item as usize]))
        .collect();
    let norm_squared = axis.dot(&axis).max(f64::MIN_POSITIVE);
    let along = axis.dot(&y) / norm_squared;
    let outer = axis.insert_axis(Axis(1)) * along.insert_axis(Axis(0));
    &y - &outer
}

#[cfg(test)]
mod tests {
    use tacit_types::ItemGradient;

    use super::*;
    use crate::family::spectral::device;
    use crate::family::spectral::score::{popularity_scores, scores};
    use crate::history::preference::History;
    use crate::measure::metric::Ranking;
    use crate::synthetic::{Planted, planted};

    fn sum(vectors: impl Iterator<Item = ItemGradient>) -> Vec<f64> {
        let mut total = Vec::new();
        for vector in vectors.map(ItemGradient::into_coordinates) {
            total.resize(vector.len(), 0.0);
            total
                .iter_mut()
                .zip(vector)
                .for_each(|(sum, v)| *sum += f64::from(v));
        }
        total
    }

    fn recipe(head: u32) -> Recipe {
        Recipe {
            head,
            factors: 8,
            rounds: 3,
            ..Recipe::for_signal(f64::INFINITY, 400).unwrap()
        }
    }

    /// The whole task without noise, as the devices and the server would run it.
    fn federated(data: &Planted, recipe: &Recipe) -> SpectralModel {
        let counts = sum(data
            .histories
            .iter()
            .map(|used| device::counts(used, data.catalogue_len)));
        let mut model = apply_counts(&counts, 0.0, recipe);
        model = if recipe.head > 0 {
            let gram = sum(data
                .histories
                .iter()
                .map(|used| device::head_gram(used, &model)));
            apply_head_gram(&model, &gram, 0.0, recipe)
        } else {
            random_init(&model, recipe, 5)
        };
        for round in 0..recipe.rounds {
            let gradient = sum(data
                .histories
                .iter()
                .map(|used| device::gradient(used, &model)));
            model = apply_gradient(&model, &gradient, recipe, round == 0);
        }
        model
    }

    /// X: (users, M') with unit rows of item weights, in f64.
    fn unit_rows(data: &Planted, model: &SpectralModel) -> Array2<f64> {
        let mut x = Array2::zeros((data.histories.len(), model.block().len()));
        for (mut row, used) in x.outer_iter_mut().zip(&data.histories) {
            for (cell, item) in row.iter_mut().zip(model.block()) {
                if used.items().iter().any(|used| used.0 == *item) {
                    *cell = f64::from(model.weights()[*item as usize]);
                }
            }
            let norm = row.dot(&row).sqrt();
            row.mapv_inplace(|v: f64| v / norm.max(1e-12));
        }
        x
    }

    #[test]
    fn summed_device_gradients_equal_the_matrix_formula() {
        let data = planted(300, 400, 4, 1);
        let model = federated(
            &data,
            &Recipe {
                rounds: 1,
                ..recipe(0)
            },
        );
        let x = unit_rows(&data, &model);
        let mut p = x.dot(&model.factors().mapv(f64::from));
        for mut row in p.outer_iter_mut() {
            let norm = row.dot(&row).sqrt();
            row.mapv_inplace(|v| v / norm.max(1e-12));
        }
        let central = x.t().dot(&p);
        let summed = sum(data
            .histories
            .iter()
            .map(|used| device::gradient(used, &model)));
        assert!(
            central
                .iter()
                .zip(&summed)
                .all(|(a, b)| (a - b).abs() < 1e-4)
        );
        let same = apply_gradient(&model, &summed, &recipe(0), false);
        let central: Vec<f64> = central.iter().copied().collect();
        let next = apply_gradient(&model, &central, &recipe(0), false);
        assert!(
            (&same.factors() - &next.factors())
                .iter()
                .all(|v| v.abs() < 1e-4)
        );
    }

    #[test]
    fn summed_head_grams_equal_the_matrix_formula() {
        let data = planted(300, 400, 4, 1);
        let counts = sum(data
            .histories
            .iter()
            .map(|used| device::counts(used, 400)));
        let whole = Recipe {
            coverage: 1.0,
            ..recipe(400)
        };
        let model = apply_counts(&counts, 0.0, &whole);
        let x = unit_rows(&data, &model);
        let central = x.t().dot(&x);
        let summed = unpack(
            &sum(data
                .histories
                .iter()
                .map(|used| device::head_gram(used, &model))),
            400,
        );
        for (i, a) in model.head_items().iter().enumerate() {
            for (j, b) in model.head_items().iter().enumerate() {
                assert!((central[(a.0 as usize, b.0 as usize)] - summed[(i, j)]).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn planted_tastes_are_found_with_and_without_a_head() {
        let data = planted(1500, 400, 8, 2);
        let quality = |score: &dyn Fn(&History) -> Vec<f32>| {
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
        };
        for head in [0, 100] {
            let model = federated(&data, &recipe(head));
            let (personal, popular) = (
                quality(&|u| scores(u, &model, None)),
                quality(&|_| popularity_scores(model.counts())),
            );
            assert!(
                personal > 2.0 * popular,
                "head {head}: {personal} against {popular}"
            );
        }
    }

    #[test]
    fn factors_are_orthonormal_and_orthogonal_to_popularity() {
        let model = federated(
            &planted(500, 400, 8, 2),
            &Recipe {
                coverage: 0.9,
                ..recipe(100)
            },
        );
        let q = model.factors().mapv(f64::from);
        let gram = q.t().dot(&q) - Array2::<f64>::eye(q.ncols());
        assert!(gram.iter().all(|v| v.abs() < 1e-5));
        let axis: Array1<f64> = model
            .block()
            .iter()
            .map(|&item| f64::from(model.axis()[item as usize]))
            .collect();
        assert!(axis.dot(&q).iter().all(|v| v.abs() < 1e-5));
    }

    #[test]
    fn training_replays_bit_for_bit() {
        let data = planted(200, 300, 4, 6);
        assert!(federated(&data, &recipe(0)) == federated(&data, &recipe(0)));
    }

    #[test]
    fn noise_floors_counts_and_coverage_keeps_the_popular() {
        let recipe = Recipe {
            coverage: 0.8,
            head: 9,
            ..recipe(0)
        };
        let model = apply_counts(&[-5.0, 60.0, 1.0, 38.0], 1.5, &recipe);
        assert_eq!(model.counts(), &[1.5, 60.0, 1.5, 38.0]);
        assert_eq!(model.block(), &[1, 3]);
        assert_eq!(model.head_items().len(), 2);
        assert_eq!(apply_counts(&[0.0; 4], 0.0, &recipe).counts(), &[0.02; 4]);
    }

    #[test]
    fn a_head_gram_of_noise_alone_gives_one_factor() {
        let recipe = recipe(30);
        let model = apply_counts(&vec![10.0; 100], 1.0, &recipe);
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let noise: Vec<f64> = StandardNormal
            .sample_iter(&mut rng)
            .take(model.head_gram_len())
            .collect();
        assert_eq!(
            apply_head_gram(&model, &noise, 1.0, &recipe).factor_count(),
            1
        );
    }

    #[test]
    fn an_empty_sum_gives_a_model_that_ranks_by_popularity() {
        let recipe = recipe(0);
        let start = random_init(&apply_counts(&vec![2.0; 50], 0.0, &recipe), &recipe, 1);
        let model = apply_gradient(&start, &vec![0.0; start.gradient_len()], &recipe, true);
        assert!(model.factors().iter().all(|&v| v == 0.0));
    }
}
