//! What the owner did and chose: kept here, never sent, and gone when the owner says so.

use std::ops::Range;

use rusqlite::{Connection, params};
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_types::{ItemId, Timestamp};

use super::consent::give_up_unsent;
use super::{FILE, Store};
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
    /// Appends interactions durably.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails; nothing is half-written.
    pub fn record(&mut self, interactions: &[Interaction]) -> Result<(), SdkError> {
        let transaction = self.db.transaction()?;
        append(&transaction, interactions)?;
        Ok(transaction.commit()?)
    }

    /// Every interaction, in the order recorded.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or holds what this version cannot read.
    pub fn interactions(&self) -> Result<Vec<Interaction>, SdkError> {
        let mut query = self.db.prepare_cached(
            "SELECT item, at, value, kind, surface FROM interactions ORDER BY id",
        )?;
        let rows = query.query_map([], |row| {
            let (kind, at): (String, Option<i64>) = (row.get(3)?, row.get(1)?);
            Ok((row.get(0)?, at, row.get(2)?, kind, row.get(4)?))
        })?;
        rows.map(|row| {
            let (item, at, value, kind, surface) = row?;
            let kind = InteractionKind::parse(&kind).ok_or_else(|| {
                SdkError::Stop(format!("{FILE}: an unknown interaction type '{kind}'"))
            })?;
            Ok(Interaction {
                item: ItemId(item),
                timestamp: at.map(time),
                value,
                kind,
                surface,
            })
        })
        .collect()
    }

    /// Periods in which nothing is set aside, in the order they were trusted.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn trusted(&self) -> Result<Vec<Range<Timestamp>>, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT since, until FROM trusted ORDER BY id")?;
        let rows = query.query_map([], |row| Ok(time(row.get(0)?)..time(row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds a trusted period durably.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn trust(&mut self, period: &Range<Timestamp>) -> Result<(), SdkError> {
        let period = params![sqlite_time(period.start), sqlite_time(period.end)];
        self.db
            .execute("INSERT INTO trusted (since, until) VALUES (?1, ?2)", period)?;
        Ok(())
    }

    /// Categories the owner chose at the start, by the catalogue's numbers, in ascending order.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn categories(&self) -> Result<Vec<u32>, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT category FROM chosen ORDER BY category")?;
        let rows = query.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Replaces the chosen categories durably.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails; then the former ones stay.
    pub fn choose_categories(&mut self, categories: &[u32]) -> Result<(), SdkError> {
        let transaction = self.db.transaction()?;
        transaction.execute("DELETE FROM chosen", [])?;
        for category in categories {
            transaction.execute("INSERT OR IGNORE INTO chosen VALUES (?1)", [category])?;
        }
        Ok(transaction.commit()?)
    }

    /// Deletes durably, overwriting the bytes with zeros, in the file and in its log; gives how
    /// many interactions are gone. An unsent contribution, which may rest on what is forgotten,
    /// goes in the same commit.
    ///
    /// The device ledger stays: what was released cannot be taken back, so it stays spent. Copies
    /// that the operating system, a backup or worn flash blocks hold are out of reach.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails; [`SdkError::RetryLater`] while another process reads
    /// the store, whose log then still holds what the file no longer does.
    pub fn forget(&mut self, what: &Forget) -> Result<usize, SdkError> {
        let gone = self.change_anyway(|db| {
            give_up_unsent(db)?;
            erase(db, what)
        })?;
        self.fold_log()?;
        Ok(gone)
    }
}

pub(super) fn append(db: &Connection, interactions: &[Interaction]) -> Result<(), SdkError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO interactions (item, at, value, kind, surface) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for one in interactions {
        let at = one.timestamp.map(sqlite_time);
        let kind = one.kind.as_str();
        insert.execute(params![one.item.0, at, one.value, kind, one.surface])?;
    }
    Ok(())
}

fn erase(db: &Connection, what: &Forget) -> Result<usize, SdkError> {
    let gone = match what {
        Forget::Item(item) => db.execute("DELETE FROM interactions WHERE item = ?1", [item.0])?,
        Forget::Waiting(id) => db.execute("DELETE FROM waiting WHERE item = ?1", [id])?,
        Forget::Period(period) => {
            let period = params![sqlite_time(period.start), sqlite_time(period.end)];
            db.execute(
                "DELETE FROM interactions WHERE at >= ?1 AND at < ?2",
                period,
            )? + db.execute("DELETE FROM waiting WHERE at >= ?1 AND at < ?2", period)?
        }
        Forget::Everything => {
            db.execute("DELETE FROM trusted", [])?;
            db.execute("DELETE FROM chosen", [])?;
            db.execute("DELETE FROM interactions", [])? + db.execute("DELETE FROM waiting", [])?
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
