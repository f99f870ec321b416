//! Who may come in no more: devices by their id, and certificates of servers by their key.
//!
//! A list is a text file that `tacit pki revoke` writes:
//!
//! ```text
//! tacit revoked 1
//! 000102030405060708090a0b0c0d0e0f
//! end 1
//! ```
//!
//! After the first line stands an entry a line, 32 hexadecimal digits for a device and 64 for the
//! Ed25519 public key of a certificate; the last line counts them, so that a list cut short is
//! known as one. [`follow`](crate::follow) reads it again when it changes; [`Standing`] says of one
//! certificate whether it still holds.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_types::{DeviceId, Timestamp};

use crate::clock;
use crate::current::Current;
use crate::files::{FileError, read_text, read_up_to};
use crate::identity::{Leaf, LeafKey, Peer, key_of};

/// Largest list: about two million devices.
const BYTES_MAX: u64 = 64 << 20;
const FIRST_LINE: &str = "tacit revoked 1";

/// A list of who is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    devices: BTreeSet<DeviceId>,
    keys: BTreeSet<LeafKey>,
}

impl Revoked {
    /// Reads a list.
    ///
    /// # Errors
    /// [`FileError`] naming the line, for a list that is missing, above 64 MiB, cut short or
    /// damaged, and for one that others may write.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bad = |problem: String| FileError::new(path, problem);
        let unreadable = |error: std::io::Error| bad(format!("cannot be read: {error}"));
        let bytes = read_up_to(path, BYTES_MAX).map_err(unreadable)?;
        let mode = fs::metadata(path)
            .map_err(unreadable)?
            .permissions()
            .mode();
        if mode & 0o022 != 0 {
            let problem = "may be written by others; run chmod go-w on it";
            return Err(bad(problem.to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|_| bad("is not text".into()))?;
        Self::parse(&text).map_err(bad)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().zip(1_u32..);
        if lines.next().map(|(line, _)| line) != Some(FIRST_LINE) {
            return Err(format!("line 1: expected '{FIRST_LINE}'"));
        }

        let (mut list, mut entries) = (Self::default(), 0_u64);
        while let Some((line, number)) = lines.next() {
            if let Some(count) = line.strip_prefix("end ") {
                let whole = count.parse() == Ok(entries) && lines.next().is_none();
                let cut = format!("line {number}: not the end of a list of {entries} entries");
                return whole.then_some(list).ok_or(cut);
            }
            let known = list.insert(line);
            known.ok_or_else(|| format!("line {number}: not 32 or 64 hexadecimal digits"))?;
            entries += 1;
        }

        Err(format!(
            "is cut short after {entries} entries: no last line 'end {entries}'"
        ))
    }

    /// Adds what a line says; `None` for what is neither a device nor a key.
    fn insert(&mut self, line: &str) -> Option<()> {
        if let Ok(device) = line.parse() {
            self.insert_device(device);
            return Some(());
        }
        let mut key = LeafKey::default();
        hex::decode_to_slice(line, &mut key).ok()?;
        self.keys.insert(key);
        Some(())
    }

    /// Adds a device.
    pub fn insert_device(&mut self, device: DeviceId) {
        self.devices.insert(device);
    }

    /// Adds the key of a PEM certificate, and with it every certificate of that key.
    ///
    /// # Errors
    /// [`FileError`] for a file that holds no certificate with an Ed25519 key.
    pub fn insert_key_of(&mut self, certificate: &Path) -> Result<(), FileError> {
        let text = read_text(certificate)?;
        let leaf = CertificateDer::from_pem_slice(text.as_bytes()).ok();
        let key = leaf.and_then(|leaf| key_of(&leaf));
        let none = || FileError::new(certificate, "is no PEM certificate with an Ed25519 key");
        self.keys.insert(key.ok_or_else(none)?);
        Ok(())
    }

    /// The list as a file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for device in &self.devices {
            let _ = writeln!(text, "{device}");
        }
        for key in &self.keys {
            let _ = writeln!(text, "{}", hex::encode(key));
        }
        let _ = writeln!(text, "end {}", self.len());
        text
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.devices.len() + self.keys.len()
    }

    /// Whether nobody is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this device is revoked.
    pub fn has_device(&self, device: DeviceId) -> bool {
        self.devices.contains(&device)
    }

    /// Whether every certificate of this key is.
    pub fn has_key(&self, key: &LeafKey) -> bool {
        self.keys.contains(key)
    }

    /// Whether this certificate is: its device, or its key.
    pub fn has(&self, leaf: &Leaf) -> bool {
        let by_key = leaf.key.is_some_and(|key| self.has_key(&key));
        by_key || matches!(leaf.peer, Peer::Device(device) if self.has_device(device))
    }
}

/// Reads the list of a daemon; nobody is revoked where none is configured.
///
/// # Errors
/// As [`Revoked::read`].
pub fn read_if_any(path: Option<&PathBuf>) -> Result<Revoked, FileError> {
    path.map_or_else(|| Ok(Revoked::default()), |path| Revoked::read(path))
}

/// Why a certificate that was good is so no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is on the list.
    #[error("this certificate has been revoked")]
    Revoked,
    /// Its time is over.
    #[error("this certificate has ended")]
    Ended,
}

/// Says whether certificates still hold, by the list and the time of the moment it is asked.
#[derive(Clone, Debug)]
pub struct Standing {
    revoked: Current<Revoked>,
    now: fn() -> Timestamp,
}

impl Standing {
    /// By this list and this clock.
    pub fn new(revoked: Current<Revoked>, now: fn() -> Timestamp) -> Self {
        Self { revoked, now }
    }

    /// What is wrong with a certificate now.
    pub fn fault(&self, leaf: &Leaf) -> Option<Fault> {
        if self.revoked.get().has(leaf) {
            return Some(Fault::Revoked);
        }
        ((self.now)() > leaf.ends).then_some(Fault::Ended)
    }
}

impl Default for Standing {
    /// Where nobody is revoked.
    fn default() -> Self {
        Self::new(Current::default(), clock::now)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const DEVICE: &str = "000102030405060708090a0b0c0d0e0f";

    fn read(text: &[u8]) -> Result<Revoked, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.txt");
        fs::write(&path, text).unwrap();
        Revoked::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_reads_back_and_knows_devices_and_keys() {
        let mut list = Revoked::default();
        assert_eq!(list.insert("0102"), None);
        let key = [7; 32];
        for entry in [DEVICE, DEVICE, &hex::encode(key)] {
            list.insert(entry).unwrap();
        }
        assert_eq!(list.len(), 2);
        assert_eq!(read(list.to_text().as_bytes()), Ok(list.clone()));

        let leaf = |peer, key| Leaf {
            peer,
            key: Some(key),
            ends: Timestamp(5),
        };
        let device = Peer::Device(DEVICE.parse().unwrap());
        assert!(list.has(&leaf(device, [1; 32])));
        assert!(list.has(&leaf(Peer::Coordinator, key)));
        assert!(!list.has(&leaf(Peer::Coordinator, [1; 32])));
    }

    /// HOSTILE 68: what is not a whole list is refused in words.
    #[test]
    fn a_list_that_is_cut_short_damaged_strange_or_huge_is_refused() {
        let mut list = Revoked::default();
        list.insert(DEVICE).unwrap();
        let whole = list.to_text();
        for cut in 0..whole.len() - 1 {
            assert!(read(&whole.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
        for (text, words) in [
            (String::new(), "line 1: expected"),
            (whole.replace("end 1", "end 2"), "line 3: not the end"),
            (whole.clone() + DEVICE, "line 3: not the end"),
            (whole.replace("0001", "00g1"), "line 2: not 32 or 64"),
            (whole.replace("end 1\n", ""), "cut short after 1"),
        ] {
            let said = read(text.as_bytes()).unwrap_err();
            assert!(
                said.contains(words) && said.contains("revoked.txt"),
                "{said}"
            );
        }
        assert!(read(&[0xff; 40]).unwrap_err().contains("not text"));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked.txt");
        assert!(Revoked::read(&path).is_err(), "missing");
        assert!(Revoked::read(folder.path()).is_err(), "a folder");
        fs::write(&path, &whole).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let open = Revoked::read(&path).unwrap_err().to_string();
        assert!(open.contains("chmod go-w"), "{open}");
        let sparse = fs::File::create(folder.path().join("huge")).unwrap();
        sparse.set_len(BYTES_MAX + 1).unwrap();
        let linked = folder.path().join("link");
        symlink(folder.path().join("huge"), &linked).unwrap();
        assert!(Revoked::read(&linked).is_err());
    }

    /// HOSTILE 66, 67.
    #[test]
    fn a_certificate_falls_with_the_list_and_with_its_time() {
        let list = Current::default();
        let standing = Standing::new(list.clone(), || Timestamp(100));
        let leaf = |ends| Leaf {
            peer: Peer::Device(DEVICE.parse().unwrap()),
            key: None,
            ends: Timestamp(ends),
        };
        assert_eq!(standing.fault(&leaf(100)), None);
        assert_eq!(standing.fault(&leaf(99)), Some(Fault::Ended));
        let mut revoked = Revoked::default();
        revoked.insert(DEVICE).unwrap();
        list.set(revoked);
        assert_eq!(standing.fault(&leaf(100)), Some(Fault::Revoked));
    }
}
