//! Learning: from an owner's interactions, to the one unit vector a device sends, to the model the
//! server publishes, to a ranking.
//!
//! Everything is a pure function of its arguments: no files, no clock, no operating-system
//! randomness, no serialisation framework. A device's vector has L2 norm at most 1 by construction.
//! Making it private and safe to send belongs to `tacit-privacy`, and deciding whether it may be
//! sent to the ledger.
//!
//! One room per idea. Each uses only the rooms before it:
//!
//! | room | what it owns |
//! |---|---|
//! | `maths` | vectors, small solves |
//! | [`history`] | what an owner did, cleaned and weighted |
//! | [`family`] | the four families of models, [`Model`] over them, and the recipe for a signal |
//! | [`rank`] | from a model and a history to a list |
//! | [`measure`] | how good a model is |
//! | [`release`] | what each kind of release asks of a device and makes of the sum |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod family;
pub mod history;
mod maths;
pub mod measure;
pub mod rank;
pub mod release;
#[cfg(test)]
mod synthetic;

pub use family::features::Features;
pub use family::recipe::Recipe;
pub use family::spectral::SpectralModel;
pub use family::{Model, ModelError};
pub use history::interaction::{Interaction, InteractionKind};
pub use history::preference::History;
