use rusqlite::StatementStatus;

use super::*;

/// Name of device number `number`.
pub(super) fn id(number: u32) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// Steps of SQLite's machine that these statements have taken since they were first prepared: a
/// look-up takes the same few however many rows there are, and a scan some for every row.
pub(super) fn steps(db: &Connection, statements: &[&str]) -> i32 {
    let taken = statements.iter().map(|sql| {
        let statement = db.prepare_cached(sql).unwrap();
        statement.get_status(StatementStatus::VmStep)
    });
    taken.sum()
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = SqliteTask::open(folder.path()).unwrap();
    // HOSTILE 100.
    let error = SqliteTask::open(folder.path())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("another process uses this state folder"),
        "{error}"
    );
}
