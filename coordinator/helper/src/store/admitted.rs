//! Seeds admitted to open rounds, with the contribution and the member each one came from;
//! forgotten when their round ends. That there ever was one is kept for good.
//!
//! Durable, because a restart must not admit a seed twice: the set that holds both would be refused
//! as a whole.

use rusqlite::{Connection, OptionalExtension, params};
use tacit_round::helper::{Admissible, HelperRefusal};
use tacit_types::{ContributionId, Digest};

use crate::error::{Failure, StorageError};
use crate::store::Store;

/// A seed that opened.
pub(crate) struct Candidate {
    /// Contribution it came with.
    pub(crate) contribution: ContributionId,
    /// The seed and its member.
    pub(crate) seed: Admissible,
}

impl Store {
    /// Admits seeds to an open round, in order; durable, all in one commit, when this returns. One
    /// counts that came with no other contribution to any open round, was not used in an answer,
    /// and is its member's first in this round.
    ///
    /// `None` stands for a seed that does not open. At most `room` seeds become new.
    pub(crate) fn admit(
        &mut self,
        ticket: Digest,
        candidates: &[Option<Candidate>],
        room: usize,
    ) -> Result<Admitted, Failure> {
        let transaction = self.db.transaction()?;
        if !is_open(&transaction, ticket)? {
            return Err(HelperRefusal::UnknownRound.into());
        }
        let mut admitted = Admitted {
            verdicts: Vec::with_capacity(candidates.len()),
            new: 0,
        };
        for candidate in candidates {
            let verdict = match candidate {
                None => false,
                Some(one) => match first_use(&transaction, one)? {
                    Some(first) => first == (ticket, one.contribution),
                    None if admitted.new >= room
                        || is_used(&transaction, one.seed.fingerprint)? =>
                    {
                        false
                    }
                    None if has_member(&transaction, ticket, one)? => false,
                    None => {
                        insert(&transaction, ticket, one)?;
                        admitted.new += 1;
                        true
                    }
                },
            };
            admitted.verdicts.push(verdict);
        }
        if admitted.new > 0 {
            enter(&transaction, ticket)?;
        }
        transaction.commit()?;
        Ok(admitted)
    }

    /// Number of seeds admitted to a round.
    pub(crate) fn admitted(&self, ticket: Digest) -> Result<usize, StorageError> {
        let query = "SELECT count(*) FROM admitted WHERE ticket_hash = ?1";
        let count: i64 = self
            .db
            .query_row(query, params![ticket.0], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| StorageError::damaged("a negative count"))
    }
}

/// What became of the candidates.
pub(crate) struct Admitted {
    /// One for each, in order.
    pub(crate) verdicts: Vec<bool>,
    /// How many were not admitted before.
    pub(crate) new: usize,
}

/// Forgets the seeds of a round that ends.
pub(super) fn forget(db: &Connection, ticket: Digest) -> rusqlite::Result<()> {
    db.execute(
        "DELETE FROM admitted WHERE ticket_hash = ?1",
        params![ticket.0],
    )
    .map(drop)
}

/// A round that somebody entered is never certified as empty, whatever is forgotten of it.
fn enter(db: &Connection, ticket: Digest) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE rounds SET ever_admitted = 1 WHERE ticket_hash = ?1")?
        .execute(params![ticket.0])
        .map(drop)
}

fn is_open(db: &Connection, ticket: Digest) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM rounds WHERE ticket_hash = ?1 AND state = 'open'")?
        .exists(params![ticket.0])
}

fn is_used(db: &Connection, fingerprint: Digest) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM used_seeds WHERE fingerprint = ?1")?
        .exists(params![fingerprint.0])
}

/// Whether this member came with another seed.
fn has_member(db: &Connection, ticket: Digest, one: &Candidate) -> rusqlite::Result<bool> {
    let Some(member) = one.seed.member else {
        return Ok(false);
    };
    db.prepare_cached("SELECT 1 FROM admitted WHERE ticket_hash = ?1 AND member = ?2")?
        .exists(params![ticket.0, member.0])
}

fn first_use(
    db: &Connection,
    one: &Candidate,
) -> rusqlite::Result<Option<(Digest, ContributionId)>> {
    let mut query =
        db.prepare_cached("SELECT ticket_hash, contribution FROM admitted WHERE fingerprint = ?1")?;
    let read = |row: &rusqlite::Row<'_>| {
        let (fingerprint, contribution) = (row.get(0)?, row.get(1)?);
        Ok((Digest(fingerprint), ContributionId(contribution)))
    };
    query
        .query_row(params![one.seed.fingerprint.0], read)
        .optional()
}

fn insert(db: &Connection, ticket: Digest, one: &Candidate) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO admitted VALUES (?1, ?2, ?3, ?4)")?;
    let member = one.seed.member.map(|member| member.0);
    insert
        .execute(params![
            one.seed.fingerprint.0,
            ticket.0,
            one.contribution.0,
            member
        ])
        .map(drop)
}
