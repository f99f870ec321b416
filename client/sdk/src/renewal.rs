//! The next certificate, before the one in force ends: an installation that calls now and then
//! keeps its identity, and with it its account, for as long as it lives.
//!
//! From `renew_after` on a step asks for a certificate for a new key. What it got is written beside
//! the identity in force and takes its place file by file, the certificate last, so that a crash
//! anywhere is finished at the next start. A certificate that has ended is renewed by proof of its
//! key, for as long as the coordinator's grace allows.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_privacy::canonical::digest;
use tacit_round::keys::Context;
use tacit_types::Timestamp;

use crate::deadlines::Deadlines;
use crate::error::SdkError;
use crate::files;
use crate::identity::{Deployment, certificate_path, key_path, load, new_key};
use crate::transport::{self, Issued, Old, Proof};

const KEY: &str = "renewal.key";
const LIFE: &str = "renewal.life";
const CERTIFICATE: &str = "renewal.crt";

/// When to renew, and when the certificate ends; milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    renew_after: Timestamp,
    valid_until: Timestamp,
}

impl Life {
    pub(crate) fn of(issued: &Issued) -> Self {
        Self {
            renew_after: issued.renew_after,
            valid_until: issued.valid_until,
        }
    }

    /// Reads what was kept. Missing or damaged, it reads as due now: asking costs a call.
    fn read(folder: &Path) -> Self {
        let kept = || {
            let text = String::from_utf8(files::read(&life_path(folder)).ok()?).ok()?;
            let (renew_after, valid_until) = text.trim().split_once(' ')?;
            Some(Self {
                renew_after: Timestamp(renew_after.parse().ok()?),
                valid_until: Timestamp(valid_until.parse().ok()?),
            })
        };
        kept().unwrap_or(Self {
            renew_after: Timestamp(0),
            valid_until: Timestamp(u64::MAX),
        })
    }

    /// Keeps it where [`Self::read`] looks.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub(crate) fn write(self, folder: &Path) -> Result<(), SdkError> {
        self.write_to(&life_path(folder))
    }

    fn write_to(self, path: &Path) -> Result<(), SdkError> {
        let text = format!("{} {}\n", self.renew_after.0, self.valid_until.0);
        files::write(path, text.as_bytes())
    }
}

fn life_path(folder: &Path) -> PathBuf {
    folder.join("device.life")
}

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
    let life = Life::read(folder);
    if now < life.renew_after {
        return Ok(());
    }
    let ended = now >= life.valid_until;
    let renewed = renew(folder, deployment, deadlines, ended).await;
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
    ended: bool,
) -> Result<(), SdkError> {
    let next = next_key(folder)?;
    let request = signing_request(&next)?;
    let old = if ended {
        Old::Proved(prove(folder, &request)?)
    } else {
        Old::Shown(load(folder)?)
    };
    let issued = transport::renew(deployment, deadlines, request, old).await?;

    // Only a chain that fits the key is kept.
    deployment.check_fit(&issued.chain, next.serialize_pem().into_bytes())?;
    Life::of(&issued).write_to(&folder.join(LIFE))?;
    files::write(&folder.join(CERTIFICATE), issued.chain.as_bytes())?;
    adopt(folder)?;
    tracing::info!(
        event = "certificate_renewed",
        until_ms = issued.valid_until.0
    );
    Ok(())
}

/// Lets a renewed identity take the place of the one before, if one is complete. Its certificate is
/// written last and moved last, so it says whether there is something to finish.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn adopt(folder: &Path) -> Result<(), SdkError> {
    if !files::is_there(&folder.join(CERTIFICATE))? {
        return Ok(());
    }
    let moves = [
        (KEY, key_path(folder)),
        (LIFE, life_path(folder)),
        (CERTIFICATE, certificate_path(folder)),
    ];
    for (name, place) in moves {
        let from = folder.join(name);
        match fs::rename(&from, &place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(files::failed(&from, error));
            }
            _ => files::sync_folder(folder)?,
        }
    }
    Ok(())
}

/// The key asked for: the same at every try, so that a lost answer can be asked for again.
fn next_key(folder: &Path) -> Result<KeyPair, SdkError> {
    let path = folder.join(KEY);
    if let Ok(Ok(key)) =
        files::read(&path).map(|pem| KeyPair::from_pem(&String::from_utf8_lossy(&pem)))
    {
        return Ok(key);
    }
    let key = new_key()?;
    files::write(&path, key.serialize_pem().as_bytes())?;
    Ok(key)
}

fn signing_request(key: &KeyPair) -> Result<Vec<u8>, SdkError> {
    let request = CertificateParams::default().serialize_request(key);
    Ok(request.map_err(bug)?.der().to_vec())
}

/// The old certificate, and its key's signature over it and over the request.
fn prove(folder: &Path, request: &[u8]) -> Result<Proof, SdkError> {
    let (path, key) = (certificate_path(folder), key_path(folder));
    let old = CertificateDer::from_pem_slice(&files::read(&path)?);
    let old = old.map_err(|_| files::stop(&path, "not a certificate"))?;
    let pem = String::from_utf8(files::read(&key)?);
    let pair = pem.ok().and_then(|pem| KeyPair::from_pem(&pem).ok());
    let pair = pair.ok_or_else(|| files::stop(&key, "not a private key"))?;
    let message = [digest(&old).0, digest(request).0].concat();
    let signature = pair.sign(&Context::Renew.signed(&message)).map_err(bug)?;
    Ok(Proof {
        certificate: old.to_vec(),
        signature,
    })
}

fn bug(error: rcgen::Error) -> SdkError {
    SdkError::Bug(format!("device key: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file of a renewal, and those it takes the place of.
    fn renewal(folder: &Path) {
        for (name, text) in [
            ("device.key", "old key"),
            ("device.life", "1 2"),
            ("device.crt", "old certificate"),
            (KEY, "new key"),
            (LIFE, "3 4"),
            (CERTIFICATE, "new certificate"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    /// HOSTILE 132.
    #[test]
    fn a_renewal_stopped_anywhere_is_finished_or_was_never_begun() {
        let read = |folder: &Path| {
            ["device.key", "device.life", "device.crt"]
                .map(|name| fs::read_to_string(folder.join(name)).unwrap())
        };
        let new = ["new key", "3 4", "new certificate"];
        for moved in 0..=3 {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            renewal(folder);
            let moves = [
                (KEY, "device.key"),
                (LIFE, "device.life"),
                (CERTIFICATE, "device.crt"),
            ];
            for (from, to) in moves.iter().take(moved) {
                fs::rename(folder.join(from), folder.join(to)).unwrap();
            }
            adopt(folder).unwrap();
            assert_eq!(read(folder), new, "stopped after {moved} moves");
            adopt(folder).unwrap();
            assert_eq!(read(folder), new);
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        renewal(folder);
        fs::remove_file(folder.join(CERTIFICATE)).unwrap();
        adopt(folder).unwrap();
        assert_eq!(read(folder), ["old key", "1 2", "old certificate"]);
    }

    #[test]
    fn a_life_that_cannot_be_read_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let life = Life {
            renew_after: Timestamp(5),
            valid_until: Timestamp(9),
        };
        assert_eq!(Life::read(folder).renew_after, Timestamp(0));
        life.write(folder).unwrap();
        assert_eq!(Life::read(folder), life);
        fs::write(life_path(folder), "soon").unwrap();
        assert_eq!(Life::read(folder).renew_after, Timestamp(0));
    }
}
