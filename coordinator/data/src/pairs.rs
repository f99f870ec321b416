//! What is tested on: pairs of user and item, and the published negatives of each user.

use tacit_types::ItemId;

use crate::assemble::Assembly;
use crate::error::{DataError, Fault, shown};
use crate::input::Input;
use crate::reading::Tally;
use crate::rows::{Records, RowReader, Separated, key};
use crate::table::Table;

/// Published negatives per user.
const NEGATIVES: usize = 99;

/// Reads pairs to hold out: the items of each user, each once, in file order.
pub(crate) fn test(
    records: &mut dyn Records,
    assembly: &mut Assembly,
    rows: &mut RowReader,
    test: &mut [Vec<ItemId>],
) -> Result<(), DataError> {
    let mut any = false;
    while records.advance()? {
        add_pair(records, assembly, rows, test).map_err(|fault| records.fault(fault))?;
        any = true;
    }
    rows.tally.latin1 += records.latin1();
    if any {
        Ok(())
    } else {
        Err(records.no_records())
    }
}

/// Reads the pairs of a published test file, whose columns are known.
pub(crate) fn published(
    input: Input<'_>,
    assembly: &mut Assembly,
    rows: &mut RowReader,
    pairs: &mut [Vec<ItemId>],
) -> Result<(), DataError> {
    test(&mut Separated::open(input, None)?, assembly, rows, pairs)
}

fn add_pair(
    records: &dyn Records,
    assembly: &mut Assembly,
    rows: &mut RowReader,
    test: &mut [Vec<ItemId>],
) -> Result<(), Fault> {
    let (user, item) = rows.pair(records)?;
    let index = assembly.known_user(user)?;
    if let Some(held_out) = index.and_then(|index| test.get_mut(index)) {
        let item = assembly.item(item)?;
        if !held_out.contains(&item) {
            held_out.push(item);
        }
    }
    Ok(())
}

/// Reads the published negatives of each user: `user,n1,...,n99`.
pub(crate) fn negatives(
    input: Input<'_>,
    assembly: &mut Assembly,
    tally: &mut Tally,
) -> Result<Vec<Vec<ItemId>>, DataError> {
    let opened = Table::open(input, None, |fields, _| Ok((places(fields)?, true)))?;
    let (mut table, places) = (opened.table, opened.layout);
    let mut negatives = vec![Vec::new(); assembly.users.len()];
    let mut any = false;
    while table.advance()? {
        add_negatives(&table, &places, assembly, tally, &mut negatives)
            .map_err(|fault| table.fault(fault))?;
        any = true;
    }
    if any {
        Ok(negatives)
    } else {
        Err(table.no_records())
    }
}

/// Where user and negatives are, in this order; nothing else may be there.
fn places(fields: &[String]) -> Result<Vec<usize>, Fault> {
    let fault = |problem: String| {
        let fix = format!("the first line must be user,n1,...,n{NEGATIVES}");
        Err(Fault::new(problem, fix))
    };
    let names = std::iter::once("user".to_owned()).chain((1..=NEGATIVES).map(|n| format!("n{n}")));
    let mut places = Vec::new();
    for name in names {
        let place = fields
            .iter()
            .position(|field| field.eq_ignore_ascii_case(&name));
        match place {
            Some(place) => places.push(place),
            None => return fault(format!("column '{name}' is missing")),
        }
    }
    match fields.get(places.len()) {
        Some(more) => fault(format!("unknown column {}", shown(more))),
        None => Ok(places),
    }
}

fn add_negatives(
    table: &Table<'_>,
    places: &[usize],
    assembly: &mut Assembly,
    tally: &mut Tally,
    negatives: &mut [Vec<ItemId>],
) -> Result<(), Fault> {
    let (user, rest) = places
        .split_first()
        .expect("there is a place for the user");
    let user = key("user", table.field(Some(*user)), tally)?;
    let index = assembly.known_user(user)?;
    let Some(of_user) = index.and_then(|index| negatives.get_mut(index)) else {
        return Ok(());
    };
    if !of_user.is_empty() {
        let problem = format!("user {} has a line already", shown(user));
        return Err(Fault::new(problem, "keep one line per user"));
    }
    for (place, number) in rest.iter().zip(1..) {
        let key = key(&format!("n{number}"), table.field(Some(*place)), tally)?;
        of_user.push(assembly.item(key)?);
    }
    Ok(())
}
