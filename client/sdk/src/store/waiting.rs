//! What was done with items that no catalogue has named yet: it waits under the app's own id.

use rusqlite::{Connection, params};
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_types::{ItemId, Timestamp};

use super::behaviour::{append, sqlite_time, time};
use super::{FILE, OwnerId, Store};
use crate::error::SdkError;

/// Most events of one owner that wait; the oldest go first.
pub const WAITING_MAX: u32 = 10_000;
/// Longest id, in bytes, as in a catalogue.
const ID_MAX: usize = 512;

/// Something the owner did with an item, by the app's own id.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The app's own id of the item.
    pub id: String,
    /// When, if the app knows.
    pub timestamp: Option<Timestamp>,
    /// As in [`Interaction`].
    pub value: f32,
    /// As in [`Interaction`].
    pub kind: InteractionKind,
    /// As in [`Interaction`].
    pub surface: u8,
}

impl Event {
    /// The same with the item that its id names.
    pub fn with(&self, item: ItemId) -> Interaction {
        Interaction {
            item,
            timestamp: self.timestamp,
            value: self.value,
            kind: self.kind,
            surface: self.surface,
        }
    }
}

impl Store {
    /// Appends interactions, and lets events wait, in one durable commit.
    ///
    /// # Errors
    /// [`SdkError::Stop`] for an id that no catalogue can have, or when storage fails.
    pub fn keep(&mut self, known: &[Interaction], waiting: &[Event]) -> Result<(), SdkError> {
        waiting.iter().try_for_each(check_id)?;
        self.write_own(|db, owner| {
            append(db, owner, known)?;
            insert(db, owner, waiting)
        })
    }

    /// Every event of this owner that waits, in the order recorded.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or holds what this version cannot read.
    pub fn waiting(&self) -> Result<Vec<Event>, SdkError> {
        let mut query = self.db.prepare_cached(
            "SELECT item, at, value, kind, surface FROM waiting WHERE owner = ?1 ORDER BY id",
        )?;
        let rows = query.query_map([self.owner], |row| {
            let (kind, at): (String, Option<i64>) = (row.get(3)?, row.get(1)?);
            Ok((row.get(0)?, at, row.get(2)?, kind, row.get(4)?))
        })?;
        rows.map(|row| {
            let (id, at, value, kind, surface) = row?;
            let kind = InteractionKind::parse(&kind).ok_or_else(|| {
                SdkError::Stop(format!("{FILE}: an unknown interaction type '{kind}'"))
            })?;
            Ok(Event {
                id,
                timestamp: at.map(time),
                value,
                kind,
                surface,
            })
        })
        .collect()
    }

    /// Turns what anybody's waited for these items into interactions, in one durable commit; gives
    /// how many.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails; then all of it waits on.
    pub fn settle(&mut self, item: impl Fn(&str) -> Option<ItemId>) -> Result<usize, SdkError> {
        let named = self.named(item)?;
        if named.is_empty() {
            return Ok(0);
        }

        let transaction = self.db.transaction()?;
        let mut settled = 0;
        for (id, item) in named {
            settled += transaction.execute(
                "INSERT INTO interactions (owner, item, at, value, kind, surface) SELECT owner, \
                 ?1, at, value, kind, surface FROM waiting WHERE item = ?2 ORDER BY id",
                params![item.0, id],
            )?;
            transaction.execute("DELETE FROM waiting WHERE item = ?1", [&id])?;
        }
        transaction.commit()?;
        Ok(settled)
    }

    /// The ids that anything waits for and that name an item now.
    fn named(
        &self,
        item: impl Fn(&str) -> Option<ItemId>,
    ) -> Result<Vec<(String, ItemId)>, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT DISTINCT item FROM waiting ORDER BY item")?;
        let mut rows = query.query([])?;
        let mut named = Vec::new();
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            named.extend(item(&id).map(|item| (id, item)));
        }
        Ok(named)
    }
}

/// Whether a catalogue could name this event's item.
fn check_id(event: &Event) -> Result<(), SdkError> {
    let id = event.id.as_str();
    let fits = (1..=ID_MAX).contains(&id.len());
    let is_text = !id.chars().any(char::is_control);
    if fits && is_text {
        return Ok(());
    }
    let problem = "an item's id has 1 to 512 bytes and no control characters";
    Err(SdkError::Stop(problem.into()))
}

/// Lets events wait; this owner's oldest go where they become too many.
fn insert(db: &Connection, owner: OwnerId, events: &[Event]) -> Result<(), SdkError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO waiting (owner, item, at, value, kind, surface) VALUES (?1, ?2, ?3, ?4, ?5, \
         ?6)",
    )?;
    for event in events {
        let at = event.timestamp.map(sqlite_time);
        let kind = event.kind.as_str();
        insert.execute(params![
            owner,
            event.id,
            at,
            event.value,
            kind,
            event.surface
        ])?;
    }
    db.execute(
        "DELETE FROM waiting WHERE owner = ?1 AND id <= (SELECT id FROM waiting WHERE owner = ?1 \
         ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        params![owner, WAITING_MAX],
    )?;
    Ok(())
}
