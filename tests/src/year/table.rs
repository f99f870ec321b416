//! The report of a year, in Markdown that a terminal shows as well.

use super::row::{Files, Row};
use crate::attack::table::table;

const MEGABYTE: f64 = 1_048_576.0;
const KILOBYTE: f64 = 1024.0;

const COLUMNS: [&str; 13] = [
    "month",
    "rounds, abandoned",
    "devices, of",
    "paid, forfeited",
    "most spent of a life",
    "kills",
    "coordinator (MB)",
    "helper (MB)",
    "task: files, KB",
    "accounts: files, KB",
    "helper: files, KB",
    "device: files, KB",
    "what happened",
];

/// One line a month.
pub fn markdown(rows: &[Row]) -> String {
    let cells: Vec<_> = rows.iter().map(cells).collect();
    table(&COLUMNS, &cells)
}

fn cells(row: &Row) -> Vec<String> {
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / MEGABYTE);
    let mut cells = vec![
        row.month.to_string(),
        format!("{}, {}", row.released, row.abandoned),
        format!("{}, {}", row.here, row.enrolled),
        format!("{}, {}", row.paid, row.forfeited),
        format!("{:.1} %", 100.0 * row.spent),
        row.kills.to_string(),
    ];
    cells.extend(row.memory.map(megabytes));
    cells.extend(row.files.map(files));
    cells.push(row.happened.join("; "));
    cells
}

fn files(files: Files) -> String {
    format!("{}, {:.0}", files.count, files.bytes as f64 / KILOBYTE)
}
