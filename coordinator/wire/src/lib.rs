//! The mutual-TLS edge that coordinator and helper share: certificates, peer identity, and a
//! listener of our own.
//!
//! tonic's built-in TLS cannot bound handshakes or close a silent peer, so connections are accepted
//! here and handed over as an already authenticated stream. [`pki`] makes and signs certificates,
//! [`renewal`] makes them anew and [`rotation`] their root, [`leaf`] reads one that may have ended,
//! [`revoked`] knows which hold no more, [`identity`] reads who a peer is, [`listener`] accepts and
//! [`dial`] connects, both by the cryptography of [`provider`], [`config`] and [`files`] read
//! configuration, keys and certificates with errors that name the file. What may be replaced while
//! a daemon serves is a [`current::Current`], and [`reload`] replaces it.

#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod current;
pub mod dial;
pub mod endpoint;
pub mod files;
pub mod follow;
pub mod identity;
pub mod leaf;
pub mod listener;
pub mod pki;
pub mod provider;
pub mod reload;
pub mod renewal;
pub mod revoked;
pub mod rotation;

pub use identity::Peer;
pub use listener::{Listener, Shutdown};
