//! Why there is no plan.

use tacit_privacy::mechanism::MechanismError;
use tacit_types::Kind;

/// Why there is no plan. Each says what to change; [`PlanError::field`] says where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A number of the request is outside its range.
    #[error("must be {expected}")]
    OutOfRange {
        /// Field of the request.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Dropouts and dishonest devices leave nobody to hide behind.
    #[error("fewer than 2 honest devices remain under the assumed dropout and dishonest shares")]
    TooFewHonest,
    /// The samplers' distance from the ideal alone uses delta up.
    #[error(
        "too small for any release: the noise samplers' distance from the ideal alone uses it up"
    )]
    DeltaTooSmall,
    /// The price is too small for any noise this system can add.
    #[error(
        "too small for the noise of a release: raise it, use fewer rounds or lower the history cap"
    )]
    BudgetTooSmall,
    /// No grid within bounds is fine enough.
    #[error(
        "{nnz_max} non-zero coordinates need too fine a grid: lower the history cap or the number \
         of factors"
    )]
    GridTooFine {
        /// Most non-zero coordinates of one vector.
        nnz_max: u32,
    },
    /// The sum could pass 2^31.
    #[error(
        "the sum of {cohort} devices could leave 32 bits: select at most about {fits} devices a \
         round, or lower the history cap"
    )]
    SumTooLarge {
        /// Devices asked for.
        cohort: u32,
        /// Devices that fit.
        fits: u32,
    },
    /// The helper would have to draw more noise than its sampler makes.
    #[error(
        "one helper cannot draw noise of this size: lower the history cap, raise epsilon, or do \
         without"
    )]
    HelperNoiseTooLarge,
    /// All draws together are further from the ideal than a task may be.
    #[error(
        "too many or too large releases for the samplers' bound: fewer rounds or fewer factors"
    )]
    TooManyDraws,
    /// The participation limit does not cover even one round of factors.
    #[error("must be at least {needed}, the releases of the shortest plan that trains factors")]
    TooFewParticipations {
        /// Releases of the shortest plan that trains factors.
        needed: u32,
    },
    /// The model gives no release of this kind.
    #[error("no {0} of this model")]
    NotGiven(Kind),
    /// Devices with this model do not send such a sum.
    #[error("a sum of {0} does not fit the model")]
    DoesNotFit(Kind),
    /// The numbers are not a sound mechanism.
    #[error(transparent)]
    Mechanism(#[from] MechanismError),
}

impl PlanError {
    /// The field of [`crate::PlanRequest`] to change first. Configuration keys have the same names.
    pub fn field(&self) -> &'static str {
        match self {
            Self::OutOfRange { field, .. } => field,
            Self::TooFewHonest | Self::SumTooLarge { .. } => "cohort",
            Self::DeltaTooSmall => "delta",
            Self::BudgetTooSmall => "epsilon",
            Self::GridTooFine { .. } => "history_max",
            Self::TooManyDraws => "rounds",
            Self::TooFewParticipations { .. } => "participation",
            Self::HelperNoiseTooLarge => "helper_noise",
            Self::NotGiven(_) | Self::DoesNotFit(_) => "model",
            Self::Mechanism(_) => "factors",
        }
    }
}
