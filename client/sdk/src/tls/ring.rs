//! ring, which is small and runs on every phone, with the key exchange it lacks and without what
//! `tacit pki` makes no certificates with.

use std::sync::Arc;

use rustls::crypto::ring::{default_provider, sign};
use rustls::crypto::{CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};
use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};

use super::hybrid::X25519_ML_KEM_768;

const ED25519: &[&dyn SignatureVerificationAlgorithm] = &[webpki::ring::ED25519];

/// ring with one key exchange, X25519MLKEM768, and certificates of Ed25519, for clients alone. A
/// coordinator without either fails the handshake.
pub fn provider() -> Arc<CryptoProvider> {
    let every = default_provider();
    Arc::new(CryptoProvider {
        cipher_suites: every.cipher_suites,
        kx_groups: vec![&X25519_ML_KEM_768],
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: ED25519,
            mapping: &[(SignatureScheme::ED25519, ED25519)],
        },
        secure_random: every.secure_random,
        key_provider: &Keys,
    })
}

/// Reads keys as [`crate::identity`] makes them.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        match key {
            PrivateKeyDer::Pkcs8(key) => sign::any_eddsa_type(&key),
            _ => Err(Error::General("a device's key is PKCS#8".into())),
        }
    }
}
