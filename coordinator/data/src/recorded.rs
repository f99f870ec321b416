//! Interactions of devices by number: what `tacit device` records on first start.

use std::collections::BTreeMap;
use std::path::Path;

use tacit_model::history::interaction::Interaction;
use tacit_types::ItemId;

use crate::columns::Columns;
use crate::error::{DataError, Fault};
use crate::place::Place;
use crate::rows::{Records, RowReader, number};
use crate::shape;

/// Reads a file of interactions whose users are devices and whose items are catalogue indices, both
/// numbered from 0, in any format of [`crate::load()`], by the caller's own `columns` where given.
/// Feedback that is no use, such as `dislike`, is kept, as an app would record it.
///
/// # Errors
/// [`DataError`], one line naming file, line, field and fix.
pub fn recorded(
    path: &Path,
    columns: Option<&Columns>,
) -> Result<BTreeMap<u32, Vec<Interaction>>, DataError> {
    let place = Place::open(path)?;
    let mut rows = RowReader::default();
    let mut devices: BTreeMap<u32, Vec<Interaction>> = BTreeMap::new();
    shape::of(&place)?.read(&place, columns, &|_, _| (), &mut |records, _| {
        while records.advance()? {
            let read = one(&mut rows, records).map_err(|fault| records.fault(fault))?;
            devices.entry(read.0).or_default().push(read.1);
        }
        Ok(())
    })?;
    Ok(devices)
}

fn one(rows: &mut RowReader, records: &dyn Records) -> Result<(u32, Interaction), Fault> {
    let row = rows.row(records)?;
    let interaction = Interaction {
        item: ItemId(number("item", row.item)?),
        timestamp: row.timestamp,
        value: row.value,
        kind: row.kind,
        surface: 0,
    };
    Ok((number("device", row.user)?, interaction))
}
