//! What app developers embed: record what happened, get recommendations offline, and train
//! privately when the app allows.
//!
//! - [`Recommender`] is the facade: `record`, `recommend`, `similar`, `explain`, `feedback`,
//!   `privacy_status`, `export_my_data`, `forget`; no network.
//! - [`Agent`] fetches what is published and takes part in one round, each when called and as far
//!   as [`Consent`] goes; no thread or timer of its own.
//! - [`identity`] enrols an installation once.
//! - [`blocking()`] runs what uses the network for an app without an async runtime.
//!
//! Raw interactions and user factors never leave the device; the only thing that can is a
//! `MaskedUpdate`, and only after the device's own ledger has reserved its price durably.
//!
//! # Features
//!
//! Each adds modules and changes none, so what is there does the same in every build.
//!
//! | feature | what it adds | what it brings |
//! |---|---|---|
//! | none | [`model`], [`types`]: rank with a model the app holds | no store, network or thread |
//! | `store` | [`Recommender`], [`Store`] | SQLite |
//! | `train`, the default | [`Agent`], [`identity`]; includes `store` | gRPC over TLS 1.3, tokio |
//!
//! # What an app's build cannot take away
//!
//! Key exchange is X25519MLKEM768 in every connection, whatever features rustls is built with.
//! Arithmetic that decides what is spent and released stops where it would overflow, whatever the
//! profile. A panic while training must not keep a device that has spent from sending, so a build
//! with `panic = "abort"` does not compile.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(feature = "train"),
    allow(
        dead_code,
        reason = "training keeps models and makes folders in its own ways"
    )
)]

#[cfg(feature = "train")]
pub mod agent;
#[cfg(feature = "train")]
pub mod backoff;
#[cfg(feature = "train")]
mod blocking;
#[cfg(feature = "store")]
mod bundle;
#[cfg(feature = "train")]
mod connector;
#[cfg(feature = "train")]
mod credentials;
#[cfg(feature = "train")]
mod deadlines;
#[cfg(feature = "train")]
mod deployment;
#[cfg(feature = "train")]
mod diagnosis;
#[cfg(feature = "store")]
pub mod error;
#[cfg(feature = "store")]
mod files;
#[cfg(feature = "train")]
pub mod identity;
#[cfg(feature = "store")]
mod kept;
#[cfg(feature = "train")]
mod policies;
#[cfg(feature = "store")]
mod private;
#[cfg(feature = "store")]
mod reason;
#[cfg(feature = "store")]
pub mod recommender;
#[cfg(feature = "train")]
mod renewal;
#[cfg(feature = "train")]
mod roots;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "train")]
pub mod transport;

// The crates whose types this one shows: an app needs no other dependency.
pub use tacit_model as model;
#[cfg(feature = "store")]
pub use tacit_privacy as privacy;
#[cfg(feature = "store")]
pub use tacit_round as round;
pub use tacit_types as types;

#[cfg(feature = "train")]
pub use agent::{Agent, Step};
#[cfg(feature = "train")]
pub use backoff::Backoff;
#[cfg(feature = "train")]
pub use blocking::blocking;
#[cfg(feature = "store")]
pub use bundle::Bundle;
#[cfg(feature = "train")]
pub use deadlines::Deadlines;
#[cfg(feature = "train")]
pub use deployment::Deployment;
#[cfg(feature = "store")]
pub use error::SdkError;
#[cfg(feature = "store")]
pub use reason::Reason;
#[cfg(feature = "store")]
pub use recommender::{Explanation, Feedback, PrivacyStatus, Recommendation, Recommender};
#[cfg(feature = "store")]
pub use store::{Consent, Event, Forget, Store};
#[cfg(feature = "store")]
pub use tacit_privacy::noise::TableCache;

#[cfg(all(feature = "train", panic = "abort"))]
compile_error!(
    "tacit-sdk cannot train under panic = \"abort\": a panic after a spend would keep the device \
     from sending, which tells of its history; build with panic = \"unwind\", or without the \
     feature `train`"
);
