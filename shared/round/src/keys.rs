//! Ed25519 signatures with a context, so that a signature made for one purpose is worth nothing for
//! another.

use std::fmt;

use ed25519_dalek::{
    Signature, Signer, SigningKey as Ed25519SigningKey, VerifyingKey as Ed25519VerifyingKey,
};
use serde::{Deserialize, Serialize};
use tacit_types::UnitError;
use zeroize::Zeroizing;

/// What a signature is for; its text and a zero byte are signed in front of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A ticket (coordinator and helper).
    Ticket,
    /// What a ticket is asked for with (coordinator).
    Draft,
    /// A release-ledger tree head (coordinator and helper).
    Head,
    /// One line of the helper's ledger (helper).
    Line,
    /// A device policy (publisher).
    Policy,
    /// A member's public key (issuer of memberships, in the helper's organisation).
    Member,
    /// What a sealed seed is bound to (member).
    Contribution,
    /// A request for the next certificate (device, by the key of the old one).
    Renew,
    /// A root certificate (the root before it).
    Root,
    /// An enrolment token (backend of the app).
    Token,
    /// That a draft was refused, and nothing of it is kept (helper).
    Refusal,
    /// That no seed was ever admitted to a round, and that it will never be answered (helper).
    Empty,
}

impl Context {
    /// The bytes that are signed for `message`, for a key that is not a [`SigningKey`].
    pub fn signed(self, message: &[u8]) -> Vec<u8> {
        [self.prefix(), message].concat()
    }

    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Ticket => b"tacit ticket v2\0",
            Self::Draft => b"tacit draft v2\0",
            Self::Head => b"tacit head v2\0",
            Self::Line => b"tacit line v2\0",
            Self::Policy => b"tacit policy v2\0",
            Self::Member => b"tacit member v2\0",
            Self::Contribution => b"tacit contribution v2\0",
            Self::Renew => b"tacit renew v2\0",
            Self::Root => b"tacit root v2\0",
            Self::Token => b"tacit token v2\0",
            Self::Refusal => b"tacit refusal v2\0",
            Self::Empty => b"tacit empty v2\0",
        }
    }
}

/// Private signing key. Erased when dropped; never printed.
pub struct SigningKey(Ed25519SigningKey);

impl SigningKey {
    /// Wraps a 32-byte Ed25519 seed drawn by the caller.
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self(Ed25519SigningKey::from_bytes(seed))
    }

    /// Signs `message` for `context`.
    pub fn sign(&self, context: Context, message: &[u8]) -> SignatureBytes {
        SignatureBytes(self.0.sign(&context.signed(message)).to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public())
    }
}

macro_rules! hex_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = UnitError;
            fn try_from(text: String) -> Result<Self, UnitError> {
                let mut bytes = [0; $len];
                let lower = !text.bytes().any(|c| c.is_ascii_uppercase());
                match hex::decode_to_slice(&text, &mut bytes) {
                    Ok(()) if lower => Ok(Self(bytes)),
                    _ => Err(UnitError::new(
                        stringify!($name),
                        concat!($len, " bytes in lower-case hexadecimal"),
                    )),
                }
            }
        }
    };
}

hex_bytes!(
    /// Ed25519 public key.
    PublicKey,
    32
);
hex_bytes!(
    /// Ed25519 signature.
    SignatureBytes,
    64
);

impl PublicKey {
    /// Whether any signature can hold for this key: not for zeros, as a sample has in place of a
    /// key, nor for any other point of small order.
    pub fn is_usable(&self) -> bool {
        Ed25519VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }

    /// Whether `signature` is this key's over `message` for `context` (strict verification: no
    /// malleable forms).
    pub fn verifies(&self, context: Context, message: &[u8], signature: &SignatureBytes) -> bool {
        Ed25519VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            let signed = context.signed(message);
            key.verify_strict(&signed, &Signature::from_bytes(&signature.0))
                .is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_message_context_and_key_only() {
        let key = SigningKey::from_seed(&Zeroizing::new([7; 32]));
        let signature = key.sign(Context::Ticket, b"message");
        assert!(
            key.public()
                .verifies(Context::Ticket, b"message", &signature)
        );
        assert!(
            !key.public()
                .verifies(Context::Head, b"message", &signature)
        );
        assert!(
            !key.public()
                .verifies(Context::Ticket, b"massage", &signature)
        );
        assert!(
            !SigningKey::from_seed(&Zeroizing::new([8; 32]))
                .public()
                .verifies(Context::Ticket, b"message", &signature)
        );
        assert!(key.public().is_usable() && !PublicKey([0; 32]).is_usable());
        assert!(!PublicKey([0; 32]).verifies(Context::Ticket, b"message", &signature));
    }
}
