//! Learning: from what an owner did, to the one unit vector a device sends, to the model the server
//! publishes, to a ranking.
//!
//! Everything is a pure function of its arguments: no files, no clock, no operating-system
//! randomness, no serialisation framework. What devices compute has L2 norm 1 by construction;
//! making it private and safe to send belongs to `tacit-privacy`, and deciding whether it may be
//! sent to the ledger.
//!
//! One room an idea, in reading order: [`history`] (what an owner did, cleaned), [`family`] (the
//! seam and the four models behind it, and what is trained for how strong a signal), [`rank`] (from
//! a model and a history to a list), [`measure`] (how good that is), `maths`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod family;
pub mod history;
mod maths;
pub mod measure;
pub mod rank;
#[cfg(test)]
mod synthetic;

pub use family::Model;
pub use family::features::Features;
pub use family::recipe::Recipe;
pub use family::spectral::{ModelError, SpectralModel};
pub use history::interaction::{Interaction, InteractionKind};
pub use history::preference::History;
