//! What every device of a deployment was counted for, over all its tasks.
//!
//! A task has a state folder of its own and counts there, in the commit that records a release.
//! Here each task repeats its own totals, so that a device which comes back as an old copy of
//! itself hears of all of them, whichever task it asks (of a task beside its own as of the last
//! release of its own). Totals and not differences: what is repeated after a crash changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};
use tacit_privacy::Rho;
use tacit_types::{DeviceId, TaskId};

use crate::error::ServerError;
use crate::shared;

const FILE: &str = "accounts.sqlite";
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS counted
    (task TEXT NOT NULL, device BLOB NOT NULL, rho TEXT NOT NULL, PRIMARY KEY (task, device)) \
    WITHOUT ROWID;";

/// Totals by task and device, in a file that the coordinators of all tasks share.
pub struct Accounts {
    db: Connection,
    task: TaskId,
}

impl Accounts {
    /// Opens or creates the accounts in `folder`, for a coordinator of this task.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] for a folder that cannot be made,
    /// [`ServerError::StorageUnavailable`] for a file that is no database.
    pub fn open(folder: &Path, task: TaskId) -> Result<Self, ServerError> {
        Ok(Self {
            db: shared::open(folder, FILE, SCHEMA)?,
            task,
        })
    }

    /// Repeats this task's totals; durable when this returns. Gives what each device was counted
    /// for in all tasks.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`], also for rows that do not parse.
    pub fn settle(
        &mut self,
        own: &BTreeMap<DeviceId, Rho>,
    ) -> Result<BTreeMap<DeviceId, Rho>, ServerError> {
        let transaction = self.db.transaction()?;
        {
            let mut set =
                transaction.prepare_cached("INSERT OR REPLACE INTO counted VALUES (?1, ?2, ?3)")?;
            for (device, rho) in own {
                set.execute(params![self.task.as_str(), device.0, rho.to_string()])?;
            }
        }
        transaction.commit()?;
        self.total()
    }

    fn total(&self) -> Result<BTreeMap<DeviceId, Rho>, ServerError> {
        let mut query = self.db.prepare_cached("SELECT device, rho FROM counted")?;
        let rows = query.query_map([], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?))
        })?;
        let damaged = || ServerError::StorageUnavailable(format!("{FILE} is damaged"));
        let mut total: BTreeMap<DeviceId, Rho> = BTreeMap::new();
        for row in rows {
            let (device, rho) = row?;
            let device = DeviceId::from_slice(&device).map_err(|_| damaged())?;
            let sum = total.entry(device).or_default();
            *sum = sum.compose(Rho::try_from(rho).map_err(|_| damaged())?);
        }
        Ok(total)
    }
}

/// What other tasks than `task` counted each device for, read without making or changing anything;
/// empty for a deployment without accounts.
///
/// # Errors
/// [`ServerError::StorageUnavailable`] for a file that is no such database.
pub fn counted_before(folder: &Path, task: &TaskId) -> Result<Vec<Rho>, ServerError> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = || {
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut query = db.prepare("SELECT device, rho FROM counted WHERE task != ?1")?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = query.query_map([task.as_str()], read)?;
        rows.collect::<rusqlite::Result<Vec<(Vec<u8>, String)>>>()
    };
    let failed =
        |problem: String| ServerError::StorageUnavailable(format!("{}: {problem}", path.display()));
    let rows = read().map_err(|error| failed(error.to_string()))?;
    let mut total: BTreeMap<Vec<u8>, Rho> = BTreeMap::new();
    for (device, rho) in rows {
        let sum = total.entry(device).or_default();
        *sum = sum.compose(Rho::try_from(rho).map_err(failed)?);
    }
    Ok(total.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_told_of_every_task_and_of_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let open = |task: &str| Accounts::open(folder.path(), TaskId::new(task).unwrap()).unwrap();
        let own = |units: &[(u8, u128)]| {
            let one =
                |&(device, units)| (DeviceId([device; 16]), Rho::saturating_from_units(units));
            units.iter().map(one).collect::<BTreeMap<_, _>>()
        };
        let (mut films, mut books) = (open("films"), open("books"));
        assert_eq!(
            films.settle(&own(&[(1, 5), (2, 7)])).unwrap(),
            own(&[(1, 5), (2, 7)])
        );
        // Two coordinators at once, and a total said again after a crash.
        assert_eq!(
            books.settle(&own(&[(1, 10)])).unwrap(),
            own(&[(1, 15), (2, 7)])
        );
        assert_eq!(
            books.settle(&own(&[(1, 10)])).unwrap(),
            own(&[(1, 15), (2, 7)])
        );
        assert_eq!(
            films.settle(&own(&[(1, 6), (2, 7)])).unwrap(),
            own(&[(1, 16), (2, 7)])
        );
        drop((films, books));
        assert_eq!(
            open("songs").settle(&BTreeMap::new()).unwrap(),
            own(&[(1, 16), (2, 7)])
        );
    }
}
