//! A new root in the place of an old one, with a time in which both are trusted.
//!
//! The issuing authority's certificate is made anew below the new root, and its chain goes on with
//! a certificate of the new root's key that the old root signed. Who trusts either root accepts
//! what stands on such a chain.

use rcgen::{Issuer, KeyPair, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_types::Timestamp;

use crate::pki::{Credentials, PkiError, authority_params, create_root, root_life, root_name};

/// A new root, and what leads from the old one to it.
pub struct Rotated {
    /// The new root's key, certified by the old root; PEM.
    pub cross: String,
    /// The old root's signature over the message that was handed in.
    pub signature: Vec<u8>,
}

/// Makes a new root. Nobody trusts it yet.
///
/// # Errors
/// [`PkiError`] when key generation fails.
pub fn next_root(now: Timestamp) -> Result<Credentials, PkiError> {
    create_root(now)
}

/// Lets an old root vouch for a new one: by a certificate, and by its signature over `message`.
///
/// # Errors
/// [`PkiError`] when a certificate or key is not one.
pub fn vouch(
    old: &Credentials,
    new: &Credentials,
    message: &[u8],
    now: Timestamp,
) -> Result<Rotated, PkiError> {
    let new_key = KeyPair::from_pem(&new.key)?;
    let old_key = KeyPair::from_pem(&old.key)?;
    let signature = old_key.sign(message)?;
    let issuer = Issuer::from_ca_cert_pem(&old.chain, old_key)?;
    let name = root_name(&new_key);
    let cross = authority_params(&name, 1, now, root_life()).signed_by(&new_key, &issuer)?;
    Ok(Rotated {
        cross: cross.pem(),
        signature,
    })
}

/// The certificates of a PEM text, each as PEM again.
///
/// # Errors
/// [`PkiError::Request`] for a text that is not PEM throughout.
pub fn certificates(text: &str) -> Result<Vec<String>, PkiError> {
    const END: &str = "-----END CERTIFICATE-----";
    let parts = text.split_inclusive(END).map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    let checked = parts.map(|part| {
        CertificateDer::from_pem_slice(part.as_bytes())
            .map(|_| format!("{part}\n"))
            .map_err(|_| PkiError::Request("a root or issuing certificate is not PEM"))
    });
    checked.collect()
}

/// DER of the first certificate of a PEM text.
///
/// # Errors
/// [`PkiError::Request`] for a text without one.
pub fn der(text: &str) -> Result<Vec<u8>, PkiError> {
    CertificateDer::from_pem_slice(text.as_bytes())
        .map(|der| der.to_vec())
        .map_err(|_| PkiError::Request("a root certificate is not PEM"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, PKCS_ED25519};
    use tacit_types::DeviceId;

    use super::*;
    use crate::listener::leads_to;
    use crate::pki::{Authority, create_authorities};
    use crate::renewal::renew_issuing;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn chain_of(pem: &str) -> Vec<CertificateDer<'static>> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        certificates.map(Result::unwrap).collect()
    }

    #[test]
    fn a_chain_leads_to_the_old_root_and_to_the_new_one() {
        let made = create_authorities(NOW).unwrap();
        let new = next_root(NOW).unwrap();
        let rotated = vouch(&made.root, &new, b"message", NOW).unwrap();
        let issuing = renew_issuing(&made.issuing.key, &new.chain, &new.key, NOW).unwrap();
        let whole = format!("{issuing}{}", rotated.cross);
        assert_eq!(
            certificates(&whole).unwrap().concat(),
            whole.replace("\r", "")
        );

        let authority = Authority::from_pem(&whole, &made.issuing.key).unwrap();
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let request = CertificateParams::default();
        let request = request.serialize_request(&key).unwrap();
        let device = authority.issue_device(request.der(), DeviceId([1; 16]), NOW);
        let chain = chain_of(&device.unwrap());
        assert_eq!(chain.len(), 3);
        for root in [&made.root.chain, &new.chain] {
            leads_to(&chain, &chain_of(root), NOW).unwrap();
        }
        let strange = next_root(NOW).unwrap();
        leads_to(&chain, &chain_of(&strange.chain), NOW).unwrap_err();
        // Once the old root is gone, so is what it vouched for.
        leads_to(&chain[..2], &chain_of(&made.root.chain), NOW).unwrap_err();
        leads_to(&chain[..2], &chain_of(&new.chain), NOW).unwrap();
    }
}
