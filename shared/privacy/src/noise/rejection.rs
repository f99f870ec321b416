//! Exact discrete Gaussian by rejection (Canonne, Kamath & Steinke 2020, algorithms 1 to 3) in
//! fixed-width integers.
//!
//! The oracle: exact for every variance a/b within its bounds, but its running time depends on what
//! it draws, so it never makes a release.

use rand::Rng;

use crate::exact::Exact;

/// Draws from the discrete Gaussian of variance parameter `a/b`: probability of k proportional to
/// exp(-k^2 b/(2a)).
///
/// # Panics
/// If `a` or `b` is 0, or the variance is so large that exact arithmetic would leave 128 bits (a >=
/// 2^48 or b >= 2^24).
pub fn sample(a: u64, b: u32, rng: &mut impl Rng) -> i32 {
    assert!(
        a > 0 && b > 0 && a < 1 << 48 && b < 1 << 24,
        "variance out of range"
    );
    let (a, b) = (u128::from(a), u128::from(b));
    let scale = a.over(b).isqrt().plus(1);
    loop {
        let candidate = discrete_laplace(scale, rng);
        // exp(-(|y| - a/(b t))^2 b/(2a)) = exp(-(|y| b t - a)^2 / (2 a b t^2)). A candidate so far
        // out that this leaves 128 bits is accepted with probability below e^-1000.
        let magnitude = u128::from(candidate.unsigned_abs());
        let distance = magnitude.times(b).times(scale).abs_diff(a);
        let Some(numerator) = distance.checked_mul(distance) else {
            continue;
        };
        let denominator = a.times(b).times(scale).times(scale).times(2);
        if bernoulli_exp(numerator, denominator, rng) {
            return candidate;
        }
    }
}

/// Discrete Laplace of scale t: probability of k proportional to exp(-|k|/t).
fn discrete_laplace(scale: u128, rng: &mut impl Rng) -> i32 {
    loop {
        let low = uniform_below(scale, rng);
        if !bernoulli_exp(low, scale, rng) {
            continue;
        }
        let mut high = 0u128;
        while bernoulli_exp(1, 1, rng) {
            high = high.plus(1);
        }
        let negative = rng.next_u32() & 1 == 1;
        let Ok(magnitude) = i32::try_from(low.plus(scale.times(high))) else {
            continue;
        };
        if !(negative && magnitude == 0) {
            return if negative {
                0.minus(magnitude)
            } else {
                magnitude
            };
        }
    }
}

/// True with probability exp(-numerator/denominator).
fn bernoulli_exp(numerator: u128, denominator: u128, rng: &mut impl Rng) -> bool {
    (0..numerator.over(denominator)).all(|_| bernoulli_exp_fraction(1, 1, rng))
        && bernoulli_exp_fraction(numerator.rest(denominator), denominator, rng)
}

/// True with probability exp(-numerator/denominator) for a fraction in [0, 1].
fn bernoulli_exp_fraction(numerator: u128, denominator: u128, rng: &mut impl Rng) -> bool {
    let (mut k, mut scaled) = (1u128, denominator);
    // Bernoulli(fraction/k), as one draw below k denominators.
    while uniform_below(scaled, rng) < numerator {
        k = k.plus(1);
        // Denominators are below 2^98, and k passes 30 with probability below 30!^-1: a sum cannot
        // leave 128 bits.
        scaled = scaled.plus(denominator);
    }
    k % 2 == 1
}

/// Uniform in [0, bound): one multiplication and, for small bounds, seldom a second draw (Lemire
/// 2019); from 2^64 on by rejection on the smallest power of two.
fn uniform_below(bound: u128, rng: &mut impl Rng) -> u128 {
    if let Ok(small) = u64::try_from(bound) {
        loop {
            let product = u128::from(rng.next_u64()).times(bound);
            let low = low_half(product);
            if low >= small || low >= small.wrapping_neg().rest(small) {
                return product >> 64;
            }
        }
    }
    let shift = bound.minus(1).leading_zeros();
    loop {
        let draw =
            (u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())) & (u128::MAX >> shift);
        if draw < bound {
            return draw;
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is asked for"
)]
fn low_half(product: u128) -> u64 {
    product as u64
}

#[cfg(test)]
mod tests {
    use chacha20::ChaCha20Rng;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn uniform_draws_stay_below_their_bound_and_reach_it() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        for bound in [1u128, 2, 3, 255, 256, 257] {
            let draws: Vec<u128> = (0..4_000)
                .map(|_| uniform_below(bound, &mut rng))
                .collect();
            assert_eq!(draws.iter().max(), Some(&(bound - 1)));
        }
        assert!(uniform_below(1 << 100, &mut rng) < 1 << 100);
    }

    #[test]
    fn small_bounds_of_every_kind_are_uniform() {
        let mut rng = ChaCha20Rng::seed_from_u64(6);
        // Just above half of 2^64 every second product is redrawn; past 2^64 draws are masked
        // instead.
        for bound in [
            3u128,
            7,
            (1 << 63) + 1,
            u128::from(u64::MAX / 3) * 2,
            u128::from(u64::MAX),
            1 << 64,
            (1 << 64) + 1,
            1 << 65,
        ] {
            let low = (0..40_000)
                .filter(|_| uniform_below(bound, &mut rng) < bound / 3)
                .count();
            let (share, expected) = (low as f64 / 40_000.0, (bound / 3) as f64 / bound as f64);
            // Standard error at most 0.0024; 5 of those: false alarm below 6e-7 each.
            assert!(
                (share - expected).abs() < 5.0 * 0.0024,
                "{bound}: {share} {expected}"
            );
        }
    }
}
