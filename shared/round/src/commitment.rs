//! What binds a sealed seed to its masked bytes and tells the helper nothing of them.
//!
//! The helper knows the mask. Were it given a plain hash of the masked bytes, it could try guesses
//! of vector and noise until one fits, which for a few coordinates takes seconds. It is given a
//! hash under a key that goes to the coordinator alone, so that to the helper every vector is as
//! likely as before (PRIVACY.md, section 3). The coordinator checks the bytes against the
//! commitment while they arrive and forgets the key.

use std::fmt;

use blake3::Hasher;
use hpke::rand_core::CryptoRng;
use tacit_types::{Commitment, UnitError};
use zeroize::Zeroizing;

/// Names the use of the key, as BLAKE3's key derivation asks for.
const CONTEXT: &str = "tacit commitment v2";

/// Key of one commitment: drawn for one contribution, sent to the coordinator, never to the helper.
/// Erased when dropped; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CommitmentKey(Zeroizing<[u8; Self::LEN]>);

impl CommitmentKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Draws a key from the caller's generator, which must be the operating system's on a device.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(key.as_mut());
        Self(key)
    }

    /// Wraps exactly [`Self::LEN`] bytes.
    ///
    /// # Errors
    /// [`UnitError`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, UnitError> {
        let key = bytes.try_into().map(Zeroizing::new);
        key.map(Self)
            .map_err(|_| UnitError::new("commitment_key", "32 bytes"))
    }

    /// The bytes, for the spool and for the coordinator.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl fmt::Debug for CommitmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitmentKey(..)")
    }
}

/// Computes a commitment while the masked bytes arrive, in pieces of any length.
///
/// BLAKE3 in keyed mode, under the key that BLAKE3 derives from the [`CommitmentKey`] for this use.
pub struct Committer(Hasher);

impl Committer {
    /// Begins a commitment under `key`.
    pub fn new(key: &CommitmentKey) -> Self {
        let derived = Zeroizing::new(blake3::derive_key(CONTEXT, key.as_bytes()));
        Self(Hasher::new_keyed(&derived))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The commitment to all bytes taken.
    pub fn finish(self) -> Commitment {
        Commitment(*self.0.finalize().as_bytes())
    }
}

/// The commitment to `masked` under `key`.
pub fn commit(key: &CommitmentKey, masked: &[u8]) -> Commitment {
    let mut committer = Committer::new(key);
    committer.update(masked);
    committer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> CommitmentKey {
        CommitmentKey::from_slice(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_commitment_follows_from_key_and_bytes_however_they_arrive() {
        let bytes: Vec<u8> = (0..=250).cycle().take(100_000).collect();
        let whole = commit(&key(1), &bytes);
        for piece in [1, 63, 1024, 65_536] {
            let mut committer = Committer::new(&key(1));
            bytes
                .chunks(piece)
                .for_each(|part| committer.update(part));
            assert_eq!(committer.finish(), whole, "pieces of {piece}");
        }
        assert_ne!(commit(&key(2), &bytes), whole);
        assert_ne!(commit(&key(1), &bytes[1..]), whole);
        assert_ne!(whole.0, *blake3::hash(&bytes).as_bytes());
    }

    /// Computed in Python: `blake3(key, derive_key_context=...)`, then `blake3(bytes, key=...)`.
    #[test]
    fn a_commitment_has_the_bytes_another_program_computes() {
        let expected = "9004dcefb67a3876adbdc60a831cb92da88bd5f1f638809e648df74160504675";
        assert_eq!(commit(&key(7), b"masked").to_string(), expected);
    }

    #[test]
    fn a_key_has_32_bytes_and_is_never_printed() {
        for wrong in [&[][..], &[1; 31], &[1; 33]] {
            assert!(CommitmentKey::from_slice(wrong).is_err());
        }
        assert_eq!(format!("{:?}", key(9)), "CommitmentKey(..)");
    }
}
