//! Immutable objects (models, catalogues) in a folder, named by their SHA-256.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tacit_types::Digest;

use crate::error::ServerError;

/// A folder of objects.
#[derive(Clone, Debug)]
pub struct Objects {
    folder: PathBuf,
}

impl Objects {
    /// Opens or creates the folder.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn open(folder: &Path) -> Result<Self, ServerError> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Stores an object durably under its hash: whole or not at all. Storing it again changes
    /// nothing.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ServerError> {
        let hash = tacit_privacy::canonical::digest(bytes);
        let path = self.path(hash);
        if path.exists() && fs::read(&path)? == bytes {
            return Ok(hash);
        }
        let temporary = path.with_extension("tmp");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(&self.folder)?.sync_all()?;
        Ok(hash)
    }

    /// Reads an object and checks it against its name; `None` when there is none or it is damaged.
    pub fn get(&self, hash: Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.path(hash)).ok()?;
        (tacit_privacy::canonical::digest(&bytes) == hash).then_some(bytes)
    }

    /// Where an object lies.
    pub fn path(&self, hash: Digest) -> PathBuf {
        self.folder.join(format!("{hash}.bin"))
    }
}
