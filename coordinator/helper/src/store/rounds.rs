//! What was countersigned, and how each round ended. A round's row is never removed: it is what
//! forbids a second ticket.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tacit_privacy::record::{Countersigned, Event};
use tacit_round::keys::{SignatureBytes, SigningKey};
use tacit_round::ticket::Ticket;
use tacit_types::{Digest, RoundId, TaskId, Timestamp};

use crate::error::{Failure, StorageError};
use crate::store::{Store, admitted, lines};

/// Most open rounds of one task. A coordinator may close an earlier round late, not arbitrarily
/// late.
const OPEN_MAX: i64 = 8;
const COLUMNS: &str = "draft_digest, ticket_hash, ticket, signature, state, draft_signature";

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its key exists.
    Open,
    /// Its one answer is recorded.
    Answered,
    /// It will never be answered.
    Abandoned,
}

/// One countersigned round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoundRow {
    /// SHA-256 of the draft's bytes.
    pub(crate) draft_digest: Digest,
    /// SHA-256 of `ticket`.
    pub(crate) ticket_hash: Digest,
    /// Exact bytes of the ticket.
    pub(crate) ticket: Vec<u8>,
    /// The helper's signature over `ticket`.
    pub(crate) signature: SignatureBytes,
    /// The coordinator's signature over the draft.
    pub(crate) draft_signature: SignatureBytes,
    /// Where the round stands.
    pub(crate) state: State,
}

impl RoundRow {
    /// The ticket, read.
    pub(crate) fn ticket(&self) -> Result<Ticket, StorageError> {
        Ticket::from_bytes(&self.ticket)
            .map_err(|_| StorageError::damaged("a ticket cannot be read"))
    }
}

impl Store {
    /// The round of a ticket.
    pub(crate) fn round(&self, ticket: Digest) -> Result<Option<RoundRow>, StorageError> {
        let query = format!("SELECT {COLUMNS} FROM rounds WHERE ticket_hash = ?1");
        Ok(self
            .db
            .prepare_cached(&query)?
            .query_row(params![ticket.0], read)
            .optional()?)
    }

    /// The coordinator's ledger that this task's first round stood in.
    pub(crate) fn ledger_of_task(&self, task: &TaskId) -> Result<Option<Digest>, StorageError> {
        let first = "SELECT ledger FROM rounds WHERE task = ?1 ORDER BY id LIMIT 1";
        Ok(self
            .db
            .prepare_cached(first)?
            .query_row([task.as_str()], |row| row.get(0).map(Digest))
            .optional()?)
    }

    /// The task whose rounds stand in this ledger of the coordinator's.
    pub(crate) fn task_of(&self, ledger: Digest) -> Result<Option<TaskId>, StorageError> {
        let first = "SELECT task FROM rounds WHERE ledger = ?1 ORDER BY id LIMIT 1";
        let task: Option<String> = self
            .db
            .prepare_cached(first)?
            .query_row(params![ledger.0], |row| row.get(0))
            .optional()?;
        let damaged = |_| StorageError::damaged("a task's name cannot be read");
        task.map(|task| TaskId::new(task).map_err(damaged))
            .transpose()
    }

    /// The round with this name, whatever its ticket.
    pub(crate) fn round_of(
        &self,
        task: &TaskId,
        round: RoundId,
    ) -> Result<Option<RoundRow>, StorageError> {
        let query = format!("SELECT {COLUMNS} FROM rounds WHERE task = ?1 AND round = ?2");
        Ok(self
            .db
            .prepare_cached(&query)?
            .query_row(params![task.as_str(), round.0], read)
            .optional()?)
    }

    /// Every open round.
    pub(crate) fn open_rounds(&self) -> Result<Vec<RoundRow>, StorageError> {
        let mut query = self.db.prepare(&format!(
            "SELECT {COLUMNS} FROM rounds WHERE state = 'open' ORDER BY id"
        ))?;
        Ok(query.query_map([], read)?.collect::<Result<_, _>>()?)
    }

    /// Adds an open round and its ledger line, in one commit. The oldest open rounds of its task
    /// past [`OPEN_MAX`] are abandoned; gives their tickets.
    pub(crate) fn add_round(
        &mut self,
        row: &RoundRow,
        ticket: &Ticket,
        now: Timestamp,
        key: &SigningKey,
    ) -> Result<Vec<Digest>, Failure> {
        let event = Event::Countersigned(Countersigned {
            task: ticket.task.clone(),
            round: ticket.round,
            ticket_hash: row.ticket_hash,
            rho: ticket.mechanism.rho(),
            participation_index: self.countersigned(&ticket.task)? + 1,
        });
        let line = self.next_line(&ticket.task, event, now, key)?;
        let transaction = self.db.transaction()?;
        let task = ticket.task.as_str();
        transaction.execute(
            "INSERT INTO rounds (task, round, ledger, draft_digest, ticket_hash, ticket, \
             signature, state, generation, draft_signature)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'open', ?8, ?9)",
            params![
                task,
                ticket.round.0,
                ticket.logged.head.head.ledger_id.0,
                row.draft_digest.0,
                row.ticket_hash.0,
                row.ticket,
                row.signature.0,
                self.generation,
                row.draft_signature.0
            ],
        )?;
        lines::append(&transaction, &ticket.task, &line)?;
        let crowded_out = oldest_open(&transaction, task)?;
        for ticket in &crowded_out {
            abandon(&transaction, *ticket, "too many open rounds")?;
        }
        transaction.commit()?;
        Ok(crowded_out)
    }

    /// Counts a round among the certified ones, if it was abandoned before any seed was admitted to
    /// it, in this generation. Durable when this returns; gives the generation to certify in. What
    /// was certified once is said again in any later generation: its key was gone by then, and its
    /// number counts.
    pub(crate) fn certify(&mut self, ticket: Digest) -> Result<Option<u32>, StorageError> {
        let update = "UPDATE rounds SET certified = 1 WHERE ticket_hash = ?1 AND state = \
                      'abandoned' AND ever_admitted = 0 AND (certified = 1 OR generation = ?2) \
                      RETURNING generation";
        let certified = self
            .db
            .query_row(update, params![ticket.0, self.generation], |row| row.get(0))
            .optional()?;
        Ok(certified)
    }

    /// Tickets of a task that were countersigned.
    fn countersigned(&self, task: &TaskId) -> Result<u32, StorageError> {
        let count = "SELECT count(*) FROM rounds WHERE task = ?1";
        Ok(self
            .db
            .prepare_cached(count)?
            .query_row([task.as_str()], |row| row.get(0))?)
    }

    /// Rounds of a task that were certified.
    pub(crate) fn certified(&self, task: &TaskId) -> Result<u32, StorageError> {
        let count = "SELECT count(*) FROM rounds WHERE task = ?1 AND certified = 1";
        Ok(self
            .db
            .prepare_cached(count)?
            .query_row([task.as_str()], |row| row.get(0))?)
    }

    /// Abandons a round if it is open.
    pub(crate) fn abandon(&mut self, ticket: Digest, reason: &str) -> Result<(), StorageError> {
        let transaction = self.db.transaction()?;
        abandon(&transaction, ticket, reason)?;
        Ok(transaction.commit()?)
    }
}

pub(super) fn abandon(db: &Connection, ticket: Digest, reason: &str) -> rusqlite::Result<()> {
    let update = "UPDATE rounds SET state = 'abandoned', reason = ?2 WHERE ticket_hash = ?1 AND \
                  state = 'open'";
    if db.execute(update, params![ticket.0, reason])? == 1 {
        admitted::forget(db, ticket)?;
        tracing::info!(event = "round_abandoned", %ticket, reason);
    }
    Ok(())
}

fn oldest_open(db: &Connection, task: &str) -> rusqlite::Result<Vec<Digest>> {
    let query = "SELECT ticket_hash FROM rounds WHERE task = ?1 AND state = 'open' ORDER BY id \
                 DESC LIMIT -1 OFFSET ?2";
    db.prepare(query)?
        .query_map(params![task, OPEN_MAX], |row| row.get(0).map(Digest))?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<RoundRow> {
    let state: String = row.get(4)?;
    Ok(RoundRow {
        draft_digest: Digest(row.get(0)?),
        ticket_hash: Digest(row.get(1)?),
        ticket: row.get(2)?,
        signature: SignatureBytes(row.get(3)?),
        draft_signature: SignatureBytes(row.get(5)?),
        state: match state.as_str() {
            "open" => State::Open,
            "answered" => State::Answered,
            // The table's check leaves nothing else.
            _ => State::Abandoned,
        },
    })
}
