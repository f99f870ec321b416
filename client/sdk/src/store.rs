//! Durable local state of one installation: interactions, the device ledger and the spool. SQLite, full synchronisation.
//!
//! Opened for an action and closed after it. The store is created once, at enrolment; a missing store beside an existing
//! identity is never made anew, because that would reset the budget.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tacit_model::interaction::{Interaction, InteractionKind};
use tacit_privacy::ledger::{Reservation, total};
use tacit_privacy::{LedgerStore, Rho};
use tacit_round::device::Status;
use tacit_round::policy::LogMark;
use tacit_types::{ContributionId, Digest, ItemId, RoundId, TaskId, Timestamp};

use crate::error::SdkError;

const FILE: &str = "store.sqlite";
const VERSION: i32 = 1;
const SCHEMA: &str = "
CREATE TABLE interactions (id INTEGER PRIMARY KEY, item INTEGER NOT NULL, at INTEGER, value REAL NOT NULL, kind TEXT NOT NULL);
CREATE TABLE ledger (task TEXT NOT NULL, round INTEGER NOT NULL, ticket BLOB NOT NULL, rho TEXT NOT NULL,
    hour INTEGER NOT NULL, status TEXT NOT NULL, PRIMARY KEY (task, round)) WITHOUT ROWID;
CREATE TABLE elsewhere (one INTEGER PRIMARY KEY CHECK (one = 1), rho TEXT NOT NULL);
CREATE TABLE spool (task TEXT NOT NULL, round INTEGER NOT NULL, ticket BLOB NOT NULL, contribution BLOB NOT NULL,
    sealed BLOB NOT NULL, digest BLOB NOT NULL, masked BLOB NOT NULL, PRIMARY KEY (task, round));
CREATE TABLE mark (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL, size INTEGER NOT NULL,
    root BLOB NOT NULL, model_seq INTEGER NOT NULL);
";

/// One installation's store.
pub struct Store {
    db: Connection,
    /// Time spent making the steps of releases durable since this store was opened.
    committing: Duration,
}

/// Final bytes of one contribution, as spooled and as sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Spooled {
    /// Task.
    pub task: TaskId,
    /// Round.
    pub round: RoundId,
    /// Hash of the ticket answered.
    pub ticket: Digest,
    /// Name of the contribution.
    pub contribution: ContributionId,
    /// Sealed mask seed.
    pub sealed: Vec<u8>,
    /// SHA-256 of `masked`.
    pub digest: Digest,
    /// Masked ring elements, little-endian.
    pub masked: Vec<u8>,
}

impl Store {
    /// Path of the store inside an installation's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Creates the store of a new installation.
    ///
    /// # Errors
    /// [`SdkError::Stop`] if it exists or cannot be written.
    pub fn create(folder: &Path) -> Result<Self, SdkError> {
        let path = Self::path(folder);
        if path.exists() {
            return Err(SdkError::Stop(format!("{}: a store exists already", path.display())));
        }
        // Built under another name: once a store stands under its own, it is complete.
        let wrap = |error: std::io::Error| SdkError::Stop(format!("{}: {error}", path.display()));
        let unfinished = folder.join("store.new");
        for leftover in ["store.new", "store.new-wal", "store.new-shm", "store.new-journal"] {
            match fs::remove_file(folder.join(leftover)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrap(error)),
                _ => {}
            }
        }
        let db = Connection::open(&unfinished)?;
        db.pragma_update(None, "auto_vacuum", "FULL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"))?;
        drop(db);
        fs::rename(&unfinished, &path).and_then(|()| fs::File::open(folder)?.sync_all()).map_err(wrap)?;
        Self::open(folder)
    }

    /// Folds the log into the file and closes; gives the time all durable steps took, this one included.
    pub fn close(mut self) -> Duration {
        // A checkpoint that fails costs nothing: the log is still there and is read when the store opens again.
        let _ = self.timed(|db| Ok(db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?));
        self.committing
    }

    /// Opens the store of an existing installation.
    ///
    /// # Errors
    /// [`SdkError::Stop`] if it is missing (the budget then reads as used up), of a newer version, or damaged.
    pub fn open(folder: &Path) -> Result<Self, SdkError> {
        let path = Self::path(folder);
        if !path.exists() {
            let path = path.display();
            return Err(SdkError::Stop(format!(
                "{path}: the device ledger is missing, so its budget counts as used up"
            )));
        }
        let db = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        configure(&db)?;
        let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            return Err(SdkError::Stop(format!("{}: version {version}, this build reads {VERSION}", path.display())));
        }
        Ok(Self { db, committing: Duration::ZERO })
    }

    /// Appends interactions durably.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails; nothing is half-written.
    pub fn record(&mut self, interactions: &[Interaction]) -> Result<(), SdkError> {
        let transaction = self.db.transaction()?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO interactions (item, at, value, kind) VALUES (?1, ?2, ?3, ?4)")?;
            for one in interactions {
                let at = one.timestamp.map(|at| i64::try_from(at.0).unwrap_or(i64::MAX));
                insert.execute(params![one.item.0, at, one.value, one.kind.as_str()])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Every interaction, in the order recorded.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or holds what this version cannot read.
    pub fn interactions(&self) -> Result<Vec<Interaction>, SdkError> {
        let mut query = self.db.prepare_cached("SELECT item, at, value, kind FROM interactions ORDER BY id")?;
        let rows = query.query_map([], |row| {
            let kind: String = row.get(3)?;
            let at: Option<i64> = row.get(1)?;
            Ok((row.get(0)?, at, row.get(2)?, kind))
        })?;
        rows.map(|row| {
            let (item, at, value, kind) = row?;
            let kind = InteractionKind::parse(&kind)
                .ok_or_else(|| SdkError::Stop(format!("the local store holds an unknown interaction type '{kind}'")))?;
            let timestamp = at.map(|at| Timestamp(u64::try_from(at).unwrap_or(0)));
            Ok(Interaction { item: ItemId(item), timestamp, value, kind })
        })
        .collect()
    }

    /// Status of one round, if this device took part.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn status(&self, task: &TaskId, round: RoundId) -> Result<Option<Status>, SdkError> {
        let text: Option<String> = self
            .db
            .prepare_cached("SELECT status FROM ledger WHERE task = ?1 AND round = ?2")?
            .query_row(params![task.as_str(), round.0], |row| row.get(0))
            .optional()?;
        text.map(|text| read_status(&text)).transpose()
    }

    /// The round that was interrupted, if one was: reserved or spooled.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn unfinished(&self) -> Result<Option<(TaskId, RoundId, Status)>, SdkError> {
        let row: Option<(String, u32, String)> = self
            .db
            .prepare_cached("SELECT task, round, status FROM ledger WHERE status IN ('reserved', 'spooled') LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        row.map(|(task, round, status)| {
            let task = TaskId::new(task).map_err(|error| SdkError::Stop(error.to_string()))?;
            Ok((task, RoundId(round), read_status(&status)?))
        })
        .transpose()
    }

    /// Newest point of the release ledger seen.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn mark(&self) -> Result<LogMark, SdkError> {
        let row = self
            .db
            .prepare_cached("SELECT generation, size, model_seq, root FROM mark")?
            .query_row([], |row| {
                let (size, model_seq): (i64, i64) = (row.get(1)?, row.get(2)?);
                Ok(LogMark {
                    generation: row.get(0)?,
                    size: u64::try_from(size).unwrap_or(u64::MAX),
                    root: Digest(row.get(3)?),
                    model_seq: u64::try_from(model_seq).unwrap_or(u64::MAX),
                })
            })
            .optional()?;
        Ok(row.unwrap_or_default())
    }

    /// Remembers the newest point of the release ledger.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn set_mark(&self, mark: LogMark) -> Result<(), SdkError> {
        let as_i64 = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.db.execute(
            "INSERT OR REPLACE INTO mark VALUES (1, ?1, ?2, ?3, ?4)",
            params![mark.generation, as_i64(mark.size), mark.root.0, as_i64(mark.model_seq)],
        )?;
        Ok(())
    }

    /// Second durable commit of a release: the final bytes.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or the round is not reserved.
    pub fn spool(&mut self, spooled: &Spooled) -> Result<(), SdkError> {
        self.timed(|db| spool(db, spooled))
    }

    /// The spooled bytes of a round.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or the spool is damaged.
    pub fn spooled(&self, task: &TaskId, round: RoundId) -> Result<Spooled, SdkError> {
        let damaged = |_| SdkError::Stop("the local spool is damaged".into());
        type Row = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);
        let (ticket, contribution, sealed, digest, masked): Row = self
            .db
            .prepare_cached(
                "SELECT ticket, contribution, sealed, digest, masked FROM spool WHERE task = ?1 AND round = ?2",
            )?
            .query_row(params![task.as_str(), round.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })?;
        Ok(Spooled {
            task: task.clone(),
            round,
            ticket: Digest::from_slice(&ticket).map_err(damaged)?,
            contribution: ContributionId::from_slice(&contribution).map_err(damaged)?,
            sealed,
            digest: Digest::from_slice(&digest).map_err(damaged)?,
            masked,
        })
    }

    /// Ends a round: sets its status and erases its spool.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn finish(&mut self, task: &TaskId, round: RoundId, status: Status) -> Result<(), SdkError> {
        self.timed(|db| {
            let transaction = db.transaction()?;
            transaction.execute(
                "UPDATE ledger SET status = ?3 WHERE task = ?1 AND round = ?2",
                params![task.as_str(), round.0, status_word(status)],
            )?;
            transaction.execute("DELETE FROM spool WHERE task = ?1 AND round = ?2", params![task.as_str(), round.0])?;
            Ok(transaction.commit()?)
        })
    }

    /// Time spent making the steps of releases durable since this store was opened.
    pub fn committing(&self) -> Duration {
        self.committing
    }

    /// Runs a durable step and adds its time to [`Self::committing`].
    #[allow(clippy::disallowed_methods, reason = "measures, decides nothing")]
    fn timed<T>(&mut self, step: impl FnOnce(&mut Connection) -> Result<T, SdkError>) -> Result<T, SdkError> {
        let start = std::time::Instant::now();
        let result = step(&mut self.db);
        self.committing += start.elapsed();
        result
    }

    /// Every ledger line with its status, for the owner to read.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or a line cannot be read.
    pub fn ledger(&self) -> Result<Vec<(Reservation, Status)>, SdkError> {
        let mut query =
            self.db.prepare_cached("SELECT task, round, ticket, rho, hour, status FROM ledger ORDER BY task, round")?;
        let rows = query.query_map([], |row| {
            let (task, rho, status): (String, String, String) = (row.get(0)?, row.get(3)?, row.get(5)?);
            Ok((task, row.get(1)?, row.get(2)?, rho, row.get::<_, i64>(4)?, status))
        })?;
        rows.map(|row| {
            let (task, round, ticket, rho, hour, status) = row?;
            let line = Reservation {
                task: TaskId::new(task).map_err(|error| SdkError::Stop(error.to_string()))?,
                round: RoundId(round),
                ticket: Digest(ticket),
                rho: Rho::try_from(rho).map_err(SdkError::Stop)?,
                // A negative hour cannot be written; read as the latest, it opens no window.
                hour: u64::try_from(hour).unwrap_or(u64::MAX),
            };
            Ok((line, read_status(&status)?))
        })
        .collect()
    }

    /// Remembers what the coordinator counted this identity for, if that is more than this ledger knows of: then the ledger
    /// was restored from an old copy, or runs on two devices. Durable when this returns; never goes down.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn raise_spent(&mut self, counted: Rho) -> Result<(), SdkError> {
        if counted <= self.spent()? {
            return Ok(());
        }
        self.timed(|db| {
            db.execute("INSERT OR REPLACE INTO elsewhere VALUES (1, ?1)", params![counted.to_string()])?;
            Ok(())
        })
    }

    /// What counts as spent: the sum of every reservation, or what others counted if that is more.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn spent(&self) -> Result<Rho, SdkError> {
        Ok(total(&self.reservations()?).max(self.spent_elsewhere()?))
    }
}

impl LedgerStore for Store {
    type Error = SdkError;

    fn reservations(&self) -> Result<Vec<Reservation>, SdkError> {
        Ok(self.ledger()?.into_iter().map(|(line, _)| line).collect())
    }

    fn spent_elsewhere(&self) -> Result<Rho, SdkError> {
        let mut query = self.db.prepare_cached("SELECT rho FROM elsewhere")?;
        let rho: Option<String> = query.query_row([], |row| row.get(0)).optional()?;
        rho.map_or(Ok(Rho::ZERO), |rho| Rho::try_from(rho).map_err(SdkError::Stop))
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<(), SdkError> {
        let Reservation { task, round, ticket, rho, hour } = reservation;
        let hour = i64::try_from(*hour).map_err(|_| SdkError::Stop("the clock is out of range".into()))?;
        self.timed(|db| {
            db.execute(
                "INSERT INTO ledger VALUES (?1, ?2, ?3, ?4, ?5, 'reserved')",
                params![task.as_str(), round.0, ticket.0, rho.to_string(), hour],
            )?;
            Ok(())
        })
    }
}

/// Writes the final bytes of a reserved round and moves its status, in one commit.
fn spool(db: &mut Connection, spooled: &Spooled) -> Result<(), SdkError> {
    let transaction = db.transaction()?;
    let (task, round) = (spooled.task.as_str(), spooled.round.0);
    let changed = transaction.execute(
        "UPDATE ledger SET status = 'spooled' WHERE task = ?1 AND round = ?2 AND status = 'reserved'",
        params![task, round],
    )?;
    if changed != 1 {
        return Err(SdkError::Bug("a contribution was spooled without a reservation".into()));
    }
    transaction.execute(
        "INSERT INTO spool VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            task,
            round,
            spooled.ticket.0,
            spooled.contribution.0,
            spooled.sealed,
            spooled.digest.0,
            spooled.masked
        ],
    )?;
    Ok(transaction.commit()?)
}

fn configure(db: &Connection) -> Result<(), SdkError> {
    // WAL with full synchronisation: one fsync makes a commit durable, and a commit is never torn.
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.busy_timeout(Duration::from_secs(5))?;
    Ok(())
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Reserved => "reserved",
        Status::Spooled => "spooled",
        Status::Acknowledged => "acknowledged",
        Status::Forfeited => "forfeited",
    }
}

fn read_status(word: &str) -> Result<Status, SdkError> {
    [Status::Reserved, Status::Spooled, Status::Acknowledged, Status::Forfeited]
        .into_iter()
        .find(|status| status_word(*status) == word)
        .ok_or_else(|| SdkError::Stop(format!("the device ledger holds an unknown status '{word}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation(round: u32) -> Reservation {
        let task = TaskId::new("films").unwrap();
        Reservation {
            task,
            round: RoundId(round),
            ticket: Digest([1; 32]),
            rho: Rho::saturating_from_units(u128::from(round) << 64),
            hour: 7,
        }
    }

    fn spooled(round: u32) -> Spooled {
        let task = TaskId::new("films").unwrap();
        let (ticket, digest) = (Digest([1; 32]), Digest([2; 32]));
        let contribution = ContributionId([3; 16]);
        Spooled {
            task,
            round: RoundId(round),
            ticket,
            contribution,
            sealed: vec![4; 9],
            digest,
            masked: vec![5; 40_000],
        }
    }

    #[test]
    fn a_release_goes_reserved_spooled_acknowledged_and_stays_spent() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::create(folder.path()).unwrap();
        store.reserve(&reservation(1)).unwrap();
        assert!(store.reserve(&reservation(1)).is_err());
        let task = TaskId::new("films").unwrap();
        assert_eq!(store.unfinished().unwrap(), Some((task.clone(), RoundId(1), Status::Reserved)));
        store.spool(&spooled(1)).unwrap();
        drop(store);
        let mut store = Store::open(folder.path()).unwrap();
        assert!(store.spooled(&task, RoundId(1)).unwrap() == spooled(1));
        store.finish(&task, RoundId(1), Status::Acknowledged).unwrap();
        assert_eq!(store.unfinished().unwrap(), None);
        assert_eq!(store.spent().unwrap(), Rho::saturating_from_units(1 << 64));
        assert!(store.spool(&spooled(2)).is_err());
        drop(store);
        assert!(
            std::fs::metadata(Store::path(folder.path())).unwrap().len() < 60_000,
            "the spool gives its space back"
        );
    }

    #[test]
    fn a_store_whose_creation_was_interrupted_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("store.new"), b"half").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(SdkError::Stop(_))));
        drop(Store::create(folder.path()).unwrap());
        assert!(Store::open(folder.path()).is_ok() && !folder.path().join("store.new").exists());
    }

    #[test]
    fn a_deleted_ledger_reads_as_exhausted_not_as_new() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::create(folder.path()).unwrap());
        std::fs::remove_file(Store::path(folder.path())).unwrap();
        // HOSTILE 122.
        let error = Store::open(folder.path()).err().unwrap();
        assert!(matches!(&error, SdkError::Stop(reason) if reason.contains("used up")), "{error}");
        assert!(!Store::path(folder.path()).exists());
    }

    #[test]
    fn a_store_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        store.db.pragma_update(None, "user_version", 2).unwrap();
        drop(store);
        // HOSTILE 102.
        assert!(matches!(Store::open(folder.path()), Err(SdkError::Stop(_))));
        assert!(matches!(Store::create(folder.path()), Err(SdkError::Stop(_))));
    }

    #[test]
    fn interactions_come_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::create(folder.path()).unwrap();
        let one = |item, at: Option<u64>| Interaction {
            item: ItemId(item),
            timestamp: at.map(Timestamp),
            value: 4.0,
            kind: InteractionKind::Rating,
        };
        store.record(&[one(3, Some(9)), one(1, None)]).unwrap();
        store.record(&[one(2, Some(1))]).unwrap();
        assert!(store.interactions().unwrap() == [one(3, Some(9)), one(1, None), one(2, Some(1))]);
    }
}
