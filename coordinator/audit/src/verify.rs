//! Verifies a whole export, in the order a reader would: keys, lines, the helper's lines, heads,
//! models, sums, tickets.

use std::path::Path;

use tacit_privacy::Rho;
use tacit_privacy::record::Genesis;
use tacit_types::shown::Shown;
use tacit_types::{Digest, Kind};

use crate::empty::{self, EmptyRound};
use crate::error::VerifyError;
use crate::helper::{HelperLedger, check_restores};
use crate::keys::Keys;
use crate::ledger::{self, Entry, Ledger};
use crate::restored::RestoredLine;
use crate::sums::{self, Evaluated};
use crate::{files, heads, keys, models, tickets};

/// An export in which nothing is wrong, and everything a report needs from it.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Keys that signed it.
    pub keys: Keys,
    /// Name of the coordinator's ledger.
    pub ledger_id: Digest,
    /// Generation of the last line: 1 more for every restore from backup.
    pub generation: u32,
    /// Lines in the coordinator's ledger.
    pub lines: u64,
    /// Lines in the helper's ledger.
    pub helper_lines: u64,
    /// Signed heads.
    pub heads: u64,
    /// SHA-256 of the last line, which through the chain names the whole list of events.
    pub last_line_hash: Digest,
    /// The genesis line: task, first model, budget.
    pub genesis: Genesis,
    /// Hour of the first line.
    pub time_first: u64,
    /// Hour of the last line.
    pub time_last: u64,
    /// Every line that cost something, in order.
    pub entries: Vec<Entry>,
    /// Every round that cost nothing, in order.
    pub empty: Vec<EmptyRound>,
    /// What the evaluations found, recomputed from their sums.
    pub evaluations: Vec<Evaluated>,
    /// Positions of the coordinator's restarts.
    pub restarts: Vec<u64>,
    /// Every line that says the ledger was restored from an older copy, in order.
    pub restores: Vec<RestoredLine>,
    /// Restarts the helper recorded.
    pub helper_restarts: u64,
    /// Price of everything together for a device that took part in every round.
    pub rho_total: Rho,
    /// Total variation of all noise draws from the ideal, units of 2^-128.
    pub total_variation: u128,
    /// What is odd but wrong in no way that matters to the guarantee.
    pub warnings: Vec<String>,
}

impl Verified {
    /// Lines from which a model came.
    pub fn releases(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_release())
    }

    /// Rounds that were paid for and gave nothing.
    pub fn abandoned(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_release())
    }

    /// Most rounds one device can have taken part in: every round that was charged or that nobody
    /// is known to have entered, once.
    pub fn participations_max(&self) -> usize {
        self.entries.len() + self.empty.len()
    }

    /// The most a device can have spent by its own ledger: the price of everything, and of the
    /// tickets of rounds that cost the task nothing.
    pub fn rho_spent_max(&self) -> Rho {
        self.rho_total.compose(empty::price(&self.empty))
    }
}

/// Verifies an export against the keys it carries itself.
///
/// That shows the export agrees with itself and was signed by the holders of those keys. Whose keys
/// they are must come from elsewhere: compare them with the pinned policy, or use
/// [`verify_with_keys`].
///
/// # Errors
/// [`VerifyError`] with the first wrong thing.
pub fn verify(dir: &Path) -> Result<Verified, VerifyError> {
    files::survey(dir)?;
    verify_signed_by(dir, Keys::read(dir)?)
}

/// Verifies an export against keys the auditor already has.
///
/// # Errors
/// [`VerifyError`] with the first wrong thing, which may be that `keys.json` names other keys.
pub fn verify_with_keys(dir: &Path, keys: Keys) -> Result<Verified, VerifyError> {
    let verified = verify(dir)?;
    if verified.keys == keys {
        Ok(verified)
    } else {
        Err(VerifyError::file(
            keys::FILE,
            "names other keys than expected",
        ))
    }
}

fn verify_signed_by(dir: &Path, keys: Keys) -> Result<Verified, VerifyError> {
    let mut ledger = Ledger::read(dir)?;
    let helper = HelperLedger::read(dir, &keys.helper)?;
    helper.match_with(&mut ledger.entries)?;
    if let Some(seq) = ledger.empty.forged(&keys.helper) {
        let problem = "its certificate is not the helper's for this ticket";
        return Err(VerifyError::line(ledger::FILE, seq, problem));
    }
    let mut warnings: Vec<String> = Vec::new();
    let heads = heads::check(dir, &ledger, &helper, &keys, &mut warnings)?;
    models::check(dir, &ledger, &mut warnings)?;
    let evaluations = sums::check(dir, &ledger, &mut warnings)?;
    tickets::check(dir, &ledger, &keys, &mut warnings)?;
    let ended = ledger.ended();
    helper.check_tickets(&ended)?;
    let restores = std::mem::take(&mut ledger.restores).into_all();
    check_restores(&restores, &ended, &helper)?;
    for signed in helper.unopened(&ended) {
        warnings.push(format!(
            "helper.jsonl line {}: the ticket of round {} stands in no line of ledger.jsonl, so it \
             was never offered",
            signed.seq, signed.line.round
        ));
    }
    warn(&ledger, &helper, &keys, &mut warnings);
    for warning in &mut warnings {
        *warning = Shown(warning).to_string();
    }
    Ok(Verified {
        keys,
        ledger_id: ledger.chain.ledger_id(),
        generation: ledger.chain.generation(),
        lines: ledger.chain.len(),
        helper_lines: helper.chain.len(),
        heads,
        last_line_hash: ledger.chain.last_hash(),
        genesis: ledger.genesis,
        time_first: ledger.time_first,
        time_last: ledger.time_last,
        entries: ledger.entries,
        empty: ledger.empty.into_all(),
        evaluations,
        restarts: ledger.restarts,
        restores,
        helper_restarts: helper.restarts,
        rho_total: ledger.rho_total,
        total_variation: ledger.total_variation,
        warnings,
    })
}

fn warn(ledger: &Ledger, helper: &HelperLedger, keys: &Keys, warnings: &mut Vec<String>) {
    if keys.coordinator == keys.helper {
        warnings.push("coordinator and helper sign with the same key: they are one party".into());
    }
    if helper.answers() > 0 && helper.chain.ledger_id() == ledger.chain.ledger_id() {
        warnings.push("both ledgers carry the same ledger_id".into());
    }
    for entry in &ledger.entries {
        if Kind::parse(&entry.charge.kind).is_none() {
            warnings.push(format!(
                "ledger.jsonl line {}: kind is {:.60}, which is unknown",
                entry.seq, entry.charge.kind
            ));
        }
    }
}
