//! Who uses this installation, and whose rows are whose.
//!
//! Everybody has a history and decisions of their own. Identity, ledger, budget and spool are the
//! installation's: no table of theirs has an owner, so no number of owners can spend or send twice.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use tacit_model::history::interaction::Interaction;

use super::behaviour::{erase, read_interaction};
use super::consent::give_up_unsent;
use super::owner::OwnerId;
use super::{Consent, Forget, Store};
use crate::error::SdkError;

/// Most owners of one installation, the unnamed one not counted.
pub const OWNERS_MAX: u32 = 16;
/// Longest name of an owner, in bytes.
pub const NAME_MAX: usize = 64;

/// What every owner who contributes did: all that a vector of this installation is made of, and
/// nothing less. A round has one reservation, whose permit serves once
/// ([`tacit_privacy::SpendPermit`]), and what is sent for it is made of these:
///
/// ```
/// # use tacit_sdk::{SdkError, Store, store::Histories};
/// fn of_everybody(store: &Store) -> Result<Histories, SdkError> {
///     store.histories()
/// }
/// ```
/// ```compile_fail,E0423
/// # use tacit_sdk::{model::Interaction, store::Histories};
/// fn of_one_owner(own: Vec<Interaction>) -> Histories {
///     Histories(vec![own])
/// }
/// ```
#[derive(Default)]
pub struct Histories(Vec<Vec<Interaction>>);

impl Histories {
    /// One history of each owner who contributes and did anything.
    pub fn all(&self) -> &[Vec<Interaction>] {
        &self.0
    }
}

impl Store {
    /// The same store in the hands of the owner of this name, who is added on first use. Adding
    /// somebody changes no budget.
    ///
    /// Spaces around the name do not count.
    ///
    /// # Errors
    /// [`SdkError::Stop`] for a name that is empty, longer than [`NAME_MAX`] or has control
    /// characters, for more than [`OWNERS_MAX`] owners, or when storage fails.
    pub fn for_owner(mut self, name: &str) -> Result<Self, SdkError> {
        let name = checked(name)?;
        self.owner = match numbered(&self.db, name)? {
            Some(known) => known,
            None => self.change_anyway(|db| add(db, name))?,
        };
        Ok(self)
    }

    /// The same store in the hands of a known owner.
    pub(crate) fn of(self, owner: OwnerId) -> Self {
        Self { owner, ..self }
    }

    /// Whose handle this is.
    pub(crate) fn owner(&self) -> OwnerId {
        self.owner
    }

    /// The name of whose handle this is; empty for the unnamed owner and for one who was removed.
    pub(crate) fn owner_name(&self) -> Result<String, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT name FROM owners WHERE id = ?1")?;
        let name = query
            .query_row([self.owner], |row| row.get(0))
            .optional()?;
        Ok(name.unwrap_or_default())
    }

    /// The names of all owners that have one, in the order added.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn owners(&self) -> Result<Vec<String>, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT name FROM owners WHERE name != '' ORDER BY id")?;
        let names = query.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Removes an owner with all that they did and chose, as [`Self::forget`] erases, and gives
    /// whether there was one. An unsent contribution that their history is in goes in the same
    /// commit. The device ledger stays: whoever is left has no more to spend than before.
    ///
    /// # Errors
    /// As [`Self::forget`], and as [`Self::for_owner`] for what is no name.
    pub fn remove_owner(&mut self, name: &str) -> Result<bool, SdkError> {
        let name = checked(name)?;
        let owner = numbered(&self.db, name)?;
        if let Some(owner) = owner {
            self.change_anyway(|db| {
                give_up_unsent(db, owner)?;
                erase(db, owner, &Forget::Everything)?;
                db.execute("DELETE FROM owners WHERE id = ?1", [owner])?;
                Ok(())
            })?;
        }
        // Perhaps somebody read the store when they were removed, and the call is repeated.
        self.fold_log()?;
        Ok(owner.is_some())
    }

    /// What every owner did whose history may be in a contribution.
    ///
    /// # Errors
    /// As [`Self::interactions`].
    pub fn histories(&self) -> Result<Histories, SdkError> {
        let mut query = self.db.prepare_cached(
            "SELECT item, at, value, kind, surface, owner FROM interactions WHERE owner IN (SELECT \
             id FROM owners WHERE consent = ?1) ORDER BY id",
        )?;
        let mut rows = query.query([Consent::Contribute.as_str()])?;
        let mut histories: BTreeMap<OwnerId, Vec<Interaction>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let history = histories.entry(row.get(5)?).or_default();
            history.push(read_interaction(row)?);
        }
        Ok(Histories(histories.into_values().collect()))
    }
}

fn checked(name: &str) -> Result<&str, SdkError> {
    let name = name.trim();
    let fits = (1..=NAME_MAX).contains(&name.len());
    if fits && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    let problem = format!("an owner's name has 1 to {NAME_MAX} bytes and no control characters");
    Err(SdkError::Stop(problem))
}

fn numbered(db: &Connection, name: &str) -> Result<Option<OwnerId>, SdkError> {
    let mut query = db.prepare_cached("SELECT id FROM owners WHERE name = ?1")?;
    Ok(query.query_row([name], |row| row.get(0)).optional()?)
}

/// Adds an owner, unless another process just did.
fn add(db: &Connection, name: &str) -> Result<OwnerId, SdkError> {
    if let Some(known) = numbered(db, name)? {
        return Ok(known);
    }
    let owners: u32 = db.query_row("SELECT count(*) - 1 FROM owners", [], |row| row.get(0))?;
    if owners >= OWNERS_MAX {
        let problem = format!("an installation has at most {OWNERS_MAX} owners: remove one");
        return Err(SdkError::Stop(problem));
    }
    db.execute(
        "INSERT INTO owners (name, consent) VALUES (?1, ?2)",
        params![name, Consent::Off.as_str()],
    )?;
    let added = numbered(db, name)?;
    added.ok_or_else(|| SdkError::Bug("an owner who was added is not there".into()))
}
