//! One installation's identity: its key, its certificate, its membership if it has one, and what it
//! trusts.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tacit_round::keys::PublicKey;
use tacit_round::member::Member;
use tacit_round::policy::Policy;
use tacit_round::signed_policy::SignedPolicy;
use tonic::transport::{Endpoint, Uri};
use zeroize::Zeroizing;

use crate::connector::{Connector, Ended};
use crate::deadlines::Deadlines;
use crate::error::SdkError;
use crate::files::{self, Found};
use crate::reason::Reason;
use crate::renewal::{self, Life};
use crate::store::Store;
use crate::transport;

/// What stands before the 32 bytes of an Ed25519 seed (RFC 8410, version 1).
const PKCS8_V1_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

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
    policy: Policy,
}

impl Deployment {
    /// The policy, as its publisher signed it.
    pub fn policy(&self) -> &Policy {
        &self.policy
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
        let policy = policy
            .open(publisher)
            .map_err(|error| SdkError::Stop(format!("policy: {error}")))?;
        Ok(Self {
            coordinator: coordinator.to_owned(),
            server_name: server_name.to_owned(),
            root_certificate: root_certificate.to_owned(),
            policy,
        })
    }

    /// Where the coordinator is, and the limits of a connection.
    pub(crate) fn endpoint(&self, deadlines: &Deadlines) -> Result<Endpoint, SdkError> {
        let bad = |error: &dyn Display| SdkError::Stop(format!("coordinator address: {error}"));
        let address: Uri = self.coordinator.parse().map_err(|error| bad(&error))?;
        if address.scheme_str() != Some("https") {
            return Err(bad(&"must start with https://"));
        }
        // The client would make TLS of its own under https; the connector makes it here.
        let plain = self.coordinator.replacen("https", "http", 1);
        let endpoint = Endpoint::from_shared(plain).map_err(|error| bad(&error))?;
        Ok(endpoint
            .origin(address)
            .connect_timeout(deadlines.connect)
            .timeout(deadlines.call)
            .http2_keep_alive_interval(deadlines.keepalive)
            .keep_alive_timeout(deadlines.keepalive))
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
        for root in read_chain(self.root_certificate.as_bytes()) {
            let root = root.map_err(|error| bad(&error))?;
            roots.add(root).map_err(|error| bad(&error))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| bad(&error))?
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let chain: Result<_, _> = read_chain(&own.chain).collect();
                let key = PrivateKeyDer::from_pem_slice(&own.key).map_err(|error| bad(&error))?;
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
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

fn read_chain(pem: &[u8]) -> impl Iterator<Item = Result<CertificateDer<'static>, pem::Error>> {
    CertificateDer::pem_slice_iter(pem)
}

pub(crate) fn key_path(folder: &Path) -> PathBuf {
    folder.join("device.key")
}

/// Where an installation's certificate chain lies.
pub fn certificate_path(folder: &Path) -> PathBuf {
    folder.join("device.crt")
}

/// Whether this installation has enrolled.
pub fn is_enrolled(folder: &Path) -> bool {
    certificate_path(folder).exists()
}

fn member_path(folder: &Path) -> PathBuf {
    folder.join("member.key")
}

/// Stores the membership the helper's organisation gave this installation; the one stored last
/// counts.
///
/// # Errors
/// [`SdkError::Stop`] when `text` is not a membership or the folder cannot be written.
pub fn keep_member(folder: &Path, text: &str) -> Result<(), SdkError> {
    let bad = || SdkError::Stop("the membership is not 192 hexadecimal digits".into());
    let member = Member::from_hex(text).ok_or_else(bad)?;
    files::create_folder(folder)?;
    files::write(&member_path(folder), member.to_hex().as_bytes())
}

/// This installation's membership, if it has one.
///
/// # Errors
/// [`SdkError::Stop`] when the file is there and cannot be read.
pub(crate) fn member(folder: &Path) -> Result<Option<Member>, SdkError> {
    let path = member_path(folder);
    let text = match files::look(&path)? {
        Found::Nothing => return Ok(None),
        Found::Other(problem) => return Err(files::stop(&path, problem)),
        Found::File(bytes) => String::from_utf8(bytes).ok(),
    };
    let member = text.and_then(|text| Member::from_hex(&text));
    member
        .map(Some)
        .ok_or_else(|| files::stop(&path, "not a membership"))
}

/// This installation's certificate and key, for TLS.
///
/// # Errors
/// [`SdkError::Stop`] when either file is missing or unreadable.
pub(crate) fn load(folder: &Path) -> Result<Identity, SdkError> {
    renewal::adopt(folder)?;
    let path = certificate_path(folder);
    if !files::is_there(&path)? {
        return Err(files::stop(&path, "missing; enrol first"));
    }
    Ok(Identity {
        chain: files::read(&path)?,
        key: files::read(&key_path(folder))?.into(),
    })
}

/// Makes the installation's key and store, and trades the single-use `token` for a certificate.
///
/// May be repeated after a crash or a lost answer: the same key and token give the same
/// certificate.
///
/// # Errors
/// [`SdkError::RetryLater`] when the coordinator is away, [`SdkError::Stop`] when it refuses the
/// token.
pub async fn enrol(
    folder: &Path,
    deployment: &Deployment,
    token: &[u8; 32],
) -> Result<(), SdkError> {
    if files::is_there(&certificate_path(folder))? {
        return Ok(());
    }
    let request = {
        files::create_folder(folder)?;
        signing_request(folder)?
    };
    let deadlines = Deadlines::default();
    let issued = transport::enrol(deployment, &deadlines, token, request).await?;
    // Only a chain that fits the key is kept: an installation with any other would count as
    // enrolled and never get in.
    let key = files::read(&key_path(folder))?;
    deployment.check_fit(&issued.chain, key)?;
    if !files::is_there(&Store::path(folder))? {
        drop(Store::create(folder)?);
    }
    Life::of(&issued).write(folder)?;
    // The certificate comes last: from here on a missing store reads as exhausted.
    files::write(&certificate_path(folder), issued.chain.as_bytes())
}

/// A new Ed25519 key, in the first version of PKCS#8: OpenSSL 3 refuses the second, which rcgen
/// writes by itself.
pub(crate) fn new_key() -> Result<KeyPair, SdkError> {
    let bug = |error: rcgen::Error| SdkError::Bug(format!("device key: {error}"));
    let mut seed = Zeroizing::new([0u8; 32]);
    let drawn = SysRng.try_fill_bytes(seed.as_mut());
    drawn.map_err(|error| SdkError::Bug(format!("the system has no randomness: {error}")))?;
    let der = Zeroizing::new([&PKCS8_V1_ED25519[..], seed.as_ref()].concat());
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(&der[..])).map_err(bug)
}

/// The request for this installation's key, which is made on first use.
fn signing_request(folder: &Path) -> Result<Vec<u8>, SdkError> {
    let bug = |error: rcgen::Error| SdkError::Bug(format!("device key: {error}"));
    let path = key_path(folder);
    let key = if files::is_there(&path)? {
        let not_a_key = || files::stop(&path, "not a private key");
        let pem = String::from_utf8(files::read(&path)?).map_err(|_| not_a_key())?;
        KeyPair::from_pem(&pem).map_err(|_| not_a_key())?
    } else {
        let key = new_key()?;
        files::write(&path, key.serialize_pem().as_bytes())?;
        key
    };
    Ok(CertificateParams::default()
        .serialize_request(&key)
        .map_err(bug)?
        .der()
        .to_vec())
}
