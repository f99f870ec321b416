//! Checks every signed tree head against the lines, and that one covers them all.

use std::path::Path;

use tacit_privacy::{canonical, merkle};
use tacit_round::head::SignedHead;
use tacit_types::Digest;

use crate::error::VerifyError;
use crate::files;
use crate::keys::Keys;
use crate::ledger::Ledger;

const FOLDER: &str = "heads";

/// Checks all heads and returns how many there are.
pub(crate) fn check(
    dir: &Path,
    ledger: &Ledger,
    keys: &Keys,
    warnings: &mut Vec<String>,
) -> Result<u64, VerifyError> {
    let (mut count, mut covered) = (0, 0);
    let roots = merkle::prefix_roots(&ledger.leaves);
    for name in files::names(dir, FOLDER)? {
        let file = format!("{FOLDER}/{name}");
        if !name.ends_with(".json") {
            warnings.push(format!("{file} is not a head and was not read"));
            continue;
        }
        let bytes = files::read_small(dir, &file)?;
        let size = check_one(&name, &bytes, ledger, &roots, keys)
            .map_err(|problem| VerifyError::file(&file, problem))?;
        (count, covered) = (count + 1, size.max(covered));
    }
    if covered < ledger.chain.len() {
        Err(VerifyError::Uncovered { line: covered })
    } else {
        Ok(count)
    }
}

/// Checks one head and returns the number of lines it covers.
fn check_one(
    name: &str,
    bytes: &[u8],
    ledger: &Ledger,
    roots: &[Digest],
    keys: &Keys,
) -> Result<u64, String> {
    let signed: SignedHead = canonical::decode(bytes).map_err(|error| error.to_string())?;
    let head = &signed.head;
    if name != format!("{:08}.json", head.size) {
        return Err(format!(
            "speaks of {} lines, which is not its name",
            head.size
        ));
    }
    if !signed.verifies(&keys.coordinator, &keys.helper) {
        return Err("is not signed by both parties".into());
    }
    if head.ledger_id != ledger.chain.ledger_id() {
        return Err("is the head of another ledger".into());
    }
    let covered = usize::try_from(head.size)
        .ok()
        .and_then(|size| Some((size, roots.get(size)?)));
    let Some((size, root)) = covered else {
        return Err(format!(
            "covers {} lines and ledger.jsonl has {}: it was rolled back",
            head.size,
            ledger.chain.len()
        ));
    };
    if *root != head.root {
        return Err("its root is not the root of these lines: it is of a fork".into());
    }
    // A head signed after a restore may already carry the next generation, never an earlier or a
    // later one.
    let at_least = size
        .checked_sub(1)
        .and_then(|last| ledger.generations.get(last))
        .copied()
        .unwrap_or(0);
    let at_most = ledger
        .generations
        .get(size)
        .copied()
        .unwrap_or(u32::MAX);
    if !(at_least..=at_most).contains(&head.generation) {
        return Err(format!(
            "generation is {}, which the lines do not have there",
            head.generation
        ));
    }
    Ok(head.size)
}
