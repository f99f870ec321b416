//! Objects as files of a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tacit_privacy::canonical::digest;
use tacit_types::Digest;
use tacit_wire::files;
use tokio::runtime::Handle;

use super::{Answer, Gone, ObjectError, Objects};
use crate::error::ServerError;

/// A folder of objects. Files are read and written on threads of the runtime that may block.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    runtime: Handle,
}

impl Folder {
    /// Opens or creates the folder. Called on a runtime.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        files::private_folder(path)?;
        Ok(Self {
            path: path.to_owned(),
            runtime: Handle::current(),
        })
    }

    /// Where an object lies.
    fn file(&self, hash: Digest) -> PathBuf {
        self.path.join(format!("{hash}.bin"))
    }

    fn call<T: Send + 'static, E: From<Gone> + Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Answer<T, E> {
        let (reply, answer) = Answer::pending();
        let folder = self.clone();
        self.runtime.spawn_blocking(move || {
            // Whoever asked may be gone.
            let _ = reply.send(work(&folder));
        });
        answer
    }

    fn write(&self, bytes: &[u8]) -> Result<Digest, ServerError> {
        let hash = digest(bytes);
        let path = self.file(hash);
        if path.exists() && fs::read(&path)? == bytes {
            return Ok(hash);
        }

        files::replace_private(&path, bytes)?;
        fs::File::open(&self.path)?.sync_all()?;
        Ok(hash)
    }

    fn read(&self, hash: Digest) -> Result<Vec<u8>, ObjectError> {
        let bytes = fs::read(self.file(hash)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ObjectError::NotFound(hash),
            _ => ObjectError::Unreadable { hash, error },
        })?;
        if digest(&bytes) == hash {
            Ok(bytes)
        } else {
            Err(ObjectError::Damaged(hash))
        }
    }
}

impl Objects for Folder {
    fn put(&self, bytes: Vec<u8>) -> Answer<Digest> {
        self.call(move |folder| folder.write(&bytes))
    }

    fn get(&self, hash: Digest) -> Answer<Vec<u8>, ObjectError> {
        self.call(move |folder| folder.read(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HOSTILE 20: what the system refuses is not read as damage. A folder in an object's place
    /// stands for every refusal, out of descriptors included.
    #[tokio::test]
    async fn an_object_is_not_found_damaged_or_unreadable_and_says_which() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Folder::open(folder.path()).unwrap();
        let hash = objects.put(b"model".to_vec()).await.unwrap();
        assert_eq!(objects.get(hash).await.unwrap(), b"model");
        fs::write(objects.file(hash), b"mode1").unwrap();
        let damaged = objects.get(hash).await;
        assert!(matches!(damaged, Err(ObjectError::Damaged(_))));
        fs::remove_file(objects.file(hash)).unwrap();
        let absent = objects.get(hash).await;
        assert!(matches!(absent, Err(ObjectError::NotFound(_))));
        fs::create_dir(objects.file(hash)).unwrap();
        let refused = objects.get(hash).await.unwrap_err();
        assert!(matches!(refused, ObjectError::Unreadable { .. }));
        let said = refused.to_string();
        assert!(said.contains("cannot be read: Is a directory"), "{said}");
    }
}
