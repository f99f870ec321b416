//! What the operator knows and decides before a task, and its bounds: the only place that has
//! them.

use tacit_model::family::Family;
use tacit_model::family::rating::Scale;
use tacit_model::family::weighted::CLIP_NORMS;
use tacit_privacy::mechanism::LENGTH_MAX;
use tacit_types::{COHORT_MAX, Delta, Epsilon};

use crate::error::PlanError;

/// What the operator knows before a task. The fields are named like the keys of the coordinator's
/// configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRequest {
    /// Family of the model to train.
    pub model: Family,
    /// Least and largest rating, counted in thousandths; used where ratings are trained.
    pub scale: Scale,
    /// Devices a round takes.
    pub cohort: u32,
    /// Items in the catalogue.
    pub items: u32,
    /// Most that one device may lose over the task.
    pub epsilon: Epsilon,
    /// Failure probability of that statement.
    pub delta: Delta,
    /// Assumed share of devices that drop out, p; counted in thousandths.
    pub dropout: f64,
    /// Assumed share of devices that are dishonest, f; counted in thousandths.
    pub dishonest: f64,
    /// History cap: interactions of one device that count.
    pub history_max: u32,
    /// Whether the helper adds the whole noise once more.
    pub helper_noise: bool,
    /// Item factors, instead of the recipe's.
    pub factors: Option<u32>,
    /// Rounds of factor gradients, instead of the recipe's.
    pub rounds: Option<u32>,
    /// Norm at which weighted squares clip a device's gradient, instead of the library's.
    pub clip_norm: Option<f64>,
    /// Factors carried over from an earlier task of a spectral model: counts and rounds with carry
    /// update them.
    pub carried: Option<u32>,
    /// Share of rho for evaluating the model on the devices, counted in thousandths; 0 for none.
    /// Where the signal leaves it open whether factors pay, an evaluation that is on gets at least
    /// [`crate::GUARD_SHARE`].
    pub evaluation: f64,
    /// Participation limit: most releases one device takes part in. Rounds beyond it are cut.
    pub participation: Option<u32>,
}

impl PlanRequest {
    /// Checks every field on its own.
    ///
    /// # Errors
    /// [`PlanError::OutOfRange`] naming the field.
    pub fn check(&self) -> Result<(), PlanError> {
        let factors = |d: u32| (1..=512).contains(&d) && d <= LENGTH_MAX / self.items;
        let share = |share: f64| (0.0..1.0).contains(&share);
        let rules = [
            (
                "cohort",
                "from 2 to 262144, the most a helper sums; with more devices give 262144: each \
                 round takes the first that report",
                (2..=COHORT_MAX).contains(&self.cohort),
            ),
            (
                "items",
                "from 1 to 4194304",
                (1..=LENGTH_MAX).contains(&self.items),
            ),
            ("dropout", "from 0 to below 1", share(self.dropout)),
            ("dishonest", "from 0 to below 1", share(self.dishonest)),
            (
                "history_max",
                "from 1 to 1048576",
                (1..=1 << 20).contains(&self.history_max),
            ),
            (
                "rounds",
                "from 1 to 64",
                self.rounds
                    .is_none_or(|rounds| (1..=64).contains(&rounds)),
            ),
            (
                "evaluation",
                "from 0 to 0.5",
                (0.0..=0.5).contains(&self.evaluation),
            ),
            (
                "clip_norm",
                "from 0.001 to 1000",
                self.clip_norm
                    .is_none_or(|norm| CLIP_NORMS.contains(&norm)),
            ),
            ("participation", "at least 1", self.participation != Some(0)),
            // Last, because it divides by the items.
            (
                "factors",
                "from 1 to 512 and, times the items, at most 4194304",
                self.items == 0 || self.factors.is_none_or(factors),
            ),
        ];
        match rules.into_iter().find(|(_, _, holds)| !holds) {
            Some((field, expected, _)) => Err(PlanError::OutOfRange { field, expected }),
            None => Ok(()),
        }
    }

    /// Devices of the cohort that are expected to answer: cohort (1 - p).
    pub(crate) fn answers(&self) -> f64 {
        f64::from(self.cohort) * f64::from(1000 - self.dropout_milli()) / 1000.0
    }

    /// Ends of the scale of ratings in thousandths.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a scale is at most a million from 0"
    )]
    pub fn scale_milli(&self) -> [i64; 2] {
        [self.scale.low, self.scale.high].map(|end| (end * 1000.0).round() as i64)
    }

    /// Delta in units of 1e-12.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a delta is from 0 to 0.1"
    )]
    pub fn delta_pico(&self) -> u64 {
        (self.delta.get() * 1e12).round() as u64
    }

    /// The assumed dropout share in thousandths.
    pub fn dropout_milli(&self) -> u32 {
        milli(self.dropout)
    }

    /// The share for evaluation in thousandths.
    pub fn evaluation_milli(&self) -> u32 {
        milli(self.evaluation)
    }

    /// The assumed dishonest share in thousandths.
    pub fn dishonest_milli(&self) -> u32 {
        milli(self.dishonest)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=1000"
)]
fn milli(share: f64) -> u32 {
    (share * 1000.0).round().clamp(0.0, 1000.0) as u32
}

/// The usual share for evaluation: 3 % costs 1.5 % of the signal.
pub const EVALUATION_SHARE: f64 = 0.03;

/// The usual delta: the largest number of one significant digit that is at most 1/(10 n), and at
/// most 0.1.
pub fn default_delta(devices: u32) -> Delta {
    let value = one_digit_below(0.1 / f64::from(devices.max(1)));
    Delta::new(value).expect("between 1e-11 and 0.1 for every number of devices")
}

/// The largest number of one significant digit that is at most `value`, which is at most 1.
fn one_digit_below(value: f64) -> f64 {
    let power = 10f64.powf((value.log10() + 1e-12).floor());
    let digit = (value / power * (1.0 + 1e-12)).floor();
    // Dividing by a power of ten that is exact gives the nearest double to the decimal number.
    digit / (1.0 / power).round().max(1.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn request(cohort: u32, items: u32, epsilon: f64) -> PlanRequest {
        PlanRequest {
            model: Family::Spectral,
            scale: Scale::STARS,
            cohort,
            items,
            epsilon: Epsilon::new(epsilon).unwrap(),
            delta: Delta::new(1e-5).unwrap(),
            dropout: 0.05,
            dishonest: 0.05,
            history_max: 200,
            helper_noise: false,
            factors: None,
            rounds: None,
            clip_norm: None,
            evaluation: 0.0,
            carried: None,
            participation: None,
        }
    }

    #[test]
    fn each_bound_names_its_field() {
        type Change = fn(&mut PlanRequest);
        let cases: [(Change, &str); 16] = [
            (|r| r.cohort = 1, "cohort"),
            (|r| r.cohort = COHORT_MAX + 1, "cohort"),
            (|r| r.items = 0, "items"),
            (|r| r.items = LENGTH_MAX + 1, "items"),
            (|r| r.dropout = 1.0, "dropout"),
            (|r| r.dropout = f64::NAN, "dropout"),
            (|r| r.dishonest = -0.1, "dishonest"),
            (|r| r.history_max = 0, "history_max"),
            (|r| r.rounds = Some(65), "rounds"),
            (|r| r.factors = Some(513), "factors"),
            (|r| (r.items, r.factors) = (200_000, Some(32)), "factors"),
            (|r| r.participation = Some(0), "participation"),
            (|r| r.evaluation = 0.51, "evaluation"),
            (|r| r.evaluation = f64::NAN, "evaluation"),
            (|r| r.clip_norm = Some(0.0), "clip_norm"),
            (|r| r.clip_norm = Some(f64::NAN), "clip_norm"),
        ];
        assert_eq!(request(100, 100, 1.0).check(), Ok(()));
        for (change, field) in cases {
            let mut request = request(100, 100, 1.0);
            change(&mut request);
            assert_eq!(request.check().unwrap_err().field(), field);
        }
    }

    #[test]
    fn the_usual_delta_has_one_digit_and_is_at_most_a_tenth_of_one_in_n() {
        for (devices, delta) in [
            (1, 0.1),
            (100, 1e-3),
            (943, 1e-4),
            (1_500, 6e-5),
            (6_040, 1e-5),
            (100_000, 1e-6),
        ] {
            assert_eq!(default_delta(devices).get(), delta, "{devices}");
        }
        assert!(default_delta(u32::MAX).get() > 2e-11 * 0.99);
    }
}
