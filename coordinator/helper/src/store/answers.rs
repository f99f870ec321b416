//! Answers, the seeds they used, and their ledger lines: written together or not at all.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tacit_privacy::canonical;
use tacit_privacy::record::{Answered, Event};
use tacit_round::helper::{HelperRefusal, OpenedSet};
use tacit_round::keys::{SignatureBytes, SigningKey};
use tacit_types::{Digest, Timestamp};

use crate::error::{Failure, StorageError};
use crate::store::lines::{self, SignedLine};
use crate::store::{Store, admitted};

/// Newest answers whose mask sums are kept, for a coordinator that lost one on the way. Lines are
/// kept for ever.
const MASK_SUMS_KEPT: u32 = 4;

/// A recorded answer.
pub(crate) struct Recorded {
    /// Digest of the set it was given for.
    pub(crate) set_digest: Digest,
    /// Exact bytes of the ledger line.
    pub(crate) line: Vec<u8>,
    /// The helper's signature over `line`.
    pub(crate) signature: SignatureBytes,
    /// The mask sum; `None` once newer answers have taken its place.
    pub(crate) mask_sum: Option<Vec<u8>>,
}

impl Store {
    /// The answer this round was given, if it was.
    pub(crate) fn answer(&self, ticket: Digest) -> Result<Option<Recorded>, StorageError> {
        let query = "SELECT set_digest, line, signature, mask_sum FROM answers JOIN lines USING \
                     (id) WHERE ticket_hash = ?1";
        let recorded = self
            .db
            .prepare_cached(query)?
            .query_row(params![ticket.0], read)
            .optional()?;
        recorded.as_ref().map_or(Ok(()), check_mask_sum)?;
        Ok(recorded)
    }

    /// Ends an open round with its answer: one transaction for {state, used seeds, ledger line, set
    /// digest, mask sum}. Which seeds it had admitted is forgotten. Gives the line and its
    /// signature.
    pub(crate) fn record(
        &mut self,
        answered: &Answered,
        opened: &OpenedSet,
        mask_sum: &[u8],
        now: Timestamp,
        key: &SigningKey,
    ) -> Result<SignedLine, Failure> {
        let event = Event::Answered(answered.clone());
        let line = self.next_line(&answered.task, event, now, key)?;
        let transaction = self.db.transaction()?;
        end_round(&transaction, answered.ticket_hash)?;
        use_seeds(&transaction, opened)?;
        admitted::forget(&transaction, answered.ticket_hash)?;
        let id = lines::append(&transaction, &answered.task, &line)?;
        transaction.execute(
            "INSERT INTO answers VALUES (?1, ?2, ?3, ?4)",
            params![answered.ticket_hash.0, id, answered.set_digest.0, mask_sum],
        )?;
        transaction.execute(
            "UPDATE answers SET mask_sum = NULL WHERE mask_sum IS NOT NULL AND id NOT IN \
             (SELECT id FROM answers ORDER BY id DESC LIMIT ?1)",
            [MASK_SUMS_KEPT],
        )?;
        transaction.commit()?;
        Ok(line)
    }
}

/// Only an open round can be answered: this is what decides between two answers, and between an
/// answer and an abandonment.
fn end_round(db: &Connection, ticket: Digest) -> Result<(), Failure> {
    let update = "UPDATE rounds SET state = 'answered' WHERE ticket_hash = ?1 AND state = 'open'";
    if db.execute(update, params![ticket.0])? == 1 {
        Ok(())
    } else {
        Err(HelperRefusal::UnknownRound.into())
    }
}

fn use_seeds(db: &Connection, opened: &OpenedSet) -> Result<(), Failure> {
    let mut insert = db.prepare_cached("INSERT OR IGNORE INTO used_seeds VALUES (?1)")?;
    for ((contribution, _), fingerprint) in opened.seeds().iter().zip(&opened.fingerprints) {
        if insert.execute(params![fingerprint.0])? == 0 {
            return Err(Failure::SeedUsed(*contribution));
        }
    }
    Ok(())
}

fn check_mask_sum(recorded: &Recorded) -> Result<(), StorageError> {
    let Some(mask_sum) = &recorded.mask_sum else {
        return Ok(());
    };
    match lines::parse(&recorded.line)?.event {
        Event::Answered(answered) if answered.mask_digest == canonical::digest(mask_sum) => Ok(()),
        _ => Err(StorageError::damaged(
            "a mask sum is not the one its ledger line names",
        )),
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Recorded> {
    Ok(Recorded {
        set_digest: Digest(row.get(0)?),
        line: row.get(1)?,
        signature: SignatureBytes(row.get(2)?),
        mask_sum: row.get(3)?,
    })
}
