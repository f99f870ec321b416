//! Detects a store that was damaged or has gone back in time, so that it reads as used up instead
//! of as fresh.
//!
//! SQLite does not notice flipped bits inside a row, and it silently forgets commits whose log is
//! lost. Two things show it: one digest over every row that decides what may still be spent,
//! renewed in the same commit as any change of them and compared whenever the store opens or
//! changes; and the number of such commits, repeated in a small file beside the store ([`NOTE`]),
//! which must never be ahead of the store.
//!
//! Neither has a key: they guard against damage, against a log that was deleted, and against a
//! store file put back without the rest of its folder. An owner who edits the file can renew the
//! digest, and a folder that was cloned or restored whole carries its old note with it; then only
//! the coordinator's count at check-in ([`super::Store::raise_spent`]) speaks against it, and
//! against a coordinator that lies, only a monotonic counter of the platform would: it belongs in
//! place of [`NOTE`].

use std::io::Write;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tacit_privacy::canonical;
use tacit_types::Digest;

use crate::error::SdkError;
use crate::files;
use crate::private;

/// Name of the file that repeats the number of commits: 20 decimal digits, overwritten in place.
pub(super) const NOTE: &str = "store.count";

/// Every row that decides what may be spent or sent. The masked bytes are covered by the
/// commitment to them, in `spool.commitment`.
const GUARDED: [&str; 5] = [
    "SELECT task, round, ticket, rho, hour, status FROM ledger ORDER BY task, round",
    "SELECT one, rho FROM elsewhere ORDER BY one",
    "SELECT id, name, consent FROM owners ORDER BY id",
    "SELECT task, ledger, generation, size, root, model_seq, model, rho_total FROM mark \
     ORDER BY task",
    "SELECT task, round, ticket, contribution, deadline, paused, pause, sealed, commitment_key, \
     commitment, owners FROM spool ORDER BY task, round",
];

/// Compares the digest with the rows and gives the number of commits.
///
/// # Errors
/// [`SdkError::Stop`] when they differ or cannot be read.
pub(super) fn check(db: &Connection) -> Result<u64, SdkError> {
    let mut query = db.prepare_cached("SELECT commits, digest FROM seal")?;
    let sealed = query
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
        .optional()?;
    match sealed.and_then(|(commits, digest)| Some((u64::try_from(commits).ok()?, Digest(digest))))
    {
        Some((commits, digest)) if digest == digest_of(db, commits)? => Ok(commits),
        _ => Err(SdkError::Stop(format!(
            "{}: the device ledger is damaged, so its budget counts as used up",
            super::FILE
        ))),
    }
}

/// Seals the rows as they stand after commit number `commits`.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(super) fn set(db: &Connection, commits: u64) -> Result<(), SdkError> {
    let digest = digest_of(db, commits)?;
    let commits = super::to_i64(commits, "the number of commits")?;
    db.prepare_cached("INSERT OR REPLACE INTO seal VALUES (1, ?1, ?2)")?
        .execute(params![commits, digest.0])?;
    Ok(())
}

/// The number of commits noted beside the store; 0 when nothing is noted.
///
/// # Errors
/// [`SdkError::Stop`] when there is a note that cannot be read.
pub(super) fn noted(folder: &Path) -> Result<u64, SdkError> {
    let path = folder.join(NOTE);
    if !files::is_there(&path)? {
        return Ok(0);
    }
    let text = String::from_utf8(files::read(&path)?).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| files::stop(&path, "not a number; the store is damaged"))
}

/// Notes the number of commits. Not synchronised: a note that is behind only means that less is
/// noticed.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(super) fn note(folder: &Path, commits: u64) -> Result<(), SdkError> {
    let path = folder.join(NOTE);
    // In place and of fixed length: one write, so that a kill leaves the old number or the new one.
    let file = private::file()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    file.and_then(|mut file| file.write_all(format!("{commits:020}").as_bytes()))
        .map_err(|error| files::failed(&path, error))
}

fn digest_of(db: &Connection, commits: u64) -> Result<Digest, SdkError> {
    let mut bytes = commits.to_le_bytes().to_vec();
    for guarded in GUARDED {
        let mut query = db.prepare_cached(guarded)?;
        let columns = query.column_count();
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            (0..columns).try_for_each(|column| append(row, column, &mut bytes))?;
        }
        bytes.push(b'\n');
    }
    Ok(canonical::digest(&bytes))
}

/// Appends a value with its type and length, so that no two contents give the same bytes.
fn append(row: &Row<'_>, column: usize, bytes: &mut Vec<u8>) -> Result<(), SdkError> {
    let number;
    let (tag, value): (u8, &[u8]) = match row.get_ref(column)? {
        ValueRef::Null => (b'n', &[]),
        ValueRef::Integer(value) => {
            number = value.to_le_bytes();
            (b'i', &number)
        }
        ValueRef::Real(value) => {
            number = value.to_le_bytes();
            (b'r', &number)
        }
        ValueRef::Text(value) => (b't', value),
        ValueRef::Blob(value) => (b'b', value),
    };
    bytes.push(tag);
    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    bytes.extend_from_slice(value);
    Ok(())
}
