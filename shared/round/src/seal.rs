//! Seals a device's mask seed to the helper's key of one round.
//!
//! HPKE base mode (RFC 9180) with the hybrid X-Wing KEM (ML-KEM-768 and X25519), HKDF-SHA256 and
//! ChaCha20-Poly1305: what is recorded today must stay closed when either half of the KEM falls.
//! The associated data binds the seed to its scheme, task, round, ticket, length, contribution and
//! masked bytes, so it opens nowhere else.

use std::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::CryptoRng;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use tacit_types::{Commitment, ContributionId, Digest, RoundId, TaskId};
use zeroize::Zeroizing;

use crate::member::{Member, Proof};

/// The secure-sum scheme of protocol version 2.
pub const SCHEME_ID: u32 = 2;

/// What is sealed: the mask seed and a proof of membership, or zeros where the ticket asks for
/// none, so that the length is one.
const OPENED_LEN: usize = MaskSeed::LEN + Proof::LEN;

/// Length of an X-Wing ciphertext in bytes.
pub const ENCAPSULATED_LEN: usize = 1120;

/// Length of a sealed seed in bytes: X-Wing ciphertext, contents, tag.
pub const SEALED_LEN: usize = ENCAPSULATED_LEN + OPENED_LEN + 16;

/// Length of a sealing key (public half) in bytes.
pub const SEALING_KEY_LEN: usize = 1216;

const INFO: &[u8] = b"tacit seal v2";

/// Seed of one device's mask for one round. Erased when dropped; leaves the device only sealed.
pub struct MaskSeed(pub(crate) Zeroizing<[u8; 32]>);

impl MaskSeed {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Draws a seed from the caller's generator, which must be the operating system's on a device.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(seed.as_mut());
        Self(seed)
    }

    /// SHA-256 of the seed, by which the helper remembers that it was used.
    pub fn fingerprint(&self) -> Digest {
        tacit_privacy::canonical::digest(self.0.as_ref())
    }
}

impl fmt::Debug for MaskSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskSeed(..)")
    }
}

/// What a sealed seed belongs to; authenticated, not encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Task of the round.
    pub task: &'a TaskId,
    /// The round.
    pub round: RoundId,
    /// Hash of the ticket.
    pub ticket: Digest,
    /// Coordinates sent, N.
    pub length: u32,
    /// Name of the contribution.
    pub contribution: ContributionId,
    /// Commitment to the masked bytes.
    pub commitment: Commitment,
}

impl Binding<'_> {
    pub(crate) fn associated_data(&self) -> Vec<u8> {
        let task = self.task.as_str().as_bytes();
        let mut data = SCHEME_ID.to_le_bytes().to_vec();
        data.push(u8::try_from(task.len()).unwrap_or(u8::MAX));
        data.extend_from_slice(task);
        data.extend_from_slice(&self.round.0.to_le_bytes());
        data.extend_from_slice(&self.ticket.0);
        data.extend_from_slice(&self.length.to_le_bytes());
        data.extend_from_slice(&self.contribution.0);
        data.extend_from_slice(&self.commitment.0);
        data
    }
}

/// A key or a sealed seed that is not one, or does not open under this binding. Says no more, on
/// purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed seed does not open under this round's key and binding")]
pub struct SealError;

/// Opens what [`seal`] seals, under one round's key.
///
/// [`OpeningKey`] does it anywhere; a helper hands in whatever its processor does fastest.
pub trait Opener: fmt::Debug + Send + Sync {
    /// Opens HPKE base mode (RFC 9180) with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305:
    /// `encapsulated` is the KEM's ciphertext of [`ENCAPSULATED_LEN`] bytes, `ciphertext` the
    /// contents and their tag.
    ///
    /// # Errors
    /// [`SealError`] whatever the reason.
    fn open_bytes(
        &self,
        encapsulated: &[u8],
        ciphertext: &[u8],
        info: &[u8],
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError>;

    /// Opens a sealed seed. Whether the proof beside it holds is not checked here.
    ///
    /// # Errors
    /// [`SealError`] whatever the reason.
    fn open(&self, sealed: &[u8], binding: &Binding<'_>) -> Result<(MaskSeed, Proof), SealError> {
        let (encapsulated, ciphertext) = sealed
            .split_at_checked(ENCAPSULATED_LEN)
            .filter(|_| sealed.len() == SEALED_LEN)
            .ok_or(SealError)?;
        let data = binding.associated_data();
        let opened = self.open_bytes(encapsulated, ciphertext, INFO, &data)?;
        let (seed, proof) = opened.split_first_chunk().ok_or(SealError)?;
        let proof = Proof::from_bytes(proof.try_into().map_err(|_| SealError)?);
        Ok((MaskSeed(Zeroizing::new(*seed)), proof))
    }
}

/// Private half of a round's sealing key, held by the helper only.
pub struct OpeningKey(<XWing as Kem>::PrivateKey);

impl OpeningKey {
    /// Length of the secret in bytes.
    pub const LEN: usize = 32;

    /// Makes the key of one round from the caller's generator.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        Self(XWing::gen_keypair_with_rng(rng).0)
    }

    /// Restores a key from its secret.
    ///
    /// # Errors
    /// [`SealError`] for anything but [`Self::LEN`] bytes.
    pub fn from_secret(secret: &[u8]) -> Result<Self, SealError> {
        <XWing as Kem>::PrivateKey::from_bytes(secret)
            .map(Self)
            .map_err(|_| SealError)
    }

    /// The secret, for the helper's key file only.
    pub fn secret(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_bytes().to_vec())
    }

    /// The public half, which goes into the ticket.
    pub fn sealing_key(&self) -> Vec<u8> {
        XWing::sk_to_pk(&self.0).to_bytes().to_vec()
    }
}

impl Opener for OpeningKey {
    fn open_bytes(
        &self,
        encapsulated: &[u8],
        ciphertext: &[u8],
        info: &[u8],
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let key = <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| SealError)?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.0,
            &key,
            info,
            ciphertext,
            data,
        );
        opened.map(Zeroizing::new).map_err(|_| SealError)
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey(..)")
    }
}

/// Whether these bytes are a key one can seal to, so that a device finds out before it spends.
pub fn is_sealing_key(bytes: &[u8]) -> bool {
    bytes.len() == SEALING_KEY_LEN && <XWing as Kem>::PublicKey::from_bytes(bytes).is_ok()
}

/// Seals `seed` to the ticket's sealing key, with `member`'s proof if the ticket asks for one.
///
/// # Errors
/// [`SealError`] if `sealing_key` is not a key.
pub fn seal(
    seed: &MaskSeed,
    member: Option<&Member>,
    sealing_key: &[u8],
    binding: &Binding<'_>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    let key = <XWing as Kem>::PublicKey::from_bytes(sealing_key).map_err(|_| SealError)?;
    let data = binding.associated_data();
    let mut contents = Zeroizing::new([0; OPENED_LEN]);
    contents[..MaskSeed::LEN].copy_from_slice(seed.0.as_ref());
    if let Some(member) = member {
        contents[MaskSeed::LEN..].copy_from_slice(&member.prove(&data).to_bytes());
    }
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        XWing,
    >(
        &OpModeS::Base, &key, INFO, contents.as_ref(), &data, rng
    )
    .map_err(|_| SealError)?;
    Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::keys::SigningKey;

    #[test]
    fn a_seed_opens_under_its_own_key_and_binding_and_under_no_other() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (key, seed) = (OpeningKey::draw(&mut rng), MaskSeed::draw(&mut rng));
        let (task, other) = (TaskId::new("films").unwrap(), TaskId::new("books").unwrap());
        let binding = Binding {
            task: &task,
            round: RoundId(1),
            ticket: Digest([1; 32]),
            length: 10,
            contribution: ContributionId([2; 16]),
            commitment: Commitment([3; 32]),
        };
        let sealed = seal(&seed, None, &key.sealing_key(), &binding, &mut rng).unwrap();
        assert_eq!(
            (sealed.len(), key.sealing_key().len()),
            (SEALED_LEN, SEALING_KEY_LEN)
        );
        assert_eq!(key.open(&sealed, &binding).unwrap().0.0, seed.0);
        let restored = OpeningKey::from_secret(&key.secret()).unwrap();
        assert_eq!(restored.open(&sealed, &binding).unwrap().0.0, seed.0);

        let issuer = SigningKey::from_seed(&Zeroizing::new([4; 32]));
        let member = Member::issue(&issuer, Zeroizing::new([5; 32]));
        let proved = seal(&seed, Some(&member), &key.sealing_key(), &binding, &mut rng).unwrap();
        let (opened, proof) = key.open(&proved, &binding).unwrap();
        assert_eq!((proved.len(), opened.0), (sealed.len(), seed.0.clone()));
        assert!(proof.verifies(&issuer.public(), &binding.associated_data()));

        for wrong in [
            Binding {
                task: &other,
                ..binding.clone()
            },
            Binding {
                round: RoundId(2),
                ..binding.clone()
            },
            Binding {
                ticket: Digest([9; 32]),
                ..binding.clone()
            },
            Binding {
                length: 11,
                ..binding.clone()
            },
            Binding {
                contribution: ContributionId([9; 16]),
                ..binding.clone()
            },
            Binding {
                commitment: Commitment([9; 32]),
                ..binding.clone()
            },
        ] {
            assert!(key.open(&sealed, &wrong).is_err());
        }
        assert!(
            OpeningKey::draw(&mut rng)
                .open(&sealed, &binding)
                .is_err()
        );
        for broken in [&sealed[1..], &[], &sealed[..1120]] {
            assert!(key.open(broken, &binding).is_err());
        }
        assert!(seal(&seed, None, &[0; 7], &binding, &mut rng).is_err());
    }
}
