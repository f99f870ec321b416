//! Public features of the items: which of the catalogue's categories each belongs to.
//!
//! They come from the operator's catalogue, never from what people did, so using them costs no
//! privacy. A category that many share says which items are alike where too few devices took part
//! to learn it. [`crate::family::spectral::public`] makes factors of them.

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{Array1, Array2, ArrayView2};

use crate::maths::linalg::widened;

/// Most features of an item: a map of features to factors is solved from a matrix of
/// their square.
pub const FEATURES_MAX: usize = 1024;
/// Largest feature matrix, in numbers: 256 MiB.
pub const FEATURE_CELLS_MAX: usize = 1 << 26;

/// Public features of a catalogue: (M, F), F from 0.
#[derive(Clone, PartialEq)]
pub struct Features {
    values: Array2<f32>,
}

/// Why a catalogue has too many categories. `Display` names the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeaturesError {
    /// More categories than [`FEATURES_MAX`].
    #[error("there are {0} different categories and at most {FEATURES_MAX} are allowed")]
    Categories(usize),
    /// Items times categories beyond [`FEATURE_CELLS_MAX`].
    #[error("{0} items times {1} categories are more than {FEATURE_CELLS_MAX}")]
    Cells(usize, usize),
}

impl Features {
    /// A catalogue that says nothing about its items.
    pub fn none(items: u32) -> Self {
        Self {
            values: Array2::zeros((items as usize, 0)),
        }
    }

    /// One column per different category, in alphabetical order: 1 where an item belongs to it,
    /// else 0.
    ///
    /// # Errors
    /// [`FeaturesError`] when there are too many.
    pub fn from_categories<S: AsRef<str>>(items: &[Vec<S>]) -> Result<Self, FeaturesError> {
        let mut columns: BTreeMap<&str, usize> = items
            .iter()
            .flatten()
            .map(|name| (name.as_ref(), 0))
            .collect();
        for (place, column) in columns.values_mut().enumerate() {
            *column = place;
        }
        let (rows, count) = (items.len(), columns.len());
        if count > FEATURES_MAX {
            return Err(FeaturesError::Categories(count));
        }
        if rows.saturating_mul(count) > FEATURE_CELLS_MAX {
            return Err(FeaturesError::Cells(rows, count));
        }
        let mut values = Array2::zeros((rows, count));
        for (mut row, own) in values.rows_mut().into_iter().zip(items) {
            for name in own {
                let column = columns[name.as_ref()];
                row[column] = 1.0;
            }
        }
        Ok(Self { values })
    }

    /// Whether they tell any item from another.
    pub fn tell_apart(&self) -> bool {
        self.values
            .rows()
            .into_iter()
            .any(|row| row != self.values.row(0))
    }

    /// The features as given: (M, F).
    pub fn values(&self) -> ArrayView2<'_, f32> {
        self.values.view()
    }

    /// M, items in the catalogue.
    pub fn items(&self) -> usize {
        self.values.nrows()
    }

    /// F, the number of features.
    pub fn count(&self) -> usize {
        self.values.ncols()
    }

    /// Centred by `counts` (M), so that a feature of all items says nothing, and each row scaled to
    /// norm 1: (M, F). An item without categories stays zero.
    ///
    /// # Panics
    /// When there is not one count per item.
    pub(crate) fn centred(&self, counts: &[f32]) -> Array2<f64> {
        assert_eq!(counts.len(), self.items(), "one count per item");
        let counts = Array1::from_iter(widened(counts));
        let total = counts.sum().max(f64::MIN_POSITIVE);
        let mut rows = self.values.mapv(f64::from);
        let mean = counts.dot(&rows) / total;
        for mut row in rows.rows_mut() {
            // An item without categories stays where it is: nothing is known of it.
            if row.iter().any(|v| *v != 0.0) {
                row -= &mean;
            }
            let norm = row.dot(&row).sqrt();
            if norm > 0.0 {
                row.mapv_inplace(|v| v / norm);
            } else {
                row.fill(0.0);
            }
        }
        rows
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features(M={}, F={})", self.items(), self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_the_categories_in_order() {
        let features =
            Features::from_categories(&[vec!["b", "a", "b"], vec![], vec!["c"]]).unwrap();
        assert_eq!(
            features.values(),
            ndarray::array![[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
        );
        assert_eq!(
            Features::from_categories::<&str>(&[vec![], vec![]]).unwrap(),
            Features::none(2)
        );
    }

    #[test]
    fn rows_are_centred_and_of_norm_one_and_the_unknown_stay_zero() {
        let features =
            Features::from_categories(&[vec!["a"], vec![], vec!["a", "b"], vec!["b"]]).unwrap();
        let rows = features.centred(&[3.0, 5.0, 1.0, 1.0]);
        for (row, norm) in rows.rows().into_iter().zip([1.0, 0.0, 1.0, 1.0]) {
            assert!((row.dot(&row).sqrt() - norm).abs() < 1e-12);
        }
        // Means .4 and .2: (.6, -.2) for the first.
        assert!((rows[(0, 0)] / rows[(0, 1)] + 3.0).abs() < 1e-12);
        assert!(
            Features::from_categories(&[vec!["a"]])
                .unwrap()
                .centred(&[1.0])
                .iter()
                .all(|v| *v == 0.0)
        );
    }

    #[test]
    fn too_many_categories_are_refused() {
        let many: Vec<Vec<String>> = (0..=FEATURES_MAX)
            .map(|n| vec![n.to_string()])
            .collect();
        assert_eq!(
            Features::from_categories(&many),
            Err(FeaturesError::Categories(FEATURES_MAX + 1))
        );
        let long: Vec<Vec<String>> = (0..100_000)
            .map(|n| vec![(n % 700).to_string()])
            .collect();
        assert_eq!(
            Features::from_categories(&long),
            Err(FeaturesError::Cells(100_000, 700))
        );
    }
}
