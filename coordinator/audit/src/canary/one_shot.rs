//! One-shot estimate (Andrew, Kairouz, Oh, Oprea, McMahan & Suriyakumar 2023, "One-shot empirical
//! privacy estimation for federated learning"): how far do canaries in the sum lie from directions
//! that are not in it, seen along themselves?
//!
//! Both sides are normal to good accuracy in many dimensions. The paper takes cosines and fits a
//! mean and a variance to each side. Here inner products serve, from which cosines differ by one
//! factor for all, and the variance is common: noise that does not look at the input moves the mean
//! only (which "neighbour variance" checks), and the estimate then depends on one number, the shift
//! in standard deviations. Canaries are seen without each other, as by an adversary who knows all
//! others.

use serde::Serialize;
use tacit_types::Delta;

use super::scores::Scores;
use super::stats::{deviations, gaussian_epsilon};
use super::{Check, FALSE_ALARM};

/// Standard errors on either side of the estimate in its interval: 95 %.
const INTERVAL: f64 = 1.96;

/// An estimate of epsilon, not a bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneShot {
    /// Canaries that were in the sum.
    pub canaries: usize,
    /// Directions that were not.
    pub unused: usize,
    /// Mean inner product of the canaries, in standard deviations.
    pub shift: f64,
    /// Standard error of `shift`.
    pub shift_error: f64,
    /// Epsilon at which normal variables this far apart can be told from each other.
    pub epsilon_estimate: f64,
    /// Limit of the estimate when the noise is as certified: below the certificate, whose
    /// conversion has slack.
    pub epsilon_expected: f64,
    /// 95 % interval of the estimate.
    pub interval: (f64, f64),
}

impl OneShot {
    /// `expected` is the shift that noise as certified gives.
    pub(super) fn of(scores: &Scores, expected: f64, delta: Delta) -> Self {
        let side = |heads| {
            scores
                .canaries
                .iter()
                .filter(move |score| score.heads == heads)
                .map(|score| score.alone)
        };
        let used: Vec<f64> = side(true).collect();
        let unused: Vec<f64> = side(false)
            .chain(scores.unused.iter().copied())
            .collect();
        let mean = used.iter().sum::<f64>() / used.len().max(1) as f64;
        let squares = used.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
            + unused.iter().map(|x| x * x).sum::<f64>();
        let samples = (used.len() + unused.len()) as f64;
        let shift = mean / (squares / samples).sqrt().max(f64::MIN_POSITIVE);
        let shift_error = (1.0 / used.len().max(1) as f64 + shift * shift / (2.0 * samples)).sqrt();
        let at = |errors: f64| gaussian_epsilon(shift + errors * shift_error, delta);
        Self {
            canaries: used.len(),
            unused: unused.len(),
            shift,
            shift_error,
            epsilon_estimate: at(0.0),
            epsilon_expected: gaussian_epsilon(expected, delta),
            interval: (at(-INTERVAL), at(INTERVAL)),
        }
    }

    /// Fails when the estimate passes the certificate by more than chance explains.
    pub(super) fn check(&self, certified: f64, delta: Delta) -> Check {
        let surely = gaussian_epsilon(
            self.shift - deviations(FALSE_ALARM) * self.shift_error,
            delta,
        );
        Check::new(
            "one-shot canaries",
            "estimate less 6 standard errors, as epsilon",
            (0.0, certified),
            surely,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::scores::Score;
    use crate::canary::stats::{bisect, normal_cdf};

    #[test]
    fn a_known_shift_is_estimated_as_its_gaussian_epsilon() {
        // Normal quantiles stand for a perfect sample; scipy gives epsilon 4.3771 at delta 1e-5 for
        // a shift of 1.
        let quantiles: Vec<f64> = (0..2000)
            .map(|i| quantile((f64::from(i) + 0.5) / 2000.0))
            .collect();
        let canary = |z: &f64| Score {
            heads: true,
            whole: 0.0,
            alone: 64.0 * (z + 1.0),
        };
        let canaries = quantiles.iter().map(canary).collect();
        let unused = quantiles.iter().map(|z| 64.0 * z).collect();
        let delta = Delta::new(1e-5).unwrap();
        let estimate = OneShot::of(
            &Scores {
                unit: 64.0,
                canaries,
                unused,
            },
            1.0,
            delta,
        );
        assert!(
            (estimate.epsilon_estimate - 4.3771).abs() < 0.02,
            "{estimate:?}"
        );
        assert!((estimate.epsilon_expected - 4.3771).abs() < 1e-4);
        assert!(estimate.interval.0 < 4.3771 && 4.3771 < estimate.interval.1);
        assert!(estimate.check(4.4, delta).passed && !estimate.check(2.0, delta).passed);
    }

    fn quantile(p: f64) -> f64 {
        bisect(-10.0, 10.0, |x| normal_cdf(x) < p)
    }
}
