//! What can go wrong, named for who is at fault.

use rusqlite::ErrorCode;
use tacit_plan::PlanError;
use tacit_privacy::canonical::NotCanonical;
use tacit_wire::files::FileError;

/// Errors of the coordinator library.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The operator must fix a file or a value; nothing was changed.
    #[error("{0}")]
    OperatorConfig(String),
    /// The disk or database failed. Fatal: a failed fsync cannot be retried; restart and recover.
    #[error("storage: {0}")]
    StorageUnavailable(String),
    /// Somebody else holds what was asked for. Nothing was changed; try again.
    #[error("storage is busy: {0}")]
    StorageBusy(String),
    /// The helper cannot be reached now.
    #[error("helper unavailable: {0}")]
    HelperUnavailable(String),
    /// The helper refuses, for good.
    #[error("helper refused: {0}")]
    HelperRefused(String),
    /// A defect.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<PlanError> for ServerError {
    /// Names the key of the configuration; the fields of a request are named like them.
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::NotGiven(_) | PlanError::DoesNotFit(_) => Self::Internal(error.to_string()),
            asked => Self::OperatorConfig(format!("task.{}: {asked}", asked.field())),
        }
    }
}

impl From<FileError> for ServerError {
    fn from(error: FileError) -> Self {
        Self::OperatorConfig(error.to_string())
    }
}

impl From<rusqlite::Error> for ServerError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::StorageBusy(error.to_string())
            }
            _ => Self::StorageUnavailable(error.to_string()),
        }
    }
}

impl From<std::io::Error> for ServerError {
    fn from(error: std::io::Error) -> Self {
        Self::StorageUnavailable(error.to_string())
    }
}

impl From<NotCanonical> for ServerError {
    fn from(error: NotCanonical) -> Self {
        Self::Internal(error.to_string())
    }
}
