//! What must hold for any bytes at all: one function for each kind of bytes that come from outside.
//!
//! A target takes the bytes, hands them to the code that reads them in production, and panics when
//! a promise is broken: no input panics, what is accepted writes back to the same bytes, nothing is
//! believed that was not signed or sealed. libFuzzer calls the targets with bytes it makes up
//! (`cargo xtask fuzz`); the test `corpus` calls them with the committed corpus and fixed changes
//! of it. [`seeds`] makes the valid part of the corpus.

mod files;
mod parties;
pub mod seeds;
mod signed;
mod wire;

pub use files::{config, csv, model};
pub use signed::{ledger_line, policy, sealed_seed, ticket, tree_head};
pub use wire::wire;

/// A target: panics when the bytes break a promise.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("config", config),
    ("csv", csv),
    ("ledger_line", ledger_line),
    ("model", model),
    ("policy", policy),
    ("sealed_seed", sealed_seed),
    ("ticket", ticket),
    ("tree_head", tree_head),
    ("wire", wire),
];
