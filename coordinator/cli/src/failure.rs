//! How a command fails: whose turn it is, and the exit code that says so.

use std::fmt;

use tokio::signal::unix::SignalKind;

/// A failed command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The person who called must fix an input or a file; nothing was written. Exit code 2.
    BadInput(String),
    /// Something went wrong while running. Exit code 1.
    Failed(anyhow::Error),
    /// A signal asked the command to end, and it did. Exit code 128 and the signal's number, as
    /// shells give it for a process that a signal killed.
    Stopped(SignalKind),
}

impl Failure {
    /// A problem with what was given.
    pub(crate) fn input(problem: impl fmt::Display) -> Self {
        Self::BadInput(problem.to_string())
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::BadInput(_) => 2,
            Self::Failed(_) => 1,
            Self::Stopped(signal) => u8::try_from(128 + signal.as_raw_value()).unwrap_or(1),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(problem) => f.write_str(problem),
            Self::Failed(error) => write!(f, "{error:#}"),
            Self::Stopped(signal) => write!(f, "ended by signal {}", signal.as_raw_value()),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
