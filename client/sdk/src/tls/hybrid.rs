//! X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem, section 4) for a client: X25519 by ring, ML-KEM-768
//! by the crate that HPKE seals with.
//!
//! Shares and secrets are those of ML-KEM (FIPS 203) with those of X25519 behind them. The secret
//! is safe as long as either holds: TLS hashes both into its key schedule.

use ml_kem::{Decapsulate, DecapsulationKey, KeyExport, MlKem768, Seed};
use rand::TryRng;
use rand::rngs::SysRng;
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::Zeroizing;

/// Bytes of an ML-KEM-768 ciphertext, which is the server's share of it.
const CIPHERTEXT: usize = 1088;

/// The group, to be named in a provider.
pub(super) static X25519_ML_KEM_768: Hybrid = Hybrid;

#[derive(Debug)]
pub(super) struct Hybrid;

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut seed = Zeroizing::new(Seed::default());
        SysRng
            .try_fill_bytes(&mut seed)
            .map_err(|_| Error::FailedToGetRandomBytes)?;
        let lattice = DecapsulationKey::from_seed(*seed);
        let curve = X25519.start()?;

        let encapsulation = lattice.encapsulation_key().to_bytes();
        let share = [encapsulation.as_slice(), curve.pub_key()].concat();
        Ok(Box::new(Begun {
            lattice,
            curve,
            share,
        }))
    }

    /// Of servers alone, which a device is not.
    fn start_and_complete(&self, _: &[u8]) -> Result<CompletedKeyExchange, Error> {
        Err(Error::General("a device answers no handshake".into()))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// An exchange whose first share was made. Both keys are erased when it ends.
struct Begun {
    lattice: DecapsulationKey<MlKem768>,
    curve: Box<dyn ActiveKeyExchange>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Begun {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
        let wrong = || Error::from(PeerMisbehaved::InvalidKeyShare);
        let (ciphertext, point) = theirs.split_at_checked(CIPHERTEXT).ok_or_else(wrong)?;
        let decapsulated = self.lattice.decapsulate_slice(ciphertext);
        let decapsulated = Zeroizing::new(decapsulated.map_err(|_| wrong())?);
        // Refuses a point of any other length, and one of low order.
        let agreed = self.curve.complete(point)?;
        let secret = [decapsulated.as_slice(), agreed.secret_bytes()].concat();
        Ok(SharedSecret::from(secret))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}
