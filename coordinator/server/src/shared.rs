//! Databases that the coordinators of several tasks hold at the same time.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tacit_wire::files;

use crate::error::ServerError;

/// How long a call waits for another process before it says that the file is busy.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(5);

/// Opens or creates `file` in `folder`, which is made. Another process may write at any moment, and
/// a commit is durable when it returns.
///
/// # Errors
/// [`ServerError::OperatorConfig`] for a folder that cannot be made,
/// [`ServerError::StorageUnavailable`] for a file that is no database; both name it.
pub(crate) fn open(folder: &Path, file: &str, schema: &str) -> Result<Connection, ServerError> {
    files::private_folder(folder).map_err(|error| {
        ServerError::OperatorConfig(format!("state folder '{}': {error}", folder.display()))
    })?;
    let path = folder.join(file);
    let failed = |error: &dyn std::fmt::Display| {
        ServerError::StorageUnavailable(format!("{}: {error}", path.display()))
    };
    files::private_database(&path).map_err(|error| failed(&error))?;
    let opened = || {
        let db = Connection::open(&path)?;
        db.busy_timeout(BUSY_MAX)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.execute_batch(schema)?;
        Ok(db)
    };
    opened().map_err(|error: rusqlite::Error| failed(&error))
}
