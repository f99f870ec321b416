//! A whole federation in one process: what a task would give, before any device is asked.
//!
//! The same code as a deployment does the work: `tacit-model` computes each device's vector and
//! ranks, `tacit-privacy` clips, rounds and prices, `tacit-plan` plans the task and makes the next
//! model. Left out is everything between: network, storage, sealing, and one noise share per
//! device.
//!
//! Two modes. [`mod@train`] (fast) rounds every device's vector as a device would, adds up
//! integers, and draws the noise of the whole sum at once from the public sampler. [`exact`] makes
//! every device's real bytes, seals and masks included, and checks that the opened sum is the plain
//! sum of the updates.
//!
//! Reading order: [`population`] (who is simulated), [`setting`] (what is planned), [`sum`] and
//! [`noise`] (one release), [`mod@train`], [`exact`], [`quality`] and [`reference`](mod@reference)
//! (what it was worth), [`sweep`] (many of them), [`table`] and [`page`] (how it is shown),
//! [`compare`] (two of them).
//! [`weighted`] and [`neural`] have their own runs without noise, [`rated`] and [`rating`] their
//! own measure; [`growth`] updates a spectral model.
//!
//! # What a simulation can and cannot find
//! It finds what noise, rounding, dropouts, pruning and the planner's choices do to quality, with
//! all integers a deployment would see. It cannot find anything about processes, networks, disks,
//! time, or devices that deviate.
//!
//! # Guarantees
//! Fast mode depends on the seed and the data only, not on the number of threads: sums are
//! integers, every device and every stretch of noise has its own random stream, and everything else
//! is order-fixed. Its noise comes from a seed, so its results protect nobody; nothing it makes can
//! be sent:
//! ```
//! # use tacit_simulate::noise;
//! # use tacit_privacy::Mechanism;
//! fn kept(_: Vec<i32>) {}
//! fn fast(sum: Vec<i32>, mechanism: &Mechanism) {
//!     kept(noise::add(sum, mechanism, 1, 1, 1))
//! }
//! ```
//! ```compile_fail
//! # use tacit_simulate::noise;
//! # use tacit_privacy::Mechanism;
//! fn sent(_: tacit_privacy::PrivateUpdate) {}
//! fn fast(sum: Vec<i32>, mechanism: &Mechanism) {
//!     sent(noise::add(sum, mechanism, 1, 1, 1))
//! }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod central;
mod clock;
pub mod compare;
pub mod error;
pub mod evaluated;
pub mod exact;
pub mod growth;
pub mod neural;
pub mod noise;
pub mod outcome;
pub mod page;
pub mod population;
pub mod quality;
pub mod rated;
pub mod rating;
pub mod reference;
mod release;
pub mod setting;
mod streams;
pub mod sum;
pub mod sweep;
pub mod table;
pub mod throughput;
pub mod train;
pub mod weighted;

pub use error::SimulateError;
pub use outcome::Outcome;
pub use population::Population;
pub use setting::Setting;
pub use sweep::{Sweep, run};
pub use tacit_model::family::Family;
