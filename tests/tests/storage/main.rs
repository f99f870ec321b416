//! One suite for every kind of store: SQLite and a folder as a deployment has them, and the one in
//! memory that forgets. What holds here is what the driver may build on.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod shared;
mod task;

use std::sync::Arc;

use tacit_server::storage::sqlite::{SqliteAccounts, SqliteTask};
use tacit_server::storage::{Accounts, Folder, Objects, TaskStore};
use tacit_tests::lossy::Lossy;
use tempfile::TempDir;

/// A kind of store, and what it keeps while it is closed.
enum Kind {
    Sqlite(TempDir),
    Lossy(Lossy),
}

impl Kind {
    /// Each of them, new.
    fn all() -> [Self; 2] {
        let folder = tempfile::tempdir().unwrap();
        [Self::Sqlite(folder), Self::Lossy(Lossy::default())]
    }

    /// Opens it on what it kept.
    fn task(&self) -> Arc<dyn TaskStore> {
        match self {
            Self::Sqlite(folder) => Arc::new(SqliteTask::open(folder.path()).unwrap()),
            Self::Lossy(machine) => Arc::new(machine.clone()),
        }
    }

    fn accounts(&self) -> Arc<dyn Accounts> {
        match self {
            Self::Sqlite(folder) => Arc::new(SqliteAccounts::open(folder.path()).unwrap()),
            Self::Lossy(machine) => Arc::new(machine.clone()),
        }
    }

    /// Called on a runtime.
    fn objects(&self) -> Arc<dyn Objects> {
        match self {
            Self::Sqlite(folder) => Arc::new(Folder::open(folder.path()).unwrap()),
            Self::Lossy(machine) => Arc::new(machine.clone()),
        }
    }
}
