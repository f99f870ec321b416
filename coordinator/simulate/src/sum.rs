//! One release without its noise: what every device would send, rounded and added up.
//!
//! A device's vector is zero outside the items its owner used. Only the other coordinates are
//! computed, and they go through the very `clip` and `quantise` of a device: zeros change no norm
//! and stay zero, and the draws that would round them are not used. Given the draws of the other
//! coordinates, the result is the dense one to the last integer.

use rand::Rng;
use rayon::prelude::*;
use tacit_model::family::sparse::SparseGradient;
use tacit_model::family::{Model, Owner};
use tacit_model::history::preference::History;
use tacit_privacy::{Mechanism, clip, quantise};
use tacit_round::ticket::Kind;

use crate::streams::{Purpose, fast_stream};

/// What all devices of a round are asked for.
pub struct Ask<'a> {
    /// What the vector means.
    pub kind: Kind,
    /// The model the devices hold.
    pub model: &'a Model,
    /// Public numbers; only the grid and its norm bound matter here.
    pub mechanism: &'a Mechanism,
    /// Seed of the simulation.
    pub seed: u64,
    /// Number of the release within the task.
    pub release: u32,
}

/// Adds up the rounded vectors of the users in `present`, in grid steps: (`mechanism.length`).
///
/// Integers in any order, so the number of threads does not show. A sum cannot leave 32 bits: the
/// mechanism's own check proves it for all of its cohort.
pub fn device_sum(histories: &[History], present: &[u32], ask: &Ask<'_>) -> Vec<i32> {
    vector_sum(
        present,
        ask.mechanism,
        |user| rounding(ask, user),
        |user| sparse(&Owner::from(&histories[user as usize]), ask),
    )
}

/// The stream one device rounds with.
pub fn rounding(ask: &Ask<'_>, user: u32) -> impl Rng + use<> {
    fast_stream(ask.seed, Purpose::Rounding, ask.release, u64::from(user))
}

/// [`device_sum`] of any vectors.
pub(crate) fn vector_sum<R: Rng>(
    present: &[u32],
    mechanism: &Mechanism,
    rounding: impl Fn(u32) -> R + Sync,
    vector: impl Fn(u32) -> SparseGradient + Sync,
) -> Vec<i32> {
    let share = present
        .len()
        .div_ceil(rayon::current_num_threads())
        .max(1);
    let parts = present.par_chunks(share).map(|users| {
        let mut sum = vec![0i32; mechanism.length as usize];
        for &user in users {
            add_device(&mut sum, vector(user), mechanism, &mut rounding(user));
        }
        sum
    });
    parts
        .reduce_with(added)
        .unwrap_or_else(|| vec![0; mechanism.length as usize])
}

fn added(mut sum: Vec<i32>, part: Vec<i32>) -> Vec<i32> {
    sum.iter_mut()
        .zip(&part)
        .for_each(|(total, value)| *total += value);
    sum
}

fn add_device(
    sum: &mut [i32],
    sparse: SparseGradient,
    mechanism: &Mechanism,
    rounding: &mut impl Rng,
) {
    let (rows, width) = (sparse.rows().to_vec(), sparse.width());
    let Ok(length @ 1..) = u32::try_from(rows.len() * width) else {
        return;
    };
    let touched = Mechanism {
        length,
        ..mechanism.clone()
    };
    let rounded = quantise(clip(sparse.into_rows(), &touched), &touched, rounding);
    for (row, values) in rows.iter().zip(rounded.values().chunks_exact(width)) {
        sum[row * width..][..width]
            .iter_mut()
            .zip(values)
            .for_each(|(total, value)| *total += value);
    }
}

/// What a device of the protocol sends.
pub(crate) fn sparse(owner: &Owner<'_>, ask: &Ask<'_>) -> SparseGradient {
    ask.model
        .sparse_vector(ask.kind, owner)
        .unwrap_or_default()
}
