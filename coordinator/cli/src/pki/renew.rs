//! Certificates of servers and of the issuing authority, made anew before they end.

use std::path::Path;

use tacit_types::Timestamp;
use tacit_wire::pki::{Authority, PkiError};
use tacit_wire::{clock, files, renewal, rotation};

use crate::failure::Failure;
use crate::say;

/// Renews what servers show, and the issuing authority's certificate when it is time; servers get
/// new keys if asked.
pub(super) fn renew(dir: &Path, new_keys: bool) -> Result<(), Failure> {
    let now = clock::now();
    let folder = Folder { dir };
    let authority = folder.authority(now)?;
    for server in ["coordinator", "helper"] {
        let (certificate, key) = (format!("{server}.crt"), format!("{server}.key"));
        if !dir.join(&certificate).exists() || !dir.join(&key).exists() {
            say::note(format_args!(
                "{certificate} and its key are not here: left out"
            ));
            continue;
        }

        let old = folder.public(&certificate)?;
        let named = |error| folder.named(&certificate, &error);
        if new_keys {
            let made = authority.replace_server(&old, now).map_err(named)?;
            folder.replace_secret(&key, &made.key)?;
            folder.replace(&certificate, &made.chain)?;
            say::result(format_args!("replaced {certificate} and {key}\n"))?;
        } else {
            let key = folder.secret(&key)?;
            let chain = authority
                .renew_server(&old, &key, now)
                .map_err(named)?;
            folder.replace(&certificate, &chain)?;
            say::result(format_args!("renewed {certificate}\n"))?;
        }
    }

    Ok(())
}

/// A folder made by `tacit pki init`. Errors name its files.
pub(super) struct Folder<'a> {
    pub(super) dir: &'a Path,
}

impl Folder<'_> {
    pub(super) fn public(&self, name: &str) -> Result<String, Failure> {
        files::read_text(&self.dir.join(name)).map_err(Failure::input)
    }

    pub(super) fn secret(&self, name: &str) -> Result<zeroize::Zeroizing<String>, Failure> {
        files::read_secret(&self.dir.join(name)).map_err(Failure::input)
    }

    pub(super) fn named(&self, name: &str, error: &PkiError) -> Failure {
        Failure::input(format!("{}: {error}", self.dir.join(name).display()))
    }

    pub(super) fn replace(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.dir.join(name);
        files::replace_public(&path, text)
            .map_err(|error| Failure::input(format!("{}: {error}", path.display())))
    }

    pub(super) fn replace_secret(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.dir.join(name);
        files::replace_private(&path, text.as_bytes())
            .map_err(|error| Failure::input(format!("{}: {error}", path.display())))
    }

    /// The issuing authority, renewed first if it is time to and the root's key is here.
    fn authority(&self, now: Timestamp) -> Result<Authority, Failure> {
        let (mut issuing, key) = (self.public("issuing.crt")?, self.secret("issuing.key")?);
        if renewal::is_due(&issuing, now) && self.dir.join("root.key").exists() {
            let (root, root_key) = (self.public("root.crt")?, self.secret("root.key")?);
            let renewed = renewal::renew_issuing(&key, &root, &root_key, now)
                .map_err(|error| self.named("issuing.crt", &error))?;
            // Behind it stands what an older root vouches for, while both are trusted.
            let before = rotation::certificates(&issuing)
                .map_err(|error| self.named("issuing.crt", &error))?;
            issuing = renewed + &before[1..].concat();
            self.replace("issuing.crt", &issuing)?;
            say::result("renewed issuing.crt\n")?;
        }

        Authority::from_pem(&issuing, &key).map_err(|error| self.named("issuing.crt", &error))
    }
}
