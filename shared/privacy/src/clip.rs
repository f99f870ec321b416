//! Bounds one device's influence: the whole vector, then every row.
//!
//! Floating point (f64) is allowed here and in the rounding step that follows, and nowhere after.
//! Safety does not rest on this arithmetic: the integer norm test after it proves the bound.

use std::fmt;

use tacit_types::ItemGradient;
use zeroize::Zeroize;

use crate::mechanism::Mechanism;

/// Thousandths of the clipping norm at which a row cap binds nothing.
const ROW_CAP_NONE: u32 = 1000;

/// A vector that, once multiplied, has L2 norm at most 1 and rows that keep the row cap. Prints as
/// its length only; no `Serialize`, no `Clone`.
pub struct ClippedGradient {
    /// As they came, where they are normal numbers, else 0.
    coordinates: Vec<f32>,
    /// Factor of each equal stretch of `coordinates`: all of them at once, or one row at a time
    /// under a row cap that may bind.
    factors: Vec<f64>,
    /// Width and cap of the rows it was clipped for.
    rows: (u32, u32),
}

impl ClippedGradient {
    /// The clipped vector, piece by piece: coordinates, and the factor they are multiplied by.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (&[f32], f64)> {
        let stretch = if self.factors.len() == 1 {
            self.coordinates.len()
        } else {
            self.rows.0 as usize
        };
        self.coordinates
            .chunks(stretch.max(1))
            .zip(self.factors.iter().copied())
    }

    /// Number of coordinates.
    pub(crate) fn len(&self) -> usize {
        self.coordinates.len()
    }

    /// Whether it was clipped to the length and the rows of `mechanism`.
    pub(crate) fn fits(&self, mechanism: &Mechanism) -> bool {
        self.coordinates.len() == mechanism.length as usize && self.rows == rows(mechanism)
    }
}

impl fmt::Debug for ClippedGradient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClippedGradient(N={}, norm<=1)", self.coordinates.len())
    }
}

impl Drop for ClippedGradient {
    fn drop(&mut self) {
        self.coordinates.zeroize();
        self.factors.zeroize();
    }
}

/// Scales the vector down to norm at most 1, then its rows to the row cap.
///
/// | input | result |
/// |---|---|
/// | NaN of any sign, quiet or signalling | that coordinate becomes 0 |
/// | infinity of any sign | that coordinate becomes 0 |
/// | length other than `mechanism.length` | the zero vector of the right length, for one is sent |
/// | norm 0, including -0 | the zero vector |
/// | subnormal coordinate, below 1e-37 | that coordinate becomes 0: processors are slow with it |
/// | norm at most 1, exactly 1 included | unchanged |
/// | norm one float above 1, 10, 100 | scaled to norm 1 by a factor rounded down |
/// | every coordinate the largest float | the same |
/// | row above the row cap | that row scaled to the cap |
///
/// # Guarantees
/// Norm at most 1 + 2^-29, which is the f64 rounding of the longest sum; the exact proof is the
/// integer test in [`crate::quantise()`].
pub fn clip(gradient: ItemGradient, mechanism: &Mechanism) -> ClippedGradient {
    let length = mechanism.length as usize;
    // Erased from here on, whichever way this ends.
    let mut clipped = ClippedGradient {
        coordinates: gradient.into_coordinates(),
        factors: Vec::new(),
        rows: rows(mechanism),
    };
    let coordinates = &mut clipped.coordinates;
    if coordinates.len() != length {
        coordinates.zeroize();
        *coordinates = vec![0.0; length];
    }
    coordinates
        .iter_mut()
        .for_each(|x| *x = if x.is_normal() { *x } else { 0.0 });
    let whole = factor_to(coordinates, 1.0, 1.0);
    // No row of a vector of norm at most 1 is longer than 1.
    clipped.factors = if mechanism.row_cap_milli < ROW_CAP_NONE {
        let row_cap = f64::from(mechanism.row_cap_milli) / f64::from(ROW_CAP_NONE);
        coordinates
            .chunks(mechanism.row_width as usize)
            .map(|row| factor_to(row, whole, row_cap))
            .collect()
    } else {
        vec![whole]
    };
    clipped
}

/// Width of a row, and its cap in thousandths.
fn rows(mechanism: &Mechanism) -> (u32, u32) {
    (mechanism.row_width, mechanism.row_cap_milli)
}

/// What `values` must be multiplied by so that, after `factor`, their norm is at most `cap`;
/// rounded down. f32 values cannot overflow the f64 sum.
fn factor_to(values: &[f32], factor: f64, cap: f64) -> f64 {
    let norm = squared_norm(values).sqrt() * factor;
    if norm > cap {
        factor * (cap / norm).next_down()
    } else {
        factor
    }
}

/// Sum of squares over eight lanes, none of which waits for another.
fn squared_norm(values: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let mut lanes = [0.0; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        lanes
            .iter_mut()
            .zip(eight)
            .for_each(|(lane, x)| *lane += square(*x));
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|x| square(*x)).sum::<f64>()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The coordinates rounding sees.
    pub(crate) fn multiplied(gradient: &ClippedGradient) -> Vec<f64> {
        gradient
            .stretches()
            .flat_map(|(values, factor)| values.iter().map(move |x| f64::from(*x) * factor))
            .collect()
    }

    fn clipped(values: &[f32], row_width: u32, row_cap_milli: u32) -> Vec<f64> {
        let mechanism = Mechanism {
            length: u32::try_from(values.len()).unwrap(),
            row_width,
            row_cap_milli,
            ..crate::mechanism::tests::example()
        };
        multiplied(&clip(ItemGradient::new(values.to_vec()), &mechanism))
    }

    fn norm(values: &[f64]) -> f64 {
        values.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// HOSTILE 27.
    #[test]
    fn not_a_number_becomes_zero_whatever_its_bits() {
        for bits in [
            0x7fc0_0000,
            0xffc0_0000,
            0x7f80_0001,
            0xff80_0001,
            0x7fff_ffff,
            0x7fa5_5aa5,
        ] {
            let nan = f32::from_bits(bits);
            assert!(nan.is_nan());
            assert_eq!(clipped(&[nan, 0.5], 1, 1000), [0.0, 0.5]);
        }
    }

    /// HOSTILE 28.
    #[test]
    fn infinities_become_zero() {
        assert_eq!(
            clipped(&[f32::INFINITY, f32::NEG_INFINITY, 0.5], 1, 1000),
            [0.0, 0.0, 0.5]
        );
    }

    #[test]
    fn a_vector_of_the_wrong_length_becomes_the_zero_vector() {
        let mechanism = crate::mechanism::tests::example();
        for length in [0, 1, 319, 321] {
            let gradient = ItemGradient::new(vec![1.0; length]);
            assert_eq!(multiplied(&clip(gradient, &mechanism)), vec![0.0; 320]);
        }
    }

    /// HOSTILE 31.
    #[test]
    fn the_zero_vector_stays_zero() {
        assert_eq!(clipped(&[0.0, -0.0, 0.0, -0.0], 2, 1), [0.0; 4]);
    }

    /// HOSTILE 30.
    #[test]
    fn subnormal_values_become_zero_and_the_least_normal_one_stays() {
        let (least, most) = (f32::from_bits(1), f32::from_bits(0x007f_ffff));
        let normal = -f32::MIN_POSITIVE;
        assert_eq!(
            clipped(&[least, -most, normal], 1, 1000),
            [0.0, 0.0, f64::from(normal)]
        );
    }

    #[test]
    fn a_vector_inside_the_ball_is_unchanged() {
        assert_eq!(
            clipped(&[0.6, -0.0, 0.0, -0.5], 1, 1000),
            [f64::from(0.6f32), 0.0, 0.0, -0.5]
        );
        assert_eq!(clipped(&[0.0, -1.0], 1, 1000), [0.0, -1.0]);
        assert_eq!(clipped(&[0.5; 4], 1, 1000), [0.5; 4]);
        assert_eq!(clipped(&[0.0; 4], 1, 1000), [0.0; 4]);
        // On the sphere itself: not even the last bit moves.
        assert_eq!(clipped(&[0.0, 1.0], 2, 1000), [0.0, 1.0]);
    }

    /// HOSTILE 32.
    #[test]
    fn a_vector_outside_comes_back_to_norm_one_and_keeps_its_direction() {
        for scale in [1.0f32.next_up(), 1.0 + 1e-6, 10.0, 100.0, 1e38] {
            let out = clipped(&[scale, 0.0], 1, 1000);
            assert!(out[0] <= 1.0 && out[0] > 1.0 - 1e-15, "{scale}: {}", out[0]);
            let out = clipped(&[0.6 * scale, 0.8 * scale], 1, 1000);
            assert!(
                norm(&out) <= 1.0 + 1e-15 && norm(&out) > 0.999_999,
                "{scale}"
            );
            assert!((out[0] / out[1] - 0.75).abs() < 1e-6);
        }
    }

    /// HOSTILE 29.
    #[test]
    fn the_largest_floats_come_back_to_norm_one() {
        for length in [1, 64, 4_096] {
            let out = norm(&clipped(&vec![-f32::MAX; length], 1, 1000));
            assert!(out <= 1.0 + 1e-12 && out > 0.999_999, "{length}: {out}");
        }
    }

    #[test]
    fn one_row_cannot_pass_the_row_cap() {
        let out = clipped(&[0.9, 0.0, 0.1, 0.1], 2, 500);
        assert!((out[0] - 0.5).abs() < 1e-12 && out[2] == f64::from(0.1f32));
        // The cap binds after the whole vector was scaled: 0.9 of a norm of 10 is 0.9, then the
        // cap.
        let out = clipped(&[9.0, 0.0, 0.0, 4.358_899], 2, 500);
        assert!(
            (norm(&out[..2]) - 0.5).abs() < 1e-12 && norm(&out[2..]) < 0.436,
            "{out:?}"
        );
        let out = clipped(&[0.5, 0.0, 0.0, 0.5], 2, 500);
        assert_eq!(out, [0.5, 0.0, 0.0, 0.5]);
    }
}
