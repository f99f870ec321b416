//! What a published model may look like.

use serde::{Deserialize, Serialize};

/// Plausibility of a published model. They protect quality and make a model that singles somebody
/// out stand out; privacy does not rest on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorBounds {
    /// Largest L2 norm of one factor (a column over all items), thousandths; orthonormal factors
    /// have 1000.
    #[serde(rename = "largest_norm_milli")]
    pub norm_max_milli: u32,
    /// Largest share of one factor's squared norm on a single item, thousandths; 1000 is a one-hot
    /// factor.
    #[serde(rename = "largest_concentration_milli")]
    pub concentration_max_milli: u32,
    /// Largest part of the previous model's factors that may be gone, thousandths; 1000 allows any
    /// change. Judged while the device keeps that model: not after a model of another task has
    /// taken its place.
    #[serde(rename = "largest_drift_milli")]
    pub drift_max_milli: u32,
}

/// What is implausible about a published model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactorFault {
    /// A NaN or an infinity.
    #[error("a factor is not finite")]
    NotFinite,
    /// A factor is too long.
    #[error("a factor's norm is above the policy's bound")]
    Norm,
    /// A factor lies on one item.
    #[error("a factor lies almost wholly on one item")]
    OneHot,
    /// Too little is left of the model before.
    #[error("the factors moved further from the model before than the policy allows")]
    Drift,
    /// The model cannot be read or is not the one the ticket names.
    #[error("the model cannot be read")]
    Unreadable,
    /// The model does not give the vector the ticket asks for.
    #[error("the model does not give a vector of the ticket's shape")]
    Shape,
}

impl FactorBounds {
    /// Judges a model by its norm, its concentration, and its drift from the model before, if there
    /// was one.
    ///
    /// # Errors
    /// [`FactorFault`]; a figure that is not a number counts as not finite.
    pub fn check(
        &self,
        norm: f64,
        concentration: f64,
        drift: Option<f64>,
    ) -> Result<(), FactorFault> {
        let drift = drift.unwrap_or(0.0);
        if !(norm.is_finite() && concentration.is_finite() && drift.is_finite()) {
            return Err(FactorFault::NotFinite);
        }
        let above = |figure: f64, milli: u32| figure * 1000.0 > f64::from(milli) * (1.0 + 1e-6);
        if above(norm, self.norm_max_milli) {
            return Err(FactorFault::Norm);
        }
        if above(concentration, self.concentration_max_milli) {
            return Err(FactorFault::OneHot);
        }
        if above(drift, self.drift_max_milli) {
            Err(FactorFault::Drift)
        } else {
            Ok(())
        }
    }
}
