//! The documented CSV format: interactions, and the published test items and negatives that may
//! come with them.

use std::path::Path;

use tacit_model::history::interaction::InteractionKind;
use tacit_types::ItemId;

use crate::assemble::{Assembly, Row};
use crate::error::{DataError, Fault, shown};
use crate::field;
use crate::table::Table;

/// Columns of `interactions.csv`, and of a test file, which needs only the first two.
const COLUMNS: [&str; 5] = ["user", "item", "timestamp", "value", "type"];

/// Published negatives per user.
const NEGATIVES: usize = 99;

/// Reads all interactions.
pub(crate) fn read(path: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    let mut table = Table::open(path, &COLUMNS, COLUMNS.len())?;
    let mut any = false;
    while table.advance()? {
        row(&table)
            .and_then(|row| assembly.add(&row))
            .map_err(|fault| table.fault(fault))?;
        any = true;
    }
    if any { Ok(()) } else { Err(table.no_records()) }
}

fn row(table: &Table) -> Result<Row<'_>, Fault> {
    let user = field::key("user", table.field(0))?;
    let item = field::key("item", table.field(1))?;
    let timestamp = optional(table.field(2), |text| field::timestamp("timestamp", text))?;
    let value = optional(table.field(3), |text| field::value("value", text))?;
    let kind = optional(table.field(4), |text| field::kind("type", text))?;
    let kind = match (kind, value) {
        // A rating whose stars are unknown tells that the item was used, and no more.
        (Some(InteractionKind::Rating) | None, None) => InteractionKind::View,
        (None, Some(_)) => InteractionKind::Rating,
        (Some(kind), _) => kind,
    };
    Ok(Row {
        user,
        item,
        timestamp,
        value: value.unwrap_or(1.0),
        kind,
    })
}

fn optional<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    if text.is_empty() {
        Ok(None)
    } else {
        read(text).map(Some)
    }
}

/// Reads `user,item` pairs to hold out: the items of each user, each once, in file order.
pub(crate) fn read_test(
    path: &Path,
    assembly: &mut Assembly,
) -> Result<Vec<Vec<ItemId>>, DataError> {
    let mut table = Table::open(path, &COLUMNS, 2)?;
    let mut test = vec![Vec::new(); assembly.users.len()];
    let mut any = false;
    while table.advance()? {
        add_test_pair(&table, assembly, &mut test).map_err(|fault| table.fault(fault))?;
        any = true;
    }
    if any {
        Ok(test)
    } else {
        Err(table.no_records())
    }
}

fn add_test_pair(
    table: &Table,
    assembly: &mut Assembly,
    test: &mut [Vec<ItemId>],
) -> Result<(), Fault> {
    let user = field::key("user", table.field(0))?;
    let key = field::key("item", table.field(1))?;
    if let Some(held_out) = assembly
        .known_user(user)?
        .and_then(|index| test.get_mut(index))
    {
        let item = assembly.item(key)?;
        if !held_out.contains(&item) {
            held_out.push(item);
        }
    }
    Ok(())
}

/// Reads the published negatives of each user.
pub(crate) fn read_negatives(
    path: &Path,
    assembly: &mut Assembly,
) -> Result<Vec<Vec<ItemId>>, DataError> {
    let names: Vec<String> = (1..=NEGATIVES).map(|n| format!("n{n}")).collect();
    let columns: Vec<&str> = std::iter::once("user")
        .chain(names.iter().map(String::as_str))
        .collect();
    let mut table = Table::open(path, &columns, columns.len())?;
    let mut negatives = vec![Vec::new(); assembly.users.len()];
    let mut any = false;
    while table.advance()? {
        add_negatives(&table, &columns, assembly, &mut negatives)
            .map_err(|fault| table.fault(fault))?;
        any = true;
    }
    if any {
        Ok(negatives)
    } else {
        Err(table.no_records())
    }
}

fn add_negatives(
    table: &Table,
    columns: &[&str],
    assembly: &mut Assembly,
    negatives: &mut [Vec<ItemId>],
) -> Result<(), Fault> {
    let user = field::key("user", table.field(0))?;
    let keys = columns
        .iter()
        .enumerate()
        .skip(1)
        .map(|(column, name)| field::key(name, table.field(column)));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    if let Some(of_user) = assembly
        .known_user(user)?
        .and_then(|index| negatives.get_mut(index))
    {
        if !of_user.is_empty() {
            return Err(Fault::new(
                format!("user {} has a line already", shown(user)),
                "keep one line per user",
            ));
        }
        *of_user = keys
            .into_iter()
            .map(|key| assembly.item(key))
            .collect::<Result<_, _>>()?;
    }
    Ok(())
}
