//! The report of a campaign, in Markdown that a terminal shows as well.

use std::fmt::Write;
use std::time::Duration;

use super::campaign::{Report, Row};

const MEGABYTE: f64 = 1_048_576.0;

/// Columns of the table of times, and of the table of costs.
const TIMES: [&str; 6] = [
    "attack",
    "look, median (ms)",
    "look, p99",
    "upload, median (ms)",
    "upload, p99",
    "done, failed",
];
const COSTS: [&str; 7] = [
    "attack",
    "opened",
    "refused",
    "closed",
    "sent",
    "memory (MB), descriptors",
    "processors",
];

/// Both tables.
pub fn markdown(report: &Report) -> String {
    let times: Vec<_> = report.rows.iter().map(times).collect();
    let costs: Vec<_> = report.rows.iter().map(costs).collect();
    let mut text = table(&TIMES, &times);
    text.push('\n');
    text.push_str(&table(&COSTS, &costs));
    let _ = writeln!(
        text,
        "\nMemory allowed: {:.0} MB. SIGTERM in the middle of the last attack and of uploads: \
         ended after {:.1} s, exit code 0. Acknowledged under attack: {} contributions, each in \
         the released sum once.",
        report.allowed as f64 / MEGABYTE,
        report.drain.as_secs_f64(),
        report.acknowledged
    );
    text
}

fn times(row: &Row) -> Vec<String> {
    let (before, during) = (&row.before, &row.during);
    let beside = |before: &[Duration], during: &[Duration], share| {
        let at = |times: &[Duration]| match quantile(times, share) {
            Some(time) => format!("{:.1}", time.as_secs_f64() * 1000.0),
            None => "none".to_owned(),
        };
        format!("{} -> {}", at(before), at(during))
    };
    let done = during.looks.len() + during.uploads.len();
    vec![
        row.attack.to_owned(),
        beside(&before.looks, &during.looks, 0.5),
        beside(&before.looks, &during.looks, 0.99),
        beside(&before.uploads, &during.uploads, 0.5),
        beside(&before.uploads, &during.uploads, 0.99),
        format!("{done}, {}", during.failed),
    ]
}

fn costs(row: &Row) -> Vec<String> {
    let mut cells = vec![row.attack.to_owned()];
    cells.extend(row.counts.iter().map(u64::to_string));
    let memory = row.peak as f64 / MEGABYTE;
    cells.push(format!("{memory:.0}, {}", row.descriptors));
    cells.push(format!("{:.2}", row.processor));
    cells
}

/// The smallest time that is not exceeded by this share of them.
fn quantile(times: &[Duration], share: f64) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    let place = (share * last as f64).ceil();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last place"
    )]
    sorted.get(place as usize).copied()
}

/// A table whose columns are as wide as their widest cell.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].len());
        cells.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths);
        let padded: Vec<_> = padded
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let heads: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(&heads) + &line(&rule);
    text.extend(rows.iter().map(|row| line(row)));
    text
}
