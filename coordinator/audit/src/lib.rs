//! Shows a stranger what a task cost its devices, and lets the stranger check it.
//!
//! - [`verify()`] replays an export folder: lines, chain, prices, the helper's own ledger, signed
//!   heads, models, sums of evaluations;
//! - [`report()`] writes what was verified as a page for people and JSON for programs;
//! - [`explain()`] says in plain words what one line means for one person;
//! - [`canary`] runs the real release pipeline and measures what it gives away;
//! - [`chart`] draws the lines of a page, for other pages too.
//!
//! Everything that follows from a line's own numbers is computed again here, with the functions the
//! devices use (`tacit_privacy`). The verifier in `python/verify.py` shares no code with them and
//! must agree to the last unit.
//!
//! Invariant: arithmetic, order and signatures are verified; that noise was really added and that
//! the parties are honest and separate is assumed, and every report says so. Nothing in an export
//! is trusted: sizes are bounded and no bytes make this crate panic.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod canary;
mod chain;
pub mod chart;
mod empty;
mod error;
mod explain;
mod files;
mod heads;
mod helper;
mod keys;
mod ledger;
mod models;
mod report;
mod restored;
mod summary;
mod sums;
mod tickets;
mod verify;

pub use empty::EmptyRound;
pub use error::VerifyError;
pub use explain::{ExplainError, explain};
pub use keys::Keys;
pub use ledger::{Entry, Outcome};
pub use report::{Figure, Report, figures, report};
pub use restored::RestoredLine;
pub use summary::{DELTAS, Summary};
pub use sums::Evaluated;
pub use verify::{Verified, verify, verify_with_keys};

/// Style sheet of the report and of every [`chart`], for other pages of the same look.
pub const PAGE_STYLE: &str = include_str!("../templates/report.css");
