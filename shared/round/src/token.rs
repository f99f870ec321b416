//! Enrolment tokens that an app's backend signs on demand, one for each installation: a million
//! phones cannot share a file of them.
//!
//! A token is its id, when it ends, and the backend's signature with [`Context::Token`] over both.
//! It works once: the coordinator keeps the ids of those that were used until they end.

use tacit_types::Timestamp;

use crate::keys::{Context, PublicKey, SignatureBytes, SigningKey};

const ID: usize = 32;
const ENDS: usize = 8;
const SIGNED: usize = ID + ENDS;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Drawn at random for this token.
    pub id: [u8; ID],
    /// From when on it works no more; whole seconds.
    pub ends: Timestamp,
}

impl Token {
    /// Bytes of a signed token.
    pub const LEN: usize = SIGNED + 64;

    /// The bytes a device enrols with: id, end in seconds since 1970 (big-endian), signature.
    pub fn sign(&self, backend: &SigningKey) -> [u8; Self::LEN] {
        let mut token = [0; Self::LEN];
        let (signed, signature) = token.split_at_mut(SIGNED);
        let (id, ends) = signed.split_at_mut(ID);
        id.copy_from_slice(&self.id);
        ends.copy_from_slice(&(self.ends.0 / 1000).to_be_bytes());
        signature.copy_from_slice(&backend.sign(Context::Token, signed).0);
        token
    }

    /// Reads a token; `None` unless this backend signed it.
    pub fn open(token: &[u8], backend: &PublicKey) -> Option<Self> {
        let (signed, signature) = token.split_first_chunk::<SIGNED>()?;
        let signature = SignatureBytes(signature.try_into().ok()?);
        if !backend.verifies(Context::Token, signed, &signature) {
            return None;
        }

        let (id, ends) = signed.split_first_chunk::<ID>()?;
        let seconds = u64::from_be_bytes(ends.try_into().ok()?);
        Some(Self {
            id: *id,
            ends: Timestamp(seconds.saturating_mul(1000)),
        })
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&Zeroizing::new([byte; 32]))
    }

    /// HOSTILE 76.
    #[test]
    fn a_token_is_its_backends_and_unchanged_or_none() {
        let token = Token {
            id: [5; 32],
            ends: Timestamp(1_800_000_000_000),
        };
        let signed = token.sign(&key(1));
        assert_eq!(Token::open(&signed, &key(1).public()), Some(token));
        assert_eq!(Token::open(&signed, &key(2).public()), None);
        for byte in 0..Token::LEN {
            let mut changed = signed;
            changed[byte] ^= 1;
            assert_eq!(Token::open(&changed, &key(1).public()), None, "byte {byte}");
        }
        for length in 0..Token::LEN {
            let cut = &signed[..length];
            assert_eq!(Token::open(cut, &key(1).public()), None);
        }
        let longer = [&signed[..], &[0]].concat();
        assert_eq!(Token::open(&longer, &key(1).public()), None);
    }

    #[test]
    fn an_end_beyond_all_time_is_read_as_the_last_moment() {
        let backend = key(1);
        let mut token = Token {
            id: [5; 32],
            ends: Timestamp(0),
        }
        .sign(&backend);
        token[32..40].fill(0xff);
        let signature = backend.sign(Context::Token, &token[..40]);
        token[40..].copy_from_slice(&signature.0);
        let read = Token::open(&token, &backend.public()).unwrap();
        assert_eq!(read.ends, Timestamp(u64::MAX));
    }
}
