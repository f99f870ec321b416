//! Durable rounds and the release ledger: one SQLite file, one writer, full synchronisation.
//!
//! The file is held exclusively, so a second coordinator on the same state is refused instead of
//! corrupting it.

mod round;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tacit_privacy::Rho;
use tacit_round::keys::SignatureBytes;
use tacit_types::{DeviceId, Digest};
use tacit_wire::files;

use crate::error::ServerError;

pub use round::{NewContribution, Phase};

const VERSION: i32 = 2;
const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE lines (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE helper_lines (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL, signature BLOB NOT NULL);
CREATE TABLE heads (size INTEGER PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE round (one INTEGER PRIMARY KEY CHECK (one = 1), phase TEXT NOT NULL, ticket BLOB NOT \
NULL,
    coordinator_signature BLOB NOT NULL, helper_signature BLOB NOT NULL, opened INTEGER NOT NULL);
CREATE TABLE tickets (hash BLOB PRIMARY KEY, json BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE spent (device BLOB PRIMARY KEY, rho TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE partial (one INTEGER PRIMARY KEY CHECK (one = 1), sum BLOB NOT NULL);
CREATE TABLE contributions (device BLOB PRIMARY KEY, id BLOB NOT NULL UNIQUE,
    commitment BLOB NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID;
";

/// The store.
pub struct Store {
    db: Connection,
}

/// Exact bytes of a helper line, and its signature.
pub type SignedLine = (Vec<u8>, Vec<u8>);

impl Store {
    /// Opens or creates the store in `folder`.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] when another process holds it or it is of a newer version,
    /// [`ServerError::StorageUnavailable`] otherwise.
    pub fn open(folder: &Path) -> Result<Self, ServerError> {
        files::private_folder(folder).map_err(|error| {
            ServerError::OperatorConfig(format!("state = '{}': {error}", folder.display()))
        })?;
        let path = folder.join("coordinator.sqlite");
        files::private_database(&path).map_err(|error| {
            ServerError::StorageUnavailable(format!("{}: {error}", path.display()))
        })?;
        let db = Connection::open(&path)?;
        db.busy_timeout(std::time::Duration::from_millis(500))?;
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let held = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => ServerError::OperatorConfig(format!(
                "{}: another process uses this state folder",
                path.display()
            )),
            _ => error.into(),
        };
        db.pragma_update(None, "journal_mode", "WAL")
            .map_err(held)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let version: i32 = db
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(held)?;
        match version {
            0 => db
                .execute_batch(&format!(
                    "BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
                ))
                .map_err(held)?,
            // Writing takes the exclusive lock now instead of at the first round.
            VERSION => db.execute_batch("BEGIN IMMEDIATE; COMMIT;").map_err(held)?,
            other => {
                let path = path.display();
                return Err(ServerError::OperatorConfig(format!(
                    "{path}: version {other}, this build reads {VERSION}"
                )));
            }
        }
        Ok(Self { db })
    }

    /// A small value kept under `key`.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`], also for a value that does not parse.
    pub fn meta<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ServerError> {
        let text: Option<String> = self
            .db
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()?;
        let damaged =
            |error| ServerError::StorageUnavailable(format!("'{key}' is damaged: {error}"));
        text.map(|text| serde_json::from_str(&text).map_err(damaged))
            .transpose()
    }

    /// Keeps a small value under `key`.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn set_meta(&self, key: &str, value: &impl Serialize) -> Result<(), ServerError> {
        let text = serde_json::to_string(value)
            .map_err(|error| ServerError::Internal(error.to_string()))?;
        self.db.execute(
            "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
            params![key, text],
        )?;
        Ok(())
    }

    /// Exact bytes of every ledger line, in order.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn lines(&self) -> Result<Vec<Vec<u8>>, ServerError> {
        let mut query = self
            .db
            .prepare_cached("SELECT bytes FROM lines ORDER BY seq")?;
        Ok(query
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?)
    }

    /// Appends a ledger line.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`], also when the position is taken.
    pub fn append_line(&self, seq: u64, bytes: &[u8]) -> Result<(), ServerError> {
        self.db.execute(
            "INSERT INTO lines VALUES (?1, ?2)",
            params![to_i64(seq), bytes],
        )?;
        Ok(())
    }

    /// Helper lines with their signatures, in the helper's order.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn helper_lines(&self) -> Result<Vec<SignedLine>, ServerError> {
        let mut query = self
            .db
            .prepare_cached("SELECT bytes, signature FROM helper_lines ORDER BY seq")?;
        Ok(query
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?)
    }

    /// Signed heads as JSON with their sizes, smallest first.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn heads(&self) -> Result<Vec<(u64, String)>, ServerError> {
        let mut query = self
            .db
            .prepare_cached("SELECT size, json FROM heads ORDER BY size")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
        rows.map(|row| {
            row.map(|(size, json)| (u64::try_from(size).unwrap_or(0), json))
                .map_err(Into::into)
        })
        .collect()
    }

    /// Keeps a signed head.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn keep_head(&self, size: u64, json: &str) -> Result<(), ServerError> {
        self.db.execute(
            "INSERT OR REPLACE INTO heads VALUES (?1, ?2)",
            params![to_i64(size), json],
        )?;
        Ok(())
    }

    /// The file auditors get of a ticket that was opened.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`], also when there is none.
    pub fn ticket_file(&self, hash: Digest) -> Result<Vec<u8>, ServerError> {
        Ok(self.db.query_row(
            "SELECT json FROM tickets WHERE hash = ?1",
            [hash.0],
            |row| row.get(0),
        )?)
    }

    /// Price of all releases each device was counted in.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn spent(&self) -> Result<BTreeMap<DeviceId, Rho>, ServerError> {
        let mut query = self.db.prepare_cached("SELECT device, rho FROM spent")?;
        let rows = query.query_map([], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?))
        })?;
        let damaged =
            || ServerError::StorageUnavailable("what devices were counted for is damaged".into());
        rows.map(|row| {
            let (device, rho) = row?;
            let device = DeviceId::from_slice(&device).map_err(|_| damaged())?;
            Ok((device, Rho::try_from(rho).map_err(|_| damaged())?))
        })
        .collect()
    }

    /// The ledger line of a round, with the helper's line if there is one, in one commit that also
    /// moves the phase and adds `rho` to what every contributor was counted for.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`]; [`ServerError::HelperRefused`] when the helper signed
    /// another line at that place, which would leave the release without its proof.
    pub fn record(
        &mut self,
        seq: u64,
        line: &[u8],
        rho: Rho,
        helper: Option<(u64, &[u8], &SignatureBytes)>,
    ) -> Result<(), ServerError> {
        let known = self.spent()?;
        let transaction = self.db.transaction()?;
        {
            let devices: Vec<[u8; 16]> = transaction
                .prepare_cached("SELECT device FROM contributions")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut add =
                transaction.prepare_cached("INSERT OR REPLACE INTO spent VALUES (?1, ?2)")?;
            for device in devices {
                let total = known
                    .get(&DeviceId(device))
                    .copied()
                    .unwrap_or_default()
                    .compose(rho);
                add.execute(params![device, total.to_string()])?;
            }
        }
        transaction.execute(
            "INSERT INTO lines VALUES (?1, ?2)",
            params![to_i64(seq), line],
        )?;
        if let Some((helper_seq, bytes, signature)) = helper {
            let kept = transaction.execute(
                "INSERT OR IGNORE INTO helper_lines VALUES (?1, ?2, ?3)",
                params![to_i64(helper_seq), bytes, signature.0],
            )?;
            if kept == 0 {
                return Err(ServerError::HelperRefused(format!(
                    "line {helper_seq} of its ledger is not the one it signed before: its state \
                     was rolled back"
                )));
            }
        }
        transaction.execute("UPDATE round SET phase = ?1", [Phase::Recorded.word()])?;
        Ok(transaction.commit()?)
    }
}

fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
