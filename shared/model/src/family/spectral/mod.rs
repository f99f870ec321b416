//! The spectral model: item factors that span the subspace in which most people's use lies.
//!
//! The objective is `max over Q of sum_u |Q^T x_u|^2` for orthonormal item factors Q, where `x_u`
//! is the unit vector of the items device u used. Its gradient for one device is the rank-one
//! matrix `x_u (Q^T x_u)^T`; scaled to norm one, it is what the device sends. [`model`] is what the
//! server publishes, [`codec`] its bytes, [`device`] and [`server`] the two halves, [`score`] the
//! ranking, [`agreement`] how far learned factors are trusted, [`public`] columns of public item
//! features, [`growth`] a start from an earlier task's basis, [`plausibility`] the figures a device
//! looks at before it takes part.

pub mod agreement;
pub mod codec;
pub mod device;
pub mod growth;
pub mod model;
pub mod plausibility;
pub mod public;
pub mod score;
pub mod server;

pub use model::SpectralModel;
