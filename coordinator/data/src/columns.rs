//! Which column of a file is what: the names that are known, and the caller's own (`--columns`).

use std::fmt;
use std::str::FromStr;

use crate::error::DataError;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Item,
    Value,
    Time,
    Type,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [Self::User, Self::Item, Self::Value, Self::Time, Self::Type];

    /// The word for it in `--columns`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Item => "item",
            Self::Value => "value",
            Self::Time => "time",
            Self::Type => "type",
        }
    }

    /// Names of such a column as [`plain`] writes them; where a file has several, the first of
    /// these is read.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::User => &[
                "user",
                "userid",
                "device",
                "uid",
                "reviewerid",
                "visitorid",
                "customerid",
                "customer",
                "member",
                "memberid",
                "accountid",
                "username",
                "sessionid",
            ],
            Self::Item => &[
                "item",
                "itemid",
                "movieid",
                "parentasin",
                "asin",
                "isbn",
                "productid",
                "bookid",
                "artistid",
                "trackid",
                "songid",
                "newsid",
                "articleid",
                "videoid",
                "gameid",
                "jokeid",
                "businessid",
                "recipeid",
                "animeid",
                "product",
                "movie",
                "iid",
                "gmapid",
            ],
            Self::Value => &[
                "value",
                "rating",
                "bookrating",
                "score",
                "stars",
                "overall",
                "weight",
                "count",
                "plays",
                "playcount",
                "listens",
                "quantity",
            ],
            Self::Time => &[
                "time",
                "timestamp",
                "unixreviewtime",
                "datetime",
                "date",
                "ts",
                "createdat",
                "reviewtime",
            ],
            Self::Type => &[
                "type",
                "event",
                "eventtype",
                "action",
                "behavior",
                "behaviour",
            ],
        }
    }
}

/// A column's name without what files differ in: case, blanks, `_` and `-`, and the type that
/// RecBole writes after a colon.
pub(crate) fn plain(name: &str) -> String {
    let name = name.split(':').next().unwrap_or(name);
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The caller's own columns, as in `user=customer,item=sku,time=when`: by name, or by place from 1
/// in a file without a header. What is not named is not read.
///
/// ```
/// let columns: tacit_data::Columns = "user=1,item=2,value=3".parse()?;
/// assert_eq!(columns.to_string(), "user=1,item=2,value=3");
/// # Ok::<(), tacit_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    names: [Option<String>; 5],
}

impl Columns {
    /// The column named for a role.
    pub(crate) fn of(&self, role: Role) -> Option<&str> {
        self.names.get(role as usize)?.as_deref()
    }

    pub(crate) fn from_names(names: [Option<String>; 5]) -> Self {
        Self { names }
    }
}

impl FromStr for Columns {
    type Err = DataError;

    /// # Errors
    /// [`DataError::InvalidOption`] for an unknown word, a word given twice, or no user or item.
    fn from_str(text: &str) -> Result<Self, DataError> {
        let bad = |problem: String| DataError::InvalidOption {
            option: "columns",
            problem: format!("{problem}; write user=NAME,item=NAME,value=NAME,time=NAME,type=NAME"),
        };
        let mut names: [Option<String>; 5] = Default::default();
        for pair in text.split(',') {
            let (word, name) = pair.split_once('=').unwrap_or((pair, ""));
            let (word, name) = (word.trim(), name.trim());
            let role = Role::ALL.into_iter().find(|role| role.word() == word);
            let place = role.and_then(|role| names.get_mut(role as usize));
            match place {
                Some(free @ None) if !name.is_empty() => *free = Some(name.to_owned()),
                Some(Some(_)) => return Err(bad(format!("{word} is given twice"))),
                Some(None) => return Err(bad(format!("{word} has no column"))),
                None => return Err(bad(format!("'{word}' is no word for a column"))),
            }
        }
        let columns = Self { names };
        match [Role::User, Role::Item]
            .iter()
            .find(|role| columns.of(**role).is_none())
        {
            Some(role) => Err(bad(format!("{} is missing", role.word()))),
            None => Ok(columns),
        }
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Role::ALL
            .into_iter()
            .filter_map(|role| Some((role, self.of(role)?)));
        for (place, (role, name)) in named.enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{}={name}", role.word())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_columns_is_read_or_refused() {
        let columns: Columns = " user = a , item=b".parse().unwrap();
        assert_eq!(
            (columns.of(Role::User), columns.of(Role::Time)),
            (Some("a"), None)
        );
        for bad in [
            "",
            "user=a",
            "user=a,item",
            "user=a,item=b,user=c",
            "user=a,item=b,when=c",
        ] {
            let error = bad.parse::<Columns>().unwrap_err().to_string();
            assert!(error.starts_with("option columns: "), "{bad}: {error}");
        }
    }

    #[test]
    fn names_are_compared_without_what_files_differ_in() {
        for name in ["user_id:token", "User-ID", " userId ", "USER ID"] {
            assert_eq!(plain(name), "userid", "{name}");
        }
    }
}
