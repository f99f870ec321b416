//! What app developers embed: record what happened, get recommendations offline, and train
//! privately when the app allows.
//!
//! - [`Recommender`] is the facade: `record`, `recommend`, `similar`, `explain`, `feedback`,
//!   `privacy_status`, `export_my_data`, `forget`; no network.
//! - [`Agent`] takes part in one round when called; no thread or timer of its own.
//! - [`identity`] enrols an installation once.
//!
//! Raw interactions and user factors never leave the device; the only thing that can is a
//! `MaskedUpdate`, and only after the device's own ledger has reserved its price durably.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod agent;
pub mod backoff;
mod connector;
mod credentials;
mod deadlines;
mod deployment;
pub mod error;
mod files;
pub mod identity;
mod kept;
mod policies;
mod reason;
pub mod recommender;
mod renewal;
mod roots;
pub mod store;
pub mod transport;

pub use agent::{Agent, Step};
pub use backoff::Backoff;
pub use deadlines::Deadlines;
pub use deployment::Deployment;
pub use error::SdkError;
pub use reason::Reason;
pub use recommender::{Explanation, Feedback, PrivacyStatus, Recommendation, Recommender};
pub use store::{Forget, Store};
pub use tacit_privacy::noise::TableCache;
