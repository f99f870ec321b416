//! What a training job will cost and give, from public numbers only.
//!
//! - [`plan()`] says before a job what it will release, at what price, and how much of the gain to
//!   expect; the coordinator runs exactly that, so there is one planner;
//! - [`request`] what it needs to know, with every bound; [`error`] why there is no plan; `outline`
//!   what each family releases; `advice` what would help;
//! - [`mechanism_for()`] turns a price into the public numbers of one release.
//!
//! It decides nothing at run time: devices recompute every price themselves (`tacit_privacy`).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod advice;
pub mod error;
pub mod mechanism;
mod outline;
pub mod plan;
pub mod request;

pub use advice::thousands;
pub use error::PlanError;
pub use mechanism::{Crowd, Shape, mechanism_for};
pub use outline::signal_min;
pub use plan::{GUARD_SHARE, Plan, PlannedRelease, TOTAL_VARIATION_MAX, budget, plan};
pub use request::{EVALUATION_SHARE, PlanRequest, default_delta};
