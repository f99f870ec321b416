//! Reads an export with bounded sizes: nothing in it is trusted, not even that a line ever ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tacit_types::Digest;

use crate::error::VerifyError;

/// Longest accepted line, in bytes.
const LINE_MAX: u64 = 1 << 20;
/// Largest accepted file, in bytes.
const FILE_MAX: u64 = 1 << 30;

/// Most files and folders of an export, together.
const ENTRIES_MAX: usize = 100_000;
/// Folders of an export.
const FOLDERS: [&str; 4] = ["heads", "models", "sums", "tickets"];

/// Refuses an export that holds anything but plain files in the folders it may have, or too many,
/// before any of it is read: a pipe would hang and a device never end.
pub(crate) fn survey(dir: &Path) -> Result<(), VerifyError> {
    let mut left = ENTRIES_MAX;
    survey_folder(dir, "", &FOLDERS, &mut left)?;
    for folder in FOLDERS {
        // Which of them must be there is checked where they are read.
        if dir.join(folder).is_dir() {
            survey_folder(dir, &format!("{folder}/"), &[], &mut left)?;
        }
    }
    Ok(())
}

/// Looks at the entries of `folder`, which is empty or ends with a slash; `left` more are accepted.
fn survey_folder(
    dir: &Path,
    folder: &str,
    folders: &[&str],
    left: &mut usize,
) -> Result<(), VerifyError> {
    let unreadable = |error: std::io::Error| {
        let place = if folder.is_empty() {
            "the export"
        } else {
            folder
        };
        VerifyError::file(place, error.to_string())
    };
    for entry in std::fs::read_dir(dir.join(folder)).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        *left = left
            .checked_sub(1)
            .ok_or_else(|| VerifyError::file("the export", "holds more than 100000 files"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(unreadable)?;
        let is_folder = kind.is_dir() && folders.contains(&name.as_str());
        if !kind.is_file() && !is_folder {
            return Err(VerifyError::file(format!("{folder}{name}"), NOT_A_FILE));
        }
    }
    Ok(())
}

const NOT_A_FILE: &str = "is not a plain file";

/// Opens `name` inside `dir`, refusing what is not a plain file of acceptable size.
fn open(dir: &Path, name: &str) -> Result<File, VerifyError> {
    let unreadable = |error: std::io::Error| VerifyError::file(name, error.to_string());
    let path = dir.join(name);
    // Before it is opened, and without following a link.
    let metadata = path.symlink_metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(VerifyError::file(name, NOT_A_FILE));
    }
    if metadata.len() > FILE_MAX {
        return Err(VerifyError::file(name, "is larger than 1 GiB"));
    }
    File::open(path).map_err(unreadable)
}

/// Whole content of a small file (at most one line's worth).
pub(crate) fn read_small(dir: &Path, name: &str) -> Result<Vec<u8>, VerifyError> {
    let mut bytes = Vec::new();
    let read = open(dir, name)?
        .take(LINE_MAX + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| VerifyError::file(name, error.to_string()))?;
    if bytes.len() as u64 > LINE_MAX {
        return Err(VerifyError::file(name, "is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Whole content of a model file.
pub(crate) fn read_model(dir: &Path, model: Digest) -> Result<Vec<u8>, VerifyError> {
    let (name, mut bytes) = (format!("models/{model}.bin"), Vec::new());
    let read = open(dir, &name)?
        .take(FILE_MAX)
        .read_to_end(&mut bytes);
    read.map_err(|error| VerifyError::file(name, error.to_string()))?;
    Ok(bytes)
}

/// SHA-256 of a file of any accepted size, read in pieces.
pub(crate) fn digest(dir: &Path, name: &str) -> Result<Digest, VerifyError> {
    let mut reader = open(dir, name)?.take(FILE_MAX);
    let (mut hash, mut piece) = (Sha256::new(), vec![0u8; 1 << 16]);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(Digest(hash.finalize().into())),
            Ok(count) => hash.update(&piece[..count]),
            Err(error) => return Err(VerifyError::file(name, error.to_string())),
        }
    }
}

/// Names in a folder of the export, sorted; names that are not text are shown with replacement
/// characters.
pub(crate) fn names(dir: &Path, folder: &str) -> Result<Vec<String>, VerifyError> {
    let unreadable =
        |error: std::io::Error| VerifyError::file(format!("{folder}/"), error.to_string());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir.join(folder)).map_err(unreadable)? {
        names.push(
            entry
                .map_err(unreadable)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort();
    Ok(names)
}

/// The lines of a file, one at a time, each without its line end.
pub(crate) struct Lines {
    reader: BufReader<std::io::Take<File>>,
    name: &'static str,
    next: u64,
}

impl Lines {
    pub(crate) fn open(dir: &Path, name: &'static str) -> Result<Self, VerifyError> {
        Ok(Self {
            reader: BufReader::new(open(dir, name)?.take(FILE_MAX)),
            name,
            next: 0,
        })
    }

    /// Reads the next line; every line, the last included, must end with a line feed.
    fn read(&mut self) -> Result<Option<Vec<u8>>, VerifyError> {
        let mut line = Vec::new();
        let count = (&mut self.reader)
            .take(LINE_MAX + 1)
            .read_until(b'\n', &mut line);
        match count.map_err(|error| VerifyError::file(self.name, error.to_string()))? {
            0 => return Ok(None),
            _ if line.pop() == Some(b'\n') => {}
            _ => {
                return Err(VerifyError::line(
                    self.name,
                    self.next,
                    "does not end within 1 MiB with a line feed",
                ));
            }
        }
        self.next += 1;
        Ok(Some(line))
    }
}

impl Iterator for Lines {
    type Item = Result<Vec<u8>, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
