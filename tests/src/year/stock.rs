//! What is measured at the end of each month.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use rusqlite::Connection;
use tacit_privacy::Rho;
use tacit_privacy::record::Event;
use tacit_round::device::Status;

use super::check;
use super::fleet::Fleet;
use super::row::{Files, Row};
use super::world::World;
use crate::deployment::Role;

impl World {
    /// Measures, and compares with the month before.
    pub(super) fn take_stock(&mut self) -> Result<()> {
        let task = self.tasks.last().cloned().unwrap_or_default();
        let lines = self.deployment.lines()?;
        let count =
            |wanted: fn(&Event) -> bool| lines.iter().filter(|line| wanted(&line.event)).count();
        let before: u32 = self.rows.iter().map(|row| row.kills).sum();
        let mut row = Row {
            month: u32::try_from(self.rows.len())? + 1,
            happened: std::mem::take(&mut self.happened),
            released: count(|event| matches!(event, Event::Release(_))),
            abandoned: count(|event| matches!(event, Event::Abandoned(_) | Event::Empty(_))),
            kills: self.kills - before,
            memory: [
                self.deployment.memory(Role::Coordinator)?,
                self.deployment.memory(Role::Helper)?,
            ],
            ..Row::default()
        };

        let mut spent = BTreeMap::new();
        for fleet in &self.fleets {
            self.take_stock_of(fleet, &task, &mut row, &mut spent)?;
        }
        let most = spent.values().copied().fold(Rho::ZERO, Rho::max);
        row.spent = most.to_f64_up() / check::lifetime(&self.deployment)?.to_f64_up();
        self.spent = spent;

        let own = ["enrolled", "helper"].map(|name| self.deployment.path(name));
        let [enrolled, helper] = own.map(|folder| files(&folder));
        let devices = self.fleets.iter().flat_map(Fleet::folders);
        let largest = devices.map(|folder| files(&folder).unwrap_or_default());
        let largest = largest
            .max_by_key(|files| files.bytes)
            .unwrap_or_default();
        row.files = [files(&self.state_of(&task))?, enrolled?, helper?, largest];
        self.deployment.verify()?;
        self.rows.push(row);
        Ok(())
    }

    /// What became of the budgets of one fleet: nothing is ever given back, and nothing is taken
    /// from a device that is off.
    fn take_stock_of(
        &self,
        fleet: &Fleet,
        task: &str,
        row: &mut Row,
        spent: &mut BTreeMap<(usize, u32), Rho>,
    ) -> Result<()> {
        for device in fleet.devices() {
            let Some(store) = fleet.store(device)? else {
                continue;
            };
            let name = (fleet.number(), device);
            let (now, before) = (store.spent()?, self.spent.get(&name).copied());
            let before = before.unwrap_or_default();
            ensure!(
                now >= before,
                "{name:?}: a budget was reset, {before} to {now}"
            );
            ensure!(
                fleet.is_here() || now == before,
                "{name:?}: {before} to {now} while it was away"
            );
            spent.insert(name, now);

            let lines = store.ledger()?;
            let own = lines
                .iter()
                .filter(|(line, _)| line.task.as_str() == task);
            let statuses: Vec<Status> = own.map(|(_, status)| *status).collect();
            row.paid += statuses.len();
            let forfeited = statuses
                .iter()
                .filter(|status| **status == Status::Forfeited);
            row.forfeited += forfeited.count();
            row.enrolled += 1;
            row.here += usize::from(fleet.is_here());
        }
        Ok(())
    }
}

/// Files below a folder, and their sizes.
fn files(folder: &Path) -> Result<Files> {
    let mut found = Files::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let below = files(&entry.path())?;
            found.count += below.count;
            found.bytes += below.bytes;
        } else {
            let path = entry.path();
            // A log's pages are counted with their database: where they lie is chance.
            let log = path.to_string_lossy().ends_with("-wal");
            found.count += u64::from(!log);
            found.bytes += match path.extension() {
                _ if log => 0,
                Some(kind) if kind == "sqlite" => pages(&path)?,
                _ => entry.metadata()?.len(),
            };
        }
    }
    Ok(found)
}

/// Bytes of a database's pages, those in its log included, read from a copy: the daemons let nobody
/// else in.
fn pages(path: &Path) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("copy.sqlite");
    fs::copy(path, &copy)?;
    let log = path.with_extension("sqlite-wal");
    if log.is_file() {
        fs::copy(log, copy.with_extension("sqlite-wal"))?;
    }

    let database = Connection::open(&copy)?;
    let number = |pragma| database.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    Ok(u64::try_from(number("page_count")? * number("page_size")?)?)
}
