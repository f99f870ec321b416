//! Makes the next model from an opened sum. Post-processing of released numbers: costs no privacy. One thread, fixed order.

use tacit_model::Model;
use tacit_model::model::{self, Step};
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

/// Applies an opened sum to the model its devices started from.
///
/// # Errors
/// [`ServerError::Internal`] for a sum that devices with this model do not send.
pub fn apply(model: &Model, opened: &OpenedSum<'_>, step: &Step<'_>) -> Result<Model, ServerError> {
    let scale = f64::from(opened.mechanism.steps);
    let sum: Vec<f64> = opened.values.iter().map(|&value| f64::from(value) / scale).collect();
    let (kind, contributors) = (opened.kind, opened.contributors);
    let noise_std = opened.mechanism.sum_noise_std(contributors);
    let next = model.step(&model::OpenedSum { kind, sum: &sum, noise_std, contributors }, step);
    next.ok_or_else(|| ServerError::Internal(format!("a sum of {kind} does not fit the model")))
}
