//! The noise of a whole sum, drawn once.
//!
//! A real sum carries one discrete Gaussian share of variance sigma^2 / n_min from each
//! contributor. With at least 4 grid steps a share, their sum is a discrete Gaussian of the summed
//! variance up to a distance below 10^-60 (Kairouz, Liu & Steinke 2021, theorem 1), so drawing that
//! one directly has the same distribution for every purpose.

use rayon::prelude::*;
use tacit_privacy::Mechanism;
use tacit_privacy::noise::rejection;

use crate::streams::{Purpose, stream};

/// Coordinates that share a random stream.
const STRETCH: usize = 4096;

/// Adds the noise of `contributors` shares, and the helper's if it adds any, to a sum in grid
/// steps. Seeded, so it protects nobody.
pub fn add(
    mut sum: Vec<i32>,
    mechanism: &Mechanism,
    contributors: u32,
    seed: u64,
    release: u32,
) -> Vec<i32> {
    let (numerator, denominator) = variance(mechanism, contributors);
    if numerator > 0 {
        sum.par_chunks_mut(STRETCH)
            .enumerate()
            .for_each(|(place, stretch)| {
                let mut rng = stream(seed, Purpose::Noise, release, place as u64);
                for value in stretch {
                    *value =
                        value.saturating_add(rejection::sample(numerator, denominator, &mut rng));
                }
            });
    }
    sum
}

/// sigma^2 `contributors` / n_min as a fraction the sampler takes: below 2^48 over below 2^24,
/// rounded by at most 2^-20.
fn variance(mechanism: &Mechanism, contributors: u32) -> (u64, u32) {
    let helper = if mechanism.helper_noise {
        mechanism.n_min
    } else {
        0
    };
    let mut numerator =
        u128::from(mechanism.sigma2) * (u128::from(contributors) + u128::from(helper));
    let mut denominator = mechanism.n_min;
    while numerator >= 1 << 48 || denominator >= 1 << 24 {
        (numerator, denominator) = (numerator.div_ceil(2), denominator.div_ceil(2));
    }
    (u64::try_from(numerator).unwrap_or(u64::MAX), denominator)
}

#[cfg(test)]
mod tests {
    use tacit_privacy::Tier;

    use super::*;

    fn mechanism(sigma2: u64, n_min: u32) -> Mechanism {
        Mechanism {
            tier: Tier::Helper,
            length: 200_000,
            row_width: 1,
            row_cap_milli: 1000,
            history_max: 10,
            nnz_max: 10,
            steps: 512,
            sigma2,
            n_min,
            cohort_max: n_min,
            helper_noise: false,
        }
    }

    #[test]
    fn the_variance_is_that_of_all_contributors_shares() {
        for (sigma2, n_min, contributors) in [
            (1 << 18, 64, 80),
            (1 << 30, 1 << 20, 1 << 20),
            (1 << 47, 1 << 22, 9),
        ] {
            let mechanism = Mechanism {
                helper_noise: contributors == 80,
                ..mechanism(sigma2, n_min)
            };
            let noise = add(vec![7; 200_000], &mechanism, contributors, 5, 0);
            let square = |v: &i32| (f64::from(*v) - 7.0).powi(2);
            let variance = noise.iter().map(square).sum::<f64>() / 200_000.0;
            let expected = mechanism.sum_noise_std(contributors).powi(2) * 512.0 * 512.0;
            // The standard error of a sample variance is sqrt(2/n) of it; 6 of those: false alarm
            // about 2e-9 a case.
            assert!(
                (variance / expected - 1.0).abs() < 6.0 * (2.0f64 / 200_000.0).sqrt(),
                "{variance} {expected}"
            );
        }
    }

    #[test]
    fn no_noise_adds_nothing_and_a_seed_repeats() {
        assert_eq!(add(vec![3, -4], &mechanism(0, 1), 9, 1, 1), [3, -4]);
        let noisy = |seed, release| add(vec![0; 9000], &mechanism(1 << 12, 16), 16, seed, release);
        assert_eq!(noisy(1, 0), noisy(1, 0));
        assert!(noisy(1, 0) != noisy(2, 0) && noisy(1, 0) != noisy(1, 1));
    }
}
