//! Checks every signed tree head against the lines, and that one covers them all.

use std::path::Path;

use tacit_privacy::record::TreeHead;
use tacit_privacy::{canonical, merkle};
use tacit_round::head::SignedHead;
use tacit_types::Digest;

use crate::error::VerifyError;
use crate::files;
use crate::helper::{self, HelperLedger};
use crate::keys::Keys;
use crate::ledger::Ledger;

const FOLDER: &str = "heads";

/// Checks all heads and returns how many there are.
pub(crate) fn check(
    dir: &Path,
    ledger: &Ledger,
    helper: &HelperLedger,
    keys: &Keys,
    warnings: &mut Vec<String>,
) -> Result<u64, VerifyError> {
    let (mut count, mut covered, mut of_helper) = (0, 0, 0);
    let roots = merkle::prefix_roots(&ledger.leaves);
    for name in files::names(dir, FOLDER)? {
        let file = format!("{FOLDER}/{name}");
        if !name.ends_with(".json") {
            warnings.push(format!("{file} is not a head and was not read"));
            continue;
        }
        let bytes = files::read_small(dir, &file)?;
        let wrong = |problem| VerifyError::file(&file, problem);
        let head = check_one(&name, &bytes, ledger, &roots, keys).map_err(wrong)?;
        // Names sort by size, so these heads come in the order they were signed.
        check_helper(&head, of_helper, helper).map_err(wrong)?;
        of_helper = head.helper_size;
        (count, covered) = (count + 1, head.size.max(covered));
    }
    if covered < ledger.chain.len() {
        return Err(VerifyError::Uncovered { line: covered });
    }
    if of_helper < helper.chain.len() {
        let problem = "is under no signed head";
        return Err(VerifyError::line(helper::FILE, of_helper, problem));
    }
    Ok(count)
}

/// What a head says of the helper's ledger is so, and not less than the head before it said.
fn check_helper(head: &TreeHead, before: u64, helper: &HelperLedger) -> Result<(), String> {
    let size = head.helper_size;
    if size < before {
        return Err(format!("helper_size falls from {before} to {size}"));
    }
    helper.check_end(head)
}

/// Checks one head against the lines it covers.
fn check_one(
    name: &str,
    bytes: &[u8],
    ledger: &Ledger,
    roots: &[Digest],
    keys: &Keys,
) -> Result<TreeHead, String> {
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
    Ok(signed.head)
}
