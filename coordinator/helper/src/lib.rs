//! The helper daemon: keeps one sealing key per round and answers with one mask sum per round.
//!
//! It learns no device identity and sees no update. Everything it may refuse is decided by
//! `tacit_round::helper`; this crate adds what that machine leaves out: durable state, key files,
//! signatures and the gRPC edge.
//!
//! - [`config`] what an operator sets; [`Prepared`] what a start reads; [`serve`] runs the daemon;
//! - `live` what may change while it serves;
//! - `service` parses, calls and maps, with `messages`; `status` turns refusals into gRPC codes;
//! - `countersign`, `admit`, `release`, `lines`, `restore`, `give_back` are what it does, one file
//!   each, on the state in `helper`;
//! - `keys` the key files of open rounds, [`ExpandedKey`] one of them ready to open seeds; `store`
//!   everything else that must survive.
//!
//! Invariants: an answer leaves only after {used seeds, set digest, mask sum, ledger line} are
//! durable in one transaction; a key file exists only while its round is open; a storage failure
//! stops the daemon, because what a failed sync has left on the disk is known only to a restart.

#![forbid(unsafe_code)]

pub mod config;

mod admit;
mod countersign;
mod error;
mod give_back;
mod helper;
mod keys;
mod lines;
mod live;
mod messages;
mod open_round;
mod opening;
mod prepared;
mod recovery;
mod release;
mod restore;
mod server;
mod service;
mod status;
mod store;

pub use config::Config;
pub use error::HelperError;
pub use opening::ExpandedKey;
pub use prepared::Prepared;
pub use server::serve;
pub use service::parse_seed;
