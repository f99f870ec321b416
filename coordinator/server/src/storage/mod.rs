//! Durable state behind traits: what the coordinator asks of a store, whatever keeps it.
//!
//! - [`RoundStore`] the open round and what was contributed to it; [`LedgerStore`] lines, heads and
//!   tickets; [`TaskStore`] is both in one, because a release moves both in one commit;
//! - [`Accounts`] what devices were counted for in all tasks; [`Objects`] models and catalogues;
//! - [`Answer`] what each call gives: a future for handlers, [`Answer::wait`] for the driver's own
//!   thread. No implementation works on the thread that calls it;
//! - [`sqlite`] and [`Folder`] keep all of it in files on one machine.
//!
//! What every implementation holds to, and `tests/tests/storage` tries on each:
//!
//! - a write that was answered with `Ok` is durable;
//! - a write that was answered with an error, or whose answer never came, is there whole or not at
//!   all;
//! - the calls of one thread take effect in their order, and a read sees every write before it.

mod accounts;
mod answer;
mod folder;
mod ledger;
mod objects;
mod round;
pub mod sqlite;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::error::ServerError;
use sqlite::{SqliteAccounts, SqliteTask};

pub use accounts::Accounts;
pub use answer::{Answer, Gone};
pub use folder::Folder;
pub use ledger::{LedgerStore, Recorded, Resumed, SignedLine};
pub use objects::{ObjectError, Objects};
pub use round::{NewContribution, Phase, RoundStore, StoredRound};

/// Everything a coordinator keeps.
#[derive(Clone)]
pub struct Stores {
    /// Round and ledger of its task.
    pub task: Arc<dyn TaskStore>,
    /// What devices were counted for in all tasks.
    pub accounts: Arc<dyn Accounts>,
    /// Models and catalogues.
    pub objects: Arc<dyn Objects>,
}

impl Stores {
    /// Opens or creates the files of one machine. Blocks; called on a runtime.
    ///
    /// # Errors
    /// Those of [`SqliteTask::open`], [`SqliteAccounts::open`] and [`Folder::open`].
    pub fn open(config: &Config) -> Result<Self, ServerError> {
        let task = SqliteTask::open(&config.state)?;
        let accounts = SqliteAccounts::open(config.deployment_state())?;
        let objects = Folder::open(&config.state.join("objects"))?;
        Ok(Self {
            task: Arc::new(task),
            accounts: Arc::new(accounts),
            objects: Arc::new(objects),
        })
    }
}

/// Round and ledger of one task, in one store.
pub trait TaskStore: RoundStore + LedgerStore {}

impl<S: RoundStore + LedgerStore> TaskStore for S {}

impl dyn TaskStore + '_ {
    /// A small value kept under `key`. For threads that may block.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`], also for a value that does not parse.
    pub fn meta<T: DeserializeOwned>(&self, key: &'static str) -> Result<Option<T>, ServerError> {
        let text = self.note(key).wait()?;
        let damaged =
            |error| ServerError::StorageUnavailable(format!("'{key}' is damaged: {error}"));
        text.map(|text| serde_json::from_str(&text).map_err(damaged))
            .transpose()
    }

    /// Keeps a small value under `key`. For threads that may block.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`].
    pub fn set_meta(&self, key: &'static str, value: &impl Serialize) -> Result<(), ServerError> {
        let text = serde_json::to_string(value)
            .map_err(|error| ServerError::Internal(error.to_string()))?;
        self.keep_note(key, text).wait()
    }
}
