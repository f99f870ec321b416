//! A device's vector before it is written out with its zeros.

use std::fmt;

use tacit_types::ItemGradient;

/// The rows of a device's vector that are not all zero, for a simulation that adds up many devices
/// in one process.
///
/// As raw as [`ItemGradient`]: no `Serialize`, and it prints as its size only.
#[derive(Default)]
pub struct SparseGradient {
    rows: Vec<usize>,
    /// One row after the other, each of `width` numbers.
    values: Vec<f32>,
    width: usize,
}

impl SparseGradient {
    /// Which rows, ascending, each of [`Self::width`] coordinates of the dense vector.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Coordinates of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The coordinates of these rows only, one row after the other.
    pub fn into_rows(self) -> ItemGradient {
        ItemGradient::new(self.values)
    }

    /// No rows yet, each to be of `width` coordinates.
    pub(crate) fn empty(width: usize) -> Self {
        Self::with_capacity(width, 0)
    }

    /// As [`Self::empty`], with room for `rows` rows.
    pub(crate) fn with_capacity(width: usize, rows: usize) -> Self {
        Self {
            rows: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows * width),
            width,
        }
    }

    /// The whole vector of `len` coordinates.
    pub(crate) fn dense(self, len: usize) -> ItemGradient {
        let mut dense = vec![0.0f32; len];
        self.add_to(&mut dense);
        ItemGradient::new(dense)
    }

    /// Adds every row to its place in a whole vector.
    pub(crate) fn add_to(&self, dense: &mut [f32]) {
        if self.width == 0 {
            return;
        }
        let rows = self.values.chunks_exact(self.width);
        for (row, values) in self.rows.iter().zip(rows) {
            let place = &mut dense[row * self.width..][..self.width];
            place
                .iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += value);
        }
    }

    /// Whether every coordinate is zero.
    pub(crate) fn is_zero(&self) -> bool {
        self.values.iter().all(|value| *value == 0.0)
    }

    /// Adds a row, above all there are.
    pub(crate) fn push(&mut self, row: usize, values: impl IntoIterator<Item = f32>) {
        self.rows.push(row);
        self.values.extend(values);
    }
}

impl fmt::Debug for SparseGradient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SparseGradient(rows={}, width={})",
            self.rows.len(),
            self.width
        )
    }
}
