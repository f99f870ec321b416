//! [`Accounts`] in SQLite, in a file that the coordinators of all tasks share.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use tacit_privacy::Rho;
use tacit_types::{DeviceId, Digest, TaskId};

use super::database::{Begin, Database};
use super::{before_next, from_blob, to_blob, to_i64};
use crate::error::ServerError;
use crate::shared;
use crate::storage::{Accounts, Answer};

const FILE: &str = "accounts.sqlite";
/// `spending` says how many devices were counted for exactly that much, so that nobody has to look
/// at all of them.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS counted (device BLOB NOT NULL, task TEXT NOT NULL, rho BLOB NOT NULL,
    PRIMARY KEY (device, task)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spending (rho BLOB PRIMARY KEY, devices INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settled (task TEXT PRIMARY KEY, line BLOB NOT NULL) WITHOUT ROWID;
";
const SPENT: &str = "SELECT rho FROM counted WHERE device = ?1";
const SET: &str = "INSERT OR REPLACE INTO counted VALUES (?1, ?2, ?3)";
const MOVE: &str = "INSERT INTO spending VALUES (?1, ?2) \
                    ON CONFLICT DO UPDATE SET devices = devices + excluded.devices";
const CLEAR: &str = "DELETE FROM spending WHERE rho = ?1 AND devices = 0";
const SETTLED: &str = "SELECT line FROM settled WHERE task = ?1";
const MOST: &str = "SELECT max(rho) FROM spending";
const ABLE: &str = "SELECT devices FROM spending WHERE rho <= ?1";
/// In the place of a line's hash while the first pieces of a task are not all there.
const UNFINISHED: [u8; Digest::LEN] = [0; Digest::LEN];

/// The accounts of a deployment.
pub struct SqliteAccounts {
    writing: Database,
    /// A connection of its own: who looks up waits for no other process that writes.
    reading: Database,
}

impl SqliteAccounts {
    /// Opens or creates the accounts in `folder`. Blocks.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] for a folder that cannot be made,
    /// [`ServerError::StorageUnavailable`] for a file that is no database.
    pub fn open(folder: &Path) -> Result<Self, ServerError> {
        let writing = shared::open(folder, FILE, SCHEMA)?;
        let reading = Connection::open_with_flags(folder.join(FILE), READ_ONLY)?;
        reading.busy_timeout(shared::BUSY_MAX)?;
        Ok(Self {
            writing: Database::new(writing, Begin::Writing)?,
            reading: Database::new(reading, Begin::Reading)?,
        })
    }
}

const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY;

impl Accounts for SqliteAccounts {
    fn spent(&self, device: DeviceId) -> Answer<Rho> {
        self.reading.call(move |db| spent(db, device))
    }

    fn settle(
        &self,
        task: TaskId,
        totals: Vec<(DeviceId, Rho)>,
        line: Option<Digest>,
    ) -> Answer<()> {
        self.writing.call(move |db| {
            settle(db, &task, &totals)?;
            let mark = match line {
                Some(_) => "INSERT OR REPLACE INTO settled VALUES (?1, ?2)",
                None => "INSERT OR IGNORE INTO settled VALUES (?1, ?2)",
            };
            let line = line.map_or(UNFINISHED, |line| line.0);
            db.execute(mark, params![task.as_str(), line])?;
            Ok(())
        })
    }

    fn totals(
        &self,
        task: TaskId,
        after: Option<DeviceId>,
        limit: usize,
    ) -> Answer<Vec<(DeviceId, Rho)>> {
        self.reading
            .call(move |db| totals(db, &task, after, limit))
    }

    fn settled(&self, task: TaskId) -> Answer<Option<Digest>> {
        self.reading.call(move |db| settled(db, &task))
    }
}

fn spent(db: &Connection, device: DeviceId) -> Result<Rho, ServerError> {
    let mut query = db.prepare_cached(SPENT)?;
    let rows = query.query_map([device.0], |row| row.get(0).map(from_blob))?;
    let mut total = Rho::ZERO;
    for rho in rows {
        total = total.compose(rho?);
    }
    Ok(total)
}

fn totals(
    db: &Connection,
    task: &TaskId,
    after: Option<DeviceId>,
    limit: usize,
) -> Result<Vec<(DeviceId, Rho)>, ServerError> {
    let page = "SELECT device, rho FROM counted WHERE device > ?1 AND task = ?2 ORDER BY device \
                LIMIT ?3";
    let mut query = db.prepare_cached(page)?;
    let read = |row: &Row<'_>| Ok((DeviceId(row.get(0)?), from_blob(row.get(1)?)));
    let page = params![before_next(after), task.as_str(), to_i64(limit as u64)];
    Ok(query
        .query_map(page, read)?
        .collect::<Result<_, _>>()?)
}

fn settle(db: &Connection, task: &TaskId, totals: &[(DeviceId, Rho)]) -> Result<(), ServerError> {
    let mut moved: BTreeMap<Rho, i64> = BTreeMap::new();
    let mut set = db.prepare_cached(SET)?;
    for (device, total) in totals {
        *moved.entry(spent(db, *device)?).or_default() -= 1;
        set.execute(params![device.0, task.as_str(), to_blob(*total)])?;
        *moved.entry(spent(db, *device)?).or_default() += 1;
    }

    // Who was counted for nothing is in no row.
    moved.remove(&Rho::ZERO);
    let mut add = db.prepare_cached(MOVE)?;
    let mut clear = db.prepare_cached(CLEAR)?;
    for (rho, devices) in moved {
        let rho = to_blob(rho);
        add.execute(params![rho, devices])?;
        clear.execute([rho])?;
    }
    Ok(())
}

fn settled(db: &Connection, task: &TaskId) -> Result<Option<Digest>, ServerError> {
    let mut query = db.prepare_cached(SETTLED)?;
    let line = query.query_row([task.as_str()], |row| row.get(0).map(Digest));
    Ok(line.optional()?)
}

/// Devices of which too few are left that can pay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// Who can.
    pub(crate) able: u64,
    /// Who cannot.
    pub(crate) short: u64,
    /// The most that one of them was counted for.
    pub(crate) most: Rho,
}

/// Looks, before a task's first release, whether the devices that earlier tasks counted can pay
/// for it: `None` when nobody was counted for more than `room`, or at least `enough` were not.
/// Makes and changes nothing; a deployment without accounts has nobody who cannot.
///
/// # Errors
/// [`ServerError::StorageUnavailable`] for a file that is no such database.
pub(crate) fn short(
    folder: &Path,
    task: &TaskId,
    room: Rho,
    enough: u32,
) -> Result<Option<Short>, ServerError> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(None);
    }

    let look = || {
        let db = Connection::open_with_flags(&path, READ_ONLY)?;
        db.busy_timeout(shared::BUSY_MAX)?;
        match settled(&db, task)? {
            Some(_) => Ok(None),
            None => short_of(&db, room, enough.into()),
        }
    };
    look().map_err(|error: ServerError| {
        ServerError::StorageUnavailable(format!("{}: {error}", path.display()))
    })
}

fn short_of(db: &Connection, room: Rho, enough: u64) -> Result<Option<Short>, ServerError> {
    let mut query = db.prepare_cached(MOST)?;
    let most: Option<[u8; 16]> = query.query_row([], |row| row.get(0))?;
    let most = most.map_or(Rho::ZERO, from_blob);
    if most <= room {
        return Ok(None);
    }

    let mut able = 0;
    let mut query = db.prepare_cached(ABLE)?;
    let mut rows = query.query([to_blob(room)])?;
    while let Some(row) = rows.next()?
        && able < enough
    {
        able += super::to_u64(row.get(0)?);
    }
    if able >= enough {
        return Ok(None);
    }

    let short = "SELECT sum(devices) FROM spending WHERE rho > ?1";
    let short = db.query_row(short, [to_blob(room)], |row| row.get(0))?;
    Ok(Some(Short {
        able,
        short: super::to_u64(short),
        most,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::tests::{id, steps};

    fn task(name: &str) -> TaskId {
        TaskId::new(name).unwrap()
    }

    fn rho(units: u128) -> Rho {
        Rho::saturating_from_units(units)
    }

    #[test]
    fn too_few_are_left_when_a_cohort_cannot_pay_and_a_task_that_began_is_not_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let look = |room, enough| short(folder.path(), &task("next"), rho(room), enough).unwrap();
        assert_eq!(look(0, 1), None, "no accounts yet");

        let accounts = SqliteAccounts::open(folder.path()).unwrap();
        let spent = |device: u8, units| (DeviceId([device; 16]), rho(units));
        let totals = vec![spent(1, 5), spent(2, 5), spent(3, 9)];
        let settle = |name: &str, totals| {
            let settled = accounts.settle(task(name), totals, Some(Digest([1; 32])));
            settled.wait().unwrap();
        };
        settle("films", totals);
        assert_eq!(look(9, 3), None, "everybody can");
        assert_eq!(look(5, 2), None, "enough can");
        let few = |able, short, most| {
            Some(Short {
                able,
                short,
                most: rho(most),
            })
        };
        assert_eq!(look(5, 3), few(2, 1, 9));

        // A second task moves them; its own totals again change nothing.
        settle("books", vec![spent(1, 5)]);
        settle("books", vec![spent(1, 5)]);
        assert_eq!(look(5, 3), few(1, 2, 10));
        settle("next", vec![spent(2, 100)]);
        assert_eq!(look(5, 3), None);
    }

    /// What a check-in, a release with ten contributors and a start take among this many devices,
    /// in steps; and rows the release writes.
    fn cost(devices: u32) -> ([i32; 3], u64) {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let counted = |from: u32, to| -> Vec<_> {
            let devices = (from..to).map(|device| DeviceId(id(device)));
            devices.map(|device| (device, rho(7))).collect()
        };
        settle(&db, &task("films"), &counted(0, devices)).unwrap();
        db.flush_prepared_statement_cache();

        spent(&db, DeviceId(id(devices / 2))).unwrap();
        let check_in = steps(&db, &[SPENT]);
        let before = db.total_changes();
        settle(&db, &task("books"), &counted(devices - 5, devices + 5)).unwrap();
        let written = db.total_changes() - before;
        let release = steps(&db, &[SPENT, SET, MOVE, CLEAR]);
        settled(&db, &task("books")).unwrap();
        // Too much for some of them, and not for a cohort of 500.
        assert_eq!(short_of(&db, rho(7), 500).unwrap(), None);
        let start = steps(&db, &[SETTLED, MOST, ABLE]);
        ([check_in, release, start], written)
    }

    /// A start, each release and a map in memory went over every device. HOSTILE 137.
    #[test]
    fn what_a_call_takes_does_not_grow_with_the_fleet() {
        assert_eq!(cost(20_000), cost(1_000));
    }
}
