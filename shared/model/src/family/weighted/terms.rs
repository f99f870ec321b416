//! Public constants of the loss.

use std::ops::RangeInclusive;

/// Public constants of the loss and of the devices' vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedTerms {
    /// alpha_0, weight of every cell whether used or not, against 1 for a used one.
    pub unobserved_weight: f64,
    /// lambda, scaled per row by `|I_u| + alpha_0 |items|`. User factors are then shorter than
    /// `1/sqrt(lambda)`.
    pub regularisation: f64,
    /// gamma, scale of the (d, d) part of a device's vector against its item rows.
    pub gram_weight: f64,
    /// C, norm at which a device's gradient is clipped before it is scaled to norm 1.
    pub clip_norm: f64,
}

/// Clipping norms that may be asked for.
pub const CLIP_NORMS: RangeInclusive<f64> = 1e-3..=1e3;
/// C where nothing else is asked for: a little below the median norm on film-like data.
pub const CLIP_NORM: f64 = 8.0;

impl Default for WeightedTerms {
    /// alpha_0 as for central implicit ALS, lambda a third above. How they were chosen:
    /// `tests/quality/TUNING.md`, "Weighted squares".
    fn default() -> Self {
        Self {
            unobserved_weight: 0.3,
            regularisation: 0.004,
            gram_weight: 0.5,
            clip_norm: CLIP_NORM,
        }
    }
}

impl WeightedTerms {
    /// Whether every constant lies in the range of some loss.
    pub(super) fn in_range(&self) -> bool {
        let unobserved = (1e-6..=1.0).contains(&self.unobserved_weight);
        let regularisation = (1e-6..=1e3).contains(&self.regularisation);
        let gram = (1e-3..=1e3).contains(&self.gram_weight);
        let clip = (1e-3..=1e8).contains(&self.clip_norm);
        unobserved && regularisation && gram && clip
    }

    /// The same loss with a clipping norm that no device reaches while no item factor is longer
    /// than `lambda^(-3/2)`: `|r|^2 <= |I_u|` and `|p|^2 < 1/lambda` bound every gradient.
    #[must_use]
    pub fn unclipped(self, history_max: u32) -> Self {
        let p_squared = self.regularisation.recip();
        let gram = self.gram_weight * p_squared;
        Self {
            clip_norm: (4.0 * p_squared * f64::from(history_max) + gram * gram).sqrt(),
            ..self
        }
    }
}
