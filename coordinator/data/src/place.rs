//! Where a data set is: a folder, one file, or a zip archive, which is read without being unpacked
//! to disk.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::error::{DataError, printable};
use crate::input::{Input, Watch, own_name};

/// A folder, a file or an archive, and the files in it.
pub(crate) struct Place {
    /// Name of the folder or file, without the endings of a format.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    path: PathBuf,
    files: Vec<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Archive,
}

/// One file of a place.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The name a format is known by: lower case, without folder and without `.gz`.
    pub(crate) name: String,
    /// The file's name for people.
    pub(crate) shown: String,
    /// Path inside the folder or archive.
    inside: String,
}

impl Entry {
    fn new(inside: &str, shown: String) -> Self {
        let base = inside.rsplit('/').next().unwrap_or(inside);
        let name = base.to_ascii_lowercase();
        Self {
            name: name.strip_suffix(".gz").unwrap_or(&name).to_owned(),
            shown,
            inside: inside.to_owned(),
        }
    }
}

impl Place {
    /// Looks at what `path` leads to, without reading any data.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        if !path.exists() {
            return Err(DataError::not_a_dataset(
                path,
                "there is no such file or folder",
            ));
        }
        let kind = if path.is_dir() {
            Kind::Folder
        } else if is_archive(path) {
            Kind::Archive
        } else {
            Kind::File
        };
        let own = own_name(path);
        let files = match kind {
            Kind::Folder => folder(path)?,
            Kind::Archive => archive(path, &own)?,
            Kind::File => vec![Entry::new(&own, own.clone())],
        };
        if let Some(archive) = only_archive(kind, &files) {
            return Self::open(&path.join(archive));
        }
        Ok(Self {
            name: stem(&own, kind),
            kind,
            path: path.to_owned(),
            files,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The files, by path.
    pub(crate) fn files(&self) -> &[Entry] {
        &self.files
    }

    /// The first file of this name, given in lower case and without `.gz`; a plain file comes
    /// before a compressed one.
    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        let found = self.files.iter().filter(|entry| entry.name == name);
        found.min_by_key(|entry| entry.inside.len())
    }

    /// The path of a file that is on disk; `None` for one in an archive.
    pub(crate) fn path_of(&self, entry: &Entry) -> Option<PathBuf> {
        match self.kind {
            Kind::Folder => Some(self.path.join(&entry.inside)),
            Kind::File => Some(self.path.clone()),
            Kind::Archive => None,
        }
    }

    /// Hands the content of a file to `reader`.
    pub(crate) fn read<T>(
        &self,
        entry: &Entry,
        watch: Watch<'_>,
        reader: impl FnOnce(Input<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        if let Some(path) = self.path_of(entry) {
            return reader(Input::open(&path, watch)?);
        }
        let unreadable = |source| DataError::unreadable(&entry.shown, source);
        let mut archive = open_archive(&self.path).map_err(unreadable)?;
        let content = archive
            .by_name(&entry.inside)
            .map_err(|error| unreadable(damaged(&error)))?;
        let size = content.size();
        reader(Input::new(entry.shown.clone(), content, size, watch)?)
    }
}

/// A file's name without the endings that say how it is written.
fn stem(name: &str, kind: Kind) -> String {
    let mut stem = name;
    if kind != Kind::Folder {
        for ending in [
            ".zip", ".gz", ".csv", ".tsv", ".txt", ".inter", ".parquet", ".jsonl", ".ndjson",
            ".json",
        ] {
            stem = stem.strip_suffix(ending).unwrap_or(stem);
        }
    }
    if stem.is_empty() { "dataset" } else { stem }.to_owned()
}

fn folder(path: &Path) -> Result<Vec<Entry>, DataError> {
    let unreadable = |source| DataError::unreadable(&own_name(path), source);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        // A name that is not text is none that a data set is known by.
        if let Some(name) = name.to_str() {
            files.push(Entry::new(name, printable(name, 255)));
        }
    }
    files.sort_by(|a, b| a.inside.cmp(&b.inside));
    Ok(files)
}

/// The archive of a folder into which a data set was downloaded and not unpacked.
fn only_archive(kind: Kind, files: &[Entry]) -> Option<&str> {
    let archives = || files.iter().filter(|file| file.name.ends_with(".zip"));
    let is_text = |file: &Entry| file.name.ends_with(".zip") || !file.name.contains('.');
    let (only, no_other) = (archives().count() == 1, files.iter().all(is_text));
    let found = archives()
        .next()
        .filter(|_| kind == Kind::Folder && only && no_other)?;
    Some(&found.inside)
}

/// Whether a file is an archive by its first bytes, whatever its name.
fn is_archive(path: &Path) -> bool {
    // Asked before opening, because opening a named pipe waits for somebody to write into it.
    let named = path.extension().is_some_and(|ending| ending == "zip");
    let mut magic = [0; 4];
    path.is_file()
        && (named
            || File::open(path)
                .and_then(|mut file| io::Read::read_exact(&mut file, &mut magic))
                .is_ok_and(|()| magic == *b"PK\x03\x04"))
}

fn archive(path: &Path, own: &str) -> Result<Vec<Entry>, DataError> {
    let archive = open_archive(path);
    let archive = archive.map_err(|source| DataError::unreadable(own, source))?;
    let names = archive.file_names().flatten();
    let files = names.filter(|name| !name.ends_with('/') && !name.starts_with("__MACOSX/"));
    let entry = |name: &str| {
        let base = name.rsplit('/').next().unwrap_or(name);
        Entry::new(name, format!("{own}/{}", printable(base, 255)))
    };
    Ok(files.map(|name| entry(&name)).collect())
}

fn open_archive(path: &Path) -> io::Result<ZipArchive<BufReader<File>>> {
    ZipArchive::new(BufReader::new(File::open(path)?)).map_err(|error| damaged(&error))
}

fn damaged(error: &zip::result::ZipError) -> io::Error {
    let reason = printable(&error.to_string(), 200);
    io::Error::other(format!("it cannot be unpacked ({reason})"))
}
