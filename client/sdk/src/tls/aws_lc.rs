//! AWS-LC, for who must have it.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::SignatureVerificationAlgorithm;

const ED25519: &[&dyn SignatureVerificationAlgorithm] = &[webpki::aws_lc_rs::ED25519];

/// AWS-LC with one key exchange, X25519MLKEM768, and certificates of Ed25519. A coordinator without
/// either fails the handshake.
pub fn provider() -> Arc<CryptoProvider> {
    let every = default_provider();
    let chosen = CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768],
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: ED25519,
            mapping: &[(SignatureScheme::ED25519, ED25519)],
        },
        ..every
    };
    Arc::new(chosen)
}
