//! The four families of models, and [`Model`], which is any of them.
//!
//! May use `maths` and [`crate::history`]. Nothing here knows which releases a task makes of a
//! model, how a device turns scores into a list, or how good a model is: see [`crate::release`],
//! [`crate::rank`] and [`crate::measure`].
//!
//! Reading order: [`spectral`] (the default, and a part of the others), [`weighted`], [`rating`],
//! [`neural`]; [`recipe`] (what is trained at how strong a signal), [`catalogue`] and [`features`]
//! (what is known of the items); `model` and `owner`, behind which everybody else sees the four.

pub mod catalogue;
mod error;
pub mod features;
pub(crate) mod fit;
pub mod limits;
mod model;
pub mod neural;
mod owner;
pub mod plausibility;
pub mod rating;
pub mod recipe;
pub mod sparse;
pub mod spectral;
pub mod weighted;
mod words;

pub use error::ModelError;
pub use model::{Family, Model};
pub use owner::{Owner, Spared};
