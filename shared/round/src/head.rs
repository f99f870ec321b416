//! Signed tree heads of the release ledger and the proof that one line stands under one.

use serde::{Deserialize, Serialize};
use tacit_privacy::canonical::{self, NotCanonical};
use tacit_privacy::merkle;
use tacit_privacy::record::TreeHead;
use tacit_types::Digest;

use crate::keys::{Context, PublicKey, SignatureBytes, SigningKey};

/// A tree head with both signatures: what `heads/` of an export holds, one canonical JSON object a
/// file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// What is signed, over its canonical bytes, with [`Context::Head`].
    pub head: TreeHead,
    /// By the coordinator's ticket key.
    pub coordinator_signature: SignatureBytes,
    /// By the helper's identity key.
    pub helper_signature: SignatureBytes,
}

/// Signs a head's canonical bytes.
///
/// # Errors
/// [`NotCanonical`] never for a well-formed head.
pub fn sign(head: &TreeHead, key: &SigningKey) -> Result<SignatureBytes, NotCanonical> {
    Ok(key.sign(Context::Head, &canonical::encode(head)?))
}

impl SignedHead {
    /// Whether both signatures hold.
    pub fn verifies(&self, coordinator: &PublicKey, helper: &PublicKey) -> bool {
        canonical::encode(&self.head).is_ok_and(|bytes| {
            coordinator.verifies(Context::Head, &bytes, &self.coordinator_signature)
                && helper.verifies(Context::Head, &bytes, &self.helper_signature)
        })
    }
}

/// One ledger line, its place and its proof under a signed head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedLine {
    /// Exact bytes of the line.
    pub line: String,
    /// Its position.
    pub seq: u64,
    /// Sibling hashes from the leaf to the root.
    pub proof: Vec<Digest>,
    /// Head the proof leads to.
    pub head: SignedHead,
}

impl LoggedLine {
    /// Whether the line stands in the ledger both parties signed.
    pub fn verifies(&self, coordinator: &PublicKey, helper: &PublicKey) -> bool {
        let head = &self.head.head;
        self.head.verifies(coordinator, helper)
            && merkle::verify_inclusion(
                merkle::leaf(self.line.as_bytes()),
                self.seq,
                head.size,
                &self.proof,
                head.root,
            )
    }
}
