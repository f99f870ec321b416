//! Both halves of the round protocol and the secure sum between them.
//!
//! - [`ticket`] what a device is asked for, signed by both parties; [`policy`] what a device agrees
//!   to, [`factors`] of a model, [`signed_policy`] as its app ships it;
//! - [`device`] and [`coordinator`] (one phase a file under [`phase`]): pure machines,
//!   `handle(self, input, now) -> (state, at most one effect)`, run alike by every driver;
//! - [`lease`] which devices may take part, decided before any of them spends;
//! - [`nobody_entered`] what the helper certifies of a round that costs nothing;
//! - [`refusal`] what a coordinator may know of why devices refuse;
//! - [`helper`] what the helper countersigns, admits and sums: one call, one answer, no state that
//!   a caller has to carry from call to call;
//! - [`contribute`] what a device sends, from its vector to final bytes;
//! - [`mask`], [`commitment`] and [`seal`] the secure sum; [`keys`] and [`head`] who signs what;
//!   [`continuity`] and [`restore`] whether a ledger goes on from an earlier point;
//!   [`bundle`] what an app ships so that it has a list before it reaches a coordinator;
//!   [`member`] who was enrolled by the helper's side, [`token`] who may enrol, [`root`] which
//!   certificates take over from others;
//! - [`rehearsal`] a round in one process, for whoever plays every party.
//!
//! Invariant: nothing here does I/O or reads a clock, and time and generators are handed in. The
//! one exception is [`contribute`], which draws noise and mask from the operating system itself:
//! neither may be anybody's choice.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod bundle;
pub mod commitment;
pub mod continuity;
pub mod contribute;
pub mod coordinator;
pub mod device;
pub mod factors;
pub mod head;
pub mod helper;
pub mod keys;
pub mod lease;
#[cfg_attr(not(test), deny(clippy::float_arithmetic))]
pub mod mask;
pub mod member;
pub mod nobody_entered;
pub mod phase;
pub mod policy;
pub mod refusal;
pub mod rehearsal;
pub mod restore;
pub mod root;
pub mod seal;
pub mod signed_policy;
pub mod ticket;
pub mod token;
