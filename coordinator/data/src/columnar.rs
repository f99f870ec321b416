//! Reads Parquet files with the `parquet` crate's row reader: every field becomes the text that a
//! separated file would have, so that one set of rules reads both.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use crate::columns::{Columns, Role};
use crate::error::{DataError, Fault, printable};
use crate::header::{Layout, Separator};
use crate::input::{self, Watch, own_name};
use crate::reading::columns;
use crate::rows::Records;

/// The rows of a Parquet file.
pub(crate) struct Columnar<'a> {
    file: String,
    rows: RowIter<'static>,
    layout: Layout,
    described: String,
    /// Where each role is among the columns that are read.
    projected: [Option<usize>; 5],
    /// The current row, as text.
    fields: [String; 5],
    latin1: u64,
    row: u64,
    rows_in_all: u64,
    watch: Watch<'a>,
}

impl<'a> Columnar<'a> {
    /// Opens a file whose column names, or `asked`, say what its columns are.
    pub(crate) fn open(
        path: &Path,
        asked: Option<&Columns>,
        watch: Watch<'a>,
    ) -> Result<Self, DataError> {
        let file = own_name(path);
        let unreadable = |source| DataError::unreadable(&file, source);
        // Asked before opening, because opening a named pipe waits for somebody to write into it.
        if !path.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
        let opened = File::open(path).map_err(unreadable)?;
        let reader = caught(|| SerializedFileReader::new(opened));
        let reader = reader.map_err(|error| damaged(&file, 1, &error))?;
        let metadata = reader.metadata().file_metadata();
        let rows_in_all = u64::try_from(metadata.num_rows()).unwrap_or(0);
        let schema = metadata.schema();
        let names: Vec<String> = schema
            .get_fields()
            .iter()
            .map(|f| f.name().to_owned())
            .collect();
        // Column names part nothing, so any separator serves to name them in a message.
        let layout = Layout::of(&names, Separator::Byte(b','), asked);
        let layout = layout.map_err(|fault| fault.at(&file, 1))?;
        let (projected, wanted) = projection(&layout, schema);
        let wanted = wanted.map_err(|error| damaged(&file, 1, &error))?;
        let open = || RowIter::from_file_into(Box::new(reader));
        let rows = caught(|| open().project(Some(wanted)));
        let rows = rows.map_err(|error| damaged(&file, 1, &error))?;
        Ok(Self {
            described: columns(&file, &layout.read, "Parquet columns", &layout.unread),
            file,
            rows,
            layout,
            projected,
            fields: Default::default(),
            latin1: 0,
            row: 0,
            rows_in_all,
            watch,
        })
    }
}

/// The columns that are read, in the order of the file, and where each role is among them.
fn projection(layout: &Layout, schema: &Type) -> ([Option<usize>; 5], Result<Type, ParquetError>) {
    let places = Role::ALL.map(|role| layout.place(role));
    let mut wanted: Vec<usize> = places.iter().flatten().copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let position = |place| wanted.iter().position(|wanted| Some(*wanted) == place);
    let projected = places.map(position);
    let fields = wanted
        .iter()
        .filter_map(|place| schema.get_fields().get(*place).cloned());
    let group = Type::group_type_builder(schema.name());
    (
        projected,
        group
            .with_fields(fields.collect::<Vec<Arc<Type>>>())
            .build(),
    )
}

/// Calls the library, which panics on some damaged files where it should refuse them. Nothing of
/// it is used after that.
fn caught<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let damaged = || ParquetError::General("a page contradicts its header".into());
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(damaged()))
}

fn damaged(file: &str, row: u64, error: &ParquetError) -> DataError {
    let reason = printable(&error.to_string(), 200);
    let fault = Fault::new(
        format!("the Parquet file cannot be read here ({reason})"),
        "copy or download the file again, or save it without encryption and nested columns",
    );
    fault.at(file, row)
}

/// Writes a field as the text of a separated file.
fn write_field(field: &Field, text: &mut String, latin1: &mut u64) {
    text.clear();
    let seconds = |ms: i64| match ms {
        // Seconds with a fraction, so that early days are not taken for another unit.
        0.. => format!("{}.{:03}", ms / 1000, ms % 1000),
        _ => "-1".to_owned(),
    };
    // Writing to memory cannot fail.
    let _ = match field {
        Field::Null => Ok(()),
        Field::Str(content) => text.write_str(content),
        Field::Bytes(content) => text.write_str(&input::text(content.data(), latin1)),
        Field::Date(days) => write!(text, "{}", i64::from(*days) * 24 * 3600),
        Field::TimestampMillis(ms) => text.write_str(&seconds(*ms)),
        Field::TimestampMicros(us) => text.write_str(&seconds(us / 1000)),
        other => write!(text, "{other}"),
    };
}

impl Records for Columnar<'_> {
    fn advance(&mut self) -> Result<bool, DataError> {
        let rows = &mut self.rows;
        let next = caught(|| rows.next().transpose());
        let next = next.map_err(|error| damaged(&self.file, self.row + 1, &error))?;
        let Some(row) = next else {
            return Ok(false);
        };
        self.row += 1;
        if self.row.is_multiple_of(4096) {
            (self.watch)(self.row, self.rows_in_all);
        }
        for (place, (_, field)) in row.get_column_iter().enumerate() {
            let roles = self.projected.iter().zip(&mut self.fields);
            roles
                .filter(|(projected, _)| **projected == Some(place))
                .for_each(|(_, text)| write_field(field, text, &mut self.latin1));
        }
        Ok(true)
    }

    fn field(&self, role: Role) -> &str {
        self.fields
            .get(role as usize)
            .map(String::as_str)
            .unwrap_or_default()
    }

    fn fault(&self, fault: Fault) -> DataError {
        fault.at(&self.file, self.row)
    }

    fn no_records(&self) -> DataError {
        Fault::new(
            "there are columns and no rows",
            "add one row per interaction",
        )
        .at(&self.file, 1)
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn described(&self) -> String {
        self.described.clone()
    }

    fn latin1(&self) -> u64 {
        self.latin1
    }
}
