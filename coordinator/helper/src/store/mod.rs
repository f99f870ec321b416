//! Durable state, `helper.sqlite`: what was countersigned, admitted, answered, used and signed.
//! Keys are not in it.
//!
//! Write-ahead log with full synchronisation: a commit is on the disk, whole, when it returns. The
//! file is locked for as long as the helper runs.

use std::path::Path;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use rusqlite::{Connection, ErrorCode, params};
use tacit_round::keys::PublicKey;
use tacit_types::Digest;
use tacit_wire::files;

use crate::error::{HelperError, StorageError, no_randomness};

pub(crate) mod admitted;
pub(crate) mod answers;
mod heads;
pub(crate) mod lines;
pub(crate) mod lost;
pub(crate) mod rounds;

const FILE: &str = "helper.sqlite";
const VERSION: i32 = 2;
const SCHEMA: &str = "
CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), ledger_id BLOB NOT NULL, \
generation INTEGER NOT NULL,
    helper_key BLOB NOT NULL);
CREATE TABLE rounds (id INTEGER PRIMARY KEY, task TEXT NOT NULL, round INTEGER NOT NULL, ledger \
BLOB NOT NULL, draft_digest BLOB NOT NULL,
    ticket_hash BLOB NOT NULL UNIQUE, ticket BLOB NOT NULL, signature BLOB NOT NULL, \
draft_signature BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'answered', 'abandoned')), reason TEXT,
    generation INTEGER NOT NULL, ever_admitted INTEGER NOT NULL DEFAULT 0, certified INTEGER NOT \
NULL DEFAULT 0,
    UNIQUE (task, round));
CREATE INDEX rounds_in ON rounds (ledger);
CREATE TABLE lines (id INTEGER PRIMARY KEY, task TEXT NOT NULL, line BLOB NOT NULL, signature BLOB \
NOT NULL);
CREATE INDEX lines_of ON lines (task, id);
CREATE TABLE answers (ticket_hash BLOB PRIMARY KEY, id INTEGER NOT NULL UNIQUE, set_digest BLOB \
NOT NULL, mask_sum BLOB);
CREATE TABLE admitted (fingerprint BLOB PRIMARY KEY, ticket_hash BLOB NOT NULL, contribution BLOB \
NOT NULL, member BLOB)
    WITHOUT ROWID;
CREATE UNIQUE INDEX admitted_to ON admitted (ticket_hash, member);
CREATE TABLE used_seeds (fingerprint BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE heads (id INTEGER PRIMARY KEY, ledger_id BLOB NOT NULL, generation INTEGER NOT NULL, \
size INTEGER NOT NULL,
    root BLOB NOT NULL, helper_size INTEGER NOT NULL, helper_last_hash BLOB NOT NULL);
CREATE INDEX heads_of ON heads (ledger_id, id);
";

/// The store, locked against every other process.
pub(crate) struct Store {
    db: Connection,
    /// Made once; with the task, it names each of the helper's ledgers.
    ledger_id: Digest,
    /// Raised when keys are found lost.
    generation: u32,
    /// Key the ledger is signed with.
    helper_key: PublicKey,
}

impl Store {
    /// Opens the store of this helper key, making it on the first start, and checks that it is
    /// whole.
    pub(crate) fn open(folder: &Path, helper_key: PublicKey) -> Result<Self, HelperError> {
        let path = folder.join(FILE);
        files::private_database(&path).map_err(|error| StorageError::file(&path, &error))?;
        let db = Connection::open(path).map_err(StorageError::from)?;
        lock(&db).map_err(|error| in_use(folder, error))?;
        let version: i32 = db
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(StorageError::from)?;
        match version {
            0 => create(&db, helper_key)?,
            VERSION => check_pages(&db)?,
            other => {
                let problem = format!("{FILE} is of version {other}, this build reads {VERSION}");
                return Err(HelperError::Storage(problem));
            }
        }
        let store = identify(db, helper_key)?;
        store.check_ledgers()?;
        Ok(store)
    }

    /// Begins the next generation: every open round ends, those without a key for that reason.
    pub(crate) fn begin_generation(&mut self, lost: &[Digest]) -> Result<(), StorageError> {
        let transaction = self.db.transaction()?;
        for ticket in lost {
            rounds::abandon(&transaction, *ticket, "key lost")?;
        }
        transaction.execute(
            "UPDATE rounds SET state = 'abandoned', reason = 'new generation' WHERE state = 'open'",
            [],
        )?;
        transaction.execute("DELETE FROM admitted", [])?;
        transaction.execute("UPDATE identity SET generation = generation + 1", [])?;
        transaction.commit()?;
        self.generation += 1;
        Ok(())
    }
}

/// Takes the lock for the life of the connection; a restart may overlap with the old process for a
/// moment.
fn lock(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_secs(2))?;
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch("BEGIN EXCLUSIVE; COMMIT;")
}

fn in_use(folder: &Path, error: rusqlite::Error) -> HelperError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            HelperError::OperatorConfig(format!(
                "{}: another process uses this state folder",
                folder.display()
            ))
        }
        _ => StorageError::from(error).into(),
    }
}

fn create(db: &Connection, helper_key: PublicKey) -> Result<(), StorageError> {
    let mut ledger_id = [0; Digest::LEN];
    SysRng
        .try_fill_bytes(&mut ledger_id)
        .map_err(|error| no_randomness(&error))?;
    let transaction = db.unchecked_transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute(
        "INSERT INTO identity VALUES (1, ?1, 1, ?2)",
        params![ledger_id, helper_key.0],
    )?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

fn check_pages(db: &Connection) -> Result<(), StorageError> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(StorageError::damaged(&found))
    }
}

fn identify(db: Connection, helper_key: PublicKey) -> Result<Store, HelperError> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (ledger_id, generation, key): ([u8; 32], u32, [u8; 32]) = db
        .query_row(
            "SELECT ledger_id, generation, helper_key FROM identity",
            [],
            read,
        )
        .map_err(StorageError::from)?;
    if key != helper_key.0 {
        let problem = format!(
            "signing.key: the state folder belongs to key {}",
            PublicKey(key)
        );
        return Err(HelperError::OperatorConfig(problem));
    }
    Ok(Store {
        db,
        ledger_id: Digest(ledger_id),
        generation,
        helper_key,
    })
}
