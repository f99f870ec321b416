//! [`LedgerStore`] in SQLite.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use tacit_privacy::Rho;
use tacit_round::keys::SignatureBytes;
use tacit_round::ticket::SignedTicket;
use tacit_types::{DeviceId, Digest};

use super::rounds::{end_round, keep_ticket};
use super::{SqliteTask, before_next, from_blob, to_blob, to_i64, to_u64};
use crate::error::ServerError;
use crate::storage::{Answer, LedgerStore, Phase, Recorded, Resumed, SignedLine};

const ENTER: &str = "INSERT OR IGNORE INTO spent SELECT device, ?1 FROM contributions";
/// A device's total, and those after it.
const TOTALS: &str = "SELECT device, rho FROM spent WHERE device > ?1 ORDER BY device LIMIT ?2";
/// The order is said: contributors first, each looked up.
const TOTALS_OF_ROUND: &str = "SELECT c.device, s.rho FROM contributions c CROSS JOIN spent s \
                               ON s.device = c.device";
const COUNT: &str = "UPDATE spent SET rho = ?2 WHERE device = ?1";
const RAISE: &str = "INSERT INTO spent VALUES (?1, ?2) \
                     ON CONFLICT DO UPDATE SET rho = max(rho, excluded.rho)";

impl LedgerStore for SqliteTask {
    fn lines(&self) -> Answer<Vec<Vec<u8>>> {
        self.db.call(|db| {
            let mut query = db.prepare_cached("SELECT bytes FROM lines ORDER BY seq")?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn append_line(&self, seq: u64, line: Vec<u8>) -> Answer<()> {
        self.db.call(move |db| append(db, seq, &line))
    }

    fn record(&self, end: Recorded) -> Answer<()> {
        self.db.call(move |db| record(db, &end))
    }

    fn restore(&self, resumed: Resumed) -> Answer<()> {
        self.db.call(move |db| restore(db, &resumed))
    }

    fn helper_lines(&self) -> Answer<Vec<SignedLine>> {
        self.db.call(|db| {
            let all = "SELECT seq, bytes, signature FROM helper_lines ORDER BY seq";
            let mut query = db.prepare_cached(all)?;
            let read = |row: &Row<'_>| {
                Ok(SignedLine {
                    seq: to_u64(row.get(0)?),
                    bytes: row.get(1)?,
                    signature: SignatureBytes(row.get(2)?),
                })
            };
            Ok(query.query_map([], read)?.collect::<Result<_, _>>()?)
        })
    }

    fn keep_helper_lines(&self, lines: Vec<SignedLine>, tickets: Vec<SignedTicket>) -> Answer<()> {
        self.db.call(move |db| {
            tickets
                .iter()
                .try_for_each(|ticket| keep_ticket(db, ticket))?;
            lines
                .iter()
                .try_for_each(|line| keep_helper_line(db, line))
        })
    }

    fn heads(&self) -> Answer<Vec<(u64, String)>> {
        self.db.call(|db| {
            let mut query = db.prepare_cached("SELECT size, json FROM heads ORDER BY size")?;
            let rows = query.query_map([], |row| Ok((to_u64(row.get(0)?), row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn keep_head(&self, size: u64, json: String) -> Answer<()> {
        self.db.call(move |db| {
            let keep = "INSERT OR REPLACE INTO heads VALUES (?1, ?2)";
            db.execute(keep, params![to_i64(size), json])?;
            Ok(())
        })
    }

    fn ticket_file(&self, hash: Digest) -> Answer<Vec<u8>> {
        self.db.call(move |db| {
            let file = "SELECT json FROM tickets WHERE hash = ?1";
            Ok(db.query_row(file, [hash.0], |row| row.get(0))?)
        })
    }

    fn totals_of_round(&self) -> Answer<Vec<(DeviceId, Rho)>> {
        self.db.call(|db| pairs(db, TOTALS_OF_ROUND, []))
    }

    fn totals(&self, after: Option<DeviceId>, limit: usize) -> Answer<Vec<(DeviceId, Rho)>> {
        let after = before_next(after);
        let limit = to_i64(limit as u64);
        self.db
            .call(move |db| pairs(db, TOTALS, params![after, limit]))
    }

    fn raise(&self, totals: Vec<(DeviceId, Rho)>) -> Answer<()> {
        self.db.call(move |db| {
            let mut raise = db.prepare_cached(RAISE)?;
            for (device, rho) in totals {
                raise.execute(params![device.0, to_blob(rho)])?;
            }
            Ok(())
        })
    }

    fn note(&self, key: &'static str) -> Answer<Option<String>> {
        self.db.call(move |db| {
            let kept = "SELECT value FROM meta WHERE key = ?1";
            Ok(db
                .query_row(kept, [key], |row| row.get(0))
                .optional()?)
        })
    }

    fn keep_note(&self, key: &'static str, text: String) -> Answer<()> {
        self.db.call(move |db| {
            let keep = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
            db.execute(keep, params![key, text])?;
            Ok(())
        })
    }
}

fn append(db: &Connection, seq: u64, line: &[u8]) -> Result<(), ServerError> {
    let append = "INSERT INTO lines VALUES (?1, ?2)";
    db.execute(append, params![to_i64(seq), line])?;
    Ok(())
}

fn record(db: &Connection, end: &Recorded) -> Result<(), ServerError> {
    count(db, end.rho)?;
    append(db, end.seq, &end.line)?;
    if let Some(line) = &end.helper {
        keep_helper_line(db, line)?;
    }
    db.execute("UPDATE round SET phase = ?1", [Phase::Recorded.word()])?;
    Ok(())
}

fn restore(db: &Connection, resumed: &Resumed) -> Result<(), ServerError> {
    count(db, resumed.rho)?;
    for (seq, line) in &resumed.lines {
        append(db, *seq, line)?;
    }
    for ticket in &resumed.tickets {
        keep_ticket(db, ticket)?;
    }
    db.execute("DELETE FROM meta WHERE key = ?1", [resumed.forget])?;
    end_round(db)
}

/// Adds `rho` to what every contributor of the open round was counted for.
fn count(db: &Connection, rho: Rho) -> Result<(), ServerError> {
    // Everybody has a row first, so that what follows reads and writes those of the round alone.
    db.prepare_cached(ENTER)?
        .execute([to_blob(Rho::ZERO)])?;
    let before = pairs(db, TOTALS_OF_ROUND, [])?;
    let mut set = db.prepare_cached(COUNT)?;
    for (device, total) in before {
        set.execute(params![device.0, to_blob(total.compose(rho))])?;
    }
    Ok(())
}

fn keep_helper_line(db: &Connection, line: &SignedLine) -> Result<(), ServerError> {
    let kept = db.execute(
        "INSERT OR IGNORE INTO helper_lines VALUES (?1, ?2, ?3)",
        params![to_i64(line.seq), line.bytes, line.signature.0],
    )?;
    if kept == 1 {
        return Ok(());
    }
    let there = "SELECT bytes FROM helper_lines WHERE seq = ?1";
    let there: Vec<u8> = db.query_row(there, [to_i64(line.seq)], |row| row.get(0))?;
    if there == line.bytes {
        return Ok(());
    }

    Err(ServerError::HelperRefused(format!(
        "line {} of its ledger is not the one it signed before: its state was rolled back",
        line.seq
    )))
}

fn pairs(
    db: &Connection,
    query: &str,
    parameters: impl Params,
) -> Result<Vec<(DeviceId, Rho)>, ServerError> {
    let mut query = db.prepare_cached(query)?;
    let read = |row: &Row<'_>| Ok((DeviceId(row.get(0)?), from_blob(row.get(1)?)));
    Ok(query
        .query_map(parameters, read)?
        .collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::SCHEMA;
    use crate::storage::sqlite::tests::{id, steps};

    /// Steps that a release with ten contributors takes among this many devices, and rows it
    /// writes.
    fn release(devices: u32) -> (i32, u64) {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let mut enter = db
            .prepare("INSERT INTO spent VALUES (?1, ?2)")
            .unwrap();
        for device in 0..devices {
            let row = params![id(device), to_blob(Rho::ZERO)];
            enter.execute(row).unwrap();
        }
        // Half of them were counted before.
        let new = "INSERT INTO contributions VALUES (?1, ?1, ?1, ?1)";
        for device in devices - 5..devices + 5 {
            db.execute(new, [id(device)]).unwrap();
        }

        let before = db.total_changes();
        count(&db, Rho::MAX).unwrap();
        let written = db.total_changes() - before;
        assert_eq!(pairs(&db, TOTALS_OF_ROUND, []).unwrap().len(), 10);
        (steps(&db, &[ENTER, TOTALS_OF_ROUND, COUNT]), written)
    }

    /// A release looked at every device that was ever counted, for ten seconds among a million.
    /// HOSTILE 137.
    #[test]
    fn a_release_reads_and_writes_its_contributors_alone() {
        assert_eq!(release(20_000), release(1_000));
        assert_eq!(release(1_000).1, 15);
    }
}
