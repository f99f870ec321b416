//! Durable rounds and the release ledger: one SQLite file, one writer, full synchronisation.
//!
//! The file is held exclusively, so a second coordinator on the same state is refused instead of
//! corrupting it.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tacit_privacy::{Rho, canonical};
use tacit_round::coordinator::Contribution;
use tacit_round::helper::SealedSeed;
use tacit_round::keys::SignatureBytes;
use tacit_round::ticket::{SignedTicket, TicketFile};
use tacit_types::{ContributionId, DeviceId, Digest};

use crate::error::ServerError;

const VERSION: i32 = 1;
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
CREATE TABLE contributions (device BLOB PRIMARY KEY, id BLOB NOT NULL UNIQUE, digest BLOB NOT \
NULL, sealed BLOB NOT NULL)
    WITHOUT ROWID;
";

/// How far the open round is, as far as recovery needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Taking contributions.
    Open,
    /// The set is fixed.
    Closing,
    /// Its ledger line is durable; publication may be missing.
    Recorded,
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Recorded => "recorded",
        }
    }
}

/// The store.
pub struct Store {
    db: Connection,
}

/// Exact bytes of a helper line, and its signature.
pub type SignedLine = (Vec<u8>, Vec<u8>);

/// A new contribution of a checkpoint.
pub struct NewContribution {
    /// Who and what.
    pub contribution: Contribution,
    /// Sealed mask seed, for the helper.
    pub sealed: Vec<u8>,
}

impl Store {
    /// Opens or creates the store in `folder`.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] when another process holds it or it is of a newer version,
    /// [`ServerError::StorageUnavailable`] otherwise.
    pub fn open(folder: &Path) -> Result<Self, ServerError> {
        std::fs::create_dir_all(folder).map_err(|error| {
            ServerError::OperatorConfig(format!("state = '{}': {error}", folder.display()))
        })?;
        let path = folder.join("coordinator.sqlite");
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

    /// The round that was open when the process stopped.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn round(&self) -> Result<Option<(Phase, SignedTicket, u64)>, ServerError> {
        type Row = (String, Vec<u8>, Vec<u8>, Vec<u8>, i64);
        let row: Option<Row> = self
            .db
            .query_row(
                "SELECT phase, ticket, coordinator_signature, helper_signature, opened FROM round",
                [],
                |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                    ))
                },
            )
            .optional()?;
        let damaged = || ServerError::StorageUnavailable("the open round is damaged".into());
        row.map(|(phase, bytes, coordinator, helper, opened)| {
            let phase = [Phase::Open, Phase::Closing, Phase::Recorded]
                .into_iter()
                .find(|p| p.word() == phase);
            let signature =
                |bytes: Vec<u8>| bytes.try_into().map(SignatureBytes).map_err(|_| damaged());
            let ticket = SignedTicket {
                bytes,
                coordinator_signature: signature(coordinator)?,
                helper_signature: signature(helper)?,
            };
            Ok((
                phase.ok_or_else(damaged)?,
                ticket,
                u64::try_from(opened).unwrap_or(0),
            ))
        })
        .transpose()
    }

    /// Makes a new round durable before its ticket is offered.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`], also when a round is open.
    pub fn open_round(&mut self, ticket: &SignedTicket, opened: u64) -> Result<(), ServerError> {
        let transaction = self.db.transaction()?;
        transaction.execute(
            "INSERT INTO round VALUES (1, 'open', ?1, ?2, ?3, ?4)",
            params![
                ticket.bytes,
                ticket.coordinator_signature.0,
                ticket.helper_signature.0,
                to_i64(opened)
            ],
        )?;
        let file = canonical::encode(&TicketFile::from(ticket))?;
        transaction.execute(
            "INSERT OR REPLACE INTO tickets VALUES (?1, ?2)",
            params![ticket.hash().0, file],
        )?;
        Ok(transaction.commit()?)
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

    /// Fixes the set: nothing may be folded after this.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn close_round(&self) -> Result<(), ServerError> {
        self.db
            .execute("UPDATE round SET phase = ?1", [Phase::Closing.word()])?;
        Ok(())
    }

    /// Forgets the round and everything contributed to it.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn end_round(&mut self) -> Result<(), ServerError> {
        let transaction = self.db.transaction()?;
        transaction
            .execute_batch("DELETE FROM round; DELETE FROM partial; DELETE FROM contributions;")?;
        Ok(transaction.commit()?)
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

    /// Checkpoint: new contributions and the sum that holds them, in one commit. Acknowledge only
    /// after this.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`]; fatal, because what the disk holds is then unknown.
    pub fn checkpoint(&mut self, new: &[NewContribution], sum: &[u8]) -> Result<(), ServerError> {
        let transaction = self.db.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO contributions VALUES (?1, ?2, ?3, ?4)")?;
            for one in new {
                let Contribution { device, id, digest } = one.contribution;
                insert.execute(params![device.0, id.0, digest.0, one.sealed])?;
            }
            transaction
                .prepare_cached("INSERT OR REPLACE INTO partial VALUES (1, ?1)")?
                .execute([sum])?;
        }
        Ok(transaction.commit()?)
    }

    /// The partial sum of the last checkpoint.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn partial(&self) -> Result<Option<Vec<u8>>, ServerError> {
        Ok(self
            .db
            .query_row("SELECT sum FROM partial", [], |row| row.get(0))
            .optional()?)
    }

    /// Every durable contribution of the open round with its sealed seed.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn contributions(&self) -> Result<Vec<(Contribution, SealedSeed)>, ServerError> {
        type Row = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);
        let mut query = self
            .db
            .prepare_cached("SELECT device, id, digest, sealed FROM contributions")?;
        let rows = query.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        let damaged =
            |_| ServerError::StorageUnavailable("a stored contribution is damaged".into());
        rows.map(|row| {
            let (device, id, digest, sealed): Row = row?;
            let device = DeviceId::from_slice(&device).map_err(damaged)?;
            let id = ContributionId::from_slice(&id).map_err(damaged)?;
            let digest = Digest::from_slice(&digest).map_err(damaged)?;
            Ok((
                Contribution { device, id, digest },
                SealedSeed {
                    contribution: id,
                    sealed,
                    digest,
                },
            ))
        })
        .collect()
    }
}

fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Store::open(folder.path()).unwrap();
        // HOSTILE 100.
        let error = Store::open(folder.path()).err().unwrap().to_string();
        assert!(
            error.contains("another process uses this state folder"),
            "{error}"
        );
    }

    #[test]
    fn a_checkpoint_is_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let one = |byte: u8| NewContribution {
            contribution: Contribution {
                device: DeviceId([byte; 16]),
                id: ContributionId([byte; 16]),
                digest: Digest([byte; 32]),
            },
            sealed: vec![byte; 4],
        };
        store.checkpoint(&[one(1)], &[1]).unwrap();
        // The second entry repeats an id: the whole commit is refused, sum included.
        assert!(store.checkpoint(&[one(2), one(1)], &[2]).is_err());
        assert_eq!(store.partial().unwrap(), Some(vec![1]));
        assert_eq!(store.contributions().unwrap().len(), 1);
        store.end_round().unwrap();
        assert_eq!(
            (
                store.partial().unwrap(),
                store.contributions().unwrap().len()
            ),
            (None, 0)
        );
    }

    #[test]
    fn a_helper_that_signs_another_line_at_the_same_place_is_refused_and_nothing_is_charged() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let (rho, signature) = (Rho::saturating_from_units(1), SignatureBytes([0; 64]));
        store
            .record(0, b"line 0", rho, Some((0, b"helper 0", &signature)))
            .unwrap();
        let forked = store.record(
            1,
            b"line 1",
            rho,
            Some((0, b"another helper 0", &signature)),
        );
        let Err(ServerError::HelperRefused(reason)) = forked else {
            panic!("the fork was taken");
        };
        assert!(reason.contains("rolled back"), "{reason}");
        assert_eq!(store.lines().unwrap(), [b"line 0"]);
        store
            .record(1, b"line 1", rho, Some((1, b"helper 1", &signature)))
            .unwrap();
        assert_eq!(store.helper_lines().unwrap().len(), 2);
    }
}
