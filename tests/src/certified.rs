//! Certificates as a deployment's own authority would sign them, good ones and spoilt ones.

use anyhow::{Context, Result};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    SanType,
};
use tacit_types::{DeviceId, Timestamp};
use tacit_wire::Peer;
use tacit_wire::pki::Authority;
use time::{Duration, OffsetDateTime};

use crate::bare::Credentials;
use crate::deployment::Deployment;

/// The device all of them name.
pub const DEVICE: DeviceId = DeviceId([9; 16]);

/// The authority that signs a deployment's devices.
///
/// # Errors
/// When its files cannot be read.
pub fn issuing(deployment: &Deployment) -> Result<Authority> {
    Ok(Authority::from_pem(
        &deployment.pki("issuing.crt")?,
        &deployment.pki("issuing.key")?,
    )?)
}

/// A device's credentials as this authority would have made them at `then`.
///
/// # Errors
/// When the authority refuses.
pub fn device_at(authority: &Authority, then: Timestamp) -> Result<Credentials> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let request = CertificateParams::default().serialize_request(&key)?;
    let chain = authority.issue_device(request.der(), DEVICE, then)?;
    Ok(Credentials {
        chain,
        key: key.serialize_pem(),
    })
}

/// The name in a device's certificate.
///
/// # Panics
/// Never: the name is plain ASCII.
pub fn device_uri() -> SanType {
    let name = Peer::Device(DEVICE).to_string();
    SanType::URI(name.try_into().expect("plain ASCII"))
}

/// Parameters of a good device certificate, to be spoilt.
pub fn device_params() -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.not_before = now - Duration::minutes(5);
    params.not_after = now + Duration::days(30);
    params.subject_alt_names = vec![device_uri()];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Signs parameters for `key` with the deployment's own authority of this name, `issuing` or
/// `root`.
///
/// # Errors
/// When its files cannot be read or the parameters not be signed.
pub fn signed_by(
    deployment: &Deployment,
    authority: &str,
    params: &CertificateParams,
    key: &KeyPair,
) -> Result<Credentials> {
    let certificate = deployment.pki(&format!("{authority}.crt"))?;
    let signing = KeyPair::from_pem(&deployment.pki(&format!("{authority}.key"))?)?;
    let issuer = Issuer::from_ca_cert_pem(&certificate, signing).context("not an authority")?;
    Ok(Credentials {
        chain: params.signed_by(key, &issuer)?.pem() + &certificate,
        key: key.serialize_pem(),
    })
}
