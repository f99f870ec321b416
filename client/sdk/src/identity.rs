//! One installation's identity: how it enrols, and its membership if it has one.

use std::path::{Path, PathBuf};

use tacit_round::member::Member;

use crate::credentials::{self, Life, key_path};
pub use crate::credentials::{certificate_path, is_enrolled};
use crate::deadlines::Deadlines;
use crate::deployment::Deployment;
use crate::device_key::DeviceKey;
use crate::error::SdkError;
use crate::files::{self, Found};
use crate::roots;
use crate::store::Store;
use crate::transport;

fn member_path(folder: &Path) -> PathBuf {
    folder.join("member.key")
}

/// Stores the membership the helper's organisation gave this installation; the one stored last
/// counts.
///
/// # Errors
/// [`SdkError::Stop`] when `text` is not a membership or the folder cannot be written.
pub fn keep_member(folder: &Path, text: &str) -> Result<(), SdkError> {
    let bad = || SdkError::Stop("the membership is not 192 hexadecimal digits".into());
    let member = Member::from_hex(text).ok_or_else(bad)?;
    files::create_folder(folder)?;
    files::write(&member_path(folder), member.to_hex().as_bytes())
}

/// This installation's membership, if it has one.
///
/// # Errors
/// [`SdkError::Stop`] when the file is there and cannot be read.
pub(crate) fn member(folder: &Path) -> Result<Option<Member>, SdkError> {
    let path = member_path(folder);
    let text = match files::look(&path)? {
        Found::Nothing => return Ok(None),
        Found::Other(problem) => return Err(files::stop(&path, problem)),
        Found::File(bytes) => String::from_utf8(bytes).ok(),
    };
    let member = text.and_then(|text| Member::from_hex(&text));
    member
        .map(Some)
        .ok_or_else(|| files::stop(&path, "not a membership"))
}

/// Makes the installation's key and store, and trades the single-use `token` for a certificate: 32
/// bytes from the operator's list, or 104 that the app's backend signed.
///
/// May be repeated after a crash or a lost answer: the same key and token give the same
/// certificate.
///
/// # Errors
/// [`SdkError::RetryLater`] when the coordinator is away, [`SdkError::Stop`] when it refuses the
/// token.
pub async fn enrol(folder: &Path, deployment: &Deployment, token: &[u8]) -> Result<(), SdkError> {
    if files::is_there(&certificate_path(folder))? {
        return Ok(());
    }
    let request = {
        files::create_folder(folder)?;
        signing_request(folder)?
    };
    let deadlines = Deadlines::default();
    let trusted = roots::trusted(folder, deployment)?;
    let issued = transport::enrol(&trusted, &deadlines, token, request).await?;
    roots::learn(folder, deployment, &issued.roots)?;
    // Only a chain that fits the key is kept: an installation with any other would count as
    // enrolled and never get in.
    let key = files::read(&key_path(folder))?;
    deployment.check_fit(&issued.chain, key)?;
    if !files::is_there(&Store::path(folder))? {
        drop(Store::create(folder)?);
    }
    Life::of(&issued).write(folder)?;
    // The certificate comes last: from here on a missing store reads as exhausted.
    files::write(&certificate_path(folder), issued.chain.as_bytes())
}

/// Ends this installation's account and erases its identity here: the coordinator takes no
/// certificate of it any more. Interactions and the ledger of what was spent stay; an installation
/// that enrols again goes on with what is left of its budget. May be repeated after a crash or a
/// lost answer.
///
/// # Errors
/// [`SdkError::RetryLater`] when the coordinator is away; nothing is erased then.
/// [`SdkError::Stop`] when storage fails.
pub async fn leave(folder: &Path, deployment: &Deployment) -> Result<(), SdkError> {
    if is_enrolled(folder) {
        let trusted = roots::trusted(folder, deployment)?;
        let own = credentials::load(folder)?;
        transport::leave(&trusted, &Deadlines::default(), own).await?;
    }
    credentials::erase(folder)
}

/// The request for this installation's key, which is made on first use.
fn signing_request(folder: &Path) -> Result<Vec<u8>, SdkError> {
    let path = key_path(folder);
    if files::is_there(&path)? {
        let kept = DeviceKey::from_pem(&files::read(&path)?);
        return kept
            .ok_or_else(|| files::stop(&path, "not a private key"))?
            .request();
    }
    let key = DeviceKey::generate()?;
    files::write(&path, key.pem())?;
    key.request()
}
