//! What the owner allows this installation to do over the network.

use rusqlite::{Connection, OptionalExtension, params};

use super::{FILE, Store};
use crate::error::SdkError;

/// What the owner allows. Each allows what stands before it, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consent {
    /// Nothing goes over the network. Lists come from what is on the device.
    #[default]
    Off,
    /// Published models are fetched ([`crate::Agent::refresh`]). Nothing about the owner is sent.
    Receive,
    /// The installation takes part in rounds ([`crate::Agent::step`]).
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

impl Store {
    /// What the owner allows; [`Consent::Off`] until asked.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or holds another word.
    pub fn consent(&self) -> Result<Consent, SdkError> {
        let mut query = self.db.prepare_cached("SELECT word FROM consent")?;
        let word: Option<String> = query.query_row([], |row| row.get(0)).optional()?;
        let Some(word) = word else {
            return Ok(Consent::Off);
        };
        let consent = Consent::ALL
            .into_iter()
            .find(|one| one.as_str() == word);
        consent.ok_or_else(|| SdkError::Stop(format!("{FILE}: an unknown consent '{word}'")))
    }

    /// Makes what the owner allows durable. Whoever stops contributing has an unsent contribution
    /// erased in the same commit; what was spent on it stays spent.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails; [`SdkError::RetryLater`] while another process reads
    /// the store, whose log then still holds what the file no longer does.
    pub fn set_consent(&mut self, consent: Consent) -> Result<(), SdkError> {
        self.change_anyway(|db| {
            let word = consent.as_str();
            db.execute("INSERT OR REPLACE INTO consent VALUES (1, ?1)", [word])?;
            if consent < Consent::Contribute {
                give_up_unsent(db)?;
            }
            Ok(())
        })?;
        self.fold_log()
    }
}

/// Erases what was made for a round and not sent, as a part of the change under way: the round is
/// forfeited, and its price stays.
pub(super) fn give_up_unsent(db: &Connection) -> Result<(), SdkError> {
    db.execute(
        "UPDATE ledger SET status = 'forfeited' WHERE status IN ('reserved', 'spooled')",
        params![],
    )?;
    db.execute("DELETE FROM spool", [])?;
    Ok(())
}
