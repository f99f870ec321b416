//! Why a simulation did not run.

use tacit_server::ServerError;

/// Whose turn it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// What was asked for makes no simulation: one line that names the option.
    #[error("{0}")]
    Input(String),
    /// The planner or a step of the job refused its numbers.
    #[error(transparent)]
    Job(#[from] ServerError),
    /// The exact mode found that the pipeline does not do what it must.
    #[error("the exact pipeline is broken: {0}")]
    Broken(String),
}
