//! Every tree head signed, of each ledger: the newest says what may follow, the earlier ones where
//! a restored coordinator may begin again.

use rusqlite::{OptionalExtension, Row, params};
use tacit_privacy::record::TreeHead;
use tacit_types::Digest;

use crate::error::{Failure, StorageError};
use crate::store::Store;

const COLUMNS: &str = "ledger_id, generation, size, root, helper_size, helper_last_hash";

impl Store {
    /// Newest head signed for this ledger.
    pub(crate) fn newest_head(&self, ledger_id: Digest) -> Result<Option<TreeHead>, StorageError> {
        let newest =
            format!("SELECT {COLUMNS} FROM heads WHERE ledger_id = ?1 ORDER BY id DESC LIMIT 1");
        Ok(self
            .db
            .prepare_cached(&newest)?
            .query_row([ledger_id.0], read)
            .optional()?)
    }

    /// Every head signed for this ledger, in order.
    pub(crate) fn heads(&self, ledger_id: Digest) -> Result<Vec<TreeHead>, StorageError> {
        let all = format!("SELECT {COLUMNS} FROM heads WHERE ledger_id = ?1 ORDER BY id");
        let mut query = self.db.prepare_cached(&all)?;
        let rows = query.query_map([ledger_id.0], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Remembers a head; durable when this returns.
    pub(crate) fn add_head(&mut self, head: &TreeHead) -> Result<(), Failure> {
        if self.newest_head(head.ledger_id)?.as_ref() == Some(head) {
            return Ok(());
        }
        let size = |lines: u64| {
            i64::try_from(lines).map_err(|_| Failure::Head("its size is out of range"))
        };
        let add = format!("INSERT INTO heads ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
        self.db.execute(
            &add,
            params![
                head.ledger_id.0,
                head.generation,
                size(head.size)?,
                head.root.0,
                size(head.helper_size)?,
                head.helper_last_hash.0
            ],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<TreeHead> {
    // A negative size cannot be written.
    let size = |column| {
        let lines: i64 = row.get(column)?;
        Ok::<_, rusqlite::Error>(u64::try_from(lines).unwrap_or(u64::MAX))
    };
    Ok(TreeHead {
        ledger_id: Digest(row.get(0)?),
        generation: row.get(1)?,
        size: size(2)?,
        root: Digest(row.get(3)?),
        helper_size: size(4)?,
        helper_last_hash: Digest(row.get(5)?),
    })
}
