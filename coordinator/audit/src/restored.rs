//! Restores: a ledger that goes on from an older copy of itself says so in one line, and charges
//! what was lost (PRIVACY.md, section 11, rule 3).

use tacit_privacy::record::{Event, Line, Restored};
use tacit_types::RoundId;

/// A line that says the ledger was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredLine {
    /// Position in the ledger.
    pub seq: u64,
    /// Hours since the Unix epoch.
    pub time_bucket: u64,
    /// Generation that begins with it.
    pub generation: u32,
    /// What it says.
    pub line: Restored,
    /// The newest round of a line before it.
    pub(crate) after: Option<RoundId>,
}

/// Restores of a ledger, in order, and how many lines of lost rounds are still to come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restores {
    all: Vec<RestoredLine>,
    to_come: u32,
}

impl Restores {
    /// Takes the next line of the ledger, which follows one of generation `before`. Gives whether
    /// it is of a lost round.
    pub(crate) fn take(
        &mut self,
        line: &Line,
        before: u32,
        after: Option<RoundId>,
    ) -> Result<bool, String> {
        if self.to_come > 0 {
            let ends = matches!(line.event, Event::Abandoned(_) | Event::Empty(_));
            if !ends || line.generation != before {
                return Err(format!(
                    "{} more lines of rounds lost in the restore must come first",
                    self.to_come
                ));
            }
            self.to_come -= 1;
            return Ok(true);
        }
        let Event::Restored(restored) = &line.event else {
            return match line.generation == before {
                true => Ok(false),
                false => Err("generation rises without a restore".into()),
            };
        };
        let last = &restored.last_head;
        if last.ledger_id != line.ledger_id || last.generation < before {
            return Err("last_head is of another ledger or an earlier generation".into());
        }
        if line.generation != last.generation.saturating_add(1) {
            return Err("generation is not the next after last_head's".into());
        }
        self.to_come = restored.lost;
        self.all.push(RestoredLine {
            seq: line.seq,
            time_bucket: line.time_bucket,
            generation: line.generation,
            line: restored.clone(),
            after,
        });
        Ok(false)
    }

    pub(crate) fn into_all(self) -> Vec<RestoredLine> {
        self.all
    }

    /// Whether every lost round has its line.
    pub(crate) fn whole(&self) -> Result<(), String> {
        match self.to_come {
            0 => Ok(()),
            missing => Err(format!(
                "{missing} lines of rounds lost in the restore are missing"
            )),
        }
    }
}
