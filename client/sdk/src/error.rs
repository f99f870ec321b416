//! The small error an app can act on. The sentence inside says what happened; the variant says what
//! to do.

use std::time::Duration;

use crate::reason::{Reason, Unenrolled};

/// What went wrong, by what the app should do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdkError {
    /// The network or the coordinator is away, or one of them is not what it should be: call again
    /// after this long.
    #[error("try again later: {reason}: {detail}")]
    RetryLater {
        /// How long to wait; it grows while the reason stays.
        after: Duration,
        /// What kind of failure, to act on.
        reason: Reason,
        /// What failed, in words.
        detail: String,
    },
    /// No waiting gives this installation an identity that the coordinator takes: a new token does.
    #[error("stopped: {0}")]
    NotEnrolled(Unenrolled),
    /// Something a person must fix (a missing ledger, a foreign certificate): do not call again by
    /// itself.
    #[error("stopped: {0}")]
    Stop(String),
    /// A defect in this library or a wrong call.
    #[error("bug: {0}")]
    Bug(String),
}

impl SdkError {
    /// To be tried again, unless no waiting mends it.
    pub(crate) fn retry(reason: Reason, detail: impl ToString) -> Self {
        if reason == Reason::Revoked {
            return Self::NotEnrolled(Unenrolled::Revoked);
        }
        Self::RetryLater {
            after: Duration::from_secs(1),
            reason,
            detail: detail.to_string(),
        }
    }
}

impl From<rusqlite::Error> for SdkError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        match error.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked) => Self::retry(Reason::StoreBusy, error),
            _ => Self::Stop(format!("store.sqlite: {error}")),
        }
    }
}
