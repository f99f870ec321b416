//! The last floating-point step of a release: from a clipped coordinate to a whole number of grid
//! steps.
//!
//! No value here is subnormal, for which processors are slower: clipping leaves none, and the least
//! number it leaves is, multiplied, above 1e-90.

use rand::Rng;
use zeroize::Zeroizing;

use crate::exact::Exact;

/// Coordinates for which randomness is drawn at once: a call of the generator for each would cost
/// more than the rounding.
const BLOCK: usize = 64;
/// 1.5 times 2^52, where neighbouring doubles are 1 apart: adding it rounds to the nearest whole
/// number, which then stands in the low bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// Writes floor(x steps) or floor(x steps) + 1 for every `coordinate * factor = x`, with
/// expectation x steps up to 2^-32.
///
/// Takes one 32-bit word per coordinate whatever the data, and the comparisons are masks, not
/// branches, in the compiler's output for x86-64. A zero needs no special case: its fraction is 0,
/// and no uniform is below that, so exact zeros stay zero.
///
/// 32 bits are enough: the gradient is of f32, so its own last bit is worth 2^-24 of a coordinate,
/// and what the grid of uniforms can add to a sum of 2^24 devices is 2^-8 of a step, under noise of
/// at least 4 steps per device. What a release costs does not rest on it but on the integer norm
/// test.
pub(crate) fn stochastic(
    coordinates: &[f32],
    factor: f64,
    steps: u32,
    rng: &mut impl Rng,
    values: &mut [i32],
) {
    let steps = f64::from(steps);
    let mut words = Zeroizing::new([0u8; 4 * BLOCK]);
    for (values, coordinates) in values.chunks_mut(BLOCK).zip(coordinates.chunks(BLOCK)) {
        let words = &mut words[..coordinates.len().times(4)];
        rng.fill_bytes(words);
        for ((value, &x), word) in values
            .iter_mut()
            .zip(coordinates)
            .zip(words.as_chunks::<4>().0)
        {
            *value = up_or_down(f64::from(x) * factor * steps, u32::from_le_bytes(*word));
        }
    }
}

/// floor(`scaled`), or one more if a uniform from [0, 1) in steps of 2^-32, made of `word`, is
/// below its fraction.
///
/// The same work for every number: no conversion that saturates, no call, no branch. A clipped
/// vector on the finest grid stays within 2^20 + 1, far inside what [`SHIFT`] can hold; of anything
/// else the integer norm test that follows judges the result.
fn up_or_down(scaled: f64, word: u32) -> i32 {
    let near = (scaled + SHIFT) - SHIFT;
    let below = near - one_if(near > scaled);
    let uniform = f64::from(word) * 2f64.powi(-32);
    whole(below + one_if(uniform < scaled - below))
}

/// 1 or 0, by a mask: a conversion from an integer would take twice as long as all the rest.
fn one_if(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

/// A whole number within +-2^31 as an integer.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the low half is the number in two's complement"
)]
fn whole(value: f64) -> i32 {
    ((value + SHIFT).to_bits() as u32).cast_signed()
}

/// Writes x steps without its fraction for every `coordinate * factor = x`: no magnitude grows.
pub(crate) fn toward_zero(coordinates: &[f32], factor: f64, steps: u32, values: &mut [i32]) {
    for (value, &x) in values.iter_mut().zip(coordinates) {
        *value = truncate(f64::from(x) * factor * f64::from(steps));
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "`as` truncates toward zero and saturates; |x| <= 2^20 + 1 here"
)]
fn truncate(x: f64) -> i32 {
    x as i32
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "whole numbers that fit")]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn a_number_goes_up_exactly_when_the_uniform_is_below_its_fraction() {
        let mut rng = chacha20::ChaCha20Rng::seed_from_u64(3);
        let edges = [
            0.0,
            -0.0,
            0.5,
            -0.5,
            1.0,
            -1.0,
            1.5,
            -1.5,
            2.5,
            -2.5,
            1e-90,
            -1e-90,
            0.999_999_999_999_999_9,
        ];
        let large = [
            1_048_576.0,
            -1_048_576.0,
            1_048_577.0,
            1_048_575.5,
            -1_048_576.25,
            2_147_483_646.5,
            -2_147_483_647.5,
        ];
        let drawn: Vec<f64> = (0..2_000)
            .map(|_| (rng.next_u64() as i64 >> 20) as f64 / f64::from(1 << 20))
            .collect();
        for scaled in edges.into_iter().chain(large).chain(drawn) {
            let (below, fraction) = (scaled.floor(), scaled - scaled.floor());
            // The words whose uniforms are the least, the greatest, and those around the fraction.
            let at = (fraction * 2f64.powi(32)) as u32;
            for word in [
                0,
                u32::MAX,
                at,
                at.saturating_sub(1),
                at.saturating_add(1),
                rng.next_u32(),
            ] {
                let up = f64::from(word) / 2f64.powi(32) < fraction;
                assert_eq!(
                    up_or_down(scaled, word),
                    below as i32 + i32::from(up),
                    "{scaled} {word}"
                );
            }
        }
    }
}
