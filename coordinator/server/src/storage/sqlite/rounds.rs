//! [`RoundStore`] in SQLite.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tacit_privacy::canonical;
use tacit_round::coordinator::Contribution;
use tacit_round::helper::SealedSeed;
use tacit_round::keys::SignatureBytes;
use tacit_round::lease::Lease;
use tacit_round::ticket::{SignedTicket, TicketFile};
use tacit_types::{Commitment, ContributionId, DeviceId, Digest, Timestamp};

use super::{SqliteTask, to_i64, to_u64};
use crate::error::ServerError;
use crate::storage::{Answer, NewContribution, Phase, RoundStore, StoredRound};

impl Phase {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Recorded => "recorded",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Closing, Self::Recorded]
            .into_iter()
            .find(|phase| phase.word() == word)
    }
}

impl RoundStore for SqliteTask {
    fn round(&self) -> Answer<Option<StoredRound>> {
        self.db.call(round)
    }

    fn open_round(&self, ticket: SignedTicket, opened: Timestamp) -> Answer<()> {
        self.db.call(move |db| open_round(db, &ticket, opened))
    }

    fn keep_lease(&self, ticket: Digest, device: DeviceId, lease: Lease) -> Answer<()> {
        self.db.call(move |db| {
            let mut keep =
                db.prepare_cached("INSERT OR REPLACE INTO leases VALUES (?1, ?2, ?3, ?4)")?;
            let times = [lease.send_at, lease.valid_until].map(|time| to_i64(time.0));
            keep.execute(params![ticket.0, device.0, times[0], times[1]])?;
            Ok(())
        })
    }

    fn leases(&self, ticket: Digest) -> Answer<Vec<(DeviceId, Lease)>> {
        self.db.call(move |db| {
            let all = "SELECT device, send_at, valid_until FROM leases WHERE ticket = ?1";
            let mut query = db.prepare_cached(all)?;
            let rows = query.query_map([ticket.0], lease)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn checkpoint(&self, new: Vec<NewContribution>, sum: Vec<u8>) -> Answer<()> {
        self.db.call(move |db| {
            new.iter().try_for_each(|one| insert(db, one))?;
            let mut set = db.prepare_cached("INSERT OR REPLACE INTO partial VALUES (1, ?1)")?;
            set.execute([sum])?;
            Ok(())
        })
    }

    fn close_round(&self) -> Answer<()> {
        self.db.call(|db| {
            db.execute("UPDATE round SET phase = ?1", [Phase::Closing.word()])?;
            Ok(())
        })
    }

    fn partial(&self) -> Answer<Option<Vec<u8>>> {
        self.db.call(|db| {
            let sum = db.query_row("SELECT sum FROM partial", [], |row| row.get(0));
            Ok(sum.optional()?)
        })
    }

    fn contributions(&self) -> Answer<Vec<(Contribution, SealedSeed)>> {
        self.db.call(|db| {
            let all = "SELECT device, id, commitment, sealed FROM contributions";
            let mut query = db.prepare_cached(all)?;
            let rows = query.query_map([], contribution)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn end_round(&self) -> Answer<()> {
        self.db.call(end_round)
    }
}

pub(super) fn end_round(db: &Connection) -> Result<(), ServerError> {
    let end = "DELETE FROM round; DELETE FROM partial; DELETE FROM contributions; \
               DELETE FROM leases;";
    Ok(db.execute_batch(end)?)
}

/// Keeps a ticket for auditors.
pub(super) fn keep_ticket(db: &Connection, ticket: &SignedTicket) -> Result<(), ServerError> {
    let file = canonical::encode(&TicketFile::from(ticket))?;
    let keep = "INSERT OR REPLACE INTO tickets VALUES (?1, ?2)";
    db.execute(keep, params![ticket.hash().0, file])?;
    Ok(())
}

fn lease(row: &Row<'_>) -> rusqlite::Result<(DeviceId, Lease)> {
    let lease = Lease {
        send_at: Timestamp(to_u64(row.get(1)?)),
        valid_until: Timestamp(to_u64(row.get(2)?)),
    };
    Ok((DeviceId(row.get(0)?), lease))
}

fn round(db: &Connection) -> Result<Option<StoredRound>, ServerError> {
    let read = |row: &Row<'_>| {
        let phase: String = row.get(0)?;
        let ticket = SignedTicket {
            bytes: row.get(1)?,
            coordinator_signature: SignatureBytes(row.get(2)?),
            helper_signature: SignatureBytes(row.get(3)?),
        };
        Ok((phase, ticket, Timestamp(to_u64(row.get(4)?))))
    };
    let one = "SELECT phase, ticket, coordinator_signature, helper_signature, opened FROM round";
    let row = db.query_row(one, [], read).optional()?;
    row.map(|(word, ticket, opened)| {
        let unknown = || ServerError::StorageUnavailable("the open round is damaged".into());
        Ok(StoredRound {
            phase: Phase::of_word(&word).ok_or_else(unknown)?,
            ticket,
            opened,
        })
    })
    .transpose()
}

fn open_round(
    db: &Connection,
    ticket: &SignedTicket,
    opened: Timestamp,
) -> Result<(), ServerError> {
    db.execute(
        "INSERT INTO round VALUES (1, 'open', ?1, ?2, ?3, ?4)",
        params![
            ticket.bytes,
            ticket.coordinator_signature.0,
            ticket.helper_signature.0,
            to_i64(opened.0)
        ],
    )?;
    keep_ticket(db, ticket)
}

fn insert(db: &Connection, new: &NewContribution) -> Result<(), ServerError> {
    let Contribution {
        device,
        id,
        commitment,
    } = new.contribution;
    db.prepare_cached("INSERT INTO contributions VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![device.0, id.0, commitment.0, new.sealed])?;
    Ok(())
}

fn contribution(row: &Row<'_>) -> rusqlite::Result<(Contribution, SealedSeed)> {
    let contribution = Contribution {
        device: DeviceId(row.get(0)?),
        id: ContributionId(row.get(1)?),
        commitment: Commitment(row.get(2)?),
    };
    let seed = SealedSeed {
        contribution: contribution.id,
        sealed: row.get(3)?,
        commitment: contribution.commitment,
    };
    Ok((contribution, seed))
}
