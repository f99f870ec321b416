//! Why an export is refused: always the first wrong thing, with its place.

use tacit_types::shown::Shown;

/// The first thing in an export that is wrong. Lines are counted from 0, like `seq`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file is missing, unreadable, too large or not what its name says.
    #[error("{}: {}", Shown(file), Shown(problem))]
    File {
        /// Path inside the export.
        file: String,
        /// What is wrong, in words.
        problem: String,
    },
    /// One line is wrong.
    #[error("{file} line {line}: {}", Shown(problem))]
    Line {
        /// `ledger.jsonl`, `helper.jsonl` or `helper.sig`.
        file: &'static str,
        /// Position from 0.
        line: u64,
        /// What is wrong, in words.
        problem: String,
    },
    /// The last lines stand under no head that both parties signed.
    #[error("no signed head covers line {line} of ledger.jsonl")]
    Uncovered {
        /// First line that no head covers.
        line: u64,
    },
}

impl VerifyError {
    pub(crate) fn file(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::File {
            file: file.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn line(file: &'static str, line: u64, problem: impl Into<String>) -> Self {
        Self::Line {
            file,
            line,
            problem: problem.into(),
        }
    }
}
