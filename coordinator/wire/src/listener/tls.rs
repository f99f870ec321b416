//! TLS settings of a server: TLS 1.3 only, hybrid key exchange only, no resumption.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tacit_types::Timestamp;

use crate::current::Current;
use crate::identity::Leaf;
use crate::provider::provider;
use crate::revoked::Revoked;

/// Whether a peer without a certificate may connect. Each call decides what such a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Needed.
    Required,
    /// Checked when shown: for enrolment.
    Optional,
}

/// TLS settings of a server that tells peers on this list that they are revoked.
///
/// # Errors
/// When key and certificate do not belong together or the roots are empty.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: &[CertificateDer<'static>],
    client: ClientCertificate,
    revoked: &Current<Revoked>,
) -> Result<ServerConfig, String> {
    let provider = provider();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(root_store(roots)?, provider.clone());
    let verifier = match client {
        ClientCertificate::Required => verifier,
        ClientCertificate::Optional => verifier.allow_unauthenticated(),
    };
    let verifier = verifier
        .build()
        .map_err(|error| format!("root certificate: {error}"))?;
    let verifier = Arc::new(Unrevoked {
        verifier,
        revoked: revoked.clone(),
    });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| format!("key and certificate do not fit together: {error}"))?;
    // No resumption: a resumed session would skip the certificate check, and revocation with it.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Refuses who is revoked, in the words of TLS, after everything else was found good.
#[derive(Debug)]
struct Unrevoked {
    verifier: Arc<dyn ClientCertVerifier>,
    revoked: Current<Revoked>,
}

impl ClientCertVerifier for Unrevoked {
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(leaf, above, now)?;
        let revoked = self.revoked.get();
        match Leaf::read(leaf) {
            Some(leaf) if revoked.has(&leaf) => Err(CertificateError::Revoked.into()),
            _ => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }
}

/// Checks that a chain, leaf first, leads to one of the roots, as the other party will.
///
/// # Errors
/// What is wrong, in words.
pub fn leads_to(
    chain: &[CertificateDer<'static>],
    roots: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<(), String> {
    let verifier = WebPkiClientVerifier::builder_with_provider(root_store(roots)?, provider());
    let verifier = verifier.build().map_err(|error| error.to_string())?;
    let (leaf, above) = chain.split_first().ok_or("there is no certificate")?;
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    let verified = verifier.verify_client_cert(leaf, above, now);
    verified.map(drop).map_err(|error| error.to_string())
}

fn root_store(roots: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store
            .add(root.clone())
            .map_err(|error| format!("root certificate: {error}"))?;
    }
    Ok(Arc::new(store))
}
