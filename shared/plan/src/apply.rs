//! From an opened sum to the next model. Post-processing of released numbers: it costs no privacy.
//! One thread, fixed order, so that a replay gives the same bits.

use tacit_model::Model;
use tacit_model::release::{OpenedSum, Step};
use tacit_privacy::Mechanism;
use tacit_types::Kind;

use crate::error::PlanError;

/// The sum of `contributors` updates as a model reads it: `values` count grid steps of `mechanism`,
/// the result counts clipping norms.
pub fn opened_sum(
    kind: Kind,
    mechanism: &Mechanism,
    contributors: u32,
    values: &[i32],
) -> OpenedSum {
    let steps = f64::from(mechanism.steps);
    OpenedSum {
        kind,
        sum: values
            .iter()
            .map(|&value| f64::from(value) / steps)
            .collect(),
        noise_std: mechanism.sum_noise_std(contributors),
        contributors,
    }
}

/// Applies an opened sum to the model its devices started from.
///
/// # Errors
/// [`PlanError::DoesNotFit`] for a sum that devices with this model do not send.
pub fn apply(model: &Model, opened: &OpenedSum, step: &Step<'_>) -> Result<Model, PlanError> {
    model
        .step(opened, step)
        .ok_or(PlanError::DoesNotFit(opened.kind))
}
