//! Learning: interactions to preferences to item factors to gradients to scores.
#![forbid(unsafe_code)]

pub mod interaction;
