//! What each owner allows this installation to do over the network.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use super::owner::{OwnerId, removed};
use crate::error::SdkError;

/// What an owner allows. Each allows what stands before it, too.
///
/// Where several owners use an installation, it goes over the network as far as any of them allows,
/// and only the histories of those who [contribute](Self::Contribute) are in what it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consent {
    /// Nothing goes over the network. Lists come from what is on the device.
    #[default]
    Off,
    /// Published models are fetched ([`crate::Agent::refresh`]). Nothing about the owner is sent.
    Receive,
    /// The installation takes part in rounds ([`crate::Agent::step`]), with this owner's history.
    Contribute,
}

impl Consent {
    const ALL: [Self; 3] = [Self::Off, Self::Receive, Self::Contribute];

    /// The word it is stored and exported as.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Receive => "receive",
            Self::Contribute => "contribute",
        }
    }
}

impl FromSql for Consent {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        let known = Self::ALL.into_iter().find(|one| one.as_str() == word);
        known.ok_or(FromSqlError::InvalidType)
    }
}

impl Store {
    /// What this owner allows; [`Consent::Off`] until asked.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or holds another word.
    pub fn consent(&self) -> Result<Consent, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT consent FROM owners WHERE id = ?1")?;
        let consent: Option<Consent> = query
            .query_row([self.owner], |row| row.get(0))
            .optional()?;
        Ok(consent.unwrap_or_default())
    }

    /// What the installation may do over the network: what the owner allows who allows most.
    ///
    /// # Errors
    /// As [`Self::consent`].
    pub fn widest_consent(&self) -> Result<Consent, SdkError> {
        let mut query = self.db.prepare_cached("SELECT consent FROM owners")?;
        let consents = query.query_map([], |row| row.get(0))?;
        let widest = consents
            .collect::<Result<Vec<Consent>, _>>()?
            .into_iter()
            .max();
        Ok(widest.unwrap_or_default())
    }

    /// Makes what this owner allows durable. Who stops contributing has an unsent contribution that
    /// their history is in erased in the same commit; what was spent on it stays spent.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or this owner was removed; [`SdkError::RetryLater`]
    /// while another process reads the store, whose log then still holds what the file no longer
    /// does.
    pub fn set_consent(&mut self, consent: Consent) -> Result<(), SdkError> {
        let owner = self.owner;
        self.change_anyway(|db| {
            if consent < Consent::Contribute {
                give_up_unsent(db, owner)?;
            }
            let changed = db.execute(
                "UPDATE owners SET consent = ?2 WHERE id = ?1",
                params![owner, consent.as_str()],
            )?;
            match changed {
                0 => Err(removed()),
                _ => Ok(()),
            }
        })?;
        self.fold_log()
    }
}

/// Erases what was made for a round with this owner's history and not sent, as a part of the change
/// under way: the round is forfeited, and its price stays.
///
/// A round that is reserved and not spooled may be made of any history whose owner contributes, so
/// it cannot be spooled any more once one of them decides otherwise.
pub(super) fn give_up_unsent(db: &Connection, owner: OwnerId) -> Result<(), SdkError> {
    db.execute(
        "DELETE FROM spool WHERE instr(owners, ?1)",
        [owner.within_list()],
    )?;
    db.execute(
        "UPDATE ledger SET status = 'forfeited' WHERE status = 'spooled' AND NOT EXISTS (SELECT 1 \
         FROM spool WHERE spool.task = ledger.task AND spool.round = ledger.round) OR status = \
         'reserved' AND EXISTS (SELECT 1 FROM owners WHERE id = ?1 AND consent = 'contribute')",
        [owner],
    )?;
    Ok(())
}
