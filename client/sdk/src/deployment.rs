//! What an app ships with, and connections made with its trust.

use std::fmt::Display;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tacit_round::keys::PublicKey;
use tacit_round::policy::Policy;
use tacit_round::signed_policy::{InForce, SignedPolicy};
use tonic::codegen::http::Uri;
use zeroize::Zeroizing;

use crate::connector::{Connector, Ended};
use crate::deadlines::Deadlines;
use crate::error::SdkError;
use crate::reason::Reason;
use crate::tls;

/// What an app ships with: where the coordinator is, whom to trust, and the policy its publisher
/// signed.
///
/// No device acts on a policy that nobody signed, or on one changed since:
///
/// ```
/// # use tacit_sdk::Deployment;
/// fn budget(deployment: &Deployment) -> tacit_privacy::Rho {
///     deployment.policy().rho_lifetime
/// }
/// ```
/// ```compile_fail,E0616
/// # use tacit_sdk::Deployment;
/// fn raised(mut deployment: Deployment) {
///     deployment.policy.rho_lifetime = tacit_privacy::Rho::MAX;
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Deployment {
    /// `https://host:port` of the coordinator.
    pub coordinator: String,
    /// Name the coordinator's certificate must carry.
    pub server_name: String,
    /// Root certificate of the deployment, PEM.
    pub root_certificate: String,
    /// Checked against the publisher's key, so it cannot be set from outside.
    policy: InForce,
    /// The roots trusted instead of that one, once an installation has learned of others.
    trusted: Option<Vec<CertificateDer<'static>>>,
}

impl Deployment {
    /// The policy, as its publisher signed it.
    pub fn policy(&self) -> &Policy {
        self.policy.policy()
    }

    /// The policy, and who signed it.
    pub(crate) fn in_force(&self) -> &InForce {
        &self.policy
    }

    /// Goes by this policy from now on.
    pub(crate) fn go_by(&mut self, policy: InForce) {
        self.policy = policy;
    }

    /// [`Self::new`] from texts, as an app ships them: the root in PEM, the policy in JSON and the
    /// publisher's key in hexadecimal, as `tacit pki` writes them.
    ///
    /// # Errors
    /// [`SdkError::Stop`] for a text that cannot be read, and as [`Self::new`].
    pub fn read(
        coordinator: &str,
        server_name: &str,
        root_certificate: &str,
        policy: &str,
        publisher: &str,
    ) -> Result<Self, SdkError> {
        let policy = serde_json::from_str(policy)
            .map_err(|error| SdkError::Stop(format!("policy: {error}")))?;
        let publisher = serde_json::from_value(publisher.trim().into())
            .map_err(|error| SdkError::Stop(format!("publisher: {error}")))?;
        Self::new(
            coordinator,
            server_name,
            root_certificate,
            &policy,
            &publisher,
        )
    }

    /// Checks the policy and builds the deployment.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when the publisher did not sign this policy.
    pub fn new(
        coordinator: &str,
        server_name: &str,
        root_certificate: &str,
        policy: &SignedPolicy,
        publisher: &PublicKey,
    ) -> Result<Self, SdkError> {
        let policy = InForce::shipped(policy, publisher)
            .map_err(|error| SdkError::Stop(format!("policy: {error}")))?;
        Ok(Self {
            coordinator: coordinator.to_owned(),
            server_name: server_name.to_owned(),
            root_certificate: root_certificate.to_owned(),
            policy,
            trusted: None,
        })
    }

    /// The roots that are trusted.
    pub(crate) fn roots(&self) -> Result<Vec<CertificateDer<'static>>, SdkError> {
        if let Some(trusted) = &self.trusted {
            return Ok(trusted.clone());
        }
        let shipped = read_chain(self.root_certificate.as_bytes());
        shipped
            .collect::<Result<_, _>>()
            .map_err(|error| SdkError::Stop(format!("certificate: {error}")))
    }

    /// Trusts these roots from now on.
    pub(crate) fn trust(&mut self, roots: Vec<CertificateDer<'static>>) {
        self.trusted = Some(roots);
    }

    /// Where the coordinator is.
    pub(crate) fn address(&self) -> Result<Uri, SdkError> {
        let bad = |error: &dyn Display| SdkError::Stop(format!("coordinator address: {error}"));
        let address: Uri = self.coordinator.parse().map_err(|error| bad(&error))?;
        if address.scheme_str() != Some("https") {
            return Err(bad(&"must start with https://"));
        }

        Ok(address)
    }

    /// Connects with this deployment's trust and, once enrolled, this installation's certificate.
    pub(crate) fn connector(
        &self,
        own: Option<Identity>,
        deadlines: &Deadlines,
        ended: Ended,
    ) -> Result<Connector, SdkError> {
        let name = ServerName::try_from(self.server_name.clone())
            .map_err(|error| SdkError::Stop(format!("server_name: {error}")))?;
        let config = Arc::new(self.tls(own)?);
        Ok(Connector::new(config, name, deadlines.connect, ended))
    }

    /// Checks that a chain that was issued is one, and that it belongs to this key, PEM.
    ///
    /// # Errors
    /// [`SdkError::RetryLater`]: the coordinator may do better.
    pub(crate) fn check_fit(&self, chain: &str, key: Vec<u8>) -> Result<(), SdkError> {
        let (chain, key) = (chain.as_bytes().to_vec(), key.into());
        let fits = self.tls(Some(Identity { chain, key }));
        let bad = |error| SdkError::retry(Reason::NotNow, format!("the certificate: {error}"));
        fits.map(drop).map_err(bad)
    }

    fn tls(&self, own: Option<Identity>) -> Result<ClientConfig, SdkError> {
        let bad = |error: &dyn Display| SdkError::Stop(format!("certificate: {error}"));
        let mut roots = RootCertStore::empty();
        for root in self.roots()? {
            roots.add(root).map_err(|error| bad(&error))?;
        }

        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| bad(&error))?
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let chain: Result<_, _> = read_chain(&own.chain).collect();
                let key = PrivateKeyDer::from_pem_slice(&own.key);
                let key = key.map_err(|error| bad(&error))?;
                config
                    .with_client_auth_cert(chain.map_err(|error| bad(&error))?, key)
                    .map_err(|error| bad(&error))?
            }
        };

        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// An installation's certificate chain and its key, both PEM.
pub(crate) struct Identity {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Zeroizing<Vec<u8>>,
}

fn read_chain(pem: &[u8]) -> impl Iterator<Item = Result<CertificateDer<'static>, pem::Error>> {
    CertificateDer::pem_slice_iter(pem)
}
