//! Why the last ticket was refused: the coordinator hears it at the next check-in, whichever
//! process that is in. It decides nothing here.

use rusqlite::{OptionalExtension, params};
use tacit_round::refusal::RefusalCode;

use super::Store;
use crate::error::SdkError;

impl Store {
    /// Number of the last refusal ([`RefusalCode`]); 0 when the last ticket was not refused.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn refusal(&self) -> Result<u32, SdkError> {
        let mut query = self.db.prepare_cached("SELECT code FROM refused")?;
        let code: Option<u32> = query.query_row([], |row| row.get(0)).optional()?;
        Ok(code.unwrap_or(0))
    }

    /// Notes why a ticket was refused, or that it was not. Writes only what changes.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn set_refusal(&mut self, refusal: Option<RefusalCode>) -> Result<(), SdkError> {
        let code = refusal.map_or(0, |refusal| refusal as u32);
        if code != self.refusal()? {
            self.db.execute(
                "INSERT OR REPLACE INTO refused VALUES (1, ?1)",
                params![code],
            )?;
        }
        Ok(())
    }
}
