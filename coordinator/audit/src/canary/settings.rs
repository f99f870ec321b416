//! What to audit, and the mechanism that follows: the only place that makes one.

use serde::Serialize;
use tacit_plan::{Crowd, PlanError, Shape, mechanism_for};
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::{Mechanism, Rho, convert};
use tacit_types::{Delta, Epsilon};

/// Share of the selected devices, in thousandths, whose noise may be missing from the sum. Cohort
/// and `n_min` must differ, or noise divided by the wrong one of the two could not be told from
/// right noise.
const MISSING_MILLI: u64 = 100;
/// Bound on numbers per release, all devices together: about 400 MB of working memory.
const NUMBERS_MAX: u64 = 1 << 25;

/// What to run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Privacy budget of one device over all releases that are composed.
    pub epsilon: Epsilon,
    /// Delta of every epsilon.
    pub delta: Delta,
    /// Noise shares in each sum: `n_min`.
    pub devices: u32,
    /// Vector length N.
    pub length: u32,
    /// Devices that carry a canary.
    pub canaries: u32,
    /// Releases that are composed.
    pub releases: u32,
    /// Picks canary directions and coin flips, and nothing else.
    pub seed: u64,
}

impl Settings {
    /// Contributions an audit makes: `releases` of nothing, as many of canaries, one of unit and
    /// one of excess size, and one more of a device that is then asked again.
    fn contributions(&self) -> u64 {
        u64::from(self.devices) * (2 * u64::from(self.releases) + 2) + 1
    }

    fn check(&self) -> Result<(), SettingError> {
        let range = |field, expected, ok| {
            if ok {
                Ok(())
            } else {
                Err(SettingError::OutOfRange { field, expected })
            }
        };
        range("devices", "at least 128", self.devices >= 128)?;
        range("length", "at least 256", self.length >= 256)?;
        let numbers = u64::from(self.devices) * u64::from(self.length);
        range(
            "devices",
            "at most 33554432 / length",
            numbers <= NUMBERS_MAX,
        )?;
        range(
            "canaries",
            "from 128 to the number of devices",
            (128..=self.devices).contains(&self.canaries),
        )?;
        range(
            "releases",
            "from 2 to 64",
            (2..=64).contains(&self.releases),
        )
    }
}

/// Why there is nothing to audit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// A number is outside its range.
    #[error("{field} must be {expected}")]
    OutOfRange {
        /// Field of [`Settings`].
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// No sound mechanism has these numbers.
    #[error("no release can be made with these numbers: {0}")]
    Mechanism(#[from] PlanError),
}

/// Settings that were found sound, with their mechanism.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) settings: Settings,
    pub(super) mechanism: Mechanism,
}

impl Prepared {
    /// Finds the mechanism of one release, `releases` of which cost at most `epsilon` at `delta`.
    ///
    /// # Errors
    /// [`SettingError`] naming the field to change.
    pub fn new(settings: Settings) -> Result<Self, SettingError> {
        settings.check()?;
        // The samplers' distance from the ideal is part of delta and follows from the mechanism:
        // allow more until it fits.
        let mut allowance = 0;
        loop {
            let mechanism = mechanism(&settings, allowance)?;
            let prepared = Self {
                settings: settings.clone(),
                mechanism,
            };
            if prepared.total_variation() <= allowance {
                return Ok(prepared);
            }
            allowance = prepared.total_variation().saturating_mul(2);
        }
    }

    /// Public numbers of every release of the audit.
    pub fn mechanism(&self) -> &Mechanism {
        &self.mechanism
    }

    /// Contributions an audit makes.
    pub fn contributions(&self) -> u64 {
        self.settings.contributions()
    }

    pub(super) fn delta(&self) -> Delta {
        self.settings.delta
    }

    /// Epsilon of all composed releases, as a report would state it.
    pub(super) fn certified_epsilon(&self) -> f64 {
        let price = self.mechanism.rho();
        let total = (0..self.settings.releases).fold(Rho::ZERO, |sum, _| sum.compose(price));
        convert::epsilon(total, self.total_variation(), self.delta())
    }

    /// Shift of all composed releases by one unit vector, in standard deviations of their noise.
    pub(super) fn shift(&self) -> f64 {
        f64::from(self.settings.releases).sqrt()
            / self.mechanism.sum_noise_std(self.mechanism.n_min)
    }

    /// Standard deviation of one share on one number, in units of the clipping norm.
    pub(super) fn share_std(&self) -> f64 {
        self.mechanism.sum_noise_std(1)
    }

    /// Largest norm a rounded vector can have, in units of the clipping norm: slightly above 1.
    pub(super) fn norm_max(&self) -> f64 {
        (self.mechanism.squared_sensitivity() as f64).sqrt() / f64::from(self.mechanism.steps)
    }

    fn total_variation(&self) -> u128 {
        release_total_variation(&self.mechanism).saturating_mul(u128::from(self.settings.releases))
    }
}

fn mechanism(settings: &Settings, allowance: u128) -> Result<Mechanism, SettingError> {
    let budget = convert::rho_for(settings.epsilon, allowance, settings.delta)
        .ok_or(PlanError::DeltaTooSmall)?;
    let price = Rho::saturating_from_units(budget.units() / u128::from(settings.releases));
    let (n_min, length) = (settings.devices, settings.length);
    let shape = Shape {
        length,
        row_width: 1,
        nnz_max: length,
        history_max: length.min(1 << 20),
    };
    let cohort = (u64::from(n_min) * 1000).div_ceil(1000 - MISSING_MILLI);
    let cohort = u32::try_from(cohort).unwrap_or(u32::MAX);
    Ok(mechanism_for(
        price,
        &shape,
        &Crowd {
            cohort,
            n_min,
            helper_noise: false,
        },
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            epsilon: Epsilon::new(3.0).unwrap(),
            delta: Delta::new(1e-5).unwrap(),
            devices: 128,
            length: 256,
            canaries: 128,
            releases: 2,
            seed: 1,
        }
    }

    #[test]
    fn the_certified_epsilon_is_the_requested_one_or_just_below() {
        for epsilon in [0.1, 1.0, 3.0, 10.0] {
            let epsilon = Epsilon::new(epsilon).unwrap();
            let prepared = Prepared::new(Settings {
                epsilon,
                ..settings()
            })
            .unwrap();
            let certified = prepared.certified_epsilon();
            assert!(
                certified <= epsilon.get() && certified > 0.99 * epsilon.get(),
                "{certified}"
            );
            assert!(prepared.mechanism.cohort_max > prepared.mechanism.n_min);
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        type Change = fn(&mut Settings);
        let cases: [(Change, &str); 5] = [
            (|s| s.devices = 127, "devices must be at least 128"),
            (|s| s.length = 0, "length must be at least 256"),
            (
                |s| (s.devices, s.length) = (1 << 16, 1 << 10),
                "devices must be at most 33554432 / length",
            ),
            (
                |s| s.canaries = 129,
                "canaries must be from 128 to the number of devices",
            ),
            (|s| s.releases = 1, "releases must be from 2 to 64"),
        ];
        for (change, expected) in cases {
            let mut settings = settings();
            change(&mut settings);
            assert_eq!(Prepared::new(settings).unwrap_err().to_string(), expected);
        }
    }
}
