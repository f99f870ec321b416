//! The device half: how the trained layer should move for one owner.

use super::model::NeuralModel;
use crate::family::sparse::SparseGradient;
use crate::family::spectral::device::{block_profile, user_factors};
use crate::history::preference::History;
use crate::maths::linalg::{make_unit, narrow};

/// `unit(U^T x) p^T`: (r, d), row-major, with `p = unit(Q^T x)` the user factors, which stay on the
/// device.
///
/// # Guarantees
/// L2 norm 1 up to f32 rounding, or 0 where the features say nothing about what the owner used.
pub fn sparse_gradient(history: &History, model: &NeuralModel) -> SparseGradient {
    let spectral = &model.spectral;
    let x = block_profile(history, spectral);
    let p = user_factors(&x, spectral);
    let seen = model.network.through_basis(&x, spectral);
    let norm_squared = seen.iter().map(|value| value * value).sum();
    let mut seen: Vec<f32> = seen.into_iter().map(narrow).collect();
    make_unit(seen.iter_mut(), norm_squared);

    let mut gradient = SparseGradient::with_capacity(p.len(), seen.len());
    for (row, share) in seen.into_iter().enumerate() {
        let values = p.iter().map(|p| share * p);
        gradient.push(row, values);
    }
    gradient
}
