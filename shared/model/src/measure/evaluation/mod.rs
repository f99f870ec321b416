//! Federated evaluation: how good the model is for its owners, without anybody seeing one owner's
//! ranking.
//!
//! Each device holds out what its owner used last, ranks with the published model from the rest,
//! and answers a fixed list of questions ([`layout`]) in one vector of norm at most 1 ([`device`]).
//! The server reads figures with standard errors off the noisy sum, and whether the factors are
//! worth keeping ([`server`]).
//!
//! What is held out for this must not have been trained on: in a task that is evaluated, every
//! vector leaves the owner's latest item out ([`crate::History::hold_out`]).

pub mod device;
pub mod layout;
pub mod server;
#[cfg(test)]
mod tests;

pub use device::{Answers, answers};
pub use server::{Estimate, Evaluation, evaluate, keeps_factors};
