//! What a training job will cost and give, from public numbers only, and the oracle our conversion is held against.
//!
//! - [`mechanism_for()`] turns a price into the public numbers of one release;
//! - [`plan()`] says before a job what it will release, at what price, and how much of the gain to expect;
//! - [`opendp_epsilon`] is opendp's conversion, for tests and for anybody who wants a second opinion.
//!
//! It decides nothing at run time: devices recompute every price themselves (`tacit_privacy`). It is the only crate that
//! sees opendp and never becomes part of a device.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod mechanism;
pub mod oracle;
pub mod plan;

pub use mechanism::mechanism_for;
pub use oracle::{OracleError, opendp_epsilon};
pub use plan::{Plan, PlanError, PlanRequest, PlannedRelease, plan};
