//! What a task costs and releases, from public numbers only, and how the sum of a release becomes
//! the next model.
//!
//! A *task* is what an operator configures: a [`PlanRequest`] is the part of it that a planner
//! reads. A [`Plan`] is what the task releases and at what price; the coordinator stores it before
//! the first round and runs exactly that. A [`Forecast`] is a plan with what to expect of it, for
//! people to read; nobody stores one.
//!
//! - [`request`] what is asked, with every bound; [`error`] why there is no plan;
//! - `outline` what each family releases; [`mechanism_for`] turns a price into the public numbers
//!   of one release; [`plan()`] and [`forecast`] put both together, so there is one planner;
//! - [`plan`](mod@plan) what a stored plan says while its task runs; [`opened_sum`] and [`apply()`]
//!   the step from an opened sum to the next model;
//! - [`advice()`] what would help, in sentences.
//!
//! It decides nothing for a device: devices recompute every price themselves (`tacit_privacy`).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod advice;
mod apply;
pub mod error;
pub mod mechanism;
mod outline;
pub mod plan;
mod planner;
pub mod request;

pub use advice::{advice, large_delta, thousands};
pub use apply::{apply, opened_sum};
pub use error::PlanError;
pub use mechanism::{Crowd, Shape, mechanism_for};
pub use outline::signal_min;
pub use plan::Plan;
pub use planner::{
    Forecast, GUARD_SHARE, PlannedRelease, TOTAL_VARIATION_MAX, budget, forecast, plan,
};
pub use request::{EVALUATION_SHARE, PlanRequest, default_delta};
