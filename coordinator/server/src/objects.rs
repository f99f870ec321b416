//! Immutable objects (models, catalogues) in a folder, named by their SHA-256.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tacit_types::Digest;
use tacit_wire::files;

/// Why an object cannot be had. Only bytes that do not hash to their name are damage: a system
/// without descriptors, memory or rights says so itself.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Nothing has this name.
    #[error("object {0} is not stored")]
    NotFound(Digest),
    /// The bytes are not those of this name.
    #[error("object {0} is damaged: its bytes have another hash")]
    Damaged(Digest),
    /// The operating system refused.
    #[error("object {hash} cannot be read: {error}")]
    Unreadable {
        /// Of the object.
        hash: Digest,
        /// What the system said.
        error: io::Error,
    },
}

/// A folder of objects.
#[derive(Clone, Debug)]
pub struct Objects {
    folder: PathBuf,
}

impl Objects {
    /// Opens or creates the folder.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(folder: &Path) -> io::Result<Self> {
        files::private_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Stores an object durably under its hash: whole or not at all. Storing it again changes
    /// nothing.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Digest> {
        let hash = tacit_privacy::canonical::digest(bytes);
        let path = self.path(hash);
        if path.exists() && fs::read(&path)? == bytes {
            return Ok(hash);
        }
        files::replace_private(&path, bytes)?;
        fs::File::open(&self.folder)?.sync_all()?;
        Ok(hash)
    }

    /// Reads an object and checks it against its name.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn get(&self, hash: Digest) -> Result<Vec<u8>, ObjectError> {
        let bytes = fs::read(self.path(hash)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ObjectError::NotFound(hash),
            _ => ObjectError::Unreadable { hash, error },
        })?;
        if tacit_privacy::canonical::digest(&bytes) == hash {
            Ok(bytes)
        } else {
            Err(ObjectError::Damaged(hash))
        }
    }

    /// Where an object lies.
    pub fn path(&self, hash: Digest) -> PathBuf {
        self.folder.join(format!("{hash}.bin"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HOSTILE 20: what the system refuses is not read as damage. A folder in an object's place
    /// stands for every refusal, out of descriptors included.
    #[test]
    fn an_object_is_not_found_damaged_or_unreadable_and_says_which() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path()).unwrap();
        let hash = objects.put(b"model").unwrap();
        assert_eq!(objects.get(hash).unwrap(), b"model");
        fs::write(objects.path(hash), b"mode1").unwrap();
        assert!(matches!(objects.get(hash), Err(ObjectError::Damaged(_))));
        fs::remove_file(objects.path(hash)).unwrap();
        assert!(matches!(objects.get(hash), Err(ObjectError::NotFound(_))));
        fs::create_dir(objects.path(hash)).unwrap();
        let refused = objects.get(hash).unwrap_err();
        assert!(matches!(refused, ObjectError::Unreadable { .. }));
        let said = refused.to_string();
        assert!(said.contains("cannot be read: Is a directory"), "{said}");
    }
}
