//! Learning: from what an owner did, to the one unit vector a device sends, to the model the server publishes, to a ranking.
//!
//! Everything is a pure function of its arguments: no files, no clock, no operating-system randomness, no serialisation
//! framework. What devices compute has L2 norm 1 by construction; making it private and safe to send belongs to
//! `tacit-privacy`, and deciding whether it may be sent to the ledger.
//!
//! Reading order: [`preference`] (a device's cleaned history), [`recipe`] (what is trained for how strong a signal),
//! [`spectral`] (the model, the device half and the server half), [`score`] (ranking), then [`weighted`] and [`rating`] (two
//! more models, in simulations so far), and [`metric`] and [`baseline`], which exist for measuring only.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod baseline;
pub mod interaction;
mod linalg;
pub mod metric;
pub mod preference;
pub mod rating;
pub mod recipe;
pub mod score;
mod solve;
pub mod spectral;
#[cfg(test)]
mod synthetic;
pub mod weighted;

pub use interaction::{Interaction, InteractionKind};
pub use preference::History;
pub use recipe::Recipe;
pub use spectral::{ModelError, SpectralModel};
