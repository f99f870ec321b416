//! Explicit ratings: `rating = mu + b_u + b_j + p_u . v_j`, with `b_u` and `p_u` kept on the
//! device.
//!
//! One release of [`device::biases`] gives the item biases `b_j` and the item counts; the
//! directions of `v_j` are those of the spectral subspace of rated items, trained from there by the
//! devices' usual unit vectors. Public item features (genres) are the prior mean of the biases and
//! further columns of `v_j`: an owner's opinion of a genre costs no privacy, because it is fitted
//! on the device and stays there.

pub mod central;
mod codec;
pub mod device;
mod model;
mod ratings;
mod scale;
pub mod server;

pub(crate) use codec::MAGIC;
pub use model::RatingModel;
pub use ratings::Ratings;
pub use scale::Scale;
