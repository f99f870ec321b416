//! Weighted squares: item factors of implicit ALS, trained from one bounded vector per device and
//! round.
//!
//! With `p_u` the user factors and `v_j` the item factors, the loss is that of implicit ALS
//! (Rendle, Krichene, Zhang, Koren 2021, equation 1): squares `(p_u . v_j - 1)^2` over what was
//! used and `alpha_0 (p_u . v_j)^2` over the whole catalogue. Each device solves for its own `p_u`
//! exactly and keeps it. The gradient of the unobserved part, `alpha_0 V sum_u p_u p_u^T`, needs
//! only a (d, d) matrix from the devices: nobody touches the catalogue row by row, and a device's
//! vector is zero outside the items its owner used and that matrix.
//!
//! Start from a trained [`crate::SpectralModel`] with [`server::warm_start`].

mod codec;
pub mod device;
mod model;
mod plausibility;
pub mod server;
mod terms;

pub(crate) use codec::MAGIC;
pub use model::WeightedModel;
pub use terms::{CLIP_NORM, CLIP_NORMS, WeightedTerms};
