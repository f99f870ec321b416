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

/// The policy an installation goes by, and the key that signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    policy: Policy,
    signer: PublicKey,
}

impl InForce {
    /// What the app ships, signed by the publisher's key.
    ///
    /// # Errors
    /// As [`SignedPolicy::open`].
    pub fn shipped(signed: &SignedPolicy, publisher: &PublicKey) -> Result<Self, PolicyRefusal> {
        Ok(Self {
            policy: signed.open(publisher)?,
            signer: *publisher,
        })
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the same key signed both.
    pub fn has_signer_of(&self, other: &Self) -> bool {
        self.signer == other.signer
    }

    /// What is in force once `offered` is taken: a later policy, signed by the same key or by the
    /// one this policy names as the next. `None` for any other.
    #[must_use]
    pub fn followed_by(&self, offered: &SignedPolicy) -> Option<Self> {
        let keys = [Some(self.signer), self.policy.publisher_next];
        let signed = keys
            .into_iter()
            .flatten()
            .find_map(|key| Self::shipped(offered, &key).ok());
        signed.filter(|next| next.policy.serial > self.policy.serial)
    }
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

#[cfg(test)]
mod tests {
    use tacit_privacy::Rho;
    use zeroize::Zeroizing;

    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&Zeroizing::new([byte; 32]))
    }

    fn policy(serial: u32, next: Option<u8>, by: u8) -> SignedPolicy {
        let (coordinator, helper) = (key(8).public(), key(9).public());
        let policy = Policy {
            serial,
            publisher_next: next.map(|next| key(next).public()),
            ..Policy::new(coordinator, helper, Rho::MAX, 10)
        };
        SignedPolicy::new(&policy, &key(by)).unwrap()
    }

    /// PRIVACY 11.14; HOSTILE 135.
    #[test]
    fn a_policy_is_followed_by_a_later_one_of_its_publisher_only() {
        let shipped = InForce::shipped(&policy(3, None, 1), &key(1).public()).unwrap();
        let serial = |offered: &SignedPolicy| {
            let next = shipped.followed_by(offered);
            next.map(|next| next.policy.serial)
        };
        assert_eq!(serial(&policy(4, None, 1)), Some(4));
        assert_eq!(serial(&policy(9, Some(2), 1)), Some(9));
        for old in [1, 2, 3] {
            assert_eq!(serial(&policy(old, None, 1)), None, "serial {old}");
        }
        assert_eq!(serial(&policy(4, None, 2)), None, "of somebody else");
        let mut changed = policy(4, None, 1);
        changed.policy = changed.policy.replace("\"serial\":4", "\"serial\":5");
        assert_eq!(serial(&changed), None);
    }

    #[test]
    fn the_next_key_takes_over_with_its_first_policy() {
        let shipped = InForce::shipped(&policy(1, None, 1), &key(1).public()).unwrap();
        let both = shipped.followed_by(&policy(2, Some(2), 1)).unwrap();
        assert!(both.followed_by(&policy(3, None, 1)).is_some());
        let taken = both.followed_by(&policy(3, None, 2)).unwrap();
        assert!(taken.followed_by(&policy(4, None, 2)).is_some());
        assert!(taken.followed_by(&policy(4, None, 1)).is_none(), "retired");
    }
}
