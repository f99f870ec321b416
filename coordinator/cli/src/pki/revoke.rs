//! The list of who is revoked.

use std::path::{Path, PathBuf};

use tacit_types::DeviceId;
use tacit_wire::files;
use tacit_wire::revoked::Revoked;

use crate::failure::Failure;
use crate::say;

/// Its name in a deployment's folder.
pub(super) const FILE: &str = "revoked.txt";

/// Adds devices and the keys of certificates to the list; a list that is missing is begun.
pub(super) fn revoke(
    dir: &Path,
    devices: &[DeviceId],
    certificates: &[PathBuf],
) -> Result<(), Failure> {
    if devices.is_empty() && certificates.is_empty() {
        return Err(Failure::input("give ids of devices, or --certificate"));
    }

    let path = dir.join(FILE);
    let mut list = match path.exists() {
        true => Revoked::read(&path).map_err(Failure::input)?,
        false => Revoked::default(),
    };
    let before = list.len();
    devices
        .iter()
        .for_each(|device| list.insert_device(*device));
    for certificate in certificates {
        list.insert_key_of(certificate)
            .map_err(Failure::input)?;
    }

    files::replace_public(&path, &list.to_text())
        .map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
    say::result(format_args!(
        "added {} to {}, which has {} entries now\n",
        list.len() - before,
        path.display(),
        list.len()
    ))?;
    Ok(())
}
