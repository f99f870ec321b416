//! Makes and signs certificates: an offline root, an online issuing authority below it, and
//! short-lived leaves.

use rand::TryRng;
use rand::rngs::SysRng;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tacit_types::{DeviceId, Timestamp};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::identity::Peer;
use crate::listener::leads_to;

/// A certificate that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The request is not one a device may make.
    #[error("the certificate signing request is not acceptable: {0}")]
    Request(&'static str),
    /// A key that is not the certificate's, or a certificate that may not sign.
    #[error("{0}")]
    Authority(&'static str),
    /// A name no client can ask for.
    #[error("give a DNS name or an address alone, as in rec.example.org or 192.0.2.7")]
    Name,
    /// A key or certificate that cannot be used.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// A certificate chain and its private key, both PEM.
pub struct Credentials {
    /// Leaf first.
    pub chain: String,
    /// PKCS#8.
    pub key: String,
}

/// An authority that signs leaves: its own certificate is appended to every chain.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: String,
}

/// What stands before the 32 bytes of an Ed25519 seed (RFC 8410, version 1).
const PKCS8_V1_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// How long leaves live.
pub const LEAF_DAYS: i64 = 30;
/// Certificates start this long in the past, for clocks that disagree.
const SKEW: Duration = Duration::minutes(15);

/// A new root and an issuing authority below it.
pub struct NewAuthorities {
    /// Root certificate and key: keep the key offline.
    pub root: Credentials,
    /// Issuing certificate and key: what the coordinator signs devices with.
    pub issuing: Credentials,
}

/// Makes a root (10 years) and an issuing authority (1 year).
///
/// # Errors
/// [`PkiError`] when key generation fails.
pub fn create_authorities(now: Timestamp) -> Result<NewAuthorities, PkiError> {
    let root = create_root(now)?;
    let root_issuer = Issuer::from_ca_cert_pem(&root.chain, KeyPair::from_pem(&root.key)?)?;

    let issuing_key = new_key()?;
    let issuing = authority_params("Tacit issuing", 0, now, issuing_life())
        .signed_by(&issuing_key, &root_issuer)?;
    Ok(NewAuthorities {
        root,
        issuing: Credentials {
            chain: issuing.pem(),
            key: issuing_key.serialize_pem(),
        },
    })
}

/// A new root.
pub(crate) fn create_root(now: Timestamp) -> Result<Credentials, PkiError> {
    let key = new_key()?;
    let root = authority_params(&root_name(&key), 1, now, root_life()).self_signed(&key)?;
    Ok(Credentials {
        chain: root.pem(),
        key: key.serialize_pem(),
    })
}

/// The name of the root with this key: no two roots have the same, or a chain could be looked for
/// below the wrong one.
pub(crate) fn root_name(key: &KeyPair) -> String {
    let mark = &key.public_key_raw()[..4];
    format!("Tacit root {}", hex::encode(mark))
}

/// Life of a root.
pub(crate) fn root_life() -> Duration {
    Duration::days(3650)
}

/// A new Ed25519 key, in the first version of PKCS#8: OpenSSL 3 refuses the second, which has the
/// public key beside the secret one and is what key generation writes by itself.
fn new_key() -> Result<KeyPair, PkiError> {
    let mut seed = Zeroizing::new([0u8; 32]);
    SysRng
        .try_fill_bytes(seed.as_mut())
        .map_err(|_| PkiError::Authority("the operating system has no randomness to give"))?;
    let der = [&PKCS8_V1_ED25519[..], seed.as_ref()].concat();
    Ok(KeyPair::try_from(&PrivatePkcs8KeyDer::from(der))?)
}

/// A name or an address that a TLS client can ask for: no port, no scheme, no brackets.
fn check_name(name: &str) -> Result<(), PkiError> {
    match ServerName::try_from(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(PkiError::Name),
    }
}

impl Authority {
    /// Restores an issuing authority from PEM.
    ///
    /// # Errors
    /// [`PkiError`] when either text is not what it should be.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key)
            .map_err(|_| PkiError::Authority("the issuing key is not a PEM private key"))?;
        check_authority(certificate, &key)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key)?;
        Ok(Self {
            issuer,
            certificate: certificate.to_owned(),
        })
    }

    /// Makes credentials for a server: `peer` is [`Peer::Coordinator`] or [`Peer::Helper`]; `names`
    /// are the DNS names and addresses it is reached by.
    ///
    /// # Errors
    /// [`PkiError`] when a name is not one.
    pub fn issue_server(
        &self,
        peer: Peer,
        names: &[String],
        now: Timestamp,
    ) -> Result<Credentials, PkiError> {
        let params = server_params(peer, names, now)?;
        let key = new_key()?;
        Ok(Credentials {
            chain: self.chain(&self.sign(&params, &key)?),
            key: key.serialize_pem(),
        })
    }

    /// Signs a leaf; gives it as PEM.
    pub(crate) fn sign(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<String, PkiError> {
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }

    /// Signs a device's request. Only its public key is used; every other wish in it is ignored.
    ///
    /// # Errors
    /// [`PkiError::Request`] if it does not parse, its own signature does not hold, or its key is
    /// not Ed25519.
    pub fn issue_device(
        &self,
        request: &[u8],
        device: DeviceId,
        now: Timestamp,
    ) -> Result<String, PkiError> {
        let request = CertificateSigningRequestParams::from_der(&request.into()).map_err(|_| {
            PkiError::Request("it is not a valid PKCS#10 request with names and usages we know")
        })?;
        let key = request.public_key;
        if key.algorithm() != &PKCS_ED25519 {
            return Err(PkiError::Request("its key is not Ed25519"));
        }
        let mut params = leaf_params(Peer::Device(device), &[], now)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(self.chain(&leaf.pem()))
    }

    /// Checks that what this authority signs leads to one of these roots.
    ///
    /// # Errors
    /// [`PkiError::Authority`] when it does not.
    pub fn check_below(
        &self,
        roots: &[CertificateDer<'static>],
        now: Timestamp,
    ) -> Result<(), PkiError> {
        let probe = self.issue_server(Peer::Helper, &[], now)?.chain;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(probe.as_bytes())
            .flatten()
            .collect();
        leads_to(&chain, roots, now).map_err(|_| {
            PkiError::Authority("the issuing certificate does not lead to the root of tls.root")
        })
    }

    pub(crate) fn chain(&self, leaf: &str) -> String {
        format!("{leaf}{}", self.certificate)
    }
}

/// An issuing certificate must be allowed to sign and must hold the public half of the key it signs
/// with.
fn check_authority(certificate: &str, key: &KeyPair) -> Result<(), PkiError> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|_| PkiError::Authority("the issuing certificate is not a PEM certificate"))?;
    let (_, parsed) = X509Certificate::from_der(&der)
        .map_err(|_| PkiError::Authority("the issuing certificate is malformed"))?;
    if !parsed.is_ca() {
        return Err(PkiError::Authority(
            "the issuing certificate may not sign others: it is not a CA certificate",
        ));
    }
    if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
        return Err(PkiError::Authority(
            "the issuing key does not belong to the issuing certificate",
        ));
    }
    Ok(())
}

fn base_params(name: &str, now: Timestamp, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    params.distinguished_name = names;
    let start =
        OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(i64::try_from(now.0).unwrap_or(0));
    params.not_before = start - SKEW;
    params.not_after = start + life;
    params
}

/// Life of an issuing authority.
pub(crate) fn issuing_life() -> Duration {
    Duration::days(365)
}

/// What a server's certificate says.
pub(crate) fn server_params(
    peer: Peer,
    names: &[String],
    now: Timestamp,
) -> Result<CertificateParams, PkiError> {
    names.iter().try_for_each(|name| check_name(name))?;
    let mut params = leaf_params(peer, names, now)?;
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

pub(crate) fn authority_params(
    name: &str,
    below: u8,
    now: Timestamp,
    life: Duration,
) -> CertificateParams {
    let mut params = base_params(name, now, life);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(
    peer: Peer,
    names: &[String],
    now: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = base_params("Tacit", now, Duration::days(LEAF_DAYS));
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params
        .subject_alt_names
        .push(SanType::URI(peer.to_string().try_into()?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use rcgen::PKCS_ECDSA_P256_SHA256;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn authority() -> Authority {
        let made = create_authorities(NOW).unwrap();
        Authority::from_pem(&made.issuing.chain, &made.issuing.key).unwrap()
    }

    fn leaf_der(chain: &str) -> Vec<u8> {
        CertificateDer::pem_slice_iter(chain.as_bytes())
            .next()
            .unwrap()
            .unwrap()
            .to_vec()
    }

    #[test]
    fn a_device_gets_the_name_the_coordinator_chose_whatever_it_asked_for() {
        let (authority, id) = (authority(), DeviceId([7; 16]));
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        // HOSTILE 77: the request asks for another identity.
        let mut params = CertificateParams::default();
        params
            .subject_alt_names
            .push(SanType::URI("urn:tacit:coordinator".try_into().unwrap()));
        let request = params.serialize_request(&key).unwrap();
        let chain = authority.issue_device(request.der(), id, NOW).unwrap();
        assert_eq!(
            Peer::from_certificate(&leaf_der(&chain)),
            Some(Peer::Device(id))
        );
    }

    #[test]
    fn an_authority_of_another_deployment_is_known_as_one() {
        let made = [
            create_authorities(NOW).unwrap(),
            create_authorities(NOW).unwrap(),
        ];
        let issuing = &made[0].issuing;
        let authority = Authority::from_pem(&issuing.chain, &issuing.key).unwrap();
        let roots = made.map(|one| CertificateDer::from_pem_slice(one.root.chain.as_bytes()));
        let [own, other] = roots.map(|root| [root.unwrap()]);
        assert!(authority.check_below(&own, NOW).is_ok());
        // HOSTILE 74.
        assert!(matches!(
            authority.check_below(&other, NOW),
            Err(PkiError::Authority(_))
        ));
    }

    /// HOSTILE 85.
    #[test]
    fn only_a_name_or_an_address_alone_is_certified() {
        let authority = authority();
        let issue = |name: &str| authority.issue_server(Peer::Helper, &[name.to_owned()], NOW);
        for name in ["localhost", "rec.example.org", "192.0.2.7", "2001:db8::7"] {
            assert!(issue(name).is_ok(), "{name}");
        }
        for name in [
            "",
            " ",
            "host:7420",
            "192.0.2.7:7420",
            "[2001:db8::7]",
            "https://rec.example.org",
            "rec.example.org/",
            "rec example.org",
            "rec.example.org ",
            "*",
            "réc.example.org",
            "a..b",
            "rec\n.example.org",
        ] {
            assert!(matches!(issue(name), Err(PkiError::Name)), "{name:?}");
        }
    }

    #[test]
    fn an_authority_needs_a_ca_certificate_and_its_own_key() {
        let (made, other) = (
            create_authorities(NOW).unwrap(),
            create_authorities(NOW).unwrap(),
        );
        let leaf = authority()
            .issue_server(Peer::Helper, &["localhost".into()], NOW)
            .unwrap();
        // HOSTILE 74.
        for (certificate, key) in [
            (&made.issuing.chain, &other.issuing.key),
            (&leaf.chain, &leaf.key),
            (&made.issuing.key, &made.issuing.key),
        ] {
            assert!(matches!(
                Authority::from_pem(certificate, key),
                Err(PkiError::Authority(_))
            ));
        }
    }

    /// HOSTILE 69, 77.
    #[test]
    fn requests_that_are_broken_or_of_another_key_type_are_refused() {
        let authority = authority();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let request = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        assert!(matches!(
            authority.issue_device(request.der(), DeviceId([1; 16]), NOW),
            Err(PkiError::Request(_))
        ));
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut bytes = CertificateParams::default()
            .serialize_request(&key)
            .unwrap()
            .der()
            .to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        assert!(
            authority
                .issue_device(&bytes, DeviceId([1; 16]), NOW)
                .is_err()
        );
        assert!(
            authority
                .issue_device(&[], DeviceId([1; 16]), NOW)
                .is_err()
        );
    }

    #[test]
    fn identities_are_read_strictly() {
        for (uri, peer) in [
            ("urn:tacit:helper", Some(Peer::Helper)),
            ("urn:tacit:coordinator", Some(Peer::Coordinator)),
            ("urn:tacit:device:0707", None),
            ("urn:tacit:Helper", None),
            ("urn:other:helper", None),
            ("", None),
        ] {
            assert_eq!(Peer::parse(uri), peer, "{uri}");
        }
        assert_eq!(Peer::from_certificate(b"not a certificate"), None);
    }
}
