//! The vocabulary every other crate shares: opaque identifiers, validated units, time, and the one
//! raw vector type that passes from learning to privacy.
//!
//! This crate owns meaning, not behaviour: no maths, no I/O, no async. Numbers that carry a privacy
//! or learning meaning get a newtype whose constructor validates; there is no `From<f64>` for any
//! of them. Read `tacit-model` next for what devices compute and `tacit-privacy` for how it is made
//! safe to send.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod gradient;
pub mod id;
pub mod kind;
pub mod shown;
pub mod time;
pub mod unit;

pub use gradient::ItemGradient;
pub use id::{Commitment, ContributionId, DeviceId, Digest, ItemId, RoundId, TaskId};
pub use kind::Kind;
pub use time::Timestamp;
pub use unit::{Delta, Epsilon, UnitError};

/// Most devices of one round, for coordinator and helper alike: a helper holds their sealed seeds,
/// some 320 MiB, in memory while it sums them.
pub const COHORT_MAX: u32 = 1 << 18;
