//! The server half: from the noisy sum of rating vectors to item biases and counts, and with a
//! trained subspace to the model.
//!
//! f64, sequential and order-fixed, as in [`crate::family::spectral::server`].

use ndarray::{Array2, ArrayView2};

use super::device::{BIAS_PART, COUNT_PART, TYPICAL_DEVIATION};
use super::model::centred;
use super::scale::Scale;
use crate::family::recipe::Recipe;
use crate::family::spectral::{SpectralModel, server as spectral};
use crate::maths::linalg::{narrow, widened};
use crate::maths::solve::NormalEquation;

/// Variance of one rating around its owner's mean and its item's bias, in squared units of the
/// scale.
const RATING_VARIANCE: f64 = 1.0;
/// Penalty on the bias of a public feature, in items' worth of precision.
const FEATURE_PENALTY: f64 = 5.0;
/// Rounds in which prior mean and prior variance are fitted to each other.
const PRIOR_ROUNDS: usize = 15;
/// Least prior variance of a bias, in squared units of the scale.
const PRIOR_VARIANCE_MIN: f64 = 1e-3;
/// The figures that one release of rating vectors gives.
pub struct Opened {
    /// Item counts and no factors yet; the subspace of rated items is trained from it.
    pub counted: SpectralModel,
    /// Item biases, shrunk, no larger than the scale is wide: (M).
    pub biases: Vec<f32>,
}

/// Opens the noisy sum of `device::biases`, length 2M, of `contributors` devices.
///
/// With W_j and S_j the two sums of item j, the bias is `1.1 S_j / max(W_j, noise)`, whose variance
/// is that of the noise over the count, which is known, and that of the ratings themselves. It is
/// shrunk by empirical Bayes towards a prior mean, linear in the public `features`: (M, F), F from
/// 0.
///
/// # Panics
/// When `sum` does not have two numbers per row of `features`.
pub fn open_biases(
    sum: &[f64],
    noise_std: f64,
    contributors: u32,
    features: ArrayView2<'_, f32>,
    recipe: &Recipe,
    scale: Scale,
) -> Opened {
    assert_eq!(sum.len(), 2 * features.nrows(), "two sums per item");
    let counts: Vec<f64> = sum
        .chunks_exact(2)
        .map(|row| row[0] / COUNT_PART)
        .collect();
    let counted = spectral::apply_counts(&counts, noise_std / COUNT_PART, recipe);
    let floored: Vec<f64> = widened(counted.counts()).collect();
    // The mean of 1/sqrt|I_u| over the ratings of an item, each with that weight, is n / sum W over
    // the catalogue.
    let mean_weight = f64::from(contributors) / floored.iter().sum::<f64>();
    let noise = TYPICAL_DEVIATION * noise_std / BIAS_PART;
    let estimate = |(row, &count): (&[f64], &f64)| {
        let deviations = TYPICAL_DEVIATION * row[1] / BIAS_PART;
        let of_noise = (noise / count).powi(2);
        let of_ratings = RATING_VARIANCE * mean_weight / count;
        Estimate {
            value: deviations / count,
            variance: of_noise + of_ratings,
        }
    };
    let raw: Vec<Estimate> = sum
        .chunks_exact(2)
        .zip(&floored)
        .map(estimate)
        .collect();
    let shrunk = shrink(&raw, &centred(features, &floored));
    let reach = scale.high - scale.low;
    let biases = shrunk
        .into_iter()
        .map(|bias| narrow((bias * scale.unit()).clamp(-reach, reach)))
        .collect();
    Opened { counted, biases }
}

/// An item's bias as it was measured, in units of the scale.
struct Estimate {
    value: f64,
    variance: f64,
}

/// Empirical Bayes: each estimate is drawn to the prior mean by its own share of the whole
/// variance.
fn shrink(raw: &[Estimate], features: &Array2<f64>) -> Vec<f64> {
    let mut prior_variance = 0.2;
    let mut means = vec![0.0; raw.len()];
    for _ in 0..PRIOR_ROUNDS {
        means = prior_means(raw, features, prior_variance);
        prior_variance = excess_variance(raw, &means, prior_variance);
    }
    let drawn = |(one, mean): (&Estimate, f64)| {
        let whole = prior_variance + one.variance;
        let own_share = prior_variance / whole;
        mean + own_share * (one.value - mean)
    };
    raw.iter().zip(means).map(drawn).collect()
}

/// Weighted ridge regression of the estimates on the features and a constant.
fn prior_means(raw: &[Estimate], features: &Array2<f64>, prior_variance: f64) -> Vec<f64> {
    let row = |item: usize| -> Vec<f32> {
        let known = features.row(item);
        std::iter::once(1.0)
            .chain(known.iter().copied().map(narrow))
            .collect()
    };
    let mut equation = NormalEquation::new(features.ncols() + 1);
    let penalties = std::iter::once(1e-6).chain(std::iter::repeat(FEATURE_PENALTY));
    equation.penalise(penalties);
    for (item, one) in raw.iter().enumerate() {
        let precision = (prior_variance + one.variance).recip();
        equation.observe(&row(item), one.value, precision);
    }
    let solution = equation.solve();
    let mean = |item| {
        row(item)
            .iter()
            .zip(solution)
            .map(|(&h, b)| f64::from(h) * b)
            .sum()
    };
    (0..raw.len()).map(mean).collect()
}

/// The variance around the prior mean that measuring does not explain, by weighted moments.
fn excess_variance(raw: &[Estimate], means: &[f64], prior_variance: f64) -> f64 {
    let mut weights = 0.0;
    let mut excess = 0.0;
    for (one, mean) in raw.iter().zip(means) {
        let weight = (prior_variance + one.variance).powi(-2);
        let square = (one.value - mean).powi(2);
        weights += weight;
        excess += weight * (square - one.variance);
    }
    (excess / weights).max(PRIOR_VARIANCE_MIN)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;
    use rand_distr::{Distribution, StandardNormal};
    use tacit_types::ItemId;

    use super::*;
    use crate::family::rating::device::{biases, predictions};
    use crate::family::rating::{RatingModel, Ratings};
    use crate::history::interaction::{Interaction, InteractionKind};

    const ITEMS: u32 = 120;

    /// Owners with two tastes, items of which odd ones are liked and belong to one feature.
    fn population(seed: u64) -> Vec<Vec<Interaction>> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut owner = |user: u32| {
            let mut items: Vec<u32> = (0..25).map(|_| rng.random_range(0..ITEMS)).collect();
            items.sort_unstable();
            items.dedup();
            let rate = |item: u32| {
                let (liked, taste) = (
                    f64::from(item % 2) - 0.5,
                    if item % 4 / 2 == user % 2 { 0.7 } else { -0.7 },
                );
                let wobble: f64 = StandardNormal.sample(&mut rng);
                let value = narrow((3.5 + liked + taste + 0.4 * wobble).clamp(1.0, 5.0));
                Interaction {
                    item: ItemId(item),
                    timestamp: None,
                    value,
                    kind: InteractionKind::Rating,
                    surface: 0,
                }
            };
            items.into_iter().map(rate).collect()
        };
        (0..800).map(&mut owner).collect()
    }

    fn opened(users: &[Vec<Interaction>], noise_std: f64, features: ArrayView2<'_, f32>) -> Opened {
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let mut sum: Vec<f64> = StandardNormal
            .sample_iter(&mut rng)
            .take(2 * ITEMS as usize)
            .map(|v: f64| noise_std * v)
            .collect();
        for user in users {
            let ratings = Ratings::new(user, ITEMS, 1024, Scale::STARS);
            let vector = biases(&ratings, ITEMS, Scale::STARS).into_coordinates();
            sum.iter_mut()
                .zip(vector)
                .for_each(|(sum, v)| *sum += f64::from(v));
        }
        let recipe = Recipe {
            coverage: 1.0,
            ..Recipe::counts_only()
        };
        open_biases(&sum, noise_std, 800, features, &recipe, Scale::STARS)
    }

    fn error(biases: &[f32]) -> f64 {
        let wrong = (0u32..)
            .zip(biases)
            .map(|(item, &bias)| (f64::from(bias) - (f64::from(item % 2) - 0.5)).powi(2));
        (wrong.sum::<f64>() / f64::from(ITEMS)).sqrt()
    }

    #[test]
    fn biases_are_found_and_noise_draws_them_to_their_features() {
        let users = population(1);
        let none = Array2::zeros((ITEMS as usize, 0));
        let odd = Array2::from_shape_fn((ITEMS as usize, 1), |(item, _)| f32::from(item % 2 == 1));
        // The general level belongs to the owners, so only differences count.
        let level = |biases: Vec<f32>| -> Vec<f32> {
            let mean = biases.iter().sum::<f32>() / biases.len() as f32;
            biases.into_iter().map(|bias| bias - mean).collect()
        };
        assert!(error(&level(opened(&users, 0.0, none.view()).biases)) < 0.12);
        let noisy = error(&level(opened(&users, 20.0, none.view()).biases));
        let helped = error(&level(opened(&users, 20.0, odd.view()).biases));
        assert!(helped < 0.7 * noisy, "{helped} {noisy}");
    }

    #[test]
    fn endless_noise_leaves_nothing_but_the_mean() {
        let opened = opened(
            &population(1),
            1e6,
            Array2::zeros((ITEMS as usize, 0)).view(),
        );
        let mean = opened.biases.iter().sum::<f32>() / ITEMS as f32;
        assert!(
            opened
                .biases
                .iter()
                .all(|bias| bias.is_finite() && (bias - mean).abs() < 0.2)
        );
    }

    #[test]
    fn a_trained_subspace_predicts_better_than_biases() {
        let users = population(1);
        let none = Array2::<f32>::zeros((ITEMS as usize, 0));
        let first = opened(&users, 0.0, none.view());
        // The direction that was planted: which pair of a four an item is in.
        let recipe = Recipe {
            factors: 1,
            ..Recipe::for_signal(f64::INFINITY, ITEMS).unwrap()
        };
        let start = spectral::random_init(&first.counted, &recipe, 1);
        let planted: Vec<f64> = (0..ITEMS)
            .map(|item| if item % 4 / 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let trained = spectral::apply_gradient(&start, &planted, &recipe, true);
        let rmse = |model: &RatingModel| {
            let squares = users.iter().flat_map(|user| {
                let held_out = user[0];
                let predicted =
                    predictions(&Ratings::new(&user[1..], ITEMS, 1024, Scale::STARS), model);
                [f64::from(predicted[held_out.item.0 as usize] - held_out.value).powi(2)]
            });
            (squares.sum::<f64>() / users.len() as f64).sqrt()
        };
        let plain = rmse(&RatingModel::new(
            first.biases.clone(),
            first.counted.clone(),
            none.clone(),
            Scale::STARS,
        ));
        let personal = rmse(&RatingModel::new(first.biases, trained, none, Scale::STARS));
        assert!(personal < 0.75 * plain, "{personal} against {plain}");
    }
}
