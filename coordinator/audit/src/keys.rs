//! The keys an export is checked against.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tacit_privacy::canonical;
use tacit_round::keys::PublicKey;

use crate::error::VerifyError;
use crate::files;

pub(crate) const FILE: &str = "keys.json";

/// The public keys an export is checked against: `keys.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The coordinator's ticket key.
    pub coordinator: PublicKey,
    /// The helper's identity key.
    pub helper: PublicKey,
}

impl Keys {
    /// Reads the keys an export carries itself.
    pub(crate) fn read(dir: &Path) -> Result<Self, VerifyError> {
        let bytes = files::read_small(dir, FILE)?;
        canonical::decode(&bytes).map_err(|error| VerifyError::file(FILE, error.to_string()))
    }
}
