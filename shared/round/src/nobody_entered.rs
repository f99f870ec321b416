//! What the helper certifies of a round that nobody entered, so that it costs its task nothing
//! (PRIVACY.md, section 11, rule 2).

use serde::Serialize;
use tacit_privacy::canonical;
use tacit_privacy::record::Empty;
use tacit_types::Digest;

use crate::keys::{Context, PublicKey, SignatureBytes, SigningKey};

/// No seed was ever admitted to this round. Its key is erased, and it will never be answered.
///
/// The helper signs it, in canonical JSON with [`Context::Empty`], only after the round has ended
/// and its key is gone, and only in the generation that countersigned the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NobodyEntered {
    /// SHA-256 of the ticket.
    pub ticket_hash: Digest,
    /// Generation of the helper.
    pub generation: u32,
}

impl NobodyEntered {
    /// The helper's signature over it.
    pub fn sign(&self, helper: &SigningKey) -> SignatureBytes {
        helper.sign(Context::Empty, &self.bytes())
    }

    /// Whether a signature over it is the helper's.
    pub fn verifies(&self, helper: &PublicKey, signature: &SignatureBytes) -> bool {
        helper.verifies(Context::Empty, &self.bytes(), signature)
    }

    /// Whether a ledger line carries the helper's certificate for its own ticket.
    pub fn is_on(line: &Empty, helper: &PublicKey) -> bool {
        let certificate = Self {
            ticket_hash: line.ticket_hash,
            generation: line.helper_generation,
        };
        let signature = SignatureBytes::try_from(line.certificate.clone());
        signature.is_ok_and(|signature| certificate.verifies(helper, &signature))
    }

    fn bytes(&self) -> Vec<u8> {
        canonical::encode(self).expect("it holds neither fractions nor nulls")
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    /// The bytes under a signature, which another language has to make too.
    #[test]
    fn a_certificate_holds_for_one_ticket_one_generation_and_one_helper() {
        let key = |byte| SigningKey::from_seed(&Zeroizing::new([byte; 32]));
        let own = NobodyEntered {
            ticket_hash: Digest([7; 32]),
            generation: 3,
        };
        let expected = format!(
            "{{\"generation\":3,\"ticket_hash\":\"{}\"}}",
            "07".repeat(32)
        );
        assert_eq!(own.bytes(), expected.as_bytes());

        let signature = own.sign(&key(2));
        let helper = key(2).public();
        assert!(own.verifies(&helper, &signature));
        assert!(!own.verifies(&key(1).public(), &signature));
        let others = [
            NobodyEntered {
                ticket_hash: Digest([8; 32]),
                ..own
            },
            NobodyEntered {
                generation: 4,
                ..own
            },
        ];
        for other in others {
            assert!(!other.verifies(&helper, &signature));
        }
        assert!(!helper.verifies(Context::Refusal, &own.bytes(), &signature));
    }
}
