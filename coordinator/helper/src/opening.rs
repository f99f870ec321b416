//! Opens sealed seeds by AWS-LC, which the daemon has for TLS, under a key that is expanded once.
//!
//! One key opens every seed of a round, twice. The HPKE crate keeps it as the 32 bytes it is
//! derived from and expands them at each opening, a third of its work; AWS-LC's ML-KEM and X25519
//! take a sixth of what is left. What a device seals is the same: HPKE base mode (RFC 9180) with
//! X-Wing (draft-connolly-cfrg-xwing-kem), HKDF-SHA256 and ChaCha20-Poly1305. The tests hold this
//! to the vectors of the draft, to one of another implementation, and to the HPKE crate.
//!
//! One thing is refused that the HPKE crate opens: an X25519 share of low order, which makes its
//! half of the secret zero whatever the key. No honest device sends one.
//!
//! Invariant: the expanded key is erased with its round. AWS-LC overwrites what it frees; all else
//! is overwritten here.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{Context, SHA3_256};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, ML_KEM_768};
use ml_kem::MlKem768;
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use tacit_round::seal::{Opener, OpeningKey, SealError};
use zeroize::Zeroizing;

/// Bytes of an ML-KEM-768 ciphertext; those of an X25519 public key follow.
const CIPHERTEXT_M: usize = 1088;
/// What X-Wing hashes behind secrets and keys.
const LABEL: &[u8] = br"\.//^\";
/// "HPKE", then X-Wing, HKDF-SHA256 and ChaCha20-Poly1305 by their numbers.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";
const VERSION: &[u8] = b"HPKE-v1";
/// The mode without a pre-shared key and without a sender's key.
const BASE: &[u8] = &[0];

/// The opening key of one round, expanded. Parts are named as in the draft: `m` for ML-KEM, `x` for
/// X25519.
#[derive(Debug)]
pub struct ExpandedKey {
    secret_m: DecapsulationKey,
    secret_x: PrivateKey,
    public_x: [u8; 32],
}

impl ExpandedKey {
    /// Expands a key.
    ///
    /// # Errors
    /// [`SealError`] when AWS-LC does not take it, which means that it is out of memory.
    pub fn new(key: &OpeningKey) -> Result<Self, SealError> {
        let mut expanded = Zeroizing::new([0; 96]);
        let mut shake = Shake256::default();
        shake.update(&key.secret());
        shake.finalize_xof().read(expanded.as_mut());

        let (seed_m, secret_x) = expanded.split_at(64);
        let secret_x = PrivateKey::from_private_key(&X25519, secret_x);
        let secret_x = secret_x.map_err(|_| SealError)?;
        let public_x = secret_x.compute_public_key().map_err(|_| SealError)?;
        Ok(Self {
            secret_m: decapsulation_key(seed_m)?,
            secret_x,
            public_x: public_x.as_ref().try_into().map_err(|_| SealError)?,
        })
    }

    /// X-Wing's shared secret. A ciphertext that nobody made for this key gives some secret, as in
    /// ML-KEM: what is sealed does not open with it.
    fn decapsulate(&self, encapsulated: &[u8]) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
        let (share_m, share_x) = encapsulated
            .split_at_checked(CIPHERTEXT_M)
            .ok_or(Unspecified)?;
        let shared_m = self.secret_m.decapsulate(Ciphertext::from(share_m))?;
        let peer = UnparsedPublicKey::new(&X25519, share_x);
        agree(&self.secret_x, peer, Unspecified, |shared_x| {
            let mut combined = Context::new(&SHA3_256);
            for part in [shared_m.as_ref(), shared_x, share_x, &self.public_x, LABEL] {
                combined.update(part);
            }
            let secret = combined.finish();
            let secret = secret.as_ref().try_into().map_err(|_| Unspecified)?;
            Ok(Zeroizing::new(secret))
        })
    }

    /// RFC 9180, sections 5.1 (the key schedule) and 5.2 (the first message of a context).
    fn open_base(
        &self,
        encapsulated: &[u8],
        ciphertext: &[u8],
        info: &[u8],
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let shared = self.decapsulate(encapsulated)?;
        let no_psk = extract(&[], b"psk_id_hash", &[])?;
        let info = extract(&[], b"info_hash", info)?;
        let context = [BASE, no_psk.as_ref(), info.as_ref()].concat();
        let secret = extract(shared.as_ref(), b"secret", &[])?;

        let key = expand(&secret, b"key", &context, CHACHA20_POLY1305.key_len())?;
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key)?);
        let nonce = expand(&secret, b"base_nonce", &context, NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce)?;
        let mut opened = Zeroizing::new(ciphertext.to_vec());
        let length = key
            .open_in_place(nonce, Aad::from(data), &mut opened)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }
}

impl Opener for ExpandedKey {
    fn open_bytes(
        &self,
        encapsulated: &[u8],
        ciphertext: &[u8],
        info: &[u8],
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.open_base(encapsulated, ciphertext, info, data)
            .map_err(|Unspecified| SealError)
    }
}

/// ML-KEM's key out of the seed it is derived from (FIPS 203, section 7.1), in the only form AWS-LC
/// takes.
#[expect(
    deprecated,
    reason = "keys are kept as seeds; this form lives in memory only"
)]
fn decapsulation_key(seed: &[u8]) -> Result<DecapsulationKey, SealError> {
    use ml_kem::ExpandedKeyEncoding;

    let seed = Zeroizing::new(seed.try_into().map_err(|_| SealError)?);
    let key = ml_kem::DecapsulationKey::<MlKem768>::from_seed(*seed);
    let expanded = Zeroizing::new(key.to_expanded_bytes());
    DecapsulationKey::new(&ML_KEM_768, expanded.as_slice()).map_err(|_| SealError)
}

/// `LabeledExtract` of RFC 9180, section 4.
fn extract(salt: &[u8], label: &[u8], input: &[u8]) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    hmac_sha256(salt, &[VERSION, SUITE, label, input])
}

/// `LabeledExpand` of RFC 9180, section 4, to at most 32 bytes: HKDF's first block (RFC 5869).
fn expand(
    secret: &[u8; 32],
    label: &[u8],
    info: &[u8],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let wanted = u16::try_from(length)?.to_be_bytes();
    let block = hmac_sha256(secret, &[&wanted, VERSION, SUITE, label, info, &[1]])?;
    let expanded = block.get(..length).ok_or(Unspecified)?;
    Ok(Zeroizing::new(expanded.to_vec()))
}

/// HMAC of `parts` one after the other. Secrets are given as `key` only: the parts are not erased.
fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    let mut tag = Zeroizing::new([0; 32]);
    let key = hmac::Key::new(HMAC_SHA256, key);
    hmac::sign_to_buffer(&key, &parts.concat(), tag.as_mut())?;
    Ok(tag)
}

#[cfg(test)]
mod tests;
