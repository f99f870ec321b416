//! The newest point seen of each release ledger: what a coordinator may not go back behind.

use rusqlite::{Connection, OptionalExtension, params};
use tacit_privacy::Rho;
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
                "SELECT ledger, generation, size, root, model_seq, model, rho_total FROM mark \
                 WHERE task = ?1",
            )?
            .query_row([task.as_str()], |row| {
                let (size, model_seq): (i64, i64) = (row.get(2)?, row.get(4)?);
                let rho_total: String = row.get(6)?;
                let mark = LogMark {
                    ledger_id: Digest(row.get(0)?),
                    generation: row.get(1)?,
                    size: u64::try_from(size).unwrap_or(u64::MAX),
                    root: Digest(row.get(3)?),
                    model_seq: u64::try_from(model_seq).unwrap_or(u64::MAX),
                    model: Digest(row.get(5)?),
                    rho_total: Rho::ZERO,
                };
                Ok((mark, rho_total))
            })
            .optional()?;
        let Some((mark, rho_total)) = row else {
            return Ok(LogMark::default());
        };
        let rho_total = read_rho(rho_total)?;
        Ok(LogMark { rho_total, ..mark })
    }

    /// Price of every release of every ledger seen, `newest` in the place of what is remembered of
    /// its task: both parties signed for all of it, so that an identity can truly have been counted
    /// for as much, and for no more as far as this device can tell.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn backed(&self, newest: Option<(&TaskId, Rho)>) -> Result<Rho, SdkError> {
        let mut query = self
            .db
            .prepare_cached("SELECT task, rho_total FROM mark")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut backed = newest.map_or(Rho::ZERO, |(_, rho)| rho);
        for row in rows {
            let (task, rho): (String, String) = row?;
            if newest.is_none_or(|(newest, _)| newest.as_str() != task) {
                backed = backed.compose(read_rho(rho)?);
            }
        }
        Ok(backed)
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

fn read_rho(text: String) -> Result<Rho, SdkError> {
    Rho::try_from(text).map_err(SdkError::Stop)
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
        rho_total,
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
        "INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            task.as_str(),
            ledger_id.0,
            generation,
            size,
            root.0,
            model_seq,
            model.0,
            rho_total.to_string()
        ],
    )?;
    Ok(())
}
