//! A policy as an app ships it: its bytes, and the publisher's signature over them.

use serde::{Deserialize, Serialize};
use tacit_privacy::canonical::{self, NotCanonical};

use crate::keys::{Context, PublicKey, SignatureBytes, SigningKey};
use crate::policy::{Policy, SCHEMA};

/// A policy's exact bytes with the publisher's signature, as shipped with an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPolicy {
    /// Canonical JSON of a [`Policy`].
    pub policy: String,
    /// By the publisher's key, with [`Context::Policy`].
    pub signature: SignatureBytes,
}

/// Why a policy is not taken from the file an app ships.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyRefusal {
    /// Its signature is of another key, or of other bytes.
    #[error("the policy is not signed by the publisher's key")]
    Signature,
    /// It is of another format.
    #[error("the policy is of schema {0}; this build reads schema {SCHEMA}")]
    Version(u32),
    /// The publisher signed something else.
    #[error("the publisher signed what is no policy: {0}")]
    Unreadable(#[from] NotCanonical),
}

impl SignedPolicy {
    /// Signs a policy.
    ///
    /// # Errors
    /// [`NotCanonical`] never for a policy built from these types.
    pub fn new(policy: &Policy, publisher: &SigningKey) -> Result<Self, NotCanonical> {
        let policy = canonical::encode(policy)?;
        let signature = publisher.sign(Context::Policy, &policy);
        Ok(Self {
            policy: String::from_utf8_lossy(&policy).into_owned(),
            signature,
        })
    }

    /// The policy, if the publisher signed it.
    ///
    /// # Errors
    /// [`PolicyRefusal`] when the signature does not hold, or the text is no policy of [`SCHEMA`].
    pub fn open(&self, publisher: &PublicKey) -> Result<Policy, PolicyRefusal> {
        if publisher.verifies(Context::Policy, self.policy.as_bytes(), &self.signature) {
            self.read()
        } else {
            Err(PolicyRefusal::Signature)
        }
    }

    /// What it says, whoever signed it: for an operator's own checks, never for a device.
    ///
    /// # Errors
    /// [`PolicyRefusal`] when the text is no policy of [`SCHEMA`].
    pub fn read(&self) -> Result<Policy, PolicyRefusal> {
        let policy: Policy = canonical::decode(self.policy.as_bytes())?;
        if policy.schema != SCHEMA {
            return Err(PolicyRefusal::Version(policy.schema));
        }
        Ok(policy)
    }
}
