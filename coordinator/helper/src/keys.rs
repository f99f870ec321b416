//! Key files of open rounds, `keys/<ticket hash>.key`: made before the countersignature leaves,
//! erased with the round.
//!
//! Invariant: no other copy of an opening key is ever written. The folder must be left out of every
//! backup and replica; a helper whose database knows an open round without its key takes itself for
//! a restored one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use tacit_round::seal::OpeningKey;
use tacit_types::Digest;
use zeroize::Zeroizing;

use crate::error::{HelperError, StorageError, no_randomness};

/// The folder of key files.
pub(crate) struct KeyFolder(PathBuf);

/// Draws the opening key of one round from the operating system: an X-Wing key is 32 uniform bytes.
pub(crate) fn draw() -> Result<OpeningKey, StorageError> {
    let mut secret = Zeroizing::new([0; OpeningKey::LEN]);
    SysRng
        .try_fill_bytes(secret.as_mut())
        .map_err(|error| no_randomness(&error))?;
    OpeningKey::from_secret(secret.as_ref()).map_err(|error| StorageError(error.to_string()))
}

impl KeyFolder {
    /// Opens the folder inside `state`, making it on the first start. One that others may enter is
    /// not closed but refused: they may have read a key.
    pub(crate) fn open(state: &Path) -> Result<Self, HelperError> {
        let folder = state.join("keys");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| StorageError::file(&folder, &error))?;
        let metadata =
            fs::metadata(&folder).map_err(|error| StorageError::file(&folder, &error))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = folder.display();
            let problem =
                format!("{path}: others may enter it (mode {mode:o}); run chmod 700 on it");
            return Err(HelperError::OperatorConfig(problem));
        }
        Ok(Self(folder))
    }

    /// Writes a round's key; durable, name included, when this returns.
    pub(crate) fn write(&self, ticket: Digest, key: &OpeningKey) -> Result<(), StorageError> {
        let path = self.path(ticket);
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(&key.secret())?;
            file.sync_all()?;
            self.sync()
        };
        write().map_err(|error| StorageError::file(&path, &error))
    }

    /// Reads a round's key; `None` when it is missing or is not one.
    pub(crate) fn read(&self, ticket: Digest) -> Result<Option<OpeningKey>, StorageError> {
        let path = self.path(ticket);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            // Any other refusal says nothing about the key: the round must not be given up for it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::file(&path, &error));
            }
            _ => return Ok(None),
        }
        let mut secret = Zeroizing::new(Vec::with_capacity(OpeningKey::LEN + 1));
        File::open(&path)
            .and_then(|file| {
                file.take(OpeningKey::LEN as u64 + 1)
                    .read_to_end(&mut secret)
            })
            .map_err(|error| StorageError::file(&path, &error))?;
        Ok(OpeningKey::from_secret(&secret).ok())
    }

    /// Overwrites and removes a round's key. Erasing what is gone already succeeds.
    pub(crate) fn erase(&self, ticket: Digest) -> Result<(), StorageError> {
        self.erase_file(&self.path(ticket))
    }

    /// Erases every key file but those of these rounds.
    pub(crate) fn erase_all_but(&self, keep: impl Fn(Digest) -> bool) -> Result<(), StorageError> {
        let failed = |error: io::Error| StorageError::file(&self.0, &error);
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path
                .file_stem()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse().ok());
            let is_key = path
                .extension()
                .is_some_and(|extension| extension == "key");
            if is_key && !name.is_some_and(&keep) {
                tracing::info!(event = "left_over_key_erased", file = %path.display());
                self.erase_file(&path)?;
            }
        }
        Ok(())
    }

    fn erase_file(&self, path: &Path) -> Result<(), StorageError> {
        let erase = || {
            let metadata = fs::symlink_metadata(path)?;
            if metadata.is_file() {
                overwrite(path, metadata.len())?;
            }
            fs::remove_file(path)
        };
        // At any step another call may have erased it already.
        let erased = match erase() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            erased => erased,
        };
        erased
            .and_then(|()| self.sync())
            .map_err(|error| StorageError::file(path, &error))
    }

    /// Makes names in the folder durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn path(&self, ticket: Digest) -> PathBuf {
        self.0.join(format!("{ticket}.key"))
    }
}

/// Zeros in place of the secret. Flash may keep the old block, so this is the lesser half of
/// erasing.
fn overwrite(path: &Path, len: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    io::copy(&mut io::repeat(0).take(len), &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_until_it_is_erased() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyFolder::open(state.path()).unwrap();
        let (ticket, key) = (Digest([7; 32]), draw().unwrap());
        keys.write(ticket, &key).unwrap();
        assert_eq!(
            keys.read(ticket).unwrap().unwrap().sealing_key(),
            key.sealing_key()
        );
        assert_eq!(
            fs::metadata(keys.path(ticket))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        assert!(
            keys.write(ticket, &key).is_err(),
            "a key is never written over"
        );
        keys.erase(ticket).unwrap();
        keys.erase(ticket).unwrap();
        assert!(keys.read(ticket).unwrap().is_none() && !keys.path(ticket).exists());
    }

    #[test]
    fn a_short_long_or_strange_file_is_no_key() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyFolder::open(state.path()).unwrap();
        let ticket = Digest([7; 32]);
        for bytes in [&[][..], &[1; 31], &[1; 33]] {
            fs::write(keys.path(ticket), bytes).unwrap();
            assert!(keys.read(ticket).unwrap().is_none());
        }
        keys.erase(ticket).unwrap();
        // HOSTILE 104.
        fs::create_dir(keys.path(ticket)).unwrap();
        assert!(keys.read(ticket).unwrap().is_none());
    }

    #[test]
    fn left_over_keys_go_and_kept_ones_stay() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyFolder::open(state.path()).unwrap();
        let (kept, left_over) = (Digest([1; 32]), Digest([2; 32]));
        keys.write(kept, &draw().unwrap()).unwrap();
        keys.write(left_over, &draw().unwrap()).unwrap();
        fs::write(keys.0.join("odd.key"), "x").unwrap();
        keys.erase_all_but(|ticket| ticket == kept).unwrap();
        assert_eq!(fs::read_dir(&keys.0).unwrap().count(), 1);
        assert!(keys.read(kept).unwrap().is_some());
    }

    #[test]
    fn several_calls_may_erase_one_key_at_once() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyFolder::open(state.path()).unwrap();
        for round in 0..50 {
            let ticket = Digest([round; 32]);
            keys.write(ticket, &draw().unwrap()).unwrap();
            std::thread::scope(|scope| {
                let calls: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| keys.erase(ticket)))
                    .collect();
                calls
                    .into_iter()
                    .for_each(|call| call.join().unwrap().unwrap());
            });
            assert!(!keys.path(ticket).exists());
        }
    }

    #[test]
    fn a_folder_others_may_enter_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyFolder::open(state.path()).unwrap();
        fs::set_permissions(&keys.0, fs::Permissions::from_mode(0o750)).unwrap();
        // HOSTILE 90.
        let Err(HelperError::OperatorConfig(text)) = KeyFolder::open(state.path()) else {
            panic!("the folder was taken");
        };
        assert!(text.contains("chmod"), "{text}");
    }
}
