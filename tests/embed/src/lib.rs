//! What the tests of this app need: a coordinator that runs, and an ear on the way to it.

#![forbid(unsafe_code)]

mod coordinator;
mod ear;
mod hello;

pub use coordinator::Coordinator;
pub use ear::{Ear, Heard};

/// X25519MLKEM768, as TLS numbers it (draft-ietf-tls-ecdhe-mlkem).
pub const X25519MLKEM768: u16 = 0x11ec;
