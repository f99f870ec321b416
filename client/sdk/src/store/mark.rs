//! The newest point seen of each release ledger: what a coordinator may not go back behind.

use rusqlite::{Connection, OptionalExtension, params};
use tacit_round::policy::LogMark;
use tacit_types::{Digest, TaskId};

use super::{Store, to_i64};
use crate::error::SdkError;

/// Most tasks whose release ledger an installation remembers: every mark is read again at every
/// commit.
pub const TASKS_MAX: u32 = 1024;

impl Store {
    /// Newest point seen of the release ledger `task` stands in. It never goes back, unless the
    /// whole folder does.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn mark(&self, task: &TaskId) -> Result<LogMark, SdkError> {
        let row = self
            .db
            .prepare_cached(
                "SELECT ledger, generation, size, root, model_seq, model FROM mark WHERE task = ?1",
            )?
            .query_row([task.as_str()], |row| {
                let (size, model_seq): (i64, i64) = (row.get(2)?, row.get(4)?);
                Ok(LogMark {
                    ledger_id: Digest(row.get(0)?),
                    generation: row.get(1)?,
                    size: u64::try_from(size).unwrap_or(u64::MAX),
                    root: Digest(row.get(3)?),
                    model_seq: u64::try_from(model_seq).unwrap_or(u64::MAX),
                    model: Digest(row.get(5)?),
                })
            })
            .optional()?;
        Ok(row.unwrap_or_default())
    }

    /// Remembers the newest point of the release ledger `task` stands in, when nothing is spent
    /// with it.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails, no ledger can have that size, or [`TASKS_MAX`] other
    /// tasks have a mark.
    pub fn set_mark(&mut self, task: &TaskId, mark: LogMark) -> Result<(), SdkError> {
        self.change(|db| write(db, task, mark))
    }
}

/// Writes a mark as a part of the change under way.
///
/// # Errors
/// As [`Store::set_mark`].
pub(super) fn write(db: &Connection, task: &TaskId, mark: LogMark) -> Result<(), SdkError> {
    let LogMark {
        ledger_id,
        generation,
        size,
        root,
        model_seq,
        model,
    } = mark;
    let size = to_i64(size, "the size of the release ledger")?;
    let model_seq = to_i64(model_seq, "the place of the model's line")?;
    let query = "SELECT count(*) FROM mark WHERE task != ?1";
    let others: u32 = db.query_row(query, [task.as_str()], |row| row.get(0))?;
    if others >= TASKS_MAX {
        let problem =
            format!("this installation has taken part in {TASKS_MAX} tasks, the most it can");
        return Err(SdkError::Stop(problem));
    }
    db.execute(
        "INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            task.as_str(),
            ledger_id.0,
            generation,
            size,
            root.0,
            model_seq,
            model.0
        ],
    )?;
    Ok(())
}
