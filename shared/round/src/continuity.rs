//! Whether a release ledger goes on from the point a device has seen: as the same ledger grown
//! longer, or from a restore that the helper signed (PRIVACY.md, section 11, rule 3).

use serde::{Deserialize, Serialize};
use tacit_privacy::record::{Event, Keeper, Line, Restored, SCHEMA};
use tacit_privacy::{Rho, merkle};
use tacit_types::Digest;

/// Newest point of a task's release ledger this device has seen; tickets of the task may not go
/// back behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMark {
    /// Name of the ledger: a task stays in the one it began in.
    pub ledger_id: Digest,
    /// Generation of the ledger.
    pub generation: u32,
    /// Number of lines under the newest head.
    pub size: u64,
    /// Merkle root of that head.
    pub root: Digest,
    /// Position of the line that published the newest model seen.
    pub model_seq: u64,
    /// Hash of that model.
    pub model: Digest,
    /// Price of every release of the ledger up to that line: no device was counted for more in it.
    pub rho_total: Rho,
}

impl Default for LogMark {
    /// Nothing seen: every ledger begins with the empty one.
    fn default() -> Self {
        let nothing = Digest([0; 32]);
        Self {
            ledger_id: nothing,
            generation: 0,
            size: 0,
            root: nothing,
            model_seq: 0,
            model: nothing,
            rho_total: Rho::ZERO,
        }
    }
}

/// How a ledger does not go on from a point seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It or its model is older.
    GoesBack,
    /// It is another ledger.
    Forks,
}

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
    pub(crate) fn after(self, seen: Self, shown: &Continuity) -> Result<Self, Broken> {
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

    fn check_follows(&self, seen: Self, proof: &[Digest]) -> Result<(), Broken> {
        if seen.size > 0 && self.ledger_id != seen.ledger_id {
            return Err(Broken::Forks);
        }
        if self.generation < seen.generation
            || self.size < seen.size
            || self.model_seq < seen.model_seq
        {
            return Err(Broken::GoesBack);
        }
        if merkle::verify_consistency((seen.size, seen.root), (self.size, self.root), proof) {
            Ok(())
        } else {
            Err(Broken::Forks)
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
