//! Moves a clipped vector to the integer grid and tests its norm exactly.
//!
//! The test `||z||^2 <= B2_int`, in integers, is the sensitivity proof of every release. Floating
//! point ends in `crate::rounding`; a lint keeps it out of here.

use std::fmt;

use rand::Rng;

use crate::clip::ClippedGradient;
use crate::exact::Exact;
use crate::mechanism::Mechanism;
use crate::rounding;

/// An integer vector whose squared norm is at most [`Mechanism::squared_sensitivity`]. Still
/// private: prints as its length only, cannot be serialised, and is erased when dropped.
pub struct QuantisedUpdate {
    values: Vec<i32>,
}

impl QuantisedUpdate {
    /// Grid values, for the noise step, and for the simulator and audits, which compare runs with
    /// and without noise inside one process. Nothing makes a [`crate::PrivateUpdate`] from them.
    pub fn values(&self) -> &[i32] {
        &self.values
    }
}

impl fmt::Debug for QuantisedUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuantisedUpdate(N={})", self.values.len())
    }
}

impl Drop for QuantisedUpdate {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.values);
    }
}

/// How often rounding is redrawn before the vector is rounded toward zero.
pub const REDRAWS_MAX: usize = 32;

/// Rounds `gradient / gamma` stochastically (unbiased), redrawing while the integer norm exceeds
/// the bound.
///
/// | input, after clipping | result |
/// |---|---|
/// | 0 or -0 in a coordinate | 0 there |
/// | every coordinate on the grid | unchanged |
/// | between grid points | the one below or above, with the right expectation |
/// | `nnz_max` non-zero coordinates and norm 1 | within the bound, rarely redrawn |
/// | more than `nnz_max` non-zero coordinates | within the bound, after redraws or the next row |
/// | [`REDRAWS_MAX`] draws above the bound | every coordinate rounded toward zero |
/// | that too above the bound | the zero vector |
///
/// The last row is out of reach of a clipped vector: its norm is at most 1 + 2^-29, so toward zero
/// the squared norm is at most G^2 (1 + 2^-28) with G = C/gamma <= 2^20, and the bound is at least
/// G^2 + G.
///
/// Each draw takes one word of randomness per coordinate and the same work whatever the data. How
/// many draws there are does depend on the data: a redraw has probability at most e^-1/2 (the
/// theorem), about 0.16 in the worst case (one standard deviation) and below 0.01 for a gradient
/// whose fractions are spread. Nothing here hides that time.
///
/// # Guarantees
/// Zero-out adjacency, device-level: the squared L2 sensitivity of the result is at most
/// [`Mechanism::squared_sensitivity`], checked in integers (Kairouz, Liu & Steinke 2021,
/// conditional rounding).
pub fn quantise(
    gradient: ClippedGradient,
    mechanism: &Mechanism,
    rng: &mut impl Rng,
) -> QuantisedUpdate {
    within(
        mechanism.squared_sensitivity(),
        &gradient,
        mechanism.steps,
        rng,
    )
}

fn within(
    bound: u128,
    gradient: &ClippedGradient,
    steps: u32,
    rng: &mut impl Rng,
) -> QuantisedUpdate {
    let mut update = QuantisedUpdate {
        values: vec![0; gradient.len()],
    };
    for _ in 0..REDRAWS_MAX {
        round(gradient, &mut update, |x, factor, values| {
            rounding::stochastic(x, factor, steps, rng, values)
        });
        if squared_norm(&update.values) <= bound {
            return update;
        }
    }
    round(gradient, &mut update, |x, factor, values| {
        rounding::toward_zero(x, factor, steps, values)
    });
    if squared_norm(&update.values) > bound {
        update.values.fill(0);
    }
    update
}

/// Rounds every stretch of `gradient` to where it belongs.
fn round(
    gradient: &ClippedGradient,
    update: &mut QuantisedUpdate,
    mut by: impl FnMut(&[f32], f64, &mut [i32]),
) {
    let mut at = 0;
    for (coordinates, factor) in gradient.stretches() {
        by(
            coordinates,
            factor,
            &mut update.values[at..][..coordinates.len()],
        );
        at = at.plus(coordinates.len());
    }
}

/// Values squared and added together in 64 bits, where they are all below [`SMALL`]: 2^10 squares
/// below 2^54.
const STRETCH: usize = 1 << 10;
const SMALL: u32 = 1 << 27;

/// Exact squared norm.
fn squared_norm(values: &[i32]) -> u128 {
    values.chunks(STRETCH).map(stretch_squared).sum()
}

/// The same of at most [`STRETCH`] values. A clipped vector has none above 2^20 + 1, so 64 bits
/// hold it; anything else takes 128.
fn stretch_squared(values: &[i32]) -> u128 {
    let square = |&value: &i32| u64::from(value.unsigned_abs()).pow(2);
    let bits_of_all = values
        .iter()
        .fold(0, |bits, value| bits | value.unsigned_abs());
    if bits_of_all < SMALL {
        // Wrapping, because a check would be made for every coordinate; it cannot wrap.
        return u128::from(values.iter().map(square).fold(0, u64::wrapping_add));
    }
    values
        .iter()
        .map(|value| u128::from(square(value)))
        .sum()
}

#[cfg(test)]
mod tests;
