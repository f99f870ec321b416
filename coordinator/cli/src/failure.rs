//! How a command fails: whose turn it is, and the exit code that says so.

use std::fmt;

/// A failed command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The person who called must fix an input or a file; nothing was written. Exit code 2.
    BadInput(String),
    /// Something went wrong while running. Exit code 1.
    Failed(anyhow::Error),
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
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(problem) => f.write_str(problem),
            Self::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
