//! The helper's ledgers, one a task, so that each can be published whole.

use rusqlite::{Connection, OptionalExtension, params};
use tacit_privacy::canonical;
use tacit_privacy::record::{Countersigned, Event, Keeper, Line, SCHEMA, time_bucket};
use tacit_round::keys::{Context, SignatureBytes, SigningKey};
use tacit_types::{Digest, TaskId, Timestamp};

use crate::error::{Failure, StorageError};
use crate::store::Store;

/// Exact bytes of a line, and the helper's signature over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedLine {
    pub(crate) bytes: Vec<u8>,
    pub(crate) signature: SignatureBytes,
}

/// Where one of the helper's ledgers ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Number of its lines.
    pub(crate) size: u64,
    /// SHA-256 of the last one; zeros before the first.
    pub(crate) last_hash: Digest,
    time_bucket: u64,
}

impl End {
    const EMPTY: Self = Self {
        size: 0,
        last_hash: Digest([0; 32]),
        time_bucket: 0,
    };
}

impl Store {
    /// Where the ledger of a task ends.
    pub(crate) fn end_of(&self, task: &TaskId) -> Result<End, StorageError> {
        let last = "SELECT line FROM lines WHERE task = ?1 ORDER BY id DESC LIMIT 1";
        let last: Option<Vec<u8>> = self
            .db
            .prepare_cached(last)?
            .query_row([task.as_str()], |row| row.get(0))
            .optional()?;
        let Some(bytes) = last else {
            return Ok(End::EMPTY);
        };
        let line = parse(&bytes)?;
        Ok(End {
            size: line.seq + 1,
            last_hash: canonical::digest(&bytes),
            time_bucket: line.time_bucket,
        })
    }

    /// Where the ledger ends that belongs to this ledger of the coordinator's: that of the task
    /// whose rounds stand in it. Before its first round there is none.
    pub(crate) fn end_beside(&self, coordinators: Digest) -> Result<End, StorageError> {
        match self.task_of(coordinators)? {
            Some(task) => self.end_of(&task),
            None => Ok(End::EMPTY),
        }
    }

    /// At most `limit` lines of a task, from place `from` on.
    pub(crate) fn lines_from(
        &self,
        task: &TaskId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<SignedLine>, StorageError> {
        let page = "SELECT line, signature FROM lines WHERE task = ?1 ORDER BY id LIMIT ?2 OFFSET \
                    ?3";
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let read = |row: &rusqlite::Row<'_>| {
            Ok(SignedLine {
                bytes: row.get(0)?,
                signature: SignatureBytes(row.get(1)?),
            })
        };
        let mut query = self.db.prepare_cached(page)?;
        let rows = query.query_map(params![task.as_str(), limit, from], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every ticket that was countersigned for this ledger of the coordinator's.
    pub(crate) fn tickets_beside(
        &self,
        coordinators: Digest,
    ) -> Result<Vec<Countersigned>, StorageError> {
        let Some(task) = self.task_of(coordinators)? else {
            return Ok(Vec::new());
        };
        let mut tickets = Vec::new();
        for line in self.lines_from(&task, 0, u32::MAX)? {
            if let Event::Countersigned(ticket) = parse(&line.bytes)?.event {
                tickets.push(ticket);
            }
        }
        Ok(tickets)
    }

    /// The next line of a task's ledger, signed; not written yet.
    pub(super) fn next_line(
        &self,
        task: &TaskId,
        event: Event,
        now: Timestamp,
        key: &SigningKey,
    ) -> Result<SignedLine, Failure> {
        let end = self.end_of(task)?;
        let line = Line {
            schema: SCHEMA,
            ledger_id: self.ledger_of(task),
            generation: self.generation,
            seq: end.size,
            prev_hash: end.last_hash,
            keeper: Keeper::Helper,
            // A clock that was set back does not take the ledger with it.
            time_bucket: time_bucket(now).max(end.time_bucket),
            event,
        };
        let bytes = line.to_bytes()?;
        let signature = key.sign(Context::Line, &bytes);
        Ok(SignedLine { bytes, signature })
    }

    /// Name of a task's ledger.
    pub(super) fn ledger_of(&self, task: &TaskId) -> Digest {
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
            let named = task_of(&line.event)
                .is_some_and(|own| own.as_str() == task && line.ledger_id == self.ledger_of(own));
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

/// Appends a line; gives its row.
pub(super) fn append(db: &Connection, task: &TaskId, line: &SignedLine) -> rusqlite::Result<i64> {
    db.execute(
        "INSERT INTO lines (task, line, signature) VALUES (?1, ?2, ?3)",
        params![task.as_str(), line.bytes, line.signature.0],
    )?;
    Ok(db.last_insert_rowid())
}

/// The task of a line of the helper's.
pub(crate) fn task_of(event: &Event) -> Option<&TaskId> {
    match event {
        Event::Countersigned(countersigned) => Some(&countersigned.task),
        Event::Answered(answered) => Some(&answered.task),
        _ => None,
    }
}

pub(crate) fn parse(line: &[u8]) -> Result<Line, StorageError> {
    Line::from_bytes(line).map_err(|_| StorageError::damaged("a ledger line cannot be read"))
}
