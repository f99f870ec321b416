//! The mutual-TLS edge that coordinator and helper share: certificates, peer identity, and a
//! listener of our own.
//!
//! tonic's built-in TLS cannot bound handshakes or close a silent peer, so connections are accepted
//! here and handed over as an already authenticated stream. [`pki`] makes and signs certificates,
//! [`renewal`] makes them anew, [`leaf`] reads one that may have ended, [`identity`] reads who a
//! peer is, [`listener`] accepts, [`config`] and [`files`] read configuration, keys and
//! certificates with errors that name the file.

#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod endpoint;
pub mod files;
pub mod identity;
pub mod leaf;
pub mod listener;
pub mod pki;
pub mod renewal;

pub use identity::Peer;
pub use listener::{Listener, Shutdown};
