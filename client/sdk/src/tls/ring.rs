//! ring, which is small and runs on every phone, with the key exchange it lacks and without what
//! `tacit pki` makes no certificates with.

use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;
use rustls::crypto::ring::{cipher_suite, sign};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};
use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};

use super::hybrid::X25519_ML_KEM_768;

const ED25519: &[&dyn SignatureVerificationAlgorithm] = &[webpki::ring::ED25519];

/// ring with one key exchange, X25519MLKEM768, and certificates of Ed25519, for clients alone. A
/// coordinator without either fails the handshake.
///
/// Put together from parts: rustls's own provider would bring every curve and RSA into an app.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![&X25519_ML_KEM_768],
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: ED25519,
            mapping: &[(SignatureScheme::ED25519, ED25519)],
        },
        secure_random: &System,
        key_provider: &Keys,
    })
}

/// The operating system's randomness.
#[derive(Debug)]
struct System;

impl SecureRandom for System {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        SysRng
            .try_fill_bytes(bytes)
            .map_err(|_| GetRandomFailed)
    }
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
