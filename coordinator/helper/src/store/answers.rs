//! Answers, the seeds they used, and the helper's ledgers, one a task, so that each can be
//! published whole: written together or not at all.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tacit_privacy::canonical;
use tacit_privacy::record::{Answered, Event, Keeper, Line, SCHEMA, time_bucket};
use tacit_round::helper::{HelperRefusal, OpenedSet};
use tacit_round::keys::{Context, SignatureBytes, SigningKey};
use tacit_types::{Digest, TaskId, Timestamp};

use crate::error::{Failure, StorageError};
use crate::store::{Store, admitted};

/// Newest answers whose mask sums are kept, for a coordinator that lost one on the way. Lines are
/// kept for ever.
const MASK_SUMS_KEPT: i64 = 4;

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
    ) -> Result<(Vec<u8>, SignatureBytes), Failure> {
        let line = self.next_line(answered.clone(), now)?;
        let bytes = line.to_bytes()?;
        let signature = key.sign(Context::Line, &bytes);
        let transaction = self.db.transaction()?;
        end_round(&transaction, answered.ticket_hash)?;
        use_seeds(&transaction, opened)?;
        admitted::forget(&transaction, answered.ticket_hash)?;
        transaction.execute(
            "INSERT INTO lines (task, line, signature) VALUES (?1, ?2, ?3)",
            params![answered.task.as_str(), bytes, signature.0],
        )?;
        let id = transaction.last_insert_rowid();
        transaction.execute(
            "INSERT INTO answers VALUES (?1, ?2, ?3, ?4)",
            params![answered.ticket_hash.0, id, answered.set_digest.0, mask_sum],
        )?;
        transaction.execute(
            "UPDATE answers SET mask_sum = NULL WHERE id <= ?1 AND mask_sum IS NOT NULL",
            params![id - MASK_SUMS_KEPT],
        )?;
        transaction.commit()?;
        Ok((bytes, signature))
    }

    fn next_line(&self, answered: Answered, now: Timestamp) -> Result<Line, StorageError> {
        let last = self
            .db
            .query_row(
                "SELECT line FROM lines WHERE task = ?1 ORDER BY id DESC LIMIT 1",
                [answered.task.as_str()],
                |row| row.get::<_, Vec<u8>>(0),
            )
            .optional()?;
        let (seq, prev_hash, bucket) = match &last {
            None => (0, Digest([0; 32]), 0),
            Some(bytes) => {
                let line = parse(bytes)?;
                (line.seq + 1, canonical::digest(bytes), line.time_bucket)
            }
        };
        Ok(Line {
            schema: SCHEMA,
            ledger_id: self.ledger_of(&answered.task),
            generation: self.generation,
            seq,
            prev_hash,
            keeper: Keeper::Helper,
            // A clock that was set back does not take the ledger with it.
            time_bucket: time_bucket(now).max(bucket),
            event: Event::Answered(answered),
        })
    }

    /// Name of a task's ledger.
    fn ledger_of(&self, task: &TaskId) -> Digest {
        canonical::digest(&[&self.ledger_id.0, task.as_str().as_bytes()].concat())
    }

    /// Replays the helper's own ledgers: chains, names and signatures.
    pub(super) fn check_ledgers(&self) -> Result<(), StorageError> {
        let mut query = self
            .db
            .prepare("SELECT task, line, signature FROM lines ORDER BY task, id")?;
        let rows = query.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, SignatureBytes(row.get(2)?)))
        })?;
        let mut before: Option<(String, u64, Digest)> = None;
        for row in rows {
            let (task, bytes, signature): (String, Vec<u8>, _) = row?;
            let line = parse(&bytes)?;
            let (seq, prev_hash) = match &before {
                Some((of, seq, hash)) if *of == task => (seq + 1, *hash),
                _ => (0, Digest([0; 32])),
            };
            let named = match &line.event {
                Event::Answered(answered) => {
                    let ledger = self.ledger_of(&answered.task);
                    answered.task.as_str() == task && line.ledger_id == ledger
                }
                _ => false,
            };
            let follows = named && line.seq == seq && line.prev_hash == prev_hash;
            if !follows
                || !self
                    .helper_key
                    .verifies(Context::Line, &bytes, &signature)
            {
                let problem = format!(
                    "line {seq} of the ledger of '{task}' does not follow from the one before"
                );
                return Err(StorageError::damaged(&problem));
            }
            before = Some((task, seq, canonical::digest(&bytes)));
        }
        Ok(())
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
    match parse(&recorded.line)?.event {
        Event::Answered(answered) if answered.mask_digest == canonical::digest(mask_sum) => Ok(()),
        _ => Err(StorageError::damaged(
            "a mask sum is not the one its ledger line names",
        )),
    }
}

fn parse(line: &[u8]) -> Result<Line, StorageError> {
    Line::from_bytes(line).map_err(|_| StorageError::damaged("a ledger line cannot be read"))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Recorded> {
    Ok(Recorded {
        set_digest: Digest(row.get(0)?),
        line: row.get(1)?,
        signature: SignatureBytes(row.get(2)?),
        mask_sum: row.get(3)?,
    })
}
