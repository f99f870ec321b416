//! opendp's epsilon next to ours, for an auditor who trusts neither.
//!
//! [`SecondOpinion::on`] takes the numbers of a verified export, asks opendp's own privacy maps for
//! epsilon at the same deltas, and refuses an export whose stated epsilon is the smaller one.
//! [`opendp_epsilon`] is one such question.
//!
//! No function of ours decides here: `tacit_privacy::convert` made the epsilons that are checked.
//!
//! Invariant: `tacit audit verify` is the only caller. opendp never becomes part of a device or a
//! daemon, and `deny.toml` lets no other crate see it.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod map;
mod opinion;

pub use map::{OpendpError, opendp_epsilon};
pub use opinion::{OpinionError, SecondOpinion};
