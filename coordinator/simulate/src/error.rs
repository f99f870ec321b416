//! Why a simulation did not run.

use tacit_plan::PlanError;

/// Whose turn it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// What was asked for makes no simulation: one line that names the option.
    #[error("{0}")]
    Input(String),
    /// The planner or a step of the task refused its numbers; named by the key of `[task]` they
    /// would stand under.
    #[error("task.{key}: {0}", key = .0.field())]
    Plan(#[from] PlanError),
    /// The exact mode found that the pipeline does not do what it must.
    #[error("the exact pipeline is broken: {0}")]
    Broken(String),
}
