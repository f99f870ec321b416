//! What can be wrong with a data set, said in one line each.

use std::io;
use std::path::Path;

/// Why a data set was not loaded. `Display` is one line that names the place, what is wrong and
/// what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path leads to nothing that is known as a data set.
    #[error(
        "{path}: {problem}; give a file of interactions, or a folder or zip archive with \
         interactions.csv, u.data, ratings.dat, ratings.csv, a .inter or .parquet file (each also \
         as .gz)"
    )]
    NotADataset {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file is there and the system does not let it be read.
    #[error(
        "{file}: cannot be read: {source}; check that it is a file and that this user may read it"
    )]
    Unreadable {
        /// Name of the file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file has content that is not as documented.
    #[error("{file} line {line}: {problem}; {fix}")]
    Malformed {
        /// Name of the file.
        file: String,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong, naming the field.
        problem: String,
        /// What to do about it.
        fix: String,
    },
    /// An option has no meaning.
    #[error("option {option}: {problem}")]
    InvalidOption {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl DataError {
    pub(crate) fn not_a_dataset(path: &Path, problem: &str) -> Self {
        Self::NotADataset {
            path: printable(&path.to_string_lossy(), 1024),
            problem: problem.into(),
        }
    }

    pub(crate) fn unreadable(file: &str, source: io::Error) -> Self {
        Self::Unreadable {
            file: file.to_owned(),
            source,
        }
    }
}

/// What is wrong with one line, before it is known which line that is.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) problem: String,
    pub(crate) fix: String,
}

impl Fault {
    pub(crate) fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    /// Says where it is.
    pub(crate) fn at(self, file: &str, line: u64) -> DataError {
        DataError::Malformed {
            file: file.to_owned(),
            line,
            problem: self.problem,
            fix: self.fix,
        }
    }
}

/// A piece of somebody's file, in quotes, short and safe to print in one line of a terminal.
pub(crate) fn shown(text: &str) -> String {
    format!("'{}'", printable(text, 40))
}

/// At most `chars_max` characters of the text, with control characters written out.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    let mut short: String = text
        .chars()
        .take(chars_max)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(chars_max).is_some() {
        short.push_str("...");
    }
    // `escape_debug` also escapes quotes, which are harmless here and clearer without.
    short.replace("\\'", "'").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_from_a_file_stays_short_and_on_one_line() {
        assert_eq!(shown("NaN"), "'NaN'");
        assert_eq!(shown("it's"), "'it's'");
        assert_eq!(shown("a\nb\u{1b}[2J"), "'a\\nb\\u{1b}[2J'");
        assert_eq!(shown(&"x".repeat(1_000)).len(), 45);
    }
}
