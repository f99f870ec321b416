//! Lines that were lost with an older copy of the state, and come back from the coordinator.

use rusqlite::{Connection, params};
use tacit_privacy::canonical;
use tacit_privacy::record::{Answered, Countersigned, Event};
use tacit_round::keys::{Context, PublicKey};
use tacit_round::ticket::{Countersignature, Ticket};

use crate::error::Failure;
use crate::store::Store;
use crate::store::lines::{self, SignedLine, task_of};

/// A line, with its ticket if it is one's.
pub(crate) struct Lost {
    pub(crate) line: SignedLine,
    pub(crate) ticket: Option<Countersignature>,
}

/// Why a line cannot be taken back.
const FOREIGN: Failure =
    Failure::Malformed("a line given back is not the next that this helper signed");

impl Store {
    /// Takes back the next line of a task's ledger, in one commit with the row of its round: no
    /// second ticket of it is ever signed, and nobody is told that it was never entered. A line
    /// that is there already is passed over.
    pub(crate) fn take_back(&mut self, lost: &Lost, own: &PublicKey) -> Result<(), Failure> {
        let SignedLine { bytes, signature } = &lost.line;
        let line = lines::parse(bytes)?;
        let task = task_of(&line.event).ok_or(FOREIGN)?.clone();
        let end = self.end_of(&task)?;
        if line.seq < end.size {
            return Ok(());
        }
        let next = own.verifies(Context::Line, bytes, signature)
            && (line.seq, line.prev_hash) == (end.size, end.last_hash)
            && line.ledger_id == self.ledger_of(&task)
            && line.generation <= self.generation;
        if !next {
            return Err(FOREIGN);
        }

        let generation = line.generation;
        let transaction = self.db.transaction()?;
        let id = lines::append(&transaction, &task, &lost.line)?;
        match &line.event {
            Event::Countersigned(signed) => {
                let ticket = lost.ticket.as_ref().ok_or(FOREIGN)?;
                keep_round(&transaction, signed, ticket, generation, own)?;
            }
            Event::Answered(answered) => keep_answer(&transaction, answered, id)?,
            _ => return Err(FOREIGN),
        }
        transaction.commit()?;
        Ok(())
    }
}

fn keep_round(
    db: &Connection,
    signed: &Countersigned,
    shown: &Countersignature,
    generation: u32,
    own: &PublicKey,
) -> Result<(), Failure> {
    let Countersignature {
        bytes,
        helper_signature,
        draft_signature,
    } = shown;
    let is_own = canonical::digest(bytes) == signed.ticket_hash
        && own.verifies(Context::Ticket, bytes, helper_signature);
    if !is_own {
        return Err(FOREIGN);
    }
    let ticket = Ticket::from_bytes(bytes)?;
    let ledger = ticket.logged.head.head.ledger_id;
    let draft = ticket.draft().to_bytes()?;
    // Whether anybody entered it is not known any more: it is never certified.
    db.execute(
        "INSERT INTO rounds (task, round, ledger, draft_digest, ticket_hash, ticket, signature, \
         state, reason, generation, ever_admitted, draft_signature)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'abandoned', 'restored', ?8, 1, ?9)",
        params![
            signed.task.as_str(),
            signed.round.0,
            ledger.0,
            canonical::digest(&draft).0,
            signed.ticket_hash.0,
            bytes,
            helper_signature.0,
            generation,
            draft_signature.0
        ],
    )?;
    Ok(())
}

/// The round has its one answer, whose mask sum is gone.
fn keep_answer(db: &Connection, answered: &Answered, id: i64) -> Result<(), Failure> {
    let ticket = answered.ticket_hash.0;
    let state = "UPDATE rounds SET state = 'answered' WHERE ticket_hash = ?1";
    db.execute(state, [ticket])?;
    db.execute(
        "INSERT INTO answers VALUES (?1, ?2, ?3, NULL)",
        params![ticket, id, answered.set_digest.0],
    )?;
    Ok(())
}
