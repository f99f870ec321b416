//! Makes the next model from an opened sum. Post-processing of released numbers: costs no privacy.
//! One thread, fixed order.

use tacit_model::Model;
use tacit_model::measure::evaluation::{Evaluation, evaluate};
use tacit_model::release::{self, Step};
use tacit_privacy::Mechanism;
use tacit_round::ticket::Kind;

use crate::error::ServerError;

/// An opened sum and the public numbers it was made under.
pub struct OpenedSum<'a> {
    /// What the vector means.
    pub kind: Kind,
    /// Mechanism of the release.
    pub mechanism: &'a Mechanism,
    /// Contributions in the sum.
    pub contributors: u32,
    /// The noised sum, in grid steps.
    pub values: &'a [i32],
}

impl OpenedSum<'_> {
    /// The sum in clipping norms.
    pub fn in_norms(&self) -> Vec<f64> {
        let steps = f64::from(self.mechanism.steps);
        self.values
            .iter()
            .map(|&value| f64::from(value) / steps)
            .collect()
    }

    /// Standard deviation of the noise on each number, in clipping norms.
    pub fn noise_std(&self) -> f64 {
        self.mechanism.sum_noise_std(self.contributors)
    }

    /// What the sum of an evaluation shows; `None` for any other.
    pub fn evaluation(&self) -> Option<Evaluation> {
        let found = || evaluate(&self.in_norms(), self.noise_std(), self.contributors);
        (self.kind == Kind::Metrics).then(found).flatten()
    }
}

/// Applies an opened sum to the model its devices started from.
///
/// # Errors
/// [`ServerError::Internal`] for a sum that devices with this model do not send.
pub fn apply(model: &Model, opened: &OpenedSum<'_>, step: &Step<'_>) -> Result<Model, ServerError> {
    let (kind, contributors) = (opened.kind, opened.contributors);
    let (sum, noise_std) = (opened.in_norms(), opened.noise_std());
    let next = model.step(
        &release::OpenedSum {
            kind,
            sum: &sum,
            noise_std,
            contributors,
        },
        step,
    );
    next.ok_or_else(|| ServerError::Internal(format!("a sum of {kind} does not fit the model")))
}
