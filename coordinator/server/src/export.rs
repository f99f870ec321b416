//! Writes what auditors get: exact ledger lines, signed heads, signed tickets, keys and models,
//! each file whole or not at all.

use std::path::Path;

use tacit_privacy::record::{Event, Line};
use tacit_round::keys::SigningKey;
use tacit_round::policy::published;
use tacit_types::{Digest, Kind};
use tacit_wire::files::{private_folder, replace_private};

use crate::error::ServerError;
use crate::helper::HelperClient;
use crate::ledger::Ledger;
use crate::storage::{LedgerStore, Objects};

/// Writes the export folder anew from durable state.
///
/// # Errors
/// [`ServerError::StorageUnavailable`].
pub fn write(
    folder: &Path,
    store: &dyn LedgerStore,
    ledger: &Ledger,
    objects: &dyn Objects,
    signing: &SigningKey,
    helper: &HelperClient,
) -> Result<(), ServerError> {
    private_folder(folder)?;
    private_folder(&folder.join("heads"))?;
    private_folder(&folder.join("models"))?;
    for hash in ledger.lines().iter().filter_map(published) {
        let to = folder.join("models").join(format!("{hash}.bin"));
        if !to.exists() {
            replace_private(&to, &objects.get(hash).wait()?)?;
        }
    }
    // What an evaluation found follows from its sum, so a stranger gets that too.
    private_folder(&folder.join("sums"))?;
    for hash in ledger.lines().iter().filter_map(evaluated) {
        let to = folder.join("sums").join(format!("{hash}.bin"));
        if !to.exists() {
            replace_private(&to, &objects.get(hash).wait()?)?;
        }
    }
    private_folder(&folder.join("tickets"))?;
    for (_, ticket) in ledger.lines().iter().filter_map(Line::ended) {
        let to = folder.join("tickets").join(format!("{ticket}.json"));
        if !to.exists() {
            replace_private(&to, &store.ticket_file(ticket).wait()?)?;
        }
    }
    let keys =
        serde_json::json!({ "coordinator": signing.public(), "helper": helper.identity_key() });
    replace_private(
        &folder.join("keys.json"),
        &tacit_privacy::canonical::encode(&keys)?,
    )?;
    let helper_lines = store.helper_lines().wait()?;
    replace_private(
        &folder.join("helper.jsonl"),
        &lines(helper_lines.iter().map(|line| line.bytes.as_slice())),
    )?;
    let signatures: Vec<String> = helper_lines
        .iter()
        .map(|line| hex::encode(line.signature.0))
        .collect();
    replace_private(
        &folder.join("helper.sig"),
        &lines(signatures.iter().map(String::as_bytes)),
    )?;
    replace_private(
        &folder.join("ledger.jsonl"),
        &lines(ledger.bytes().iter().map(Vec::as_slice)),
    )?;
    for (size, json) in store.heads().wait()? {
        let path = folder.join("heads").join(format!("{size:08}.json"));
        if !path.exists() {
            replace_private(&path, json.as_bytes())?;
        }
    }
    Ok(())
}

/// Removes every head from an export, before lines they are of are lost. The next export has those
/// again that are left.
///
/// # Errors
/// [`ServerError::StorageUnavailable`].
pub fn forget_heads(folder: &Path) -> Result<(), ServerError> {
    match std::fs::remove_dir_all(folder.join("heads")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The sum of a line that released an evaluation.
fn evaluated(line: &Line) -> Option<Digest> {
    match &line.event {
        Event::Release(release) if release.charge.kind == Kind::Metrics.as_str() => {
            Some(release.sum_digest)
        }
        _ => None,
    }
}

fn lines<'a>(all: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    all.flat_map(|line| [line, b"\n"].concat()).collect()
}
