//! The cryptography of every TLS connection, named here and never taken from the process or a
//! feature of a dependency.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

/// AWS-LC with one key exchange, X25519MLKEM768.
///
/// A peer that does not offer it fails the handshake, so no connection rests on X25519 alone: what
/// is recorded today stays closed to whoever has a quantum computer later.
pub fn provider() -> Arc<CryptoProvider> {
    let every = aws_lc_rs::default_provider();
    let hybrid = CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768],
        ..every
    };
    Arc::new(hybrid)
}

/// Signatures that certificates may carry.
pub(crate) fn signatures() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}
