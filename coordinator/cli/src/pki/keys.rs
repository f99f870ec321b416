//! Signing keys of a deployment, and what is drawn at random.

use std::path::Path;

use rand::TryRng;
use tacit_round::keys::{PublicKey, SigningKey};
use tacit_wire::files;

use crate::failure::Failure;

pub(super) fn signing_key(dir: &Path, name: &str) -> Result<(), Failure> {
    let seed = random_hex()?;
    files::write_new_secret(&dir.join(format!("{name}.sign")), &seed)?;
    let public = read_signing_key(dir, name)?.public();
    Ok(files::write_new_public(
        &dir.join(format!("{name}.pub")),
        &public.to_string(),
    )?)
}

pub(super) fn read_signing_key(dir: &Path, name: &str) -> Result<SigningKey, Failure> {
    let seed = files::read_seed(&dir.join(format!("{name}.sign"))).map_err(Failure::input)?;
    Ok(SigningKey::from_seed(&seed))
}

/// The public half of a deployment's signing key.
pub(crate) fn public_key(dir: &Path, name: &str) -> Result<PublicKey, Failure> {
    read_public(&dir.join(format!("{name}.pub")))
}

/// A public key as `tacit pki init` writes it.
pub(super) fn read_public(path: &Path) -> Result<PublicKey, Failure> {
    let text = files::read_text(path).map_err(Failure::input)?;
    PublicKey::try_from(text.trim().to_owned())
        .map_err(|error| Failure::input(format!("{}: {error}", path.display())))
}

pub(crate) fn random_hex() -> Result<String, Failure> {
    Ok(hex::encode(random()?))
}

pub(super) fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0u8; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}
