//! The last floating-point step of a release: from a clipped coordinate to a whole number of grid steps.
//!
//! No value here is subnormal, for which processors are slower: the smallest float a gradient can hold, scaled down by
//! clipping, is above 1e-90.

use rand::Rng;

/// Writes floor(x steps) or floor(x steps) + 1 for every coordinate, with expectation x steps.
///
/// Takes one 64-bit word per coordinate whatever the data, and the comparison is a mask, not a branch, in the compiler's
/// output for x86-64. A zero needs no special case: its fraction is 0, and no uniform
/// is below that, so exact zeros stay zero.
pub(crate) fn stochastic(coordinates: &[f64], steps: u32, rng: &mut impl Rng, values: &mut [i32]) {
    for (value, &x) in values.iter_mut().zip(coordinates) {
        let scaled = x * f64::from(steps);
        // floor by way of the integer: `f64::floor` is a call on processors without a rounding instruction.
        let near = truncate(scaled);
        let below = near.saturating_sub(i32::from(f64::from(near) > scaled));
        let uniform = (rng.next_u64() >> 11) as f64 * 2f64.powi(-53);
        *value = below.saturating_add(i32::from(uniform < scaled - f64::from(below)));
    }
}

/// Writes x steps without its fraction for every coordinate: no magnitude grows.
pub(crate) fn toward_zero(coordinates: &[f64], steps: u32, values: &mut [i32]) {
    for (value, &x) in values.iter_mut().zip(coordinates) {
        *value = truncate(x * f64::from(steps));
    }
}

#[allow(clippy::cast_possible_truncation, reason = "`as` truncates toward zero and saturates; |x| <= 2^20 + 1 here")]
fn truncate(x: f64) -> i32 {
    x as i32
}
