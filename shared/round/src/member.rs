//! Membership: proof, for the helper's eyes only, that a contribution comes from a device the
//! helper's organisation enrolled.
//!
//! The remedy against a coordinator that invents devices to surround one person. A member holds a
//! key and the issuer's signature over it; every sealed seed then carries a [`Proof`] beside the
//! mask seed. The coordinator forwards it unread; the helper learns a stable pseudonym, hence in
//! which rounds a member takes part, and nothing else.

use zeroize::Zeroizing;

use crate::keys::{Context, PublicKey, SignatureBytes, SigningKey};

const SEED: usize = 32;
const SIGNATURE: usize = 64;

/// A device's membership: its own key and the issuer's signature over the public half.
pub struct Member {
    seed: Zeroizing<[u8; SEED]>,
    key: SigningKey,
    credential: SignatureBytes,
}

/// What a member adds to a sealed seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The member.
    pub member: PublicKey,
    /// The issuer's signature over `member`, with [`Context::Member`].
    credential: SignatureBytes,
    /// The member's signature over what the seed is bound to, with [`Context::Contribution`].
    signature: SignatureBytes,
}

impl Member {
    /// Issues a membership to the key of a seed drawn by the caller.
    pub fn issue(issuer: &SigningKey, seed: Zeroizing<[u8; SEED]>) -> Self {
        let key = SigningKey::from_seed(&seed);
        let credential = issuer.sign(Context::Member, &key.public().0);
        Self {
            seed,
            key,
            credential,
        }
    }

    /// Reads what a membership file holds; `None` for anything but 192 hexadecimal digits. Whether
    /// the right issuer signed it only the helper can say.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; SEED + SIGNATURE]);
        hex::decode_to_slice(text.trim(), bytes.as_mut()).ok()?;
        let (seed, credential) = bytes.split_first_chunk()?;
        let seed = Zeroizing::new(*seed);
        let credential = SignatureBytes(credential.try_into().ok()?);
        Some(Self {
            key: SigningKey::from_seed(&seed),
            seed,
            credential,
        })
    }

    /// What a membership file holds: seed and credential in hexadecimal. Secret.
    pub fn to_hex(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([self.seed.as_slice(), &self.credential.0].concat());
        Zeroizing::new(hex::encode(bytes.as_slice()))
    }

    /// Proves membership for what a sealed seed is bound to.
    pub(crate) fn prove(&self, bound_to: &[u8]) -> Proof {
        let signature = self.key.sign(Context::Contribution, bound_to);
        Proof {
            member: self.key.public(),
            credential: self.credential,
            signature,
        }
    }
}

impl Proof {
    /// Length in bytes.
    pub const LEN: usize = SEED + 2 * SIGNATURE;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..SEED].copy_from_slice(&self.member.0);
        bytes[SEED..SEED + SIGNATURE].copy_from_slice(&self.credential.0);
        bytes[SEED + SIGNATURE..].copy_from_slice(&self.signature.0);
        bytes
    }

    /// Reads the bytes as a proof; zeros and nonsense become one that does not verify.
    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut proof = Self {
            member: PublicKey([0; SEED]),
            credential: SignatureBytes([0; SIGNATURE]),
            signature: SignatureBytes([0; SIGNATURE]),
        };
        proof.member.0.copy_from_slice(&bytes[..SEED]);
        proof
            .credential
            .0
            .copy_from_slice(&bytes[SEED..SEED + SIGNATURE]);
        proof
            .signature
            .0
            .copy_from_slice(&bytes[SEED + SIGNATURE..]);
        proof
    }

    /// Whether `issuer` enrolled this member and the member signed for exactly this contribution.
    pub(crate) fn verifies(&self, issuer: &PublicKey, bound_to: &[u8]) -> bool {
        issuer.verifies(Context::Member, &self.member.0, &self.credential)
            && self
                .member
                .verifies(Context::Contribution, bound_to, &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(byte: u8) -> SigningKey {
        SigningKey::from_seed(&Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_proof_holds_for_its_issuer_and_contribution_only() {
        let member = Member::issue(&issuer(1), Zeroizing::new([7; 32]));
        let proof = member.prove(b"bound");
        assert_eq!(Proof::from_bytes(&proof.to_bytes()), proof);
        assert!(proof.verifies(&issuer(1).public(), b"bound"));
        assert!(
            !proof.verifies(&issuer(2).public(), b"bound")
                && !proof.verifies(&issuer(1).public(), b"other")
        );
        // Somebody else's credential is of no use without the key it was issued to.
        let stranger = Member::issue(&issuer(2), Zeroizing::new([8; 32])).prove(b"bound");
        assert!(
            !Proof {
                credential: proof.credential,
                ..stranger
            }
            .verifies(&issuer(1).public(), b"bound")
        );
        assert!(
            !Proof {
                signature: stranger.signature,
                ..proof
            }
            .verifies(&issuer(1).public(), b"bound")
        );
        assert!(!Proof::from_bytes(&[0; Proof::LEN]).verifies(&issuer(1).public(), b"bound"));
    }

    #[test]
    fn a_file_gives_the_same_member_back_and_nonsense_gives_none() {
        let member = Member::issue(&issuer(1), Zeroizing::new([7; 32]));
        let text = member.to_hex();
        let read = Member::from_hex(&format!("{}\n", *text)).unwrap();
        assert_eq!(read.prove(b"bound"), member.prove(b"bound"));
        for bad in [
            "",
            "00",
            &text[1..],
            &format!("{}00", *text),
            &text.replace('a', "x"),
        ] {
            assert!(Member::from_hex(bad).is_none(), "{bad}");
        }
    }
}
