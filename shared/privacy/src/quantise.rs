//! Moves a clipped vector to the integer grid and tests its norm exactly.
//!
//! The test `||z||^2 <= B2_int`, in integers, is the sensitivity proof of every release. Floating point ends in this file,
//! in [`round_coordinate`] and [`toward_zero`].

use std::fmt;

use rand::Rng;

use crate::clip::ClippedGradient;
use crate::mechanism::Mechanism;

/// An integer vector whose squared norm is at most [`Mechanism::squared_sensitivity`]. Still private: prints as its
/// length only, cannot be serialised, and is erased when dropped.
pub struct QuantisedUpdate {
    values: Vec<i32>,
}

impl QuantisedUpdate {
    /// Grid values, for the noise step and for noise-free comparison runs inside one process.
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

/// Rounds `gradient / gamma` stochastically (unbiased), redrawing while the integer norm exceeds the bound.
///
/// Exact zeros stay zero. After [`REDRAWS_MAX`] draws the vector is rounded toward zero, which cannot exceed the bound for
/// an input of norm at most 1; should floating-point error still push it over, the zero vector is sent.
///
/// # Guarantees
/// Zero-out adjacency, device-level: the squared L2 sensitivity of the result is at most
/// [`Mechanism::squared_sensitivity`], checked in integers (Kairouz, Liu & Steinke 2021, conditional rounding).
pub fn quantise(gradient: ClippedGradient, mechanism: &Mechanism, rng: &mut impl Rng) -> QuantisedUpdate {
    let bound = mechanism.squared_sensitivity();
    let steps = f64::from(mechanism.steps);
    let mut values = vec![0i32; gradient.coordinates().len()];
    for _ in 0..REDRAWS_MAX {
        for (value, &x) in values.iter_mut().zip(gradient.coordinates()) {
            *value = round_coordinate(x * steps, rng);
        }
        if squared_norm(&values) <= bound {
            return QuantisedUpdate { values };
        }
    }
    for (value, &x) in values.iter_mut().zip(gradient.coordinates()) {
        *value = toward_zero(x * steps);
    }
    if squared_norm(&values) > bound {
        values.fill(0);
    }
    QuantisedUpdate { values }
}

/// Exact squared norm.
fn squared_norm(values: &[i32]) -> u128 {
    values.iter().map(|&v| u128::from(u64::from(v.unsigned_abs()).pow(2))).sum()
}

/// floor(x) or floor(x) + 1 with expectation x; 0 stays 0 without drawing.
fn round_coordinate(x: f64, rng: &mut impl Rng) -> i32 {
    if x == 0.0 {
        return 0;
    }
    let below = x.floor();
    let uniform = (rng.next_u64() >> 11) as f64 * 2f64.powi(-53);
    toward_zero(if uniform < x - below { below + 1.0 } else { below })
}

#[allow(clippy::cast_possible_truncation, reason = "`as` truncates toward zero and saturates; |x| <= 2^20 here")]
fn toward_zero(x: f64) -> i32 {
    x as i32
}

#[cfg(test)]
mod tests {
    use chacha20::ChaCha20Rng;
    use rand::SeedableRng;
    use tacit_types::ItemGradient;

    use super::*;
    use crate::clip::clip;

    fn quantised(values: Vec<f32>, steps: u32, seed: u64) -> (Vec<i32>, Mechanism) {
        let length = u32::try_from(values.len()).unwrap();
        let nnz_max = length;
        let mechanism = Mechanism { length, row_width: 1, nnz_max, steps, ..crate::mechanism::tests::example() };
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let update = quantise(clip(ItemGradient::new(values), &mechanism), &mechanism, &mut rng);
        (update.values().to_vec(), mechanism)
    }

    #[test]
    fn rounding_is_unbiased() {
        let steps = 100;
        let (values, _) = quantised(vec![0.005; 30_000], steps, 1);
        // Each coordinate is Bernoulli(1/2) after scaling to norm 1; 5 standard errors.
        let (mean, target) = (values.iter().map(|&v| f64::from(v)).sum::<f64>() / 30_000.0, 100.0 * 0.005);
        let clip_factor = 1.0 / (0.005 * 30_000f64.sqrt()).max(1.0);
        assert!((mean - target * clip_factor).abs() < 5.0 * 0.5 / 30_000f64.sqrt(), "{mean}");
    }

    #[test]
    fn the_integer_norm_never_passes_the_bound() {
        for seed in 0..200 {
            let (values, mechanism) = quantised(vec![1.0; 77], 45, seed);
            assert!(squared_norm(&values) <= mechanism.squared_sensitivity());
        }
    }

    #[test]
    fn exact_zeros_stay_zero() {
        let mut input = vec![0.0; 50];
        input[7] = 1.0;
        let (values, _) = quantised(input, 90, 3);
        assert_eq!(values.iter().filter(|&&v| v != 0).count(), 1);
        assert_eq!(values[7], 90);
    }

    #[test]
    fn a_bound_nothing_random_can_meet_ends_in_rounding_toward_zero() {
        // One coordinate just below a whole step, thousands of small ones: redraws may fail, the result may not.
        let (values, mechanism) = quantised(vec![0.9; 5_000], 1, 9);
        assert!(squared_norm(&values) <= mechanism.squared_sensitivity());
    }
}
