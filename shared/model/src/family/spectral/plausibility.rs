//! Norm, concentration and drift of spectral factors.

use ndarray::Array2;

use super::model::SpectralModel;
use crate::family::plausibility::Plausibility;
use crate::maths::linalg::{make_unit, norm_squared};

impl SpectralModel {
    /// Norm and concentration of the factors: one pass over (M', d).
    pub fn plausibility(&self) -> Plausibility {
        Plausibility::of(self.factors(), 1.0)
    }

    /// Part of `previous`' factors that is gone from these, 0 to 1: `1 - |P^T Q|_F^2 / min(d, d')`,
    /// where P and Q are the factors over the whole catalogue with unit columns. 0 when the smaller
    /// span lies inside the larger.
    ///
    /// `None` when one of them has no factors or the catalogues differ: then there is nothing to
    /// compare.
    pub fn drift(&self, previous: &Self) -> Option<f64> {
        let smaller = self.factor_count().min(previous.factor_count());
        if smaller == 0 || self.catalogue_len() != previous.catalogue_len() {
            return None;
        }
        let own = self.whole();
        let their = previous.whole();
        let products = own.t().dot(&their);
        let overlap: f64 = products
            .iter()
            .map(|&product| f64::from(product).powi(2))
            .sum();
        let drift = 1.0 - overlap / smaller as f64;
        Some(drift.clamp(0.0, 1.0))
    }

    /// Factors over the whole catalogue, (M, d), with unit columns; rows outside the block are
    /// zero.
    fn whole(&self) -> Array2<f32> {
        let shape = (self.counts().len(), self.factor_count());
        let mut whole = Array2::zeros(shape);
        for (row, &item) in self.factors().rows().into_iter().zip(self.block()) {
            let mut own = whole.row_mut(item as usize);
            own.assign(&row);
        }
        for mut column in whole.columns_mut() {
            let norm = norm_squared(&column.to_vec());
            make_unit(column.iter_mut(), norm);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn model(columns: &[&[f32]]) -> SpectralModel {
        let items = columns[0].len();
        let factors =
            Array2::from_shape_fn((items, columns.len()), |(row, column)| columns[column][row]);
        SpectralModel::genesis(u32::try_from(items).unwrap()).with_factors(factors)
    }

    #[test]
    fn norm_and_concentration_are_those_of_the_worst_factor() {
        let figures = model(&[&[0.5, 0.5, 0.5, 0.5], &[0.0, 2.0, 0.0, 0.0]]).plausibility();
        assert_eq!(
            figures,
            Plausibility {
                norm: 2.0,
                concentration: 1.0
            }
        );
        let even = model(&[&[0.5, 0.5, 0.5, 0.5]]).plausibility();
        assert_eq!(
            even,
            Plausibility {
                norm: 1.0,
                concentration: 0.25
            }
        );
        assert_eq!(
            SpectralModel::genesis(4).plausibility(),
            Plausibility::default()
        );
    }

    #[test]
    fn drift_is_what_left_the_span() {
        let (first, second) = (
            model(&[&[1.0, 0.0, 0.0, 0.0]]),
            model(&[&[0.0, 1.0, 0.0, 0.0]]),
        );
        let both = model(&[&[0.6, 0.8, 0.0, 0.0], &[0.8, -0.6, 0.0, 0.0]]);
        assert_eq!(first.drift(&first), Some(0.0));
        assert_eq!(first.drift(&second), Some(1.0));
        assert!(
            both.drift(&first).unwrap() < 1e-6,
            "a turned basis of a larger span"
        );
        assert_eq!(first.drift(&SpectralModel::genesis(4)), None);
        assert_eq!(first.drift(&model(&[&[1.0]])), None);
    }
}
