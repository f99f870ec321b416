//! What app developers embed: record what happened, get recommendations offline, and train
//! privately when the app allows.
//!
//! - [`Installation`] is one handle for an app with threads: all of it behind `&self`, one blocking
//!   [`Installation::step`] that tells in a word what it did, and privacy in words and figures.
//! - [`Recommender`] is what lists are made by: `record`, `recommend`, `similar`, `explain`,
//!   `feedback`, `privacy_status`, `export_my_data`, `forget`; no network.
//! - [`Agent`] fetches what is published and takes part in one round, each when called and as far
//!   as [`Consent`] goes; no thread or timer of its own.
//! - [`identity`] enrols an installation once.
//! - [`Recommender::for_owner`] and [`Installation::for_owner`] are for a device that several
//!   people share: each has lists and decisions of their own, and all of them one identity and one
//!   budget.
//! - [`blocking()`] runs what uses the network for an app without an async runtime.
//!
//! Raw interactions and user factors never leave the device; the only thing that can is a
//! `MaskedUpdate`, and only after the device's own ledger has reserved its price durably.
//!
//! # Features
//!
//! Each adds modules and changes none, so what is there does the same in every build. One is a
//! choice: `aws-lc` takes the cryptography of TLS from AWS-LC, for who must, FIPS 140 being a
//! feature of rustls's own (`fips`). Where both are on, AWS-LC is used.
//!
//! | feature | what it adds | what it brings |
//! |---|---|---|
//! | none | [`model`], [`types`]: rank with a model the app holds | no store, network or thread |
//! | `store` | [`Recommender`], [`Store`] | SQLite |
//! | `train`, the default | [`Agent`], [`identity`], and `store` | gRPC over TLS by ring, tokio |
//! | `aws-lc` | the same | TLS by AWS-LC, and no ring unless `train` is on too |
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
    not(feature = "network"),
    allow(
        dead_code,
        reason = "training keeps models and makes folders in its own ways"
    )
)]

#[cfg(feature = "network")]
pub mod agent;
#[cfg(feature = "network")]
pub mod backoff;
#[cfg(feature = "network")]
mod blocking;
#[cfg(feature = "store")]
mod bundle;
#[cfg(feature = "network")]
mod connector;
#[cfg(feature = "network")]
mod credentials;
#[cfg(feature = "network")]
mod deadlines;
#[cfg(feature = "network")]
mod deployment;
#[cfg(feature = "network")]
mod device_key;
#[cfg(feature = "network")]
mod diagnosis;
#[cfg(feature = "store")]
pub mod error;
#[cfg(feature = "store")]
mod files;
#[cfg(feature = "network")]
mod http2;
#[cfg(feature = "network")]
pub mod identity;
#[cfg(feature = "network")]
pub mod installation;
#[cfg(feature = "store")]
mod kept;
#[cfg(feature = "network")]
mod policies;
#[cfg(feature = "store")]
mod private;
#[cfg(feature = "store")]
mod reason;
#[cfg(feature = "store")]
pub mod recommender;
#[cfg(feature = "network")]
mod renewal;
#[cfg(feature = "network")]
mod roots;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "network")]
pub mod tls;
#[cfg(feature = "network")]
pub mod transport;

// The crates whose types this one shows: an app needs no other dependency.
pub use tacit_model as model;
#[cfg(feature = "store")]
pub use tacit_privacy as privacy;
#[cfg(feature = "store")]
pub use tacit_round as round;
pub use tacit_types as types;

#[cfg(feature = "network")]
pub use agent::{Agent, Step};
#[cfg(feature = "network")]
pub use backoff::Backoff;
#[cfg(feature = "network")]
pub use blocking::blocking;
#[cfg(feature = "store")]
pub use bundle::Bundle;
#[cfg(feature = "network")]
pub use deadlines::Deadlines;
#[cfg(feature = "network")]
pub use deployment::Deployment;
#[cfg(feature = "store")]
pub use error::SdkError;
#[cfg(feature = "network")]
pub use installation::{
    Conditions, Installation, Missing, Outcome, PrivacyReport, Release, Stepped,
};
#[cfg(feature = "store")]
pub use reason::{Reason, Unenrolled};
#[cfg(feature = "store")]
pub use recommender::{
    Explanation, Feedback, PrivacyStatus, Recommendation, Recommender, Recorded, Why,
};
#[cfg(feature = "store")]
pub use store::{Consent, Event, Forget, Store};
#[cfg(feature = "store")]
pub use tacit_privacy::noise::TableCache;

#[cfg(all(feature = "network", panic = "abort"))]
compile_error!(
    "tacit-sdk cannot train under panic = \"abort\": a panic after a spend would keep the device \
     from sending, which tells of its history; build with panic = \"unwind\", or without the \
     feature `train`"
);
