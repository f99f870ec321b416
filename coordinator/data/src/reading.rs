//! How files were understood: what a person must know to judge the figures made from them.

use std::fmt::Write;

use serde::Serialize;

/// What was read, in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reading {
    /// File, columns and separator; empty for generated data.
    pub columns: String,
    /// How times are written, and from which day to which; `none` where no line has one.
    pub times: String,
    /// What was held out, and how it was chosen.
    pub split: String,
    /// Whether that is a random share, so that nobody's recency says anything about it.
    pub random_split: bool,
    /// Least and largest rating: as given, or as seen; `None` without ratings.
    pub scale: Option<[f64; 2]>,
    /// What was left out, replaced or guessed, one sentence each: worth a look before the figures.
    pub notes: Vec<String>,
}

/// Counts what is worth a note while files are read.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Fields that are not UTF-8.
    pub(crate) latin1: u64,
    /// Titles and categories with control characters.
    pub(crate) controls: u64,
    /// Identifiers such as `12.0`.
    pub(crate) floats: u64,
    /// Values of 0 that stand for a use.
    pub(crate) zeros: u64,
    /// Feedback that is no use of an item.
    pub(crate) no_use: u64,
    /// Lines of title files that are not as documented.
    pub(crate) titles_left_out: u64,
}

impl Tally {
    /// One sentence for each count that is not 0.
    pub(crate) fn notes(&self) -> Vec<String> {
        let kinds = [
            (
                self.latin1,
                "fields are not UTF-8 and were read as Latin-1; save the files as UTF-8 if words \
                 look wrong",
            ),
            (
                self.controls,
                "titles or categories have control characters, which became blanks",
            ),
            (self.floats, "identifiers such as 12.0 were read as 12"),
            (
                self.zeros,
                "ratings of 0 were read as uses without a rating, as Book-Crossing means them",
            ),
            (
                self.no_use,
                "lines say that an item was disliked or hidden, which is no use, and were left out",
            ),
            (
                self.titles_left_out,
                "lines of title files are not as documented and were left out",
            ),
        ];
        let counted = kinds.iter().filter(|(count, _)| *count > 0);
        counted
            .map(|(count, what)| format!("{count} {what}"))
            .collect()
    }
}

/// The columns of a file, in one line.
pub(crate) fn columns(file: &str, read: &str, separator: &str, unread: &[String]) -> String {
    let mut line = format!("{file}: {read}, parted by {separator}");
    if !unread.is_empty() {
        let some: Vec<&str> = unread.iter().take(6).map(String::as_str).collect();
        let more = if unread.len() > some.len() {
            ", ..."
        } else {
            ""
        };
        // Writing to a String cannot fail.
        let _ = write!(line, "; not read: {}{more}", some.join(", "));
    }
    crate::error::printable(&line, 400)
}
