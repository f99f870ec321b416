//! Learning: from what an owner did, to the one unit vector a device sends, to the model the server
//! publishes, to a ranking.
//!
//! Everything is a pure function of its arguments: no files, no clock, no operating-system
//! randomness, no serialisation framework. What devices compute has L2 norm 1 by construction;
//! making it private and safe to send belongs to `tacit-privacy`, and deciding whether it may be
//! sent to the ledger.
//!
//! Reading order: [`preference`] (a device's cleaned history), [`recipe`] (what is trained for how
//! strong a signal), [`features`] (what the catalogue says about items), [`mod@model`] (the seam:
//! what any model asks of a device and makes of a sum), [`spectral`] (the default, its device half
//! and its server half), [`score`] (ranking, as measured). On the device: [`sessions`], [`fusion`]
//! and [`scene`] (what each item counts), [`serve`] and [`profile`] (the same ranking, kept up to
//! date), [`filter`] and [`rerank`] (the list), [`explain`] and [`similar`]; [`cold_start`] for
//! owners and items nothing is known of. [`weighted`], [`rating`] and [`neural`] are three more
//! models behind the seam; [`metric`] and [`baseline`] exist for measuring only.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod baseline;
mod bytes;
pub mod cold_start;
pub mod evaluation;
pub mod explain;
pub mod features;
pub mod filter;
mod fit;
pub mod fusion;
pub mod fusion_choice;
pub mod interaction;
mod linalg;
pub mod metric;
pub mod model;
pub mod neural;
pub mod preference;
pub mod profile;
pub mod rating;
pub mod recipe;
pub mod rerank;
pub mod scene;
pub mod score;
pub mod serve;
pub mod sessions;
pub mod similar;
mod solve;
pub mod spectral;
#[cfg(test)]
mod synthetic;
pub mod weighted;
mod words;

pub use features::Features;
pub use interaction::{Interaction, InteractionKind};
pub use model::Model;
pub use preference::History;
pub use recipe::Recipe;
pub use spectral::{ModelError, SpectralModel};
