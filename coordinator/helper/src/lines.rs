//! Says where the helper stands, so that a coordinator can tell whether its own state is as new.

use tacit_privacy::record::{Event, TreeHead};
use tacit_types::Digest;

use crate::error::{Failure, StorageError};
use crate::helper::Helper;
use crate::store::Store;
use crate::store::lines::{SignedLine, parse};
use crate::store::rounds::RoundRow;

/// Most lines of one answer: each may come with a ticket of 64 KiB, and a message has at most 1
/// MiB.
const LINES_MAX: u32 = 8;

/// Where the helper stands beside one ledger of the coordinator's.
pub(crate) struct Standing {
    /// Newest head it signed of it.
    pub(crate) newest: Option<TreeHead>,
    /// Number of its own lines.
    pub(crate) size: u64,
    /// Those that were asked for.
    pub(crate) lines: Vec<Shown>,
}

/// A line, with its ticket if it is one's.
pub(crate) struct Shown {
    pub(crate) line: SignedLine,
    pub(crate) ticket: Option<RoundRow>,
}

impl Helper {
    /// Where this helper stands beside a ledger, with its own lines from `from` on. The coordinator
    /// shows the newest it has.
    pub(crate) fn standing(
        &self,
        ledger: Digest,
        from: u64,
        known: Option<&SignedLine>,
    ) -> Result<Standing, Failure> {
        let store = self.store();
        if let Some(known) = known {
            self.check_known(&store, known)?;
        }
        let newest = store.newest_head(ledger)?;
        let Some(task) = store.task_of(ledger)? else {
            return Ok(Standing {
                newest,
                size: 0,
                lines: Vec::new(),
            });
        };
        let lines = store.lines_from(&task, from, LINES_MAX)?;
        let shown = lines.into_iter().map(|line| show(&store, line));
        Ok(Standing {
            newest,
            size: store.end_of(&task)?.size,
            lines: shown.collect::<Result<_, _>>()?,
        })
    }
}

fn show(store: &Store, line: SignedLine) -> Result<Shown, StorageError> {
    let ticket = match parse(&line.bytes)?.event {
        Event::Countersigned(countersigned) => store.round(countersigned.ticket_hash)?,
        _ => None,
    };
    Ok(Shown { line, ticket })
}
