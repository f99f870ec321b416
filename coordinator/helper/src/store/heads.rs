//! The newest tree head signed for each ledger.

use rusqlite::{OptionalExtension, params};
use tacit_privacy::record::TreeHead;
use tacit_types::Digest;

use crate::error::{Failure, StorageError};
use crate::store::Store;

impl Store {
    /// Newest head signed for this ledger.
    pub(crate) fn newest_head(&self, ledger_id: Digest) -> Result<Option<TreeHead>, StorageError> {
        let mut query = self
            .db
            .prepare_cached("SELECT generation, size, root FROM heads WHERE ledger_id = ?1")?;
        let row: Option<(u32, i64, [u8; 32])> = query
            .query_row(params![ledger_id.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let head = |(generation, size, root)| {
            let size = u64::try_from(size)
                .map_err(|_| StorageError::damaged("a head has a negative size"))?;
            Ok(TreeHead {
                ledger_id,
                generation,
                size,
                root: Digest(root),
            })
        };
        row.map(head).transpose()
    }

    /// Remembers a head; durable when this returns.
    pub(crate) fn set_head(&mut self, head: &TreeHead) -> Result<(), Failure> {
        let size =
            i64::try_from(head.size).map_err(|_| Failure::Head("its size is out of range"))?;
        self.db.execute(
            "INSERT OR REPLACE INTO heads VALUES (?1, ?2, ?3, ?4)",
            params![head.ledger_id.0, head.generation, size, head.root.0],
        )?;
        Ok(())
    }
}
