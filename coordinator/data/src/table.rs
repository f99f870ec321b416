//! Reads a CSV file with a known header, one record per line.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Terminator};

use crate::error::{DataError, Fault, shown};
use crate::lines::Lines;

/// A CSV file whose columns are asked for by their place in a list of known names, whatever their
/// order in the file.
pub(crate) struct Table {
    lines: Lines,
    /// Where each known column is in the file; `None` for an optional one that is not there.
    places: Vec<Option<usize>>,
    columns: usize,
    record: StringRecord,
}

impl Table {
    /// Opens the file and reads its header: each of `known` at most once, the first `required` of
    /// them at least once, nothing else. Case does not matter, because published copies of one data
    /// set differ in it.
    pub(crate) fn open(path: &Path, known: &[&str], required: usize) -> Result<Self, DataError> {
        let mut lines = Lines::open(path)?;
        let header = known.get(..required).unwrap_or(known);
        if !lines.advance()? {
            let fix = format!("its first line must be {}", list(header));
            return Err(lines.fault(Fault::new("the file is empty", fix)));
        }
        let mut record = StringRecord::new();
        split(lines.utf8()?, &mut record).map_err(|fault| lines.fault(fault))?;
        let places = match_header(&record, known, header).map_err(|fault| lines.fault(fault))?;
        Ok(Self {
            lines,
            places,
            columns: record.len(),
            record,
        })
    }

    /// Goes to the next record; false at the end of the file.
    pub(crate) fn advance(&mut self) -> Result<bool, DataError> {
        if !self.lines.advance()? {
            return Ok(false);
        }
        split(self.lines.utf8()?, &mut self.record).map_err(|fault| self.lines.fault(fault))?;
        if self.record.len() != self.columns {
            let problem = format!(
                "the line has {} columns, the header has {}",
                self.record.len(),
                self.columns
            );
            let fix = "correct the line, and put quotes around a field that contains a comma";
            return Err(self.lines.fault(Fault::new(problem, fix)));
        }
        Ok(true)
    }

    /// The field of a known column; empty when the column is not in the file.
    pub(crate) fn field(&self, column: usize) -> &str {
        self.places
            .get(column)
            .copied()
            .flatten()
            .and_then(|place| self.record.get(place))
            .unwrap_or_default()
    }

    /// Says that the current line is wrong.
    pub(crate) fn fault(&self, fault: Fault) -> DataError {
        self.lines.fault(fault)
    }

    /// Says that the file ended without any record.
    pub(crate) fn no_records(&self) -> DataError {
        self.fault(Fault::new(
            "there is a header and nothing after it",
            "add one record per line",
        ))
    }
}

/// Splits one line into fields.
fn split(line: &str, record: &mut StringRecord) -> Result<(), Fault> {
    record.clear();
    // Nearly every line has no quotes, and then nothing is left to parse.
    if !line.contains('"') {
        line.split(',').for_each(|field| record.push_field(field));
        return Ok(());
    }
    if line.matches('"').count() % 2 == 1 {
        let fix = "write a field on one line and close its quotes";
        return Err(Fault::new(
            format!("a quoted field is not closed in {}", shown(line)),
            fix,
        ));
    }
    // Only the line end just taken off ends a record: a stray carriage return is left for the field
    // to refuse.
    let mut builder = ReaderBuilder::new();
    builder
        .has_headers(false)
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(line.len());
    let mut reader = builder.from_reader(line.as_bytes());
    match reader.read_record(record) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::new(format!("not CSV ({error})"), "correct the line")),
    }
}

fn match_header(
    record: &StringRecord,
    known: &[&str],
    header: &[&str],
) -> Result<Vec<Option<usize>>, Fault> {
    let fix = || format!("the first line must be {}", list(header));
    let is = |name: &str, column: &str| name.eq_ignore_ascii_case(column);
    if !record.iter().any(|column| {
        known
            .iter()
            .any(|name| is(name, column) || resembles(name, column))
    }) {
        return Err(Fault::new(
            format!(
                "there is no header, the file starts with {}",
                shown(&list_record(record))
            ),
            fix(),
        ));
    }
    let mut places = vec![None; known.len()];
    for (place, column) in record.iter().enumerate() {
        let Some(index) = known.iter().position(|name| is(name, column)) else {
            let nearest = known
                .iter()
                .min_by_key(|name| distance(name, column))
                .copied()
                .unwrap_or_default();
            let problem = format!(
                "unknown column {}, the nearest known one is '{nearest}'",
                shown(column)
            );
            return Err(Fault::new(problem, fix()));
        };
        match places.get_mut(index) {
            Some(free @ None) => *free = Some(place),
            _ => {
                return Err(Fault::new(
                    format!("column {} occurs twice", shown(column)),
                    fix(),
                ));
            }
        }
    }
    match header
        .iter()
        .zip(&places)
        .find(|(_, place)| place.is_none())
    {
        Some((name, _)) => Err(Fault::new(format!("column '{name}' is missing"), fix())),
        None => Ok(places),
    }
}

/// The names as a header line, shortened where there are many.
fn list(header: &[&str]) -> String {
    match header {
        [first, second, .., last] if header.len() > 10 => format!("{first},{second},...,{last}"),
        _ => header.join(","),
    }
}

fn list_record(record: &StringRecord) -> String {
    record.iter().take(10).collect::<Vec<_>>().join(",")
}

/// Whether a column was probably meant to be this name: `userId`, `usr` or `Item_ID`.
fn resembles(name: &str, column: &str) -> bool {
    column.to_ascii_lowercase().starts_with(name) || distance(name, column) <= name.len() / 3
}

/// Edit distance (Levenshtein) ignoring case, of short words; anything long is far from everything.
fn distance(name: &str, column: &str) -> usize {
    let (name, column) = (name.to_ascii_lowercase(), column.to_ascii_lowercase());
    if column.len() > 64 {
        return column.len();
    }
    let mut row: Vec<usize> = (0..=column.len()).collect();
    for (i, a) in name.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(column.bytes()) {
            let cost = (diagonal + usize::from(a != b))
                .min(*cell + 1)
                .min(left + 1);
            diagonal = std::mem::replace(cell, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_protect_commas_and_quotes() {
        let mut record = StringRecord::new();
        split("1,\"American President, The\",\"\"\"x\"\"\",", &mut record).unwrap();
        assert_eq!(record, vec!["1", "American President, The", "\"x\"", ""]);
        split("1,\"broken", &mut record).unwrap_err();
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("user", "User", 0),
            ("user", "usr", 1),
            ("item", "time", 3),
            ("item", "", 4),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
