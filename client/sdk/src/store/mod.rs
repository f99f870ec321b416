//! Durable local state of one installation: what each owner did, one device ledger and one spool.
//! SQLite, full synchronisation.
//!
//! Opened for an action and closed after it. The store is created once, at enrolment; a missing
//! store beside an existing identity is never made anew, because that would reset the budget.
//! [`behaviour`] holds what the owner did, [`ledger`] what may still be spent and what is being
//! sent, [`mark`] which release ledgers were seen; `seal` notices when the ledger was damaged;
//! `owners` knows whose rows are whose.
//!
//! Everything here fails towards "spent": a store that is missing, damaged or behind its own past
//! is an error, and nothing can be released without it. What this cannot see is a folder that was
//! restored whole or runs twice (a cloned phone): the memory of the newest release ledger
//! ([`Store::mark`]) goes back with it, and what was spent since is known again only when the
//! coordinator's count raises it at the next check-in. That count has no hours, so it stands
//! against the lifetime budget and not against the window's. A coordinator that hides its count
//! could so ask one identity for two different contributions of one round; only a monotonic counter
//! of the platform would prevent that.

pub mod behaviour;
mod consent;
pub mod ledger;
pub mod mark;
mod owner;
mod owners;
mod pause;
mod refused;
mod seal;
mod spooled;
mod waiting;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use self::behaviour::Forget;
pub use self::consent::Consent;
pub(crate) use self::owner::OwnerId;
use self::owner::removed;
pub use self::owners::{Histories, NAME_MAX, OWNERS_MAX};
pub use self::pause::Pause;
pub use self::spooled::Spooled;
pub use self::waiting::{Event, WAITING_MAX};
use crate::error::SdkError;
use crate::files;
use crate::private;
use crate::reason::Reason;

const FILE: &str = "store.sqlite";
/// This installation's certificate: beside one, a store that is missing is never made anew.
pub(crate) const CERTIFICATE: &str = "device.crt";
const VERSION: i32 = 4;
const SCHEMA: &str = "
CREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, consent TEXT \
NOT NULL);
INSERT INTO owners VALUES (0, '', 'off');
CREATE TABLE interactions (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, item INTEGER NOT NULL,
    at INTEGER, value REAL NOT NULL, kind TEXT NOT NULL, surface INTEGER NOT NULL);
CREATE TABLE waiting (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, item TEXT NOT NULL,
    at INTEGER, value REAL NOT NULL, kind TEXT NOT NULL, surface INTEGER NOT NULL);
CREATE TABLE trusted (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, since INTEGER NOT NULL,
    until INTEGER NOT NULL);
CREATE TABLE chosen (owner INTEGER NOT NULL, category INTEGER NOT NULL,
    PRIMARY KEY (owner, category)) WITHOUT ROWID;
CREATE TABLE ledger (task TEXT NOT NULL, round INTEGER NOT NULL, ticket BLOB NOT NULL, rho TEXT \
NOT NULL,
    hour INTEGER NOT NULL, status TEXT NOT NULL, PRIMARY KEY (task, round)) WITHOUT ROWID;
CREATE TABLE elsewhere (one INTEGER PRIMARY KEY CHECK (one = 1), rho TEXT NOT NULL);
CREATE TABLE spool (task TEXT NOT NULL, round INTEGER NOT NULL, ticket BLOB NOT NULL, contribution \
BLOB NOT NULL,
    deadline INTEGER NOT NULL, paused INTEGER NOT NULL, pause INTEGER NOT NULL,
    sealed BLOB NOT NULL, commitment_key BLOB NOT NULL,
    commitment BLOB NOT NULL, masked BLOB NOT NULL, owners TEXT NOT NULL,
    PRIMARY KEY (task, round));
CREATE TABLE mark (task TEXT PRIMARY KEY, ledger BLOB NOT NULL, generation INTEGER NOT NULL, size \
INTEGER NOT NULL,
    root BLOB NOT NULL, model_seq INTEGER NOT NULL, model BLOB NOT NULL,
    rho_total TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE refused (one INTEGER PRIMARY KEY CHECK (one = 1), code INTEGER NOT NULL);
CREATE TABLE seal (one INTEGER PRIMARY KEY CHECK (one = 1), commits INTEGER NOT NULL, digest BLOB \
NOT NULL);
";

/// One installation's store, in the hands of one of its owners: the unnamed one unless
/// [`Store::for_owner`] says another.
pub struct Store {
    db: Connection,
    folder: PathBuf,
    /// Whose behaviour and decisions this handle reads and writes. Ledger and spool are everyone's.
    owner: OwnerId,
    /// Commits of the guarded rows, as this connection last saw them.
    commits: u64,
    /// Time spent making the steps of releases durable since this store was opened.
    committing: Cell<Duration>,
}

impl Store {
    /// Path of the store inside an installation's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Creates the store of a new installation.
    ///
    /// # Errors
    /// [`SdkError::Stop`] if it exists, if one that was written to has stood here before, or if it
    /// cannot be written.
    pub fn create(folder: &Path) -> Result<Self, SdkError> {
        let path = Self::path(folder);
        if files::is_there(&path)? {
            return Err(files::stop(&path, "a store exists already"));
        }
        if seal::noted(folder)? > 0 {
            return Err(missing(&path));
        }
        // Built under another name: once a store stands under its own, it is complete.
        let wrap = |error: std::io::Error| files::failed(&path, error);
        let unfinished = folder.join("store.new");
        for leftover in [
            "store.new",
            "store.new-wal",
            "store.new-shm",
            "store.new-journal",
        ] {
            match fs::remove_file(folder.join(leftover)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(wrap(error));
                }
                _ => {}
            }
        }
        // What its owner did is for its owner's eyes; the log beside it takes over the file's mode.
        private::file()
            .write(true)
            .create_new(true)
            .open(&unfinished)
            .map_err(wrap)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let mut db = Connection::open_with_flags(&unfinished, flags)?;
        db.pragma_update(None, "auto_vacuum", "FULL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let transaction = db.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        seal::set(&transaction, 0)?;
        transaction.commit()?;
        drop(db);
        files::write(&folder.join(seal::NOTE), format!("{:020}", 0).as_bytes())?;
        fs::rename(&unfinished, &path)
            .and_then(|()| private::sync_folder(folder))
            .map_err(wrap)?;
        Self::open(folder)
    }

    /// Opens the store of an existing installation.
    ///
    /// # Errors
    /// [`SdkError::Stop`] if it is missing, damaged or behind its own past (the budget then reads
    /// as used up), or of a newer version.
    pub fn open(folder: &Path) -> Result<Self, SdkError> {
        let path = Self::path(folder);
        if !files::is_there(&path)? {
            return Err(missing(&path));
        }
        if !path.is_file() {
            return Err(files::stop(&path, "not a file"));
        }
        for file in [FILE, "store.sqlite-wal", "store.sqlite-shm", seal::NOTE] {
            files::close_to_others(&folder.join(file))?;
        }
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        configure(&db)?;
        let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            return Err(files::stop(
                &path,
                format!("version {version}, this build reads {VERSION}"),
            ));
        }
        let structure: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if structure != "ok" {
            return Err(files::stop(&path, format!("damaged: {structure}")));
        }
        // Another process may commit at any moment: the note is read first, so that it cannot be
        // ahead, and the rows and their digest in one snapshot.
        let noted = seal::noted(folder)?;
        let commits = seal::check(&*db.unchecked_transaction()?)?;
        if commits < noted {
            let problem =
                "older than what this installation has done, so its budget counts as used up";
            return Err(files::stop(&path, problem));
        }
        Ok(Self {
            db,
            folder: folder.into(),
            owner: OwnerId::UNNAMED,
            commits,
            committing: Cell::default(),
        })
    }

    /// As [`Self::open`], for a call that is over soon: its log stays when it is closed, so that
    /// what is made durable takes one synchronisation. Whoever erases folds the log, and so does a
    /// step.
    pub(crate) fn open_for_one_call(folder: &Path) -> Result<Self, SdkError> {
        let store = Self::open(folder)?;
        let keeps_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        store.db.set_db_config(keeps_log, true)?;
        Ok(store)
    }

    /// Folds the log into the file and closes; gives the time all durable steps took, this one
    /// included.
    pub fn close(self) -> Duration {
        // A checkpoint that fails costs nothing: the log is still there and is read when the store
        // opens again.
        let _ = self.timed(|| {
            Ok(self
                .db
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
        });
        self.committing()
    }

    /// Time spent making the steps of releases durable since this store was opened.
    pub fn committing(&self) -> Duration {
        self.committing.get()
    }

    /// Writes what an owner did in one durable commit, unless that owner was removed meanwhile.
    fn write_own<T>(
        &mut self,
        write: impl FnOnce(&Connection, OwnerId) -> Result<T, SdkError>,
    ) -> Result<T, SdkError> {
        // Nobody can remove the owner between the look and the commit.
        let at_once = TransactionBehavior::Immediate;
        let transaction = self.db.transaction_with_behavior(at_once)?;
        if !self.owner.is_there(&transaction)? {
            return Err(removed());
        }
        let written = write(&transaction, self.owner)?;
        transaction.commit()?;
        Ok(written)
    }

    /// Changes guarded rows in one durable commit, which renews the seal and is counted.
    ///
    /// A change is made only on top of what this connection has read: when another process came
    /// between, this one has decided on old numbers and must begin again.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, SdkError>,
    ) -> Result<T, SdkError> {
        let read = self.commits;
        self.change_if(|commits| commits == read, change)
    }

    /// As [`Self::change`], for what the owner decides: it rests on nothing that was read.
    fn change_anyway<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, SdkError>,
    ) -> Result<T, SdkError> {
        let read = self.commits;
        self.change_if(|commits| commits >= read, change)
    }

    fn change_if<T>(
        &mut self,
        may_follow: impl FnOnce(u64) -> bool,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, SdkError>,
    ) -> Result<T, SdkError> {
        let (changed, commits) = self.timed(|| {
            // Nothing else runs on this connection, which this method holds exclusively.
            let at_once = TransactionBehavior::Immediate;
            let transaction = Transaction::new_unchecked(&self.db, at_once)?;
            let before = seal::check(&transaction)?;
            if !may_follow(before) {
                return Err(SdkError::retry(
                    Reason::StoreBusy,
                    "another process has changed the device ledger",
                ));
            }
            let changed = change(&transaction)?;
            seal::set(&transaction, before + 1)?;
            transaction.commit()?;
            Ok((changed, before + 1))
        })?;
        self.commits = commits;
        seal::note(&self.folder, commits)?;
        Ok(changed)
    }

    /// Overwrites the log with what the file holds, so that neither has what was erased.
    ///
    /// # Errors
    /// [`SdkError::RetryLater`] while another process reads the store.
    fn fold_log(&self) -> Result<(), SdkError> {
        let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: bool = self.db.query_row(fold, [], |row| row.get(0))?;
        match busy {
            true => Err(SdkError::retry(
                Reason::StoreBusy,
                "another process reads the local store, so its log still has what was erased: \
                 repeat the call",
            )),
            false => Ok(()),
        }
    }

    /// Runs a durable step and adds its time to [`Self::committing`].
    #[allow(clippy::disallowed_methods, reason = "measures, decides nothing")]
    fn timed<T>(&self, step: impl FnOnce() -> Result<T, SdkError>) -> Result<T, SdkError> {
        let start = std::time::Instant::now();
        let result = step();
        self.committing
            .set(self.committing.get() + start.elapsed());
        result
    }
}

fn configure(db: &Connection) -> Result<(), SdkError> {
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "cell_size_check", true)?;
    // What is deleted is overwritten, so that forgetting is more than not looking.
    db.pragma_update(None, "secure_delete", true)?;
    // WAL with full synchronisation: one fsync makes a commit durable, and a commit is never torn.
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    Ok(())
}

fn missing(path: &Path) -> SdkError {
    files::stop(
        path,
        "the device ledger is missing, so its budget counts as used up",
    )
}

/// What SQLite can hold of a number.
fn to_i64(value: u64, name: &str) -> Result<i64, SdkError> {
    i64::try_from(value).map_err(|_| SdkError::Stop(format!("{name} is out of range: {value}")))
}
