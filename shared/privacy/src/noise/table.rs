//! The production sampler: inversion of a table of 128-bit thresholds, the same work for every
//! draw.
//!
//! Thresholds come from exact big-integer arithmetic, so the distribution differs from the ideal
//! one only by rounding each threshold to 2^-128 and by cutting the tails at 16 standard
//! deviations. [`NoiseTable::total_variation`] bounds both.
//!
//! Total running time that follows the noise is a published attack, so every draw takes one 128-bit
//! uniform and log2 of the table's length threshold reads; a unit test counts both. No branch looks
//! at a secret, which was read in the compiler's output for x86-64, not proven for every target.
//! Which entries are read does depend on the draw: an observer of the device's own cache is outside
//! the threat model.

use std::hint::black_box;

use num_bigint::BigUint;
use rand::Rng;
use sha2::{Digest as _, Sha256};
use tacit_types::Digest;

use crate::exact::Exact;
use crate::mechanism::{Mechanism, VARIANCE_MAX};

/// Binary digits of the fixed-point numbers the thresholds are computed in; rounding there is below
/// 2^-300 in total.
const PRECISION: u64 = 384;

/// Tails are cut at this many standard deviations.
const TAIL: u128 = 16;

/// Cumulative thresholds of the discrete Gaussian of one variance. Public: depends on the mechanism
/// only.
pub struct NoiseTable {
    variance: (u64, u32),
    /// Largest magnitude drawn, at least 16 s.
    reach: i32,
    /// `thresholds[i]` is 2^128 P(X <= i - reach), padded with the maximum to a power of two.
    thresholds: Vec<u128>,
}

impl NoiseTable {
    /// Builds the table of one share of a checked mechanism: 32 s entries, well under a millisecond
    /// at s = 16.
    ///
    /// # Panics
    /// If the mechanism is one that [`Mechanism::check`] refuses, with a share variance below 1/4
    /// or above [`VARIANCE_MAX`].
    pub fn new(mechanism: &Mechanism) -> Self {
        let (a, b) = mechanism.share_variance();
        Self::for_variance(a, b)
    }

    /// Builds the table of variance parameter `a/b`: probability of k proportional to exp(-k^2
    /// b/(2a)).
    ///
    /// For tests and simulations of the sampler. A table holds public numbers only and cannot make
    /// a release: [`super::privatise`] takes none but the one of its permit's mechanism.
    ///
    /// # Panics
    /// If `a/b` is below 1/4 or above [`VARIANCE_MAX`].
    pub fn for_variance(a: u64, b: u32) -> Self {
        let in_range =
            b > 0 && a >= u64::from(b.div_ceil(4)) && a.div_ceil(u64::from(b)) <= VARIANCE_MAX;
        assert!(in_range, "variance out of range");
        let weights = weights(a, b);
        let total: BigUint = &weights[0] + (weights[1..].iter().sum::<BigUint>() << 1u32);
        let mut cumulative = BigUint::ZERO;
        let farthest = weights.len().minus(1);
        let magnitudes = (1..=farthest).rev().chain(0..farthest);
        let mut thresholds: Vec<u128> = magnitudes
            .map(|magnitude| {
                cumulative += &weights[magnitude];
                u128::try_from((&cumulative << 128u32) / &total).unwrap_or(u128::MAX)
            })
            .collect();
        // One more than there are outcomes below the last, so that the search can land past every
        // threshold.
        thresholds.resize(thresholds.len().plus(1).next_power_of_two(), u128::MAX);
        let reach = i32::try_from(farthest).unwrap_or(i32::MAX);
        Self {
            variance: (a, b),
            reach,
            thresholds,
        }
    }

    /// Whether this table makes the noise `mechanism` asks for.
    pub fn fits(&self, mechanism: &Mechanism) -> bool {
        self.variance == mechanism.share_variance()
    }

    /// SHA-256 of the thresholds, 16 little-endian bytes each, for the ledger.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        self.thresholds
            .iter()
            .for_each(|threshold| hash.update(threshold.to_le_bytes()));
        Digest(hash.finalize().into())
    }

    /// Overwrites `out` with independent draws: one 128-bit uniform and one search of fixed depth
    /// each.
    pub fn fill(&self, out: &mut [i32], rng: &mut impl Rng) {
        let mut uniform = [0u8; 16 * 256];
        for block in out.chunks_mut(256) {
            let bytes = &mut uniform[..block.len().times(16)];
            rng.fill_bytes(bytes);
            for (value, word) in block.iter_mut().zip(bytes.as_chunks::<16>().0) {
                *value = self.invert(u128::from_le_bytes(*word));
            }
        }
        zeroize::Zeroize::zeroize(&mut uniform);
    }

    /// The outcome a uniform stands for: the number of thresholds at or below it, minus the reach.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "a table has fewer than 2^31 entries"
    )]
    fn invert(&self, uniform: u128) -> i32 {
        let below = search(self.thresholds.len(), uniform, |index| {
            self.thresholds[index]
        });
        (below as i32)
            .min(self.reach.times(2))
            .minus(self.reach)
    }

    /// Bound on the total variation distance of one draw from the ideal distribution, in units of
    /// 2^-128, rounded up.
    ///
    /// Each of the 2 L + 1 outcomes moves by less than one unit through rounding, and the tails
    /// hold at most 2 exp(-16^2/2) < 2^-183 (Canonne, Kamath & Steinke 2020, proposition 25): less
    /// than one unit.
    pub fn total_variation(&self) -> u128 {
        draw_total_variation(self.variance.0, self.variance.1)
    }

    /// Outcomes from -L to L with their exact probability in this table, in units of 2^-128.
    pub fn probabilities(&self) -> impl Iterator<Item = (i32, u128)> + '_ {
        let last = self.thresholds.len().minus(1);
        let inner = (0.minus(self.reach)..self.reach)
            .zip(&self.thresholds)
            .map(|(outcome, upper)| (outcome, *upper));
        inner
            .chain([(self.reach, self.thresholds[last])])
            .scan(0u128, |before, (outcome, upper)| {
                let mass = upper.minus(*before);
                *before = upper;
                Some((outcome, mass))
            })
    }
}

/// Number of thresholds at or below `uniform`, of `count` (a power of two) ascending ones that
/// `read` gives, the last left out.
///
/// Exactly log2(count) reads: the loop follows `count` alone, and a comparison becomes a mask. The
/// optimiser turns a bare mask, and a selection with a hint, back into a jump on the secret (seen
/// in its output); it cannot see through [`black_box`], so the comparison stays a flag moved to a
/// register. Generic over the read so that a test counts the reads of this very code.
fn search(count: usize, uniform: u128, mut read: impl FnMut(usize) -> u128) -> usize {
    let (mut base, mut half) = (0usize, count / 2);
    while half > 0 {
        let at_or_below = black_box(usize::from(read(base.plus(half).minus(1)) <= uniform));
        base = base.plus(half & at_or_below.wrapping_neg());
        half /= 2;
    }
    base
}

/// Bound on the total variation of every draw of a release: coordinates times shares, and the
/// helper's own draws ([`super::helper_noise`]) if it makes any, in units of 2^-128.
pub fn release_total_variation(mechanism: &Mechanism) -> u128 {
    let (a, b) = mechanism.share_variance();
    let shares = draw_total_variation(a, b.max(1)).times(u128::from(mechanism.cohort_max));
    let helper = if mechanism.helper_noise {
        draw_total_variation(mechanism.sigma2, 1)
    } else {
        0
    };
    shares
        .plus(helper)
        .times(u128::from(mechanism.sent_length()))
}

/// [`NoiseTable::total_variation`] of the table of variance `a/b`, without building it.
fn draw_total_variation(a: u64, b: u32) -> u128 {
    reach(a, b).plus(1).times(2)
}

/// Largest magnitude drawn: a whole number not below 16 sqrt(a/b).
fn reach(a: u64, b: u32) -> u128 {
    u128::from(a)
        .times(TAIL * TAIL)
        .div_ceil(u128::from(b))
        .isqrt()
        .plus(1)
}

/// exp(-k^2 b/(2a)) for k = 0..=reach, as fixed-point numbers of [`PRECISION`] digits.
///
/// p(k+1)/p(k) = exp(-(2k+1) b/(2a)), so each weight needs two multiplications. Rounding: the step
/// is off by less than 2^-374 (fewer than 100 truncated terms), so the ratio at k by less than k
/// 2^-372 and the weight by less than k^2 2^-371; summed over a reach of 2^20 and divided by a
/// total above 1 that is below 2^-300.
fn weights(a: u64, b: u32) -> Vec<BigUint> {
    let step = exp_minus(u64::from(b), a.times(2));
    let step_squared = (&step * &step) >> PRECISION;
    let (mut weight, mut ratio) = (BigUint::from(1u32) << PRECISION, step);
    (0..=reach(a, b))
        .map(|_| {
            let current = weight.clone();
            weight = (&weight * &ratio) >> PRECISION;
            ratio = (&ratio * &step_squared) >> PRECISION;
            current
        })
        .collect()
}

/// exp(-numerator/denominator) by its power series; even and odd terms are summed apart, so nothing
/// goes negative.
fn exp_minus(numerator: u64, denominator: u64) -> BigUint {
    let mut term = BigUint::from(1u32) << PRECISION;
    let mut sums = [term.clone(), BigUint::ZERO];
    for k in 1u64.. {
        let divisor = u128::from(denominator).times(u128::from(k));
        term = term * numerator / divisor;
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
    use chacha20::ChaCha20Rng;
    use rand::SeedableRng;

    use super::*;
    use crate::noise::tests::Metered;

    /// 2^128 P(X <= k) rounded down, from 600-bit floating point (mpmath): (a, b), then pairs of k
    /// and the threshold.
    type Reference = ((u64, u32), [(i32, u128); 4]);
    const REFERENCE: [Reference; 3] = [
        (
            (1, 4),
            [
                (-1, 36_313_112_489_014_176_277_327_081_620_862_967_480),
                (0, 303_969_254_431_924_287_186_047_525_810_905_243_975),
                (1, 340_192_574_211_787_037_136_514_979_729_716_360_468),
                (4, 340_282_366_920_938_463_463_322_983_257_445_911_389),
            ],
        ),
        (
            (81, 4),
            [
                (-13, 914_949_497_936_996_765_349_067_948_461_347_923),
                (-1, 155_057_514_189_376_317_046_954_969_585_241_276_622),
                (9, 334_431_165_297_776_851_304_356_809_991_061_851_402),
                (36, 340_282_366_920_938_388_861_145_895_537_909_152_136),
            ],
        ),
        (
            (10_000, 1),
            [
                (-300, 466_924_598_261_916_915_922_080_236_431_740_998),
                (0, 170_819_948_577_668_412_892_500_258_751_763_033_037),
                (200, 332_632_452_840_848_057_163_197_532_835_563_011_080),
                (800, 340_282_366_920_938_260_256_447_947_014_751_139_268),
            ],
        ),
    ];

    #[test]
    fn thresholds_are_those_of_a_multiple_precision_reference_to_the_last_bit() {
        for ((a, b), points) in REFERENCE {
            let table = NoiseTable::for_variance(a, b);
            for (k, threshold) in points {
                assert_eq!(
                    table.thresholds[(k + table.reach) as usize],
                    threshold,
                    "{a}/{b} at {k}"
                );
            }
        }
    }

    #[test]
    fn probabilities_match_the_closed_form() {
        let table = NoiseTable::for_variance(100, 4);
        let norm: f64 = (-400i32..=400)
            .map(|k| (-f64::from(k * k) / 50.0).exp())
            .sum();
        for (outcome, mass) in table.probabilities().filter(|(k, _)| k.abs() <= 30) {
            let ideal = (-f64::from(outcome * outcome) / 50.0).exp() / norm;
            assert!(
                (mass as f64 * 2f64.powi(-128) / ideal - 1.0).abs() < 1e-12,
                "{outcome}"
            );
        }
        assert_eq!(
            table
                .probabilities()
                .map(|(_, mass)| mass)
                .sum::<u128>(),
            u128::MAX
        );
    }

    #[test]
    fn the_ends_of_the_uniform_range_map_to_the_ends_of_the_table() {
        for (a, b) in [(1, 4), (16, 1), (127, 2), (63, 1), (64, 1)] {
            let table = NoiseTable::for_variance(a, b);
            assert_eq!(table.invert(0).signum(), -1);
            assert_eq!(table.invert(u128::MAX), table.reach);
            assert_eq!(table.invert(u128::MAX / 2), 0);
        }
    }

    #[test]
    fn every_draw_reads_the_same_number_of_thresholds_whatever_its_uniform() {
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        for (a, b) in [(1, 4), (16, 1), (81, 4), (10_201, 4), (1 << 20, 1)] {
            let table = NoiseTable::for_variance(a, b);
            let (thresholds, depth) = (&table.thresholds, table.thresholds.len().ilog2());
            let around = thresholds
                .iter()
                .flat_map(|&t| [t.saturating_sub(1), t, t.saturating_add(1)]);
            let random: Vec<u128> = (0..10_000)
                .map(|_| u128::from(rng.next_u64()) << 64 | 1)
                .collect();
            for uniform in [0, 1, u128::MAX]
                .into_iter()
                .chain(around)
                .chain(random)
            {
                let mut reads = 0;
                let count = |index: usize| {
                    reads += 1;
                    thresholds[index]
                };
                let found = search(thresholds.len(), uniform, count);
                assert_eq!(reads, depth, "{a}/{b} at {uniform}");
                assert_eq!(
                    found,
                    thresholds[..thresholds.len() - 1].partition_point(|t| *t <= uniform)
                );
            }
        }
    }

    #[test]
    fn every_draw_takes_one_uniform_of_128_bits() {
        let table = NoiseTable::for_variance(64, 1);
        for draws in [0usize, 1, 255, 256, 257, 1_000] {
            let mut rng = Metered::new(3);
            table.fill(&mut vec![0; draws], &mut rng);
            assert_eq!(rng.bytes, 16 * draws);
        }
    }

    #[test]
    fn the_bound_of_a_release_counts_every_draw_of_its_table() {
        let mechanism = crate::mechanism::tests::example();
        let draws = u128::from(mechanism.length * mechanism.cohort_max);
        assert_eq!(
            release_total_variation(&mechanism),
            NoiseTable::new(&mechanism).total_variation() * draws
        );
        let helper = NoiseTable::for_variance(mechanism.sigma2, 1);
        let noisy = Mechanism {
            helper_noise: true,
            ..mechanism.clone()
        };
        let own = release_total_variation(&noisy) - release_total_variation(&mechanism);
        assert_eq!(own, helper.total_variation() * u128::from(mechanism.length));
        assert_eq!(
            helper.total_variation(),
            2 * u128::from(helper.reach.unsigned_abs()) + 2
        );
    }

    #[test]
    #[should_panic(expected = "variance out of range")]
    fn a_variance_that_needs_too_large_a_table_is_refused() {
        NoiseTable::for_variance(VARIANCE_MAX + 1, 1);
    }
}
