//! Key and certificate of an installation on its disk: the ones in force, and those that take their
//! place.

use std::fs;
use std::path::{Path, PathBuf};

use tacit_round::root::SignedRoot;
use tacit_types::Timestamp;

use crate::deployment::Identity;
use crate::error::SdkError;
use crate::files;
use crate::store::CERTIFICATE;

/// What a renewal writes, beside what is in force.
pub(crate) const NEXT_KEY: &str = "renewal.key";
pub(crate) const NEXT_LIFE: &str = "renewal.life";
pub(crate) const NEXT_CERTIFICATE: &str = "renewal.crt";

/// The end of a certificate whose life cannot be read.
const UNKNOWN: Timestamp = Timestamp(u64::MAX);

/// A certificate chain, and when to come back for the next.
pub(crate) struct Issued {
    /// PEM, leaf first.
    pub(crate) chain: String,
    pub(crate) renew_after: Timestamp,
    pub(crate) valid_until: Timestamp,
    /// Roots the coordinator tells of; nothing has been checked.
    pub(crate) roots: Vec<SignedRoot>,
}

pub(crate) fn key_path(folder: &Path) -> PathBuf {
    folder.join("device.key")
}

/// Where an installation's certificate chain lies.
pub fn certificate_path(folder: &Path) -> PathBuf {
    folder.join(CERTIFICATE)
}

/// Whether this installation has enrolled.
pub fn is_enrolled(folder: &Path) -> bool {
    certificate_path(folder).exists()
}

/// This installation's certificate and key, for TLS.
///
/// # Errors
/// [`SdkError::Stop`] when either file is missing or unreadable.
pub(crate) fn load(folder: &Path) -> Result<Identity, SdkError> {
    adopt(folder)?;
    let path = certificate_path(folder);
    if !files::is_there(&path)? {
        return Err(files::stop(&path, "missing; enrol first"));
    }

    Ok(Identity {
        chain: files::read(&path)?,
        key: files::read(&key_path(folder))?.into(),
    })
}

/// When to renew, and when the certificate ends; milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) renew_after: Timestamp,
    pub(crate) valid_until: Timestamp,
}

impl Life {
    pub(crate) fn of(issued: &Issued) -> Self {
        Self {
            renew_after: issued.renew_after,
            valid_until: issued.valid_until,
        }
    }

    /// Whether it ends before `other` does, where that is known.
    pub(crate) fn is_shorter_than(self, other: Self) -> bool {
        other.valid_until != UNKNOWN && self.valid_until < other.valid_until
    }

    /// Reads what was kept. Missing or damaged, it reads as due now: asking costs a call.
    pub(crate) fn read(folder: &Path) -> Self {
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
            valid_until: UNKNOWN,
        })
    }

    /// Keeps it where [`Self::read`] looks.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub(crate) fn write(self, folder: &Path) -> Result<(), SdkError> {
        self.write_to(&life_path(folder))
    }

    pub(crate) fn write_to(self, path: &Path) -> Result<(), SdkError> {
        let text = format!("{} {}\n", self.renew_after.0, self.valid_until.0);
        files::write(path, text.as_bytes())
    }
}

fn life_path(folder: &Path) -> PathBuf {
    folder.join("device.life")
}

/// Lets a renewed identity take the place of the one before, if one is complete. Its certificate is
/// written last and moved last, so it says whether there is something to finish.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn adopt(folder: &Path) -> Result<(), SdkError> {
    if !files::is_there(&folder.join(NEXT_CERTIFICATE))? {
        return Ok(());
    }

    let moves = [
        (NEXT_KEY, key_path(folder)),
        (NEXT_LIFE, life_path(folder)),
        (NEXT_CERTIFICATE, certificate_path(folder)),
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

/// Erases key and certificate, and whatever was to take their place.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn erase(folder: &Path) -> Result<(), SdkError> {
    // What says that there is something comes first: the next certificate, then the one in force.
    let files = [
        folder.join(NEXT_CERTIFICATE),
        certificate_path(folder),
        folder.join(NEXT_LIFE),
        folder.join(NEXT_KEY),
        life_path(folder),
        key_path(folder),
    ];
    for path in files {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(files::failed(&path, error));
            }
            _ => files::sync_folder(folder)?,
        }
    }

    Ok(())
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
            (NEXT_KEY, "new key"),
            (NEXT_LIFE, "3 4"),
            (NEXT_CERTIFICATE, "new certificate"),
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
                (NEXT_KEY, "device.key"),
                (NEXT_LIFE, "device.life"),
                (NEXT_CERTIFICATE, "device.crt"),
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
        fs::remove_file(folder.join(NEXT_CERTIFICATE)).unwrap();
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
