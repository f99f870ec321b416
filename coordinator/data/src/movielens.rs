//! MovieLens ratings as downloaded: 100K, 1M and the latest sets.

use std::path::Path;

use tacit_model::history::interaction::InteractionKind;

use crate::assemble::{Assembly, Row};
use crate::error::{DataError, Fault};
use crate::field;
use crate::lines::Lines;
use crate::table::Table;

/// Reads `u.data`.
pub(crate) fn read_u_data(path: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    read_separated(path, "\t", assembly)
}

/// Reads `ratings.dat`.
pub(crate) fn read_ratings_dat(path: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    read_separated(path, "::", assembly)
}

/// Reads `ratings.csv`.
pub(crate) fn read_ratings_csv(path: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    const COLUMNS: [&str; 4] = ["userId", "movieId", "rating", "timestamp"];
    let mut table = Table::open(path, &COLUMNS, COLUMNS.len())?;
    let mut any = false;
    while table.advance()? {
        let fields = [0, 1, 2, 3].map(|column| table.field(column));
        add(COLUMNS, fields, assembly).map_err(|fault| table.fault(fault))?;
        any = true;
    }
    if any { Ok(()) } else { Err(table.no_records()) }
}

fn read_separated(path: &Path, separator: &str, assembly: &mut Assembly) -> Result<(), DataError> {
    const COLUMNS: [&str; 4] = ["user", "item", "rating", "timestamp"];
    let mut lines = Lines::open(path)?;
    let mut any = false;
    while lines.advance()? {
        let line = lines.latin1();
        let result =
            columns(&line, separator, COLUMNS).and_then(|fields| add(COLUMNS, fields, assembly));
        result.map_err(|fault| lines.fault(fault))?;
        any = true;
    }
    let nothing = || lines.fault(Fault::new("the file is empty", "copy or download it again"));
    if any { Ok(()) } else { Err(nothing()) }
}

/// Splits a line into exactly the named columns.
pub(crate) fn columns<'a, const N: usize>(
    line: &'a str,
    separator: &str,
    names: [&str; N],
) -> Result<[&'a str; N], Fault> {
    let fields: Vec<_> = line.split(separator).collect();
    let count = fields.len();
    fields.try_into().map_err(|_| {
        let problem = format!(
            "the line has {count} columns separated by '{}', not {N}",
            separator.escape_debug()
        );
        Fault::new(problem, format!("give {}", names.join(", ")))
    })
}

fn add(
    names: [&str; 4],
    [user, item, rating, timestamp]: [&str; 4],
    assembly: &mut Assembly,
) -> Result<(), Fault> {
    let [user_name, item_name, rating_name, timestamp_name] = names;
    assembly.add(&Row {
        user: &field::number_key(user_name, user)?.to_string(),
        item: &field::number_key(item_name, item)?.to_string(),
        timestamp: Some(field::timestamp(timestamp_name, timestamp)?),
        value: field::value(rating_name, rating)?,
        kind: InteractionKind::Rating,
    })
}
