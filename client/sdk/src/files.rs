//! Small files of an installation, read and written so that a strange or half-written one cannot
//! hang or mislead.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use crate::error::SdkError;
use crate::private;
use crate::reason::Reason;

/// What Unix systems call too many open files, of all processes and of this one; the standard
/// library has no name for them.
const TOO_MANY_FILES: [i32; 2] = [23, 24];
/// Largest file an installation reads whole: a model.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Names the file in an error a person must act on.
pub(crate) fn stop(path: &Path, problem: impl std::fmt::Display) -> SdkError {
    SdkError::Stop(format!("{}: {problem}", path.display()))
}

/// What the operating system said about a file: when it only ran out of something it has again
/// later, the step is repeated; anything else is for a person.
pub(crate) fn failed(path: &Path, error: io::Error) -> SdkError {
    let short = matches!(
        error.kind(),
        ErrorKind::OutOfMemory | ErrorKind::Interrupted
    ) || error
        .raw_os_error()
        .is_some_and(|code| TOO_MANY_FILES.contains(&code));
    match short {
        true => SdkError::retry(
            Reason::SystemShort,
            format_args!("{}: {error}", path.display()),
        ),
        false => stop(path, error),
    }
}

/// Whether anything of this name is there. What cannot be looked at is not taken for missing.
///
/// # Errors
/// What the operating system says instead.
pub(crate) fn is_there(path: &Path) -> Result<bool, SdkError> {
    path.try_exists().map_err(|error| failed(path, error))
}

/// What stands where a file is looked for.
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A file, with its bytes.
    File(Vec<u8>),
    /// A file above 64 MiB, or anything but a file: reading a pipe would wait for ever.
    Other(&'static str),
}

/// Looks for a file and reads it whole.
///
/// # Errors
/// What the operating system says, other than that there is nothing.
pub(crate) fn look(path: &Path) -> Result<Found, SdkError> {
    match look_at(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        looked => looked.map_err(|error| failed(path, error)),
    }
}

fn look_at(path: &Path) -> io::Result<Found> {
    if !fs::metadata(path)?.is_file() {
        return Ok(Found::Other("not a file"));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Ok(Found::Other("larger than 64 MiB"));
    }
    Ok(Found::File(bytes))
}

/// Reads a file whole.
///
/// # Errors
/// [`SdkError::Stop`] when it is missing, larger than 64 MiB or no file; as [`failed`] otherwise.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SdkError> {
    match look(path)? {
        Found::File(bytes) => Ok(bytes),
        Found::Nothing => Err(stop(path, "missing")),
        Found::Other(problem) => Err(stop(path, problem)),
    }
}

/// Makes an installation's folder, parents included, that only its owner may enter. One that exists
/// is the app's and stays as it is; what lies in it is closed to others file by file.
///
/// # Errors
/// [`SdkError::Stop`] when it cannot be made.
pub(crate) fn create_folder(path: &Path) -> Result<(), SdkError> {
    let made = private::folder().create(path);
    made.map_err(|error| failed(path, error))
}

/// Takes from group and others whatever a file allows them, with a warning; one that is missing is
/// left alone.
///
/// # Errors
/// [`SdkError::Stop`] when it is somebody else's; as [`failed`].
pub(crate) fn close_to_others(path: &Path) -> Result<(), SdkError> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| failed(path, error))?,
    };
    let Some(mode) = private::open_to_others(&found) else {
        return Ok(());
    };
    private::close(path, mode).map_err(|error| stop(path, error))?;
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
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Waits until what was renamed or removed in a folder survives power loss.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), SdkError> {
    private::sync_folder(folder).map_err(|error| failed(folder, error))
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
    finish: impl Fn(&fs::File) -> io::Result<()>,
) -> Result<(), SdkError> {
    let wrap = |error: io::Error| failed(path, error);
    let temporary = path.with_extension("tmp");
    // What an interrupted write left, or a pipe that would block the next line.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed(&temporary, error));
        }
        _ => {}
    }
    let mut file = private::file()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .map_err(wrap)?;
    file.write_all(bytes)
        .and_then(|()| finish(&file))
        .map_err(wrap)?;
    fs::rename(&temporary, path).map_err(wrap)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HOSTILE 98: what the system lacks for a moment is no fault of the file.
    #[test]
    fn a_system_without_descriptors_is_asked_again_and_any_other_failure_is_for_a_person() {
        let path = Path::new("model.bin");
        for code in TOO_MANY_FILES {
            let failure = failed(path, io::Error::from_raw_os_error(code));
            let later = matches!(
                failure,
                SdkError::RetryLater {
                    reason: Reason::SystemShort,
                    ..
                }
            );
            assert!(later, "{failure}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            look(&folder.path().join("absent")),
            Ok(Found::Nothing)
        ));
        std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
        let strange = folder.path().join("loop");
        assert!(matches!(look(&strange), Err(SdkError::Stop(_))));
        assert!(is_there(&strange).is_err());
    }
}
