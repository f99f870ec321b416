//! Item factors in one byte a number, and inner products with them.

use crate::maths::linalg::narrow;

/// Products of a byte and a 16-bit number that surely fit a 32-bit sum.
const CHUNK: usize = 256;

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, v| most.max(v.abs()))
}

/// The number that one step of a byte stands for in this row; 0 for a row of zeros.
pub(crate) fn row_scale(row: &[f32]) -> f32 {
    largest(row) / f32::from(i8::MAX)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the quotient lies in -127..=127 by the choice of scale"
)]
pub(crate) fn to_byte(value: f32, scale: f32) -> i8 {
    if scale > 0.0 {
        (value / scale).round() as i8
    } else {
        0
    }
}

/// `p` in steps of the returned scale.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the quotient lies in -32767..=32767 by the choice of scale"
)]
pub(crate) fn to_16_bits(p: &[f32]) -> (Vec<i16>, f32) {
    let scale = largest(p) / f32::from(i16::MAX);
    let step = |value: &f32| {
        if scale > 0.0 {
            (value / scale).round() as i16
        } else {
            0
        }
    };
    let steps = p.iter().map(step).collect();
    (steps, scale)
}

/// Exact inner product, in the form compilers turn into 16-bit multiply-add instructions.
pub(crate) fn dot_bytes(row: &[i8], p: &[i16]) -> f32 {
    let sum = |row: &[i8], p: &[i16]| -> i32 {
        row.iter()
            .zip(p)
            .map(|(&a, &b)| i32::from(a) * i32::from(b))
            .sum()
    };
    let mut total = 0.0;
    for (row, p) in row.chunks(CHUNK).zip(p.chunks(CHUNK)) {
        total += f64::from(sum(row, p));
    }
    narrow(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_products_are_exact_at_any_length() {
        for len in [0, 1, 255, 256, 257, 2000] {
            let (row, p) = (vec![i8::MIN; len], vec![i16::MAX; len]);
            assert_eq!(
                f64::from(dot_bytes(&row, &p)),
                f64::from(narrow(-128.0 * 32767.0 * len as f64))
            );
        }
    }

    #[test]
    fn a_row_keeps_its_values_within_half_a_step() {
        let row = [0.3f32, -0.7, 0.0, 1e-9];
        let scale = row_scale(&row);
        assert!(
            row.iter()
                .all(|&v| (f32::from(to_byte(v, scale)) * scale - v).abs() <= 0.5001 * scale)
        );
        assert_eq!(
            (to_byte(0.0, row_scale(&[0.0; 3])), to_16_bits(&[0.0, 0.0])),
            (0, (vec![0, 0], 0.0))
        );
    }
}
