//! The public numbers of one release, from which anybody recomputes its squared sensitivity and its
//! price.
//!
//! Everything here is exact integer arithmetic. Units: the clipping norm C is 1; one grid step is
//! gamma = 1/`steps`; all variances and squared norms are in grid steps squared.

use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::rho::Rho;

/// Who must be honest for the device-level guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Each device adds its share of the noise; only a sum of at least `n_min` honest shares is
    /// ever in the clear.
    Helper,
    /// Each device adds the whole noise.
    Local,
}

/// Parameters of one release; part of the ticket and of the ledger line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mechanism {
    /// Trust tier.
    pub tier: Tier,
    /// Vector length: coordinates that mean something. [`Mechanism::sent_length`] may be more.
    pub length: u32,
    /// Width of one row, for the row cap: d for a factor gradient, 1 otherwise.
    pub row_width: u32,
    /// Largest L2 norm of one row in thousandths of the clipping norm.
    pub row_cap_milli: u32,
    /// History cap L_max: interactions that may enter the vector.
    pub history_max: u32,
    /// Most coordinates that can be non-zero, from public numbers only.
    pub nnz_max: u32,
    /// Grid steps per clipping norm, C/gamma.
    pub steps: u32,
    /// Noise variance sigma^2 of the sum of `n_min` shares, in grid steps squared.
    pub sigma2: u64,
    /// Honest surviving noise shares assumed (1 in the local tier).
    pub n_min: u32,
    /// Most contributions that may enter the sum; bounds the ring.
    pub cohort_max: u32,
    /// Whether the helper adds the whole noise once more, so that the guarantee rests on the helper
    /// alone, whatever devices a coordinator invents (PRIVACY.md, section 2). Helper tier only.
    pub helper_noise: bool,
}

/// Why a set of parameters is not a mechanism. Each names the field at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MechanismError {
    /// A count is zero or past its bound.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The share's standard deviation is below 4 grid steps, where the bound for sums is void.
    #[error(
        "sigma2 / n_min is below 16: a noise share must have at least 4 grid steps of standard \
         deviation"
    )]
    ShareTooSmall,
    /// The share is too large for the sampler's table: a guard on memory, far above any useful
    /// noise.
    #[error("sigma2 / n_min is above 2^26: the grid is finer than any use")]
    ShareTooLarge,
    /// The helper's own draw is too large for its table.
    #[error(
        "sigma2 is above 2^30, too much for one helper to add: fewer devices or fewer steps, or no \
         helper_noise"
    )]
    HelperNoiseTooLarge,
    /// Rounding would inflate the norm by more than about one percent.
    #[error("steps is too small: gamma must be at most 0.2 / sqrt(nnz_max)")]
    GridTooCoarse,
    /// The sum could wrap around 2^32.
    #[error(
        "the sum of cohort_max contributions could pass 2^31: fewer devices, fewer steps or less \
         noise"
    )]
    RingTooSmall,
}

/// Largest accepted vector length (16 MiB of ring elements).
pub const LENGTH_MAX: u32 = 4_194_304;
/// Least min-entropy of one device's noise over its whole vector, bits.
const NOISE_BITS_MIN: u32 = 256;
const STEPS_MAX: u32 = 1 << 20;
const COHORT_MAX: u32 = 1 << 24;
/// Largest share variance in grid steps squared: a table of 2^18 thresholds, 4 MiB.
const SHARE_VARIANCE_MAX: u64 = 1 << 26;
/// Largest variance one party draws noise of, in grid steps squared: a table of 2^20 outcomes and
/// 32 MiB. Only the helper comes near it; one share stays far below.
pub const VARIANCE_MAX: u64 = 1 << 30;

impl Mechanism {
    /// Checks every bound a device or coordinator relies on.
    ///
    /// # Errors
    /// [`MechanismError`] naming the field.
    ///
    /// # Guarantees
    /// On `Ok`: s >= 4, gamma <= 0.2 C/sqrt(nnz_max), and no coordinate of a sum of `cohort_max`
    /// contributions leaves (-2^31, 2^31) except with the probability of a 16-sigma excess, all
    /// from public numbers.
    pub fn check(&self) -> Result<(), MechanismError> {
        let in_range = |name, value: u32, max: u32| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(MechanismError::OutOfRange(name))
            }
        };
        in_range("length", self.length, LENGTH_MAX)?;
        in_range("row_width", self.row_width, self.length)?;
        in_range("row_cap_milli", self.row_cap_milli, 1000)?;
        in_range("history_max", self.history_max, 1 << 20)?;
        in_range("nnz_max", self.nnz_max, self.length)?;
        in_range("steps", self.steps, STEPS_MAX)?;
        in_range("cohort_max", self.cohort_max, COHORT_MAX)?;
        in_range("n_min", self.n_min, self.cohort_max)?;
        if !self.length.is_multiple_of(self.row_width) {
            return Err(MechanismError::OutOfRange("row_width"));
        }
        if self.sigma2 > 1 << 48 {
            return Err(MechanismError::OutOfRange("sigma2"));
        }
        if self.tier == Tier::Local && self.n_min != 1 {
            return Err(MechanismError::OutOfRange("n_min"));
        }
        if self.tier == Tier::Local && self.helper_noise {
            return Err(MechanismError::OutOfRange("helper_noise"));
        }
        if self.sigma2 < 16 * u64::from(self.n_min) {
            return Err(MechanismError::ShareTooSmall);
        }
        if self.sigma2.over(u64::from(self.n_min)) > SHARE_VARIANCE_MAX {
            return Err(MechanismError::ShareTooLarge);
        }
        if self.helper_noise && self.sigma2 > VARIANCE_MAX {
            return Err(MechanismError::HelperNoiseTooLarge);
        }
        if u64::from(self.steps).pow(2) < 25 * u64::from(self.nnz_max) {
            return Err(MechanismError::GridTooCoarse);
        }
        if self.largest_coordinate() >= 1 << 31 {
            return Err(MechanismError::RingTooSmall);
        }
        Ok(())
    }

    /// Coordinates a device sends, N: [`Self::length`], and behind them as many zeros, under noise
    /// as all others, as it takes until one device's noise has at least 256 bits of min-entropy.
    ///
    /// So nobody who knows a mask finds a short vector by guessing it together with its noise. A
    /// discrete Gaussian of standard deviation s has no outcome likelier than 1/(s sqrt(2 pi)), by
    /// Poisson summation, hence log2(s sqrt(2 pi)) bits a coordinate. In integers, with s^2 =
    /// sigma^2 / `n_min` and 6 < 2 pi: N floor(log2(6 sigma^2 / `n_min`)) >= 2 * 256.
    pub fn sent_length(&self) -> u32 {
        let doubled = (6 * u128::from(self.sigma2)).over(u128::from(self.n_min.max(1)));
        match doubled.checked_ilog2() {
            // No noise at all: no release, but a sum the simulator takes without.
            None | Some(0) => self.length,
            Some(doubled_bits) => self
                .length
                .max((2 * NOISE_BITS_MIN).div_ceil(doubled_bits)),
        }
    }

    /// n_max (C/gamma + 1) + 16 sigma_total, rounded up, where all n_max devices add their share,
    /// and the helper its own. [`Mechanism::check`] keeps it below 2^31.
    pub fn largest_coordinate(&self) -> u128 {
        let (cohort, sigma2) = (u128::from(self.cohort_max), u128::from(self.sigma2));
        let shares = sigma2.times(cohort).div_ceil(u128::from(self.n_min));
        let helper = u128::from(self.helper_noise).times(sigma2);
        let deviation = shares.plus(helper).isqrt().plus(1);
        let largest = cohort.times(u128::from(self.steps).plus(1));
        largest.plus(deviation.times(16))
    }

    /// Largest squared norm of a rounded vector, B2_int.
    ///
    /// floor of G^2 + z/4 + sqrt(2 ln(1/beta)) (G + sqrt(z)/2) with G = C/gamma, z = `nnz_max`,
    /// beta = e^(-1/2), for which sqrt(2 ln(1/beta)) = 1. Theorem 1 of Kairouz, Liu & Steinke 2021
    /// takes the minimum with (G + sqrt z)^2, which for G, z >= 1 is never the smaller: it exceeds
    /// this by 3z/4 + G (2 sqrt z - 1) - sqrt(z)/2 > 0. Exact.
    pub fn squared_sensitivity(&self) -> u128 {
        let (grid, nonzero) = (u128::from(self.steps), u128::from(self.nnz_max));
        let square = grid.times(grid).plus(grid).times(4);
        square.plus(nonzero).plus(nonzero.times(4).isqrt()) / 4
    }

    /// Price of one such release.
    ///
    /// rho = B2_int/(2 sigma^2) for one vector and one party (Canonne, Kamath & Steinke 2020). For
    /// a sum of `n_min` shares rho = B2_int/(2 sigma^2) + tau N/4 with tau = 10 sum_k exp(-2 pi^2
    /// s^2 k/(k+1)) (Kairouz, Liu & Steinke 2021). With s >= 4, tau <= 10 n_min exp(-16 pi^2) <
    /// n_min 10^-67, so for every length and cohort [`Mechanism::check`] lets pass tau N/4 is below
    /// 2^-64: it costs the one unit added here.
    ///
    /// Helper noise changes nothing here: it is one more draw of variance sigma^2, independent of
    /// the shares, so the price holds if the helper is honest *or* `n_min` shares are. Who must be
    /// honest is what it buys.
    pub fn rho(&self) -> Rho {
        let numerator = self.squared_sensitivity() << 63;
        let main = numerator.div_ceil(u128::from(self.sigma2.max(1)));
        Rho::saturating_from_units(main.plus(u128::from(self.tier == Tier::Helper)))
    }

    /// Smallest noise variance whose price is at most `budget`; `None` when the budget is too small
    /// for any.
    pub fn sigma2_for(&self, budget: Rho) -> Option<u64> {
        let one = u128::from(self.tier == Tier::Helper);
        let units = budget.units().checked_sub(one)?;
        let numerator = self.squared_sensitivity() << 63;
        let smallest = (units > 0).then(|| numerator.div_ceil(units))?;
        u64::try_from(smallest).ok()
    }

    /// Variance of one device's share of the noise, sigma^2 / n_min, as a fraction.
    pub fn share_variance(&self) -> (u64, u32) {
        (self.sigma2, self.n_min)
    }

    /// Smallest set of contributions that may be summed when up to `dishonest_milli` thousandths
    /// may be dishonest: ceil(n_min / (1 - f)).
    pub fn set_min(&self, dishonest_milli: u32) -> u32 {
        let honest = u64::from(1000.minus(dishonest_milli.min(999)));
        u32::try_from((u64::from(self.n_min) * 1000).div_ceil(honest)).unwrap_or(u32::MAX)
    }

    /// Standard deviation of the noise on the sum of `contributors` shares and of the helper's
    /// noise, if it adds any, in units of the clipping norm.
    #[allow(
        clippy::float_arithmetic,
        reason = "for display and planning: no released number comes from it"
    )]
    pub fn sum_noise_std(&self, contributors: u32) -> f64 {
        let parts = f64::from(contributors) / f64::from(self.n_min)
            + f64::from(u8::from(self.helper_noise));
        (self.sigma2 as f64 * parts).sqrt() / f64::from(self.steps)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Mechanism {
        Mechanism {
            tier: Tier::Helper,
            length: 320,
            row_width: 32,
            row_cap_milli: 1000,
            history_max: 10,
            nnz_max: 320,
            steps: 512,
            sigma2: 1 << 18,
            n_min: 90,
            cohort_max: 100,
            helper_noise: false,
        }
    }

    /// HOSTILE 39.
    #[test]
    fn the_bounds_each_name_their_field() {
        assert_eq!(example().check(), Ok(()));
        type Change = fn(&mut Mechanism);
        let cases: [(Change, MechanismError); 12] = [
            (|m| m.length = 0, MechanismError::OutOfRange("length")),
            (|m| m.row_width = 7, MechanismError::OutOfRange("row_width")),
            (
                |m| m.row_cap_milli = 1001,
                MechanismError::OutOfRange("row_cap_milli"),
            ),
            (|m| m.nnz_max = 321, MechanismError::OutOfRange("nnz_max")),
            (|m| m.n_min = 101, MechanismError::OutOfRange("n_min")),
            (
                |m| m.tier = Tier::Local,
                MechanismError::OutOfRange("n_min"),
            ),
            (
                |m| (m.tier, m.n_min, m.helper_noise) = (Tier::Local, 1, true),
                MechanismError::OutOfRange("helper_noise"),
            ),
            (
                |m| (m.sigma2, m.helper_noise) = ((1 << 30) + 1, true),
                MechanismError::HelperNoiseTooLarge,
            ),
            (|m| m.sigma2 = 16 * 90 - 1, MechanismError::ShareTooSmall),
            (|m| m.sigma2 = 90 << 27, MechanismError::ShareTooLarge),
            (|m| m.steps = 89, MechanismError::GridTooCoarse),
            (
                |m| (m.cohort_max, m.steps) = (1 << 23, 512),
                MechanismError::RingTooSmall,
            ),
        ];
        for (change, error) in cases {
            let mut mechanism = example();
            change(&mut mechanism);
            assert_eq!(mechanism.check(), Err(error));
        }
    }

    /// HOSTILE 128.
    #[test]
    fn a_short_vector_is_sent_with_zeros_until_its_noise_cannot_be_guessed() {
        for (length, share_variance, sent) in [
            // floor(log2 96) = 6 bits, doubled, a coordinate: 512 / 6.
            (4, 16, 86),
            (86, 16, 86),
            (87, 16, 87),
            (1, 1 << 26, 19),
        ] {
            let mechanism = Mechanism {
                length,
                row_width: 1,
                nnz_max: 1,
                sigma2: 90 * share_variance,
                ..example()
            };
            assert_eq!((mechanism.check(), mechanism.sent_length()), (Ok(()), sent));
            let variance = share_variance as f64 * std::f64::consts::TAU;
            let bits = f64::from(sent) * variance.sqrt().log2();
            assert!(bits >= 256.0, "{length} {share_variance}: {bits}");
        }
    }

    #[test]
    fn each_bound_itself_is_allowed() {
        assert_eq!(
            Mechanism {
                sigma2: 16 * 90,
                ..example()
            }
            .check(),
            Ok(())
        );
        assert_eq!(
            Mechanism {
                sigma2: 90 << 26,
                ..example()
            }
            .check(),
            Ok(())
        );
        assert_eq!(
            Mechanism {
                sigma2: 1 << 30,
                helper_noise: true,
                ..example()
            }
            .check(),
            Ok(())
        );
        let many = Mechanism {
            sigma2: 1 << 48,
            n_min: 1 << 22,
            cohort_max: 1 << 22,
            steps: 100,
            ..example()
        };
        assert_eq!(many.check(), Ok(()));
        let more = Mechanism {
            sigma2: (1 << 48) + 1,
            ..many
        };
        assert_eq!(more.check(), Err(MechanismError::OutOfRange("sigma2")));
    }

    /// HOSTILE 39.
    #[test]
    fn the_largest_coordinate_counts_every_device_and_every_draw() {
        // 100 devices of 513 steps, and 16 standard deviations of 291,272 = ceil(2^18 * 100 / 90),
        // rounded up.
        assert_eq!(example().largest_coordinate(), 100 * 513 + 16 * 540);
        // With helper noise 2^18 more variance.
        assert_eq!(
            Mechanism {
                helper_noise: true,
                ..example()
            }
            .largest_coordinate(),
            100 * 513 + 16 * 744
        );
    }

    #[test]
    fn squared_sensitivity_matches_the_smaller_of_the_theorems_bounds_rounded_down() {
        for (steps, nnz) in [
            (1u32, 1u32),
            (5, 1),
            (90, 320),
            (1386, 76_800),
            (1 << 20, 4_194_304),
            (7, 3),
        ] {
            let mechanism = Mechanism {
                steps,
                nnz_max: nnz,
                ..example()
            };
            let (g, z) = (f64::from(steps), f64::from(nnz));
            let real = ((g + z.sqrt()).powi(2)).min(g * g + z / 4.0 + g + z.sqrt() / 2.0);
            let exact = mechanism.squared_sensitivity() as f64;
            assert!(
                exact <= real * (1.0 + 1e-15) && exact > real - 1.0 - real * 1e-15,
                "{steps} {nnz}: {exact} {real}"
            );
        }
    }

    #[test]
    fn the_chosen_variance_is_the_smallest_that_fits_the_budget() {
        let budget = Rho::saturating_from_units(1 << 62);
        let mut mechanism = example();
        mechanism.sigma2 = mechanism.sigma2_for(budget).unwrap();
        assert!(mechanism.rho() <= budget);
        mechanism.sigma2 -= 1;
        assert!(mechanism.rho() > budget);
        assert_eq!(mechanism.sigma2_for(Rho::saturating_from_units(1)), None);
        assert_eq!(mechanism.sigma2_for(Rho::ZERO), None);
    }

    #[test]
    fn helper_noise_costs_nothing_and_widens_the_sum() {
        let noisy = Mechanism {
            helper_noise: true,
            ..example()
        };
        assert_eq!((noisy.check(), noisy.rho()), (Ok(()), example().rho()));
        let ratio = noisy.sum_noise_std(95) / example().sum_noise_std(95);
        assert!((ratio - (1.0f64 + 90.0 / 95.0).sqrt()).abs() < 1e-12);
        // 90 shares of 95 make up sigma^2 = 2^18; one step is 1/512 of the clipping norm.
        assert!((example().sum_noise_std(95) - (95.0f64 / 90.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_set_is_large_enough_for_its_honest_part() {
        let mechanism = Mechanism {
            n_min: 90,
            ..example()
        };
        assert_eq!(mechanism.set_min(50), 95);
        assert_eq!(mechanism.set_min(0), 90);
    }
}
