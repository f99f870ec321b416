//! What enrolment keeps, in the file that the coordinators of all tasks share: which tokens were
//! used, and which key each device has. All of its SQL.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use tacit_types::{DeviceId, Digest, Timestamp};
use tacit_wire::identity::LeafKey;

use crate::error::ServerError;
use crate::shared;

const FILE: &str = "enrolment.sqlite";
/// Times are milliseconds since 1970. A used token keeps its row until it ends; what it was used
/// for is erased earlier. A device that has left keeps a row with a key of no bytes and no end.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS enrolments
    (token BLOB PRIMARY KEY, ends INTEGER, made INTEGER NOT NULL, device BLOB, request BLOB, chain \
    TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS enrolments_of ON enrolments (device);
CREATE TABLE IF NOT EXISTS leaves
    (device BLOB PRIMARY KEY, current BLOB NOT NULL, next BLOB, ends INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS enrolments_kept ON enrolments (made) WHERE chain IS NOT NULL;
CREATE INDEX IF NOT EXISTS enrolments_ending ON enrolments (ends) WHERE ends IS NOT NULL;
CREATE INDEX IF NOT EXISTS leaves_ending ON leaves (ends) WHERE ends IS NOT NULL;";

/// Rows of each kind that one commit of a sweep touches at most, so that nobody waits long for it.
pub(super) const SWEPT_AT_ONCE: u32 = 1000;

/// The file. Who only asks for a device's keys, as every call does, does not wait for whoever
/// writes.
pub(super) struct Book {
    writing: Mutex<Connection>,
    reading: Mutex<Connection>,
}

/// A token that was used.
pub(super) enum Used {
    /// With this request, for this chain.
    For { request: Digest, chain: String },
    /// So long ago that it is forgotten for what.
    Forgotten,
}

/// A token as it is used.
pub(super) struct Use<'a> {
    pub(super) token: Digest,
    pub(super) ends: Option<Timestamp>,
    pub(super) request: Digest,
    pub(super) chain: &'a str,
}

/// The keys of a device.
pub(super) struct Keys {
    pub(super) current: Vec<u8>,
    pub(super) next: Option<Vec<u8>>,
}

/// A key that is given to a device, and the end of its certificate.
pub(super) struct Given {
    pub(super) key: LeafKey,
    pub(super) ends: Timestamp,
}

impl Book {
    /// Opens or creates the file in `folder`.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`] for a file that is no database.
    pub(super) fn open(folder: &Path) -> std::result::Result<Self, ServerError> {
        let open = || shared::open(folder, FILE, SCHEMA).map(Mutex::new);
        Ok(Self {
            writing: open()?,
            reading: open()?,
        })
    }

    /// Nobody else of this process writes until it is dropped.
    pub(super) fn rows(&self) -> Rows<'_> {
        let writing = self.writing.lock();
        Rows(writing.unwrap_or_else(PoisonError::into_inner))
    }

    /// The keys of a device; `None` for one whose enrolment is not in this file.
    pub(super) fn keys(&self, device: DeviceId) -> Result<Option<Keys>> {
        let read = |row: &Row<'_>| {
            Ok(Keys {
                current: row.get(0)?,
                next: row.get(1)?,
            })
        };
        let reading = self.reading.lock();
        reading
            .unwrap_or_else(PoisonError::into_inner)
            .prepare_cached("SELECT current, next FROM leaves WHERE device = ?1")?
            .query_row([device.0], read)
            .optional()
    }
}

/// The rows of the file. Every change is durable when its call returns.
pub(super) struct Rows<'a>(MutexGuard<'a, Connection>);

impl Rows<'_> {
    /// What a token was used for, if it was.
    pub(super) fn used(&self, token: Digest) -> Result<Option<Used>> {
        let read = |row: &Row<'_>| {
            let (request, chain): (Option<Vec<u8>>, Option<String>) = (row.get(0)?, row.get(1)?);
            let request = request.and_then(|bytes| Digest::from_slice(&bytes).ok());
            let known = request.zip(chain);
            Ok(known.map_or(Used::Forgotten, |(request, chain)| Used::For {
                request,
                chain,
            }))
        };
        self.0
            .prepare_cached("SELECT request, chain FROM enrolments WHERE token = ?1")?
            .query_row([token.0], read)
            .optional()
    }

    /// Uses up a token for a new device with this key.
    pub(super) fn enrol(
        &self,
        token: &Use<'_>,
        device: DeviceId,
        given: &Given,
        now: Timestamp,
    ) -> Result<()> {
        let transaction = self.0.unchecked_transaction()?;
        transaction.execute(
            "INSERT INTO enrolments VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                token.token.0,
                token.ends.map(millis),
                millis(now),
                device.0,
                token.request.0,
                token.chain
            ],
        )?;
        transaction.execute(
            "INSERT INTO leaves VALUES (?1, ?2, NULL, ?3)",
            params![device.0, given.key, millis(given.ends)],
        )?;
        transaction.commit()
    }

    /// Uses up those of these tokens that nobody has used, for nobody. Gives how many.
    pub(super) fn void(
        &self,
        tokens: &BTreeMap<Digest, Option<Timestamp>>,
        now: Timestamp,
    ) -> Result<usize> {
        let transaction = self.0.unchecked_transaction()?;
        let mut voided = 0;
        for (token, ends) in tokens {
            voided += transaction.execute(
                "INSERT OR IGNORE INTO enrolments VALUES (?1, ?2, ?3, NULL, NULL, NULL)",
                params![token.0, ends.map(millis), millis(now)],
            )?;
        }
        transaction.commit()?;
        Ok(voided)
    }

    /// The next key of a device is the one it has; `false` if that is no longer its next key.
    pub(super) fn advance(&self, device: DeviceId, next: &LeafKey) -> Result<bool> {
        let moved = "UPDATE leaves SET current = next, next = NULL WHERE device = ?1 AND next = ?2";
        let rows = self.0.execute(moved, params![device.0, next])?;
        Ok(rows == 1)
    }

    /// A device with the key `current` was given the next one; `false`, and nothing is noted, if
    /// that is no longer its key. Another process may have moved it on meanwhile.
    pub(super) fn expect(&self, device: DeviceId, current: &LeafKey, next: &Given) -> Result<bool> {
        let note = "INSERT INTO leaves VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO UPDATE SET next = ?3, ends = max(ends, ?4) WHERE current = ?2";
        let row = params![device.0, current, next.key, millis(next.ends)];
        let rows = self.0.execute(note, row)?;
        Ok(rows == 1)
    }

    /// A device was given another certificate of the key it has.
    pub(super) fn prolong(&self, device: DeviceId, given: &Given) -> Result<()> {
        let later = "UPDATE leaves SET ends = max(ends, ?3) WHERE device = ?1 AND current = ?2";
        let row = params![device.0, given.key, millis(given.ends)];
        self.0.execute(later, row).map(drop)
    }

    /// Ends a device's account: the tombstone keeps every key of it out for good, and what its
    /// token was used for is erased.
    pub(super) fn bury(&self, device: DeviceId) -> Result<()> {
        let transaction = self.0.unchecked_transaction()?;
        transaction.execute(
            "INSERT OR REPLACE INTO leaves VALUES (?1, x'', NULL, NULL)",
            [device.0],
        )?;
        transaction.execute(
            "UPDATE enrolments SET device = NULL, request = NULL, chain = NULL WHERE device = ?1",
            [device.0],
        )?;
        transaction.commit()
    }

    /// Forgets, of each kind at most [`SWEPT_AT_ONCE`] rows, what is needed no more: for what
    /// tokens were used before `used`, tokens that ended before `now`, and keys of certificates
    /// that ended before `ended`. Gives the rows touched; none when nothing is left to forget.
    pub(super) fn sweep(&self, used: Timestamp, ended: Timestamp, now: Timestamp) -> Result<usize> {
        let forget = "UPDATE enrolments SET device = NULL, request = NULL, chain = NULL
            WHERE token IN
                (SELECT token FROM enrolments WHERE made < ?1 AND chain IS NOT NULL LIMIT ?2)";
        let tokens = "DELETE FROM enrolments
            WHERE token IN (SELECT token FROM enrolments WHERE ends < ?1 LIMIT ?2)";
        let leaves = "DELETE FROM leaves
            WHERE device IN (SELECT device FROM leaves WHERE ends < ?1 LIMIT ?2)";

        let transaction = self.0.unchecked_transaction()?;
        let mut touched = 0;
        for (statement, before) in [(forget, used), (tokens, now), (leaves, ended)] {
            touched += transaction.execute(statement, params![millis(before), SWEPT_AT_ONCE])?;
        }
        transaction.commit()?;
        Ok(touched)
    }
}

/// As SQLite has whole numbers.
fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
