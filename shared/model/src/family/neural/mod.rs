//! Item factors from a small network over public item features: one hidden layer of random weights,
//! one trained layer.
//!
//! With `f_j` the features of item j scaled to norm 1, the hidden units are `h_j = max(0, f_j W)`,
//! W Gaussian from the task's public seed and never trained (random features, Rahimi and Recht
//! 2008). [`network`] scales them by `sqrt(c_j w_j)`, takes the popularity axis away and mixes them
//! into an orthonormal public basis `U: (M, r)`; the item factors are `Q = U B`. Devices train `B:
//! (r, d)` by the unit vectors of [`crate::family::spectral`], seen through the basis: `unit(U^T x)
//! p^T` with `p = unit(Q^T x)`.
//!
//! It buys a short vector: after the counts at most r d numbers, 16 KiB with 32 factors, whatever
//! the size of the catalogue, and the noise falls on those only. It costs detail: the trained
//! factors know an item by its features alone, so a strong signal is wasted.
//! `tests/quality/RESULTS.md` shows where it beats the spectral model with the same features and
//! where it loses.
//!
//! Only training knows the network: the last model of a finished task is a spectral one.

mod codec;
pub mod device;
mod model;
pub mod network;
mod preset;
pub mod server;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use codec::MAGIC;
pub use model::NeuralModel;
pub use preset::{DIRECTIONS, directions, recipe};
