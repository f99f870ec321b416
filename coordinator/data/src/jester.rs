//! Reads Jester as a matrix, one line a user: how many jokes they rated, then a rating for each
//! joke, 99 where there is none.

use crate::columns::Role;
use crate::error::{DataError, Fault};
use crate::header::Layout;
use crate::input::Input;
use crate::reading::columns;
use crate::rows::Records;
use crate::table::Table;

/// What stands for no rating.
const NOT_RATED: [&str; 3] = ["99", "99.00", ""];

/// The ratings of a matrix, one after the other.
pub(crate) struct Matrix<'a> {
    table: Table<'a>,
    layout: Layout,
    described: String,
    width: usize,
    /// Place of the current rating in its line.
    place: usize,
    user: String,
    item: String,
    line: u64,
}

impl<'a> Matrix<'a> {
    /// Opens a matrix without a header.
    pub(crate) fn open(input: Input<'a>) -> Result<Self, DataError> {
        let opened = Table::open(input, None, |fields, _| Ok((fields.len(), false)))?;
        let read = "user=the line,item=the column,value=its number";
        let separator = opened.separator.name();
        Ok(Self {
            described: columns(&opened.table.file, read, separator, &[]),
            width: opened.layout,
            table: opened.table,
            layout: Layout::default(),
            place: usize::MAX,
            user: String::new(),
            item: String::new(),
            line: 0,
        })
    }
}

impl Records for Matrix<'_> {
    fn advance(&mut self) -> Result<bool, DataError> {
        loop {
            self.place = self.place.saturating_add(1);
            if self.place >= self.width {
                if !self.table.advance()? {
                    return Ok(false);
                }
                self.line += 1;
                self.user = self.line.to_string();
                // The first column is the number of ratings.
                self.place = 1;
            }
            let rating = self.table.field(Some(self.place)).trim_ascii();
            if !NOT_RATED.contains(&rating) {
                self.item = self.place.to_string();
                return Ok(true);
            }
        }
    }

    fn field(&self, role: Role) -> &str {
        match role {
            Role::User => &self.user,
            Role::Item => &self.item,
            Role::Value => self.table.field(Some(self.place)),
            Role::Time | Role::Type => "",
        }
    }

    fn fault(&self, fault: Fault) -> DataError {
        self.table.fault(fault)
    }

    fn no_records(&self) -> DataError {
        self.table.no_records()
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn described(&self) -> String {
        self.described.clone()
    }

    fn latin1(&self) -> u64 {
        self.table.latin1
    }
}
