//! Small files of an installation, read and written so that a strange or half-written one cannot
//! hang or mislead.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::SdkError;

/// Largest file an installation reads whole: a model.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Names the file in an error a person must act on.
pub(crate) fn stop(path: &Path, problem: impl std::fmt::Display) -> SdkError {
    SdkError::Stop(format!("{}: {problem}", path.display()))
}

/// Reads a file whole.
///
/// # Errors
/// [`SdkError::Stop`] when it is missing, larger than 64 MiB, or anything but a file: reading a
/// pipe would wait for ever.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SdkError> {
    let wrap = |error: std::io::Error| stop(path, error);
    if !fs::metadata(path).map_err(wrap)?.is_file() {
        return Err(stop(path, "not a file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(wrap)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(stop(path, "larger than 64 MiB"));
    }
    Ok(bytes)
}

/// Makes an installation's folder, parents included, that only its owner may enter. One that exists
/// is the app's and stays as it is; what lies in it is closed to others file by file.
///
/// # Errors
/// [`SdkError::Stop`] when it cannot be made.
pub(crate) fn create_folder(path: &Path) -> Result<(), SdkError> {
    let mut folder = fs::DirBuilder::new();
    let made = folder.recursive(true).mode(0o700).create(path);
    made.map_err(|error| stop(path, error))
}

/// Takes from group and others whatever a file allows them, with a warning; one that is missing is
/// left alone.
///
/// # Errors
/// [`SdkError::Stop`] when it is somebody else's.
pub(crate) fn close_to_others(path: &Path) -> Result<(), SdkError> {
    let Ok(found) = fs::metadata(path) else {
        return Ok(());
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))
        .map_err(|error| stop(path, error))?;
    let (path, was) = (path.display(), format_args!("{mode:o}"));
    tracing::warn!(event = "closed_to_others", %path, %was);
    Ok(())
}

/// Writes a file whole or not at all, readable by its owner only; it survives power loss when this
/// returns.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), SdkError> {
    replace(path, bytes, |file| file.sync_all())?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| stop(path, error))
}

/// As [`write()`], without waiting for the disk: after power loss the file may be gone or damaged.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<(), SdkError> {
    replace(path, bytes, |_| Ok(()))
}

fn replace(
    path: &Path,
    bytes: &[u8],
    finish: impl Fn(&fs::File) -> std::io::Result<()>,
) -> Result<(), SdkError> {
    let wrap = |error: std::io::Error| stop(path, error);
    let temporary = path.with_extension("tmp");
    // What an interrupted write left, or a pipe that would block the next line.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(stop(&temporary, error));
        }
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(wrap)?;
    file.write_all(bytes)
        .and_then(|()| finish(&file))
        .map_err(wrap)?;
    fs::rename(&temporary, path).map_err(wrap)
}
