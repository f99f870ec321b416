//! What the owner did and chose: kept here, never sent, and gone when the owner says so.

use std::ops::Range;

use rusqlite::{Connection, Row, ToSql, params};
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_types::{ItemId, Timestamp};

use super::consent::give_up_unsent;
use super::{FILE, OwnerId, Store};
use crate::error::SdkError;

/// What an owner wants forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forget {
    /// All that was done with one item.
    Item(ItemId),
    /// All that was done with an id that no catalogue has named yet.
    Waiting(String),
    /// All that was done in a period.
    Period(Range<Timestamp>),
    /// All that was ever done or chosen here.
    Everything,
}

impl Store {
    /// Appends interactions of this owner durably.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or this owner was removed; nothing is half-written.
    pub fn record(&mut self, interactions: &[Interaction]) -> Result<(), SdkError> {
        self.write_own(|db, owner| append(db, owner, interactions))
    }

    /// Every interaction of this owner, in the order recorded.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or holds what this version cannot read.
    pub fn interactions(&self) -> Result<Vec<Interaction>, SdkError> {
        let mut query = self.db.prepare_cached(
            "SELECT item, at, value, kind, surface FROM interactions WHERE owner = ?1 ORDER BY id",
        )?;
        let mut rows = query.query([self.owner])?;
        let mut interactions = Vec::new();
        while let Some(row) = rows.next()? {
            interactions.push(read_interaction(row)?);
        }
        Ok(interactions)
    }

    /// Periods in which nothing is set aside, in the order they were trusted.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn trusted(&self) -> Result<Vec<Range<Timestamp>>, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT since, until FROM trusted WHERE owner = ?1 ORDER BY id")?;
        let rows = query.query_map([self.owner], |row| Ok(time(row.get(0)?)..time(row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds a trusted period durably.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn trust(&mut self, period: &Range<Timestamp>) -> Result<(), SdkError> {
        let (since, until) = (sqlite_time(period.start), sqlite_time(period.end));
        self.write_own(|db, owner| {
            db.execute(
                "INSERT INTO trusted (owner, since, until) VALUES (?1, ?2, ?3)",
                params![owner, since, until],
            )?;
            Ok(())
        })
    }

    /// Categories the owner chose at the start, by the catalogue's numbers, in ascending order.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn categories(&self) -> Result<Vec<u32>, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT category FROM chosen WHERE owner = ?1 ORDER BY category")?;
        let rows = query.query_map([self.owner], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Replaces the chosen categories durably.
    ///
    /// # Errors
    /// As [`Self::record`]; then the former ones stay.
    pub fn choose_categories(&mut self, categories: &[u32]) -> Result<(), SdkError> {
        self.write_own(|db, owner| {
            db.execute("DELETE FROM chosen WHERE owner = ?1", [owner])?;
            let mut insert = db.prepare_cached("INSERT OR IGNORE INTO chosen VALUES (?1, ?2)")?;
            for category in categories {
                insert.execute(params![owner, category])?;
            }
            Ok(())
        })
    }

    /// Deletes what this owner did durably, overwriting the bytes with zeros, in the file and in
    /// its log; gives how many interactions are gone. An unsent contribution that may rest on what
    /// is forgotten goes in the same commit.
    ///
    /// The device ledger stays: what was released cannot be taken back, so it stays spent. Copies
    /// that the operating system, a backup or worn flash blocks hold are out of reach.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails; [`SdkError::RetryLater`] while another process reads
    /// the store, whose log then still holds what the file no longer does.
    pub fn forget(&mut self, what: &Forget) -> Result<usize, SdkError> {
        let owner = self.owner;
        let gone = self.change_anyway(|db| {
            give_up_unsent(db, owner)?;
            erase(db, owner, what)
        })?;
        self.fold_log()?;
        Ok(gone)
    }
}

/// Reads item, time, value, kind and surface, in this order.
pub(super) fn read_interaction(row: &Row<'_>) -> Result<Interaction, SdkError> {
    let (at, kind): (Option<i64>, String) = (row.get(1)?, row.get(3)?);
    let kind = InteractionKind::parse(&kind)
        .ok_or_else(|| SdkError::Stop(format!("{FILE}: an unknown interaction type '{kind}'")))?;
    Ok(Interaction {
        item: ItemId(row.get(0)?),
        timestamp: at.map(time),
        value: row.get(2)?,
        kind,
        surface: row.get(4)?,
    })
}

pub(super) fn append(
    db: &Connection,
    owner: OwnerId,
    interactions: &[Interaction],
) -> Result<(), SdkError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO interactions (owner, item, at, value, kind, surface) VALUES (?1, ?2, ?3, ?4, \
         ?5, ?6)",
    )?;
    for one in interactions {
        let at = one.timestamp.map(sqlite_time);
        let kind = one.kind.as_str();
        insert.execute(params![owner, one.item.0, at, one.value, kind, one.surface])?;
    }
    Ok(())
}

pub(super) fn erase(db: &Connection, owner: OwnerId, what: &Forget) -> Result<usize, SdkError> {
    let delete = |table: &str, and: &str, values: &[&dyn ToSql]| {
        db.execute(
            &format!("DELETE FROM {table} WHERE owner = ?1 {and}"),
            values,
        )
    };
    let gone = match what {
        Forget::Item(item) => {
            let values = params![owner, item.0];
            delete("interactions", "AND item = ?2", values)?
        }
        Forget::Waiting(id) => {
            let values = params![owner, id];
            delete("waiting", "AND item = ?2", values)?
        }
        Forget::Period(time) => {
            let (since, until) = (sqlite_time(time.start), sqlite_time(time.end));
            let (within, values) = ("AND at >= ?2 AND at < ?3", params![owner, since, until]);
            delete("interactions", within, values)? + delete("waiting", within, values)?
        }
        Forget::Everything => {
            let values = params![owner];
            delete("trusted", "", values)?;
            delete("chosen", "", values)?;
            delete("interactions", "", values)? + delete("waiting", "", values)?
        }
    };
    Ok(gone)
}

/// What SQLite can hold of a time; later ones count as the last.
pub(super) fn sqlite_time(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

pub(super) fn time(at: i64) -> Timestamp {
    Timestamp(u64::try_from(at).unwrap_or(0))
}
