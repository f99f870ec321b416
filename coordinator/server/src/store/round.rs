//! The open round: its phase, its ticket, and what was contributed to it.

use rusqlite::{OptionalExtension, params};
use tacit_privacy::canonical;
use tacit_round::coordinator::Contribution;
use tacit_round::helper::SealedSeed;
use tacit_round::keys::SignatureBytes;
use tacit_round::ticket::{SignedTicket, TicketFile};
use tacit_types::{Commitment, ContributionId, DeviceId};

use super::{Store, to_i64};
use crate::error::ServerError;

/// How far the open round is, as far as recovery needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Taking contributions.
    Open,
    /// The set is fixed.
    Closing,
    /// Its ledger line is durable; publication may be missing.
    Recorded,
}

impl Phase {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Recorded => "recorded",
        }
    }
}

/// A new contribution of a checkpoint.
pub struct NewContribution {
    /// Who and what.
    pub contribution: Contribution,
    /// Sealed mask seed, for the helper.
    pub sealed: Vec<u8>,
}

impl Store {
    /// The round that was open when the process stopped.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn round(&self) -> Result<Option<(Phase, SignedTicket, u64)>, ServerError> {
        type Row = (String, Vec<u8>, Vec<u8>, Vec<u8>, i64);
        let row: Option<Row> = self
            .db
            .query_row(
                "SELECT phase, ticket, coordinator_signature, helper_signature, opened FROM round",
                [],
                |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                    ))
                },
            )
            .optional()?;
        let damaged = || ServerError::StorageUnavailable("the open round is damaged".into());
        row.map(|(phase, bytes, coordinator, helper, opened)| {
            let phase = [Phase::Open, Phase::Closing, Phase::Recorded]
                .into_iter()
                .find(|p| p.word() == phase);
            let signature =
                |bytes: Vec<u8>| bytes.try_into().map(SignatureBytes).map_err(|_| damaged());
            let ticket = SignedTicket {
                bytes,
                coordinator_signature: signature(coordinator)?,
                helper_signature: signature(helper)?,
            };
            Ok((
                phase.ok_or_else(damaged)?,
                ticket,
                u64::try_from(opened).unwrap_or(0),
            ))
        })
        .transpose()
    }

    /// Makes a new round durable before its ticket is offered.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`], also when a round is open.
    pub fn open_round(&mut self, ticket: &SignedTicket, opened: u64) -> Result<(), ServerError> {
        let transaction = self.db.transaction()?;
        transaction.execute(
            "INSERT INTO round VALUES (1, 'open', ?1, ?2, ?3, ?4)",
            params![
                ticket.bytes,
                ticket.coordinator_signature.0,
                ticket.helper_signature.0,
                to_i64(opened)
            ],
        )?;
        let file = canonical::encode(&TicketFile::from(ticket))?;
        transaction.execute(
            "INSERT OR REPLACE INTO tickets VALUES (?1, ?2)",
            params![ticket.hash().0, file],
        )?;
        Ok(transaction.commit()?)
    }

    /// Fixes the set: nothing may be folded after this.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn close_round(&self) -> Result<(), ServerError> {
        self.db
            .execute("UPDATE round SET phase = ?1", [Phase::Closing.word()])?;
        Ok(())
    }

    /// Forgets the round and everything contributed to it.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn end_round(&mut self) -> Result<(), ServerError> {
        let transaction = self.db.transaction()?;
        transaction
            .execute_batch("DELETE FROM round; DELETE FROM partial; DELETE FROM contributions;")?;
        Ok(transaction.commit()?)
    }

    /// Checkpoint: new contributions and the sum that holds them, in one commit. Acknowledge only
    /// after this.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`]; fatal, because what the disk holds is then unknown.
    pub fn checkpoint(&mut self, new: &[NewContribution], sum: &[u8]) -> Result<(), ServerError> {
        let transaction = self.db.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO contributions VALUES (?1, ?2, ?3, ?4)")?;
            for one in new {
                let Contribution {
                    device,
                    id,
                    commitment,
                } = one.contribution;
                insert.execute(params![device.0, id.0, commitment.0, one.sealed])?;
            }
            transaction
                .prepare_cached("INSERT OR REPLACE INTO partial VALUES (1, ?1)")?
                .execute([sum])?;
        }
        Ok(transaction.commit()?)
    }

    /// The partial sum of the last checkpoint.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn partial(&self) -> Result<Option<Vec<u8>>, ServerError> {
        Ok(self
            .db
            .query_row("SELECT sum FROM partial", [], |row| row.get(0))
            .optional()?)
    }

    /// Every durable contribution of the open round with its sealed seed.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn contributions(&self) -> Result<Vec<(Contribution, SealedSeed)>, ServerError> {
        type Row = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);
        let mut query = self
            .db
            .prepare_cached("SELECT device, id, commitment, sealed FROM contributions")?;
        let rows = query.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        let damaged =
            |_| ServerError::StorageUnavailable("a stored contribution is damaged".into());
        rows.map(|row| {
            let (device, id, commitment, sealed): Row = row?;
            let device = DeviceId::from_slice(&device).map_err(damaged)?;
            let id = ContributionId::from_slice(&id).map_err(damaged)?;
            let commitment = Commitment::from_slice(&commitment).map_err(damaged)?;
            Ok((
                Contribution {
                    device,
                    id,
                    commitment,
                },
                SealedSeed {
                    contribution: id,
                    sealed,
                    commitment,
                },
            ))
        })
        .collect()
    }
}
