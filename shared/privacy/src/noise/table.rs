//! The production sampler: inversion of a table of 128-bit thresholds, the same work for every draw.
//!
//! Thresholds come from exact big-integer arithmetic, so the distribution differs from the ideal one only by rounding each
//! threshold to 2^-128 and by cutting the tails at 16 standard deviations. [`NoiseTable::total_variation`] bounds both.

use num_bigint::BigUint;
use rand::Rng;
use sha2::{Digest as _, Sha256};
use tacit_types::Digest;

use crate::mechanism::Mechanism;

/// Binary digits of the fixed-point numbers the thresholds are computed in; rounding there is below 2^-300 in total.
const PRECISION: u64 = 384;

/// Tails are cut at this many standard deviations.
const TAIL: u64 = 16;

/// Cumulative thresholds of the discrete Gaussian of variance `sigma2 / n_min`. Public: depends on the mechanism only.
pub struct NoiseTable {
    variance: (u64, u32),
    /// Largest magnitude drawn, ceil(16 s).
    reach: i32,
    /// `thresholds[i]` is 2^128 P(X <= i - reach), padded with the maximum to a power of two.
    thresholds: Vec<u128>,
}

impl NoiseTable {
    /// Builds the table of one mechanism: 32 s entries, well under a millisecond at s = 16.
    pub fn new(mechanism: &Mechanism) -> Self {
        let variance = super::share_variance(mechanism);
        Self::for_variance(variance.0.max(1), variance.1.max(1))
    }

    fn for_variance(a: u64, b: u32) -> Self {
        let reach = (TAIL * TAIL * a).div_ceil(u64::from(b)).isqrt() + 1;
        let weights = weights(a, b, reach);
        let total: BigUint = &weights[0] + (weights[1..].iter().sum::<BigUint>() << 1u32);
        let mut cumulative = BigUint::ZERO;
        let magnitudes = (1..weights.len()).rev().chain(0..weights.len() - 1);
        let mut thresholds: Vec<u128> = magnitudes
            .map(|magnitude| {
                cumulative += &weights[magnitude];
                u128::try_from((&cumulative << 128u32) / &total).unwrap_or(u128::MAX)
            })
            .collect();
        // One more than there are outcomes below the last, so that the search can land past every threshold.
        thresholds.resize((thresholds.len() + 1).next_power_of_two(), u128::MAX);
        let reach = i32::try_from(reach).unwrap_or(i32::MAX);
        Self { variance: (a, b), reach, thresholds }
    }

    /// Whether this table makes the noise `mechanism` asks for.
    pub fn fits(&self, mechanism: &Mechanism) -> bool {
        self.variance == super::share_variance(mechanism)
    }

    /// SHA-256 of the thresholds, 16 little-endian bytes each, for the ledger.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        self.thresholds.iter().for_each(|threshold| hash.update(threshold.to_le_bytes()));
        Digest(hash.finalize().into())
    }

    /// Overwrites `out` with independent draws: one 128-bit uniform and one search of fixed depth each.
    pub fn fill(&self, out: &mut [i32], rng: &mut impl Rng) {
        let mut uniform = [0u8; 16 * 256];
        for block in out.chunks_mut(256) {
            let bytes = &mut uniform[..16 * block.len()];
            rng.fill_bytes(bytes);
            for (value, word) in block.iter_mut().zip(bytes.as_chunks::<16>().0) {
                *value = self.invert(u128::from_le_bytes(*word));
            }
        }
        zeroize::Zeroize::zeroize(&mut uniform);
    }

    /// Number of thresholds at or below `uniform`, minus the reach. Branchless: the loop count depends on the table only.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "a table has fewer than 2^31 entries"
    )]
    fn invert(&self, uniform: u128) -> i32 {
        let mut base = 0usize;
        let mut half = self.thresholds.len() / 2;
        while half > 0 {
            base += if self.thresholds[base + half - 1] <= uniform { half } else { 0 };
            half /= 2;
        }
        (base as i32).min(2 * self.reach) - self.reach
    }

    /// Bound on the total variation distance of one draw from the ideal distribution, in units of 2^-128, rounded up.
    ///
    /// Each of the 2 L + 1 outcomes moves by less than one unit through rounding, and the tails hold at most
    /// 2 exp(-16^2/2) < 2^-183 (Canonne, Kamath & Steinke 2020, proposition 25): less than one unit.
    pub fn total_variation(&self) -> u128 {
        2 * u128::from(self.reach.unsigned_abs()) + 2
    }

    /// Outcomes from -L to L with their exact probability in this table, in units of 2^-128.
    pub fn probabilities(&self) -> impl Iterator<Item = (i32, u128)> + '_ {
        (-self.reach..=self.reach).scan(0u128, move |before, outcome| {
            let upper =
                if outcome == self.reach { u128::MAX } else { self.thresholds[(outcome + self.reach) as usize] };
            let mass = upper - *before;
            *before = upper;
            Some((outcome, mass))
        })
    }
}

/// Bound on the total variation of every draw of a release: coordinates times shares, and the helper's draws if it makes
/// any, in units of 2^-128.
pub fn release_total_variation(mechanism: &Mechanism) -> u128 {
    let draw = |shares: u32| {
        let tail = u128::from(TAIL * TAIL) * u128::from(mechanism.sigma2);
        2 * (tail.div_ceil(u128::from(shares.max(1))).isqrt() + 1) + 2
    };
    let helper = if mechanism.helper_noise { draw(1) } else { 0 };
    u128::from(mechanism.length) * (draw(mechanism.n_min) * u128::from(mechanism.cohort_max) + helper)
}

/// exp(-k^2 b/(2a)) for k = 0..=reach, as fixed-point numbers of [`PRECISION`] digits.
///
/// p(k+1)/p(k) = exp(-(2k+1) b/(2a)), so each weight needs two multiplications.
fn weights(a: u64, b: u32, reach: u64) -> Vec<BigUint> {
    let step = exp_minus(u64::from(b), 2 * a);
    let step_squared = (&step * &step) >> PRECISION;
    let (mut weight, mut ratio) = (BigUint::from(1u32) << PRECISION, step);
    (0..=reach)
        .map(|_| {
            let current = weight.clone();
            weight = (&weight * &ratio) >> PRECISION;
            ratio = (&ratio * &step_squared) >> PRECISION;
            current
        })
        .collect()
}

/// exp(-numerator/denominator) by its power series; even and odd terms are summed apart, so nothing goes negative.
fn exp_minus(numerator: u64, denominator: u64) -> BigUint {
    let mut term = BigUint::from(1u32) << PRECISION;
    let mut sums = [term.clone(), BigUint::ZERO];
    for k in 1u64.. {
        term = term * numerator / (u128::from(denominator) * u128::from(k));
        if term == BigUint::ZERO {
            break;
        }
        sums[usize::from(k % 2 == 1)] += &term;
    }
    let [even, odd] = sums;
    even - odd
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::noise::rejection;

    /// Chi-square statistic of `draws` against the table's probabilities, and its degrees of freedom; outcomes expected
    /// fewer than 10 times are pooled.
    fn chi_square(table: &NoiseTable, draws: &[i32]) -> (f64, f64) {
        let mut observed = vec![0f64; 2 * table.reach as usize + 1];
        draws.iter().for_each(|&x| observed[(x + table.reach) as usize] += 1.0);
        let (mut statistic, mut cells, mut pooled) = (0.0, 0.0, (0.0, 0.0));
        for (outcome, mass) in table.probabilities() {
            let expected = mass as f64 * 2f64.powi(-128) * draws.len() as f64;
            let seen = observed[(outcome + table.reach) as usize];
            if expected >= 10.0 {
                statistic += (seen - expected).powi(2) / expected;
                cells += 1.0;
            } else {
                pooled = (pooled.0 + expected, pooled.1 + seen);
            }
        }
        if pooled.0 > 1.0 {
            statistic += (pooled.1 - pooled.0).powi(2) / pooled.0;
            cells += 1.0;
        }
        (statistic, cells - 1.0)
    }

    #[test]
    fn both_samplers_follow_the_exact_probabilities() {
        // Chi-square has mean k and variance 2k; k + 6 sqrt(2k) + 20 leaves a false-alarm rate below 1e-6 per case.
        let mut rng = ChaCha20Rng::seed_from_u64(77);
        for (a, b) in [(1u64, 4u32), (1, 1), (16, 1), (127, 2), (404_010, 40), (10_000, 1), (30_001, 7)] {
            let table = NoiseTable::for_variance(a, b);
            let mut drawn = vec![0i32; 1_000_000];
            table.fill(&mut drawn, &mut rng);
            let rejected: Vec<i32> = (0..200_000).map(|_| rejection::sample(a, b, &mut rng)).collect();
            for draws in [&drawn, &rejected] {
                let (statistic, freedom) = chi_square(&table, draws);
                assert!(statistic < freedom + 6.0 * (2.0 * freedom).sqrt() + 20.0, "{a}/{b}: {statistic} {freedom}");
            }
        }
    }

    #[test]
    fn probabilities_match_the_closed_form() {
        let table = NoiseTable::for_variance(100, 4);
        let norm: f64 = (-400i32..=400).map(|k| (-f64::from(k * k) / 50.0).exp()).sum();
        for (outcome, mass) in table.probabilities().filter(|(k, _)| k.abs() <= 30) {
            let ideal = (-f64::from(outcome * outcome) / 50.0).exp() / norm;
            assert!((mass as f64 * 2f64.powi(-128) / ideal - 1.0).abs() < 1e-12, "{outcome}");
        }
        let total: f64 = table.probabilities().map(|(_, mass)| mass as f64 * 2f64.powi(-128)).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_ends_of_the_uniform_range_map_to_the_ends_of_the_table() {
        for (a, b) in [(16, 1), (127, 2), (63, 1), (64, 1)] {
            let table = NoiseTable::for_variance(a, b);
            assert_eq!(table.invert(0).signum(), -1);
            assert_eq!(table.invert(u128::MAX), table.reach);
            assert_eq!(table.invert(u128::MAX / 2).abs(), 0);
        }
    }
}
