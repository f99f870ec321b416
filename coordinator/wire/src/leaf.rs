//! What a leaf certificate says, also one that has ended.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_types::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::{LeafKey, Peer, key_of};
use crate::listener::leads_to;
use crate::pki::{Authority, PkiError};

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
    pub fn read_own(
        &self,
        leaf: &[u8],
        roots: &[CertificateDer<'static>],
    ) -> Result<OwnLeaf, PkiError> {
        let refuse = || PkiError::Request("the old certificate is not one of this deployment");
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| refuse())?;
        let ended = parsed.validity().not_after.timestamp();
        let ended = u64::try_from(ended)
            .map_err(|_| refuse())?
            .saturating_mul(1000);
        let issuing = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let issuing = issuing.map_err(|_| refuse())?;
        let chain = [CertificateDer::from(leaf.to_vec()), issuing];
        // Held valid in its last second, whatever the time is now.
        let last = Timestamp(ended.saturating_sub(1000));
        leads_to(&chain, roots, last).map_err(|_| refuse())?;
        let (Some(peer), Some(key)) = (Peer::from_certificate(leaf), key_of(leaf)) else {
            return Err(refuse());
        };

        let ended = Timestamp(ended);
        Ok(OwnLeaf { peer, key, ended })
    }
}

/// When a certificate begins and ends; `None` for what is none.
pub fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let at = |seconds: i64| Some(Timestamp(u64::try_from(seconds).ok()?.saturating_mul(1000)));
    let validity = parsed.validity();
    Some((
        at(validity.not_before.timestamp())?,
        at(validity.not_after.timestamp())?,
    ))
}
