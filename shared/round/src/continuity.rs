//! Whether a release ledger goes on from the point a device has seen: as the same ledger grown
//! longer, or from a restore that the helper signed (PRIVACY.md, section 11, rule 3).

use tacit_privacy::merkle;
use tacit_privacy::record::{Event, Keeper, Line, Restored, SCHEMA};
use tacit_types::Digest;

use crate::policy::{LogMark, TicketRefusal};

/// What shows that the ledger under a head goes on from an earlier point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuity {
    /// RFC 6962 proof that it continues the ledger seen; empty when it is the same, when nothing
    /// was seen, or when there is no such proof.
    pub proof: Vec<Digest>,
    /// The newest line that says the ledger was restored, if there is one.
    pub restored: Option<RestoredLine>,
}

/// A line of [`Event::Restored`], its place, and its proof under the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredLine {
    /// Exact bytes of the line.
    pub line: Vec<u8>,
    /// Its position.
    pub seq: u64,
    /// Sibling hashes from the leaf to the root.
    pub proof: Vec<Digest>,
}

impl From<Vec<Digest>> for Continuity {
    fn from(proof: Vec<Digest>) -> Self {
        let restored = None;
        Self { proof, restored }
    }
}

impl LogMark {
    /// This point, to be remembered after `seen`: not before it, and in the same ledger. What was
    /// seen of prices stays.
    pub(crate) fn after(self, seen: Self, shown: &Continuity) -> Result<Self, TicketRefusal> {
        if let Err(refusal) = self.check_follows(seen, &shown.proof) {
            let restored = shown.restored.as_ref();
            if !restored.is_some_and(|line| self.is_restored_from(seen, line)) {
                return Err(refusal);
            }
        }
        Ok(Self {
            rho_total: self.rho_total.max(seen.rho_total),
            ..self
        })
    }

    fn check_follows(&self, seen: Self, proof: &[Digest]) -> Result<(), TicketRefusal> {
        if seen.size > 0 && self.ledger_id != seen.ledger_id {
            return Err(TicketRefusal::Forked);
        }
        if self.generation < seen.generation
            || self.size < seen.size
            || self.model_seq < seen.model_seq
        {
            return Err(TicketRefusal::RolledBack);
        }
        if merkle::verify_consistency((seen.size, seen.root), (self.size, self.root), proof) {
            Ok(())
        } else {
            Err(TicketRefusal::Forked)
        }
    }

    /// Whether the ledger under this point was restored after `seen`, and the helper had signed
    /// `seen` or more when that was written down.
    fn is_restored_from(&self, seen: Self, shown: &RestoredLine) -> bool {
        let leaf = merkle::leaf(&shown.line);
        let stands = merkle::verify_inclusion(leaf, shown.seq, self.size, &shown.proof, self.root);
        let Ok(line) = Line::from_bytes(&shown.line) else {
            return false;
        };
        let ours = line.schema == SCHEMA
            && line.keeper == Keeper::Coordinator
            && line.seq == shown.seq
            && [line.ledger_id, seen.ledger_id] == [self.ledger_id; 2];
        let later = seen.generation < line.generation && line.generation <= self.generation;
        match &line.event {
            Event::Restored(restored) if stands && ours && later => covers(restored, seen),
            _ => false,
        }
    }
}

/// Whether the head that a restore names is `seen` or one that the helper signed after it.
fn covers(restored: &Restored, seen: LogMark) -> bool {
    let last = &restored.last_head;
    if last.ledger_id != seen.ledger_id || last.generation < seen.generation {
        return false;
    }
    last.generation > seen.generation
        || last.size > seen.size
        || (last.size, last.root) == (seen.size, seen.root)
}
