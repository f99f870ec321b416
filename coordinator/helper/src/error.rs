//! Why the daemon stops, why a request fails, and the storage failure both may come from.

use std::io;
use std::path::Path;

use tacit_privacy::canonical::NotCanonical;
use tacit_round::helper::HelperRefusal;
use tacit_round::restore::RestoreRefusal;
use tacit_round::seal::SealError;
use tacit_types::ContributionId;
use tacit_wire::files::FileError;

/// Why the daemon did not start or stopped by itself.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// Something in the configuration or the files it names; starting again as it is gives the
    /// same.
    #[error("{0}")]
    OperatorConfig(String),
    /// The state folder cannot be read or written, or is damaged.
    #[error("state: {0}")]
    Storage(String),
    /// The address cannot be bound or the listener failed.
    #[error("network: {0}")]
    Network(String),
}

impl From<FileError> for HelperError {
    fn from(error: FileError) -> Self {
        Self::OperatorConfig(error.to_string())
    }
}

impl From<StorageError> for HelperError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.0)
    }
}

/// State that cannot be read, written or believed. Never retried: the process stops and recovery
/// reads what is there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StorageError(pub(crate) String);

impl StorageError {
    /// Names the file or folder at fault.
    pub(crate) fn file(path: &Path, problem: &io::Error) -> Self {
        Self(format!("{}: {problem}", path.display()))
    }

    /// A round's key cannot be used.
    pub(crate) fn key(_: SealError) -> Self {
        Self("the key of a round cannot be expanded: the machine is out of memory".into())
    }

    /// State that a correct helper cannot have written.
    pub(crate) fn damaged(what: &str) -> Self {
        Self(format!("helper.sqlite is damaged: {what}"))
    }
}

/// The operating system gives no randomness: nothing may be drawn, so the daemon stops.
pub(crate) fn no_randomness(error: &impl std::fmt::Display) -> StorageError {
    StorageError(format!("the system has no randomness: {error}"))
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        Self(format!("helper.sqlite: {error}"))
    }
}

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The round protocol refuses.
    #[error(transparent)]
    Refused(#[from] HelperRefusal),
    /// A message that breaks a bound or lacks a field.
    #[error("{0}")]
    Malformed(&'static str),
    /// A seed that an earlier round has used.
    #[error("contribution {0} has a seed that was used in an earlier round")]
    SeedUsed(ContributionId),
    /// The round was answered for this set, too long ago to repeat the bytes.
    #[error(
        "this round was answered for this set; only its ledger line is still kept, not the mask sum"
    )]
    AnswerGone,
    /// A tree head this helper must not sign.
    #[error("the tree head is refused: {0}")]
    Head(&'static str),
    /// A restored ledger this helper must not sign.
    #[error(transparent)]
    Restore(#[from] RestoreRefusal),
    /// The state is older than what this helper has signed: nothing more is signed on it.
    #[error("{0}")]
    OldCopy(String),
    /// A set that takes too long to arrive; a slow line is no reason to end a round.
    #[error("the set did not arrive in time; ask again")]
    Late,
    /// The daemon stops before the answer is ready; asking again after its restart works.
    #[error("the helper is stopping; ask again")]
    Stopping,
    /// The state cannot be trusted any more.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<NotCanonical> for Failure {
    fn from(error: NotCanonical) -> Self {
        Self::Refused(error.into())
    }
}
