//! The next certificate, before the one in force ends: an installation that calls now and then
//! keeps its identity, and with it its account, for as long as it lives.
//!
//! From `renew_after` on a step asks for a certificate for a new key. What it got is written beside
//! the identity in force and takes its place file by file, the certificate last, so that a crash
//! anywhere is finished at the next start. A certificate that has ended is renewed by proof of its
//! key, for as long as the coordinator's grace allows.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_privacy::canonical::digest;
use tacit_round::keys::Context;
use tacit_types::Timestamp;

use crate::credentials::{
    Life, NEXT_CERTIFICATE, NEXT_KEY, NEXT_LIFE, adopt, certificate_path, key_path, load,
};
use crate::deadlines::Deadlines;
use crate::deployment::Deployment;
use crate::device_key::DeviceKey;
use crate::error::SdkError;
use crate::files;
use crate::reason::Reason;
use crate::roots;
use crate::transport::{self, Old, Proof};

/// Renews this installation's certificate if it is time to.
///
/// While the old certificate holds, a renewal that fails is tried again at the next step.
///
/// # Errors
/// [`SdkError::RetryLater`] when the certificate has ended and the coordinator is away,
/// [`SdkError::Stop`] when it refuses or storage fails.
pub(crate) async fn renew_if_due(
    folder: &Path,
    deployment: &Deployment,
    deadlines: &Deadlines,
    now: Timestamp,
) -> Result<(), SdkError> {
    // What the last process began comes first: a new key would take the place of the one that fits
    // the certificate it got.
    adopt(folder)?;
    let life = Life::read(folder);
    if now < life.renew_after {
        return Ok(());
    }

    let ended = now >= life.valid_until;
    let renewed = renew(folder, deployment, deadlines, life, ended).await;
    match renewed {
        Err(error) if !ended => {
            tracing::debug!(event = "not_renewed", reason = %error);
            Ok(())
        }
        other => other,
    }
}

async fn renew(
    folder: &Path,
    deployment: &Deployment,
    deadlines: &Deadlines,
    life: Life,
    ended: bool,
) -> Result<(), SdkError> {
    let next = next_key(folder)?;
    let request = next.request()?;
    let old = if ended {
        Old::Proved(prove(folder, &request)?)
    } else {
        Old::Shown(load(folder)?)
    };

    let trusted = roots::trusted(folder, deployment)?;
    let issued = transport::renew(&trusted, deadlines, request, old).await?;
    // Before the certificate: its successors may lead to the new root alone.
    roots::learn(folder, deployment, &issued.roots)?;

    // Only a chain that fits the key is kept.
    deployment.check_fit(&issued.chain, next.pem().to_vec())?;
    if Life::of(&issued).is_shorter_than(life) {
        let why = "it renews by a clock that is far back; what is in force stays";
        return Err(SdkError::retry(Reason::NotNow, why));
    }

    Life::of(&issued).write_to(&folder.join(NEXT_LIFE))?;
    files::write(&folder.join(NEXT_CERTIFICATE), issued.chain.as_bytes())?;
    adopt(folder)?;
    tracing::info!(
        event = "certificate_renewed",
        until_ms = issued.valid_until.0
    );

    Ok(())
}

/// The key asked for: the same at every try, so that a lost answer can be asked for again.
fn next_key(folder: &Path) -> Result<DeviceKey, SdkError> {
    let path = folder.join(NEXT_KEY);
    let kept = files::read(&path).ok();
    if let Some(key) = kept.and_then(|pem| DeviceKey::from_pem(&pem)) {
        return Ok(key);
    }

    let key = DeviceKey::generate()?;
    files::write(&path, key.pem())?;
    Ok(key)
}

/// The old certificate, and its key's signature over it and over the request.
fn prove(folder: &Path, request: &[u8]) -> Result<Proof, SdkError> {
    let (path, key) = (certificate_path(folder), key_path(folder));
    let old = CertificateDer::from_pem_slice(&files::read(&path)?);
    let old = old.map_err(|_| files::stop(&path, "not a certificate"))?;
    let pair = DeviceKey::from_pem(&files::read(&key)?);
    let pair = pair.ok_or_else(|| files::stop(&key, "not a private key"))?;
    let message = [digest(&old).0, digest(request).0].concat();
    let signature = pair.sign(&Context::Renew.signed(&message))?;
    Ok(Proof {
        certificate: old.to_vec(),
        signature,
    })
}
