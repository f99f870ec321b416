//! Reads keys and certificates from files, and makes the folders and files of a daemon's state.
//! Every error is one line that names the file and what to do.
//!
//! What a daemon keeps is for its owner's eyes: folders are made 0700 and files 0600 whatever the
//! umask, exports included. An operator publishes an export by copying it to where it is served.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tacit_types::Timestamp;
use tacit_types::shown::Shown;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", Shown(&path.to_string_lossy()))]
pub struct FileError {
    path: PathBuf,
    problem: String,
}

impl FileError {
    /// Names the file and the problem.
    pub fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Largest key or certificate file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// Largest list or model that is read: a catalogue of four million long lines.
const LARGE_BYTES_MAX: u64 = 1 << 30;

/// Reads a small text file.
///
/// # Errors
/// [`FileError`] when it is missing, a directory, too large or not text.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let metadata = fs::metadata(path)
        .map_err(|error| FileError::new(path, format!("cannot be read: {error}")))?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(FileError::new(path, "is not a small regular file"));
    }
    fs::read_to_string(path)
        .map_err(|error| FileError::new(path, format!("cannot be read: {error}")))
}

/// Reads an operator's list or model whole: a pipe would never end, and neither would a device.
///
/// # Errors
/// The operating system's, also for anything but a regular file of at most 1024 MiB.
pub fn read_large(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, LARGE_BYTES_MAX)
}

/// Reads a file whole if it is one of at most so many bytes.
///
/// # Errors
/// The operating system's, also for anything else.
pub fn read_up_to(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if !found.is_file() || found.len() > bytes_max {
        let mebibytes = bytes_max >> 20;
        let problem = format!("not a regular file of at most {mebibytes} MiB");
        return Err(io::Error::other(problem));
    }
    fs::read(path)
}

/// As [`read_large`], of text.
///
/// # Errors
/// As [`read_large`], and for what is not UTF-8.
pub fn read_large_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_large(path)?).map_err(io::Error::other)
}

/// Reads a secret, refusing one that others can read.
///
/// # Errors
/// As [`read_text`], and for a file that group or others may read.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let text = Zeroizing::new(read_text(path)?);
    let mode = fs::metadata(path)
        .map_err(|error| FileError::new(path, error.to_string()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(FileError::new(
            path,
            format!(
                "is readable by others (mode {:o}); run chmod 600 on it",
                mode & 0o777
            ),
        ));
    }
    Ok(text)
}

/// Reads a 32-byte secret in hexadecimal, as `tacit pki init` writes signing keys.
///
/// # Errors
/// As [`read_secret`], and for anything but 64 hexadecimal digits.
pub fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, FileError> {
    let text = read_secret(path)?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), seed.as_mut())
        .map_err(|_| FileError::new(path, "is not a key: expected 64 hexadecimal digits"))?;
    Ok(seed)
}

/// Reads a certificate chain, leaf first, and checks that it is valid now.
///
/// # Errors
/// [`FileError`] when there is none, or one is malformed, expired or not yet valid.
pub fn read_certificates(
    path: &Path,
    now: Timestamp,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read_text(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| FileError::new(path, format!("is not a PEM certificate: {error}")))?;
    if chain.is_empty() {
        return Err(FileError::new(path, "holds no PEM certificate"));
    }
    let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
    for der in &chain {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|_| FileError::new(path, "holds a malformed certificate"))?;
        let validity = certificate.validity();
        if seconds > validity.not_after.timestamp() {
            return Err(FileError::new(
                path,
                format!("expired on {}; renew it", validity.not_after),
            ));
        }
        if seconds < validity.not_before.timestamp() {
            return Err(FileError::new(
                path,
                format!(
                    "is not valid before {}; check the clock",
                    validity.not_before
                ),
            ));
        }
    }
    Ok(chain)
}

/// Reads a private key, refusing one that others can read.
///
/// # Errors
/// As [`read_secret`], and for a file without a PEM private key.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let text = read_secret(path)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| FileError::new(path, "holds no PEM private key"))
}

/// Writes a new file, owner-only, durably; never over an existing one.
///
/// # Errors
/// [`FileError`] when it exists or cannot be written.
pub fn write_new_secret(path: &Path, text: &str) -> Result<(), FileError> {
    write_new(path, text, 0o600)
}

/// Writes a new public file durably; never over an existing one.
///
/// # Errors
/// As [`write_new_secret`].
pub fn write_new_public(path: &Path, text: &str) -> Result<(), FileError> {
    write_new(path, text, 0o644)
}

/// Makes a folder of state, parents included, that only its owner may enter. One that exists and is
/// open to others is closed to them, with a warning.
///
/// # Errors
/// The operating system's, also for a path that is no folder.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    close_to_others(path)
}

/// Checks that a folder of state is one or can still be made, and that this process may write
/// there; makes nothing.
///
/// # Errors
/// [`FileError`] for anything else of that name, and for one that may not be written.
pub fn check_folder(path: &Path) -> Result<(), FileError> {
    // What is missing is made in the nearest folder above that is there.
    let mut there = path;
    let found = loop {
        match fs::metadata(there) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = there.parent().filter(|above| *above != Path::new(""));
                there = above.unwrap_or(Path::new("."));
            }
            found => break found,
        }
    };
    let unusable = |error: io::Error| FileError::new(path, format!("cannot be used: {error}"));
    if !found.map_err(unusable)?.is_dir() {
        return Err(FileError::new(there, "is not a folder"));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        FileError::new(
            path,
            format!("cannot be written: {}", io::Error::from(error)),
        )
    })
}

/// Makes a database empty unless it exists, for its owner only; the log and index beside it take
/// over its mode. Those that exist and are open to others are closed to them, with a warning.
///
/// # Errors
/// The operating system's, also for what is not a file: opening a pipe would wait for ever.
pub fn private_database(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(io::Error::other("is not a file")),
        Ok(_) => {}
        Err(_) => drop(new_file(path, 0o600)?),
    }
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        if Path::new(&file).exists() {
            close_to_others(Path::new(&file))?;
        }
    }
    Ok(())
}

/// Writes a public file whole or not at all, in the place of the one before.
///
/// # Errors
/// The operating system's.
pub fn replace_public(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text.as_bytes(), 0o644)
}

/// Writes a file of state whole or not at all, for its owner only. Its name is durable once its
/// folder is synchronised.
///
/// # Errors
/// The operating system's.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o600)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    // What an interrupted write left, or a pipe that would block.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = new_file(&temporary, mode)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Takes from group and others whatever a file or folder allows them.
fn close_to_others(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))?;
    let (path, was) = (path.display(), format_args!("{mode:o}"));
    tracing::warn!(event = "closed_to_others", %path, %was);
    Ok(())
}

fn new_file(path: &Path, mode: u32) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), FileError> {
    let wrap = |error: io::Error| FileError::new(path, format!("cannot be written: {error}"));
    let mut file = new_file(path, mode).map_err(wrap)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(wrap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helper.key");
        assert!(
            read_key(&path)
                .unwrap_err()
                .to_string()
                .contains("helper.key: cannot be read")
        );
        write_new_public(&path, "not a key").unwrap();
        // HOSTILE 74: a key that others can read.
        assert!(
            read_key(&path)
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(
            read_key(&path)
                .unwrap_err()
                .to_string()
                .contains("holds no PEM private key")
        );
        assert!(
            read_seed(&path)
                .unwrap_err()
                .to_string()
                .contains("64 hexadecimal digits")
        );
        assert!(
            read_certificates(&path, Timestamp(0))
                .unwrap_err()
                .to_string()
                .contains("holds no PEM certificate")
        );
        assert!(
            read_text(folder.path())
                .unwrap_err()
                .to_string()
                .contains("not a small regular file")
        );
        assert!(write_new_secret(&path, "again").is_err());
    }

    /// HOSTILE 90, 103, 104.
    #[test]
    fn state_is_for_its_owner_only_and_closed_where_it_was_open() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let allow = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let (outer, inner) = (folder.path().join("a"), folder.path().join("a/b"));
        private_folder(&inner).unwrap();
        assert_eq!((mode(&outer), mode(&inner)), (0o700, 0o700));
        allow(&inner, 0o755);
        private_folder(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);

        let (database, log) = (inner.join("x.sqlite"), inner.join("x.sqlite-wal"));
        private_database(&database).unwrap();
        assert_eq!(mode(&database), 0o600);
        fs::write(&log, "").unwrap();
        for path in [&database, &log] {
            allow(path, 0o666);
        }
        private_database(&database).unwrap();
        assert_eq!((mode(&database), mode(&log)), (0o600, 0o600));
        assert!(private_database(&inner).is_err());

        let file = inner.join("x.json");
        fs::write(inner.join("x.tmp"), "left over").unwrap();
        replace_private(&file, b"whole").unwrap();
        assert_eq!(
            (fs::read(&file).unwrap(), mode(&file)),
            (b"whole".to_vec(), 0o600)
        );
    }

    #[test]
    fn an_expired_certificate_is_refused_by_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.crt");
        let start = Timestamp(1_000_000_000_000);
        write_new_public(
            &path,
            &crate::pki::create_authorities(start)
                .unwrap()
                .root
                .chain,
        )
        .unwrap();
        assert!(read_certificates(&path, start).is_ok());
        let later = start.plus_millis(11 * 365 * 86_400_000);
        assert!(
            read_certificates(&path, later)
                .unwrap_err()
                .to_string()
                .contains("expired on")
        );
        assert!(
            read_certificates(&path, Timestamp(0))
                .unwrap_err()
                .to_string()
                .contains("is not valid before")
        );
    }
}
