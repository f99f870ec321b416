//! How far learned factors are trusted: as far as histories agree.
//!
//! In a gradient `sum_u x_u p_u^T`, with `p_u = unit(Q^T x_u)`, an item votes for itself: `x_j^2
//! Q_j / |Q^T x_u|` of row j is there whatever else an owner used. Where histories have nothing in
//! common these votes are all there is, the next factors repeat the last ones and their noise, and
//! ranking by them is worse than by popularity. What the votes amount to follows from released
//! counts and factors, so this costs no privacy, and a replay finds the same.

use ndarray::{Array2, ArrayView2};

use super::model::SpectralModel;
use super::server::without_axis;
use crate::maths::linalg::narrow;

/// Agreement from which on learned factors count in full. How it was chosen:
/// `tests/quality/TUNING.md`, "Agreement of histories".
pub const AGREEMENT_FULL: f64 = 0.5;

/// The learned factors of `next`, scaled so that their part of a score counts `min(agreement /`
/// [`AGREEMENT_FULL`]`, 1)` of what it did. All learned columns then have the root of that as norm.
pub fn trusted(next: &SpectralModel, agreement: f64) -> SpectralModel {
    let gain = (agreement / AGREEMENT_FULL).clamp(0.0, 1.0);
    let scale = narrow(gain.sqrt());
    let factors = next.factors().mapv(|factor| factor * scale);
    next.with_factors(factors)
}

/// The share of a gradient that items' votes for themselves do not explain, from 0 to 1: `1 - votes
/// / signal`. Both are squared norms without the popularity axis, of the votes and of the sum less
/// what noise adds to it.
///
/// `sum` is the noisy gradient of the devices that hold `model`.
///
/// # Panics
/// When `sum` does not have the gradient length of `model`.
pub fn agreement(model: &SpectralModel, sum: &[f64], noise_std: f64, contributors: u32) -> f64 {
    let shape = model.factors().dim();
    let y = ArrayView2::from_shape(shape, sum).expect("a gradient sum has the factors' shape");
    let noise = sum.len() as f64 * noise_std * noise_std;
    let signal = squares(&without_axis(model, y)) - noise;
    if signal <= 0.0 {
        return 0.0;
    }
    let votes = own_votes(model, y, f64::from(contributors.max(1)));
    let explained = squares(&without_axis(model, votes.view())) / signal;
    (1.0 - explained).max(0.0)
}

/// Votes of items for themselves if histories had nothing in common, (M', d): `n s_j Q_j m / S`.
///
/// `s_j` is item j's share of all squared profiles, and `S = sum_j s_j |Q_j|^2` the mean of `|Q^T
/// x|^2` without agreement. `m` is the mean of `|Q^T x|`: `trace(Q^T Y) / n`, at most `sqrt S`,
/// because what is above that is agreement.
fn own_votes(model: &SpectralModel, y: ArrayView2<'_, f64>, devices: f64) -> Array2<f64> {
    let q = model.factors().mapv(f64::from);
    let shares = shares(model);
    let mut votes = q.clone();
    for (mut row, share) in votes.rows_mut().into_iter().zip(&shares) {
        row *= *share;
    }
    let unrelated = (&votes * &q).sum();
    if unrelated <= 0.0 {
        return Array2::zeros(q.dim());
    }
    let seen = (&y * &q).sum() / devices;
    let length = seen.clamp(0.0, unrelated.sqrt());
    votes * (devices * length / unrelated)
}

/// `c_j w_j^2` of each block item over that of all items: (M'). Counts at the floor are noise and
/// count as none.
fn shares(model: &SpectralModel) -> Vec<f64> {
    let counts = model.counts();
    let floor = counts.iter().copied().fold(f32::INFINITY, f32::min);
    let size = |item: usize| {
        let weight = f64::from(model.weights()[item]);
        let count = f64::from(counts[item]);
        let above = counts[item] > floor;
        if above { count * weight * weight } else { 0.0 }
    };
    let total: f64 = (0..counts.len()).map(size).sum();
    let total = total.max(f64::MIN_POSITIVE);
    let block = model.block().iter();
    block
        .map(|&item| size(item as usize) / total)
        .collect()
}

fn squares(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::family::recipe::Recipe;
    use crate::family::spectral::{device, server};
    use crate::history::preference::History;
    use crate::maths::linalg::norm_squared;
    use crate::synthetic::{history, planted};

    const ITEMS: u32 = 200;

    /// Histories of six items, each drawn on its own.
    fn unrelated(users: u32) -> Vec<History> {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let one = |_| {
            let mut items: Vec<u32> = Vec::new();
            while items.len() < 6 {
                let item = rng
                    .random_range(0..ITEMS)
                    .min(rng.random_range(0..ITEMS));
                if !items.contains(&item) {
                    items.push(item);
                }
            }
            history(&items)
        };
        (0..users).map(one).collect()
    }

    fn noisy(vectors: impl Iterator<Item = Vec<f32>>, noise_std: f64) -> Vec<f64> {
        let mut total: Vec<f64> = Vec::new();
        for vector in vectors {
            total.resize(vector.len(), 0.0);
            for (sum, value) in total.iter_mut().zip(vector) {
                *sum += f64::from(value);
            }
        }
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        for sum in &mut total {
            let normal: f64 = StandardNormal.sample(&mut rng);
            *sum += noise_std * normal;
        }
        total
    }

    /// The model before one round, and the model after it as far as histories agree.
    fn round(histories: &[History], noise_std: f64) -> (SpectralModel, SpectralModel) {
        let recipe = Recipe {
            head: 0,
            factors: 8,
            ..Recipe::for_signal(50.0, ITEMS).unwrap()
        };
        let counts = histories
            .iter()
            .map(|used| device::counts(used, ITEMS).into_coordinates());
        let counted = server::apply_counts(&noisy(counts, 1.0), 1.0, &recipe);
        let mut before = server::random_init(&counted, &recipe, 5);
        let gradient = |model: &SpectralModel, noise_std| {
            let vectors = histories
                .iter()
                .map(|used| device::gradient(used, model).into_coordinates());
            noisy(vectors, noise_std)
        };
        for _ in 0..2 {
            let sum = gradient(&before, 0.0);
            before = server::apply_gradient(&before, &sum, &recipe, true);
        }
        let sum = gradient(&before, noise_std);
        let next = server::apply_gradient(&before, &sum, &recipe, true);
        let devices = u32::try_from(histories.len()).unwrap();
        let agreement = agreement(&before, &sum, noise_std, devices);
        (before, trusted(&next, agreement))
    }

    /// The squared norm that all columns have.
    fn norm(model: &SpectralModel) -> f64 {
        let columns = model.factors();
        let norms: Vec<f64> = columns
            .columns()
            .into_iter()
            .map(|column| norm_squared(&column.to_vec()))
            .collect();
        assert!(
            norms.iter().all(|one| (one - norms[0]).abs() < 1e-4),
            "{norms:?}"
        );
        norms[0]
    }

    #[test]
    fn tastes_that_many_share_are_trusted_and_histories_without_anything_in_common_are_not() {
        let shared = planted(1500, ITEMS, 8, 2).histories;
        for noise_std in [0.0, 1.0] {
            let (before, known) = round(&shared, noise_std);
            assert!((norm(&before) - 1.0).abs() < 1e-4);
            assert!(norm(&known) > 0.99, "noise {noise_std}: {}", norm(&known));
            let (_, unknown) = round(&unrelated(1500), noise_std);
            assert!(
                norm(&unknown) < 0.6,
                "noise {noise_std}: {}",
                norm(&unknown)
            );
        }
    }

    #[test]
    fn a_sum_of_noise_alone_shows_no_agreement() {
        let (before, next) = round(&unrelated(1500), 0.0);
        let nothing = vec![0.0; before.gradient_len()];
        for noise_std in [0.0, 3.0] {
            assert_eq!(agreement(&before, &nothing, noise_std, 1500), 0.0);
        }
        let none = trusted(&next, 0.0);
        assert_eq!(norm(&none), 0.0);
        assert_eq!(SpectralModel::from_bytes(&none.to_bytes()), Ok(none));
    }

    #[test]
    fn agreement_is_a_share_whatever_the_sum() {
        let (before, _) = round(&unrelated(50), 0.0);
        for odd in [f64::MIN, -1.0, f64::MIN_POSITIVE, 1e150] {
            let sum = vec![odd; before.gradient_len()];
            for devices in [0, 1, u32::MAX] {
                let share = agreement(&before, &sum, 1.0, devices);
                assert!((0.0..=1.0).contains(&share), "{odd} {devices}: {share}");
            }
        }
    }
}
