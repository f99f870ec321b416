//! By which number the rows of one owner are known.

use rusqlite::Connection;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::error::SdkError;

/// Number of an owner. Never given again, so that a handle of an owner who was removed is not one
/// of whoever has the name next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OwnerId(i64);

impl OwnerId {
    /// The owner of an installation that names nobody.
    pub(super) const UNNAMED: Self = Self(0);

    /// What stands for this owner in a list of owners, between its commas.
    pub(super) fn within_list(self) -> String {
        format!(",{},", self.0)
    }

    pub(super) fn is_there(self, db: &Connection) -> Result<bool, SdkError> {
        let mut query = db.prepare_cached("SELECT 1 FROM owners WHERE id = ?1")?;
        Ok(query.exists([self])?)
    }
}

impl FromSql for OwnerId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

impl ToSql for OwnerId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

/// An owner was removed while somebody held a handle of theirs.
pub(super) fn removed() -> SdkError {
    SdkError::Stop("this owner of the installation was removed: open it for another".into())
}
