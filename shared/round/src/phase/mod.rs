//! The coordinator's phases, one a file. Each holds only what it needs; a transition consumes it.

pub mod closing;
pub mod configuration;
pub mod release;
pub mod reporting;
