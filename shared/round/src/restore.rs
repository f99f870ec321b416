//! Whether a coordinator's ledger may go on from an older copy of itself: what the helper asks
//! before it signs anything of a new generation (PRIVACY.md, section 11, rule 3).

use std::collections::HashMap;

use tacit_privacy::canonical::{self, NotCanonical};
use tacit_privacy::merkle;
use tacit_privacy::record::{
    Charge, Countersigned, Event, Keeper, Line, Restored, SCHEMA, TreeHead,
};
use tacit_types::{Digest, RoundId};

use crate::keys::PublicKey;
use crate::nobody_entered::NobodyEntered;

/// Why a restored ledger is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreRefusal {
    /// A line cannot be read.
    #[error("line {0} of the restored ledger cannot be read: {1}")]
    Unreadable(u64, NotCanonical),
    /// A line does not follow from the one before.
    #[error("line {0} of the restored ledger does not follow from the one before")]
    Broken(u64),
    /// The lines are not those of the head.
    #[error("the restored ledger is not the one its head is of")]
    OtherHead,
    /// No line says that it was restored from the newest head signed.
    #[error("the restored ledger has no line that names the newest head this helper signed")]
    Unnamed,
    /// It begins like no ledger the helper has signed a head of.
    #[error("the restored ledger begins like none that this helper signed a head of")]
    Unknown,
    /// A ticket was countersigned, and no line says what became of it.
    #[error("round {0} has a countersigned ticket and no line in the restored ledger")]
    LeftOut(RoundId),
    /// A line of a countersigned ticket does not charge its price.
    #[error("the line of round {0} in the restored ledger does not charge what its ticket costs")]
    Price(RoundId),
}

/// What the helper keeps of the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// Every head it signed of the ledger, in order.
    pub heads: &'a [TreeHead],
    /// Every ticket it countersigned for the ledger.
    pub tickets: &'a [Countersigned],
    /// Its own key, which certifies rounds that nobody entered.
    pub helper: PublicKey,
}

/// The line with which the newest generation of a ledger began, and its place.
pub fn newest(lines: &[Line]) -> Option<(u64, &Restored)> {
    lines.iter().rev().find_map(|line| match &line.event {
        Event::Restored(restored) => Some((line.seq, restored)),
        _ => None,
    })
}

/// Checks the exact bytes of every line under the first head of a new generation.
///
/// # Errors
/// [`RestoreRefusal`]; the first reason found.
pub fn check(head: &TreeHead, bytes: &[Vec<u8>], kept: Kept<'_>) -> Result<(), RestoreRefusal> {
    let leaves: Vec<Digest> = bytes.iter().map(|line| merkle::leaf(line)).collect();
    let roots = merkle::prefix_roots(&leaves);
    if head.size != leaves.len() as u64 || roots.last() != Some(&head.root) {
        return Err(RestoreRefusal::OtherHead);
    }
    let lines = chain(head, bytes)?;
    let restored = begin(head, &lines, kept)?;

    let signed = |head: &&TreeHead| {
        let root = usize::try_from(head.size)
            .ok()
            .and_then(|size| roots.get(size));
        (1..=restored).contains(&head.size) && root == Some(&head.root)
    };
    let known = kept.heads.iter().filter(signed);
    let base = known
        .map(|head| head.size)
        .max()
        .ok_or(RestoreRefusal::Unknown)?;
    check_rounds(base, &lines, kept)
}

/// Reads the lines, which must be of one ledger and follow each other.
fn chain(head: &TreeHead, bytes: &[Vec<u8>]) -> Result<Vec<Line>, RestoreRefusal> {
    let mut lines: Vec<Line> = Vec::with_capacity(bytes.len());
    let mut prev_hash = Digest([0; 32]);
    for (bytes, seq) in bytes.iter().zip(0..) {
        let line = Line::from_bytes(bytes);
        let line = line.map_err(|error| RestoreRefusal::Unreadable(seq, error))?;
        let generation = lines.last().map_or(0, |line| line.generation);
        let follows = (line.schema, line.keeper) == (SCHEMA, Keeper::Coordinator)
            && (line.ledger_id, line.seq) == (head.ledger_id, seq)
            && line.prev_hash == prev_hash
            && line.generation >= generation;
        if !follows {
            return Err(RestoreRefusal::Broken(seq));
        }
        prev_hash = canonical::digest(bytes);
        lines.push(line);
    }
    Ok(lines)
}

/// The place of the line that begins the generation of the head: the next after the newest signed,
/// from the newest head signed.
fn begin(head: &TreeHead, lines: &[Line], kept: Kept<'_>) -> Result<u64, RestoreRefusal> {
    let last = kept.heads.last().ok_or(RestoreRefusal::Unknown)?;
    let (seq, restored) = newest(lines).ok_or(RestoreRefusal::Unnamed)?;
    let is_first = |line: &Line| line.generation == head.generation;
    let first = lines.iter().find(|line| is_first(line));
    let begins = first.is_some_and(|line| line.seq == seq);
    let next = head.generation == last.generation.saturating_add(1);
    // Nothing is countersigned between the line and the head over it.
    let same_lines = restored.helper_size == head.helper_size;
    if begins && next && same_lines && restored.last_head == *last {
        Ok(seq)
    } else {
        Err(RestoreRefusal::Unnamed)
    }
}

/// Every ticket that was countersigned after the rounds of the first `base` lines must have its
/// line: charged, unless this helper certified that nobody entered.
fn check_rounds(base: u64, lines: &[Line], kept: Kept<'_>) -> Result<(), RestoreRefusal> {
    let before = lines.iter().take_while(|line| line.seq < base);
    let rounds = before.filter_map(Line::ended);
    let floor = rounds.map(|(round, _)| round).max();
    let ended: HashMap<Digest, &Line> = lines
        .iter()
        .filter_map(|line| Some((line.ended()?.1, line)))
        .collect();
    for ticket in kept.tickets {
        if floor.is_some_and(|floor| ticket.round <= floor) {
            continue;
        }
        let left_out = RestoreRefusal::LeftOut(ticket.round);
        let line = ended.get(&ticket.ticket_hash).ok_or(left_out)?;
        let is_paid = match &line.event {
            Event::Empty(empty) => NobodyEntered::is_on(empty, &kept.helper),
            _ => line
                .charge()
                .is_some_and(|charge| pays(charge, ticket)),
        };
        if !is_paid {
            return Err(RestoreRefusal::Price(ticket.round));
        }
    }
    Ok(())
}

fn pays(charge: &Charge, ticket: &Countersigned) -> bool {
    (charge.round, charge.rho) == (ticket.round, ticket.rho)
}

/// Tickets that were countersigned after every round these lines ended, in order of their rounds.
pub fn lost<'a>(
    lines: &[Line],
    tickets: impl IntoIterator<Item = &'a Countersigned>,
) -> Vec<&'a Countersigned> {
    let newest = lines
        .iter()
        .filter_map(|line| Some(line.ended()?.0))
        .max();
    let mut lost: Vec<_> = tickets
        .into_iter()
        .filter(|ticket| newest.is_none_or(|newest| ticket.round > newest))
        .collect();
    lost.sort_by_key(|ticket| ticket.round);
    lost
}
