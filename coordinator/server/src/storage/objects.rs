//! Immutable objects (models, catalogues, sums of evaluations), named by their SHA-256.

use std::io;

use tacit_types::Digest;

use super::{Answer, Gone};
use crate::error::ServerError;

/// Objects by their hash. They never change, so calls for different ones need no order.
pub trait Objects: Send + Sync {
    /// Stores an object durably under its hash: whole or not at all. Storing it again changes
    /// nothing.
    fn put(&self, bytes: Vec<u8>) -> Answer<Digest>;

    /// Reads an object and checks it against its name.
    fn get(&self, hash: Digest) -> Answer<Vec<u8>, ObjectError>;
}

/// Why an object cannot be had. Only bytes that do not hash to their name are damage: a system
/// without descriptors, memory or rights says so itself.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Nothing has this name.
    #[error("object {0} is not stored")]
    NotFound(Digest),
    /// The bytes are not those of this name.
    #[error("object {0} is damaged: its bytes have another hash")]
    Damaged(Digest),
    /// The operating system refused.
    #[error("object {hash} cannot be read: {error}")]
    Unreadable {
        /// Of the object.
        hash: Digest,
        /// What the system said.
        error: io::Error,
    },
    /// The daemon stops.
    #[error("the store of objects ended before it answered")]
    Ended,
}

impl From<Gone> for ObjectError {
    fn from(_: Gone) -> Self {
        Self::Ended
    }
}

impl From<ObjectError> for ServerError {
    fn from(error: ObjectError) -> Self {
        Self::StorageUnavailable(error.to_string())
    }
}
