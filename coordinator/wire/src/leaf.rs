//! What a leaf certificate says, also one that has ended.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, alg_id};
use tacit_types::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::{LeafKey, Peer, key_of, validity};
use crate::pki::{Authority, PkiError};
use crate::provider::signatures;

/// What a leaf of this deployment says.
pub struct OwnLeaf {
    /// Who it names.
    pub peer: Peer,
    /// Its public key.
    pub key: LeafKey,
    /// When it ends.
    pub ended: Timestamp,
}

impl Authority {
    /// Reads a leaf this authority signed, which may have ended: who it names, its key, and when it
    /// ended or will.
    ///
    /// # Errors
    /// [`PkiError::Request`] for any other certificate.
    pub fn read_own(&self, leaf: &[u8]) -> Result<OwnLeaf, PkiError> {
        let refuse = || PkiError::Request("the old certificate is not one of this deployment");
        let issuing = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let issuing = issuing.map_err(|_| refuse())?;
        // Not by way of a path that was valid at some time: the authority's certificate may have
        // been renewed since, with the same key.
        let by_us = key_of(&issuing).is_some_and(|key| is_signed_by(leaf, &key));
        let said = by_us.then(|| {
            let (_, ended) = validity(leaf)?;
            let (peer, key) = (Peer::from_certificate(leaf)?, key_of(leaf)?);
            Some(OwnLeaf { peer, key, ended })
        });

        said.flatten().ok_or_else(refuse)
    }
}

/// Whether this Ed25519 key signed a certificate.
fn is_signed_by(certificate: &[u8], key: &LeafKey) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };

    let (signed, signature) = (
        parsed.tbs_certificate.as_ref(),
        &parsed.signature_value.data,
    );

    let ed25519 = signatures()
        .all
        .iter()
        .find(|algorithm| algorithm.signature_alg_id() == alg_id::ED25519);
    ed25519.is_some_and(|ed25519| {
        ed25519
            .verify_signature(key, signed, signature)
            .is_ok()
    })
}
