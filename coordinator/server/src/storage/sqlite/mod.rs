//! Files of SQLite, with full synchronisation.
//!
//! [`SqliteTask`] holds its file exclusively, so that a second coordinator on the same state is
//! refused instead of corrupting it. [`SqliteAccounts`] shares its file with the coordinators of
//! all tasks.

mod accounts;
mod database;
mod lines;
mod rounds;

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tacit_privacy::Rho;
use tacit_types::DeviceId;
use tacit_wire::files;

use crate::error::ServerError;

use database::{Begin, Database};

pub use accounts::SqliteAccounts;
pub(crate) use accounts::{Short, short};

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
CREATE TABLE spent (device BLOB PRIMARY KEY, rho BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE partial (one INTEGER PRIMARY KEY CHECK (one = 1), sum BLOB NOT NULL);
CREATE TABLE contributions (device BLOB PRIMARY KEY, id BLOB NOT NULL UNIQUE,
    commitment BLOB NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE leases (ticket BLOB NOT NULL, device BLOB NOT NULL, send_at INTEGER NOT NULL,
    valid_until INTEGER NOT NULL, PRIMARY KEY (ticket, device)) WITHOUT ROWID;
";
/// How long another process on the same state is waited for.
const HELD_MAX: Duration = Duration::from_millis(500);

/// Round and ledger of one task in `coordinator.sqlite`.
pub struct SqliteTask {
    db: Database,
}

impl SqliteTask {
    /// Opens or creates the store in `folder`. Blocks.
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
        hold(&db, &path)?;
        Ok(Self {
            db: Database::new(db, Begin::Writing)?,
        })
    }
}

/// Takes the file for this process alone, and makes its tables if it is new.
fn hold(db: &Connection, path: &Path) -> Result<(), ServerError> {
    let held = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy) => ServerError::OperatorConfig(format!(
            "{}: another process uses this state folder",
            path.display()
        )),
        _ => error.into(),
    };

    db.busy_timeout(HELD_MAX)?;
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "journal_mode", "WAL")
        .map_err(held)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let version: i32 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(held)?;
    match version {
        0 => {
            let made = format!("BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;");
            db.execute_batch(&made).map_err(held)
        }
        // Writing takes the exclusive lock now instead of at the first round.
        VERSION => db
            .execute_batch("BEGIN IMMEDIATE; COMMIT;")
            .map_err(held),
        other => {
            let path = path.display();
            Err(ServerError::OperatorConfig(format!(
                "{path}: version {other}, this build reads {VERSION}"
            )))
        }
    }
}

/// Units of 2^-64 so that blobs sort as their numbers do.
fn to_blob(rho: Rho) -> [u8; 16] {
    rho.units().to_be_bytes()
}

fn from_blob(blob: [u8; 16]) -> Rho {
    Rho::saturating_from_units(u128::from_be_bytes(blob))
}

/// What sorts after this device and before the next; before all of them without one, for it is
/// shorter than any id.
fn before_next(device: Option<DeviceId>) -> Vec<u8> {
    device.map_or_else(Vec::new, |device| device.0.to_vec())
}

fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn to_u64(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
