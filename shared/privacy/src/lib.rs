//! What makes a device's vector safe to send, and what sending it costs.
//!
//! The path of one release. Each step consumes the one before, so none can be skipped:
//!
//! ```text
//! ItemGradient --clip--> ClippedGradient --privatise(permit)--> PrivateUpdate
//!                                              |
//!                                              `- quantise, then noise, in one step
//! ```
//!
//! - [`mechanism`] the public numbers of a release, its squared sensitivity and its price;
//! - [`mod@clip`] bounds one device's influence;
//! - [`mod@quantise`] moves to the integer grid and tests the norm exactly;
//! - [`noise`] adds discrete Gaussian noise against a [`ledger::SpendPermit`];
//! - [`ledger`] decides whether a release may be spent, with storage behind a trait;
//! - [`rho`] and [`convert`] compose releases and state them as (epsilon, delta);
//! - [`record`], [`canonical`] and [`merkle`] say what a ledger line means and how a stranger
//!   checks it.
//!
//! Invariant: nothing wraps around; see [`exact`].
//!
//! Invariant: no floating-point operation happens to released numbers after rounding (a lint denies
//! it in [`mod@quantise`], [`noise`], [`ledger`] and [`mechanism`]), raw vectors cannot be copied,
//! printed or serialised, and nothing here can be switched off: there are no features, no test
//! modes and no constructor for a [`noise::PrivateUpdate`] other than [`noise::privatise`].
//! Device-safe: no I/O and no large dependencies.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod canonical;
pub mod clip;
pub mod convert;
pub mod exact;
#[cfg_attr(not(test), deny(clippy::float_arithmetic))]
pub mod ledger;
#[cfg_attr(not(test), deny(clippy::float_arithmetic))]
pub mod mechanism;
mod memory;
pub mod merkle;
#[cfg_attr(
    not(test),
    deny(
        clippy::float_arithmetic,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss
    )
)]
pub mod noise;
#[cfg_attr(
    not(test),
    deny(
        clippy::float_arithmetic,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss
    )
)]
pub mod quantise;
pub mod record;
pub mod rho;

#[cfg(doctest)]
mod invariants;
mod rounding;

pub use clip::{ClippedGradient, clip};
pub use ledger::{DeviceBudget, LedgerStore, Refusal, SpendPermit};
pub use mechanism::{Mechanism, MechanismError, Tier};
pub use memory::MemoryLedger;
pub use noise::{NoiseSeed, PrivateUpdate, privatise};
pub use quantise::{QuantisedUpdate, quantise};
pub use rho::Rho;
