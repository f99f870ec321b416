//! Norm, concentration and drift of the factors of weighted squares.

use super::model::WeightedModel;
use crate::family::plausibility::Plausibility;
use crate::maths::linalg::polar;

impl WeightedModel {
    /// Norm and concentration of the factors. Columns are not orthonormal here: `norm` is the
    /// largest root mean square of one factor over the items, which stays below 1 where inner
    /// products are trained towards 0 and 1.
    pub fn plausibility(&self) -> Plausibility {
        let items = self.catalogue_len() as f64;
        Plausibility::of(self.factors(), items)
    }

    /// Part of the span of `previous`' factors that is gone from the span of these, 0 to 1, as for
    /// a spectral model; `None` when the catalogues differ.
    pub fn drift(&self, previous: &Self) -> Option<f64> {
        if self.catalogue_len() != previous.catalogue_len() {
            return None;
        }
        let smaller = self.factor_count().min(previous.factor_count());
        let span = |model: &Self| polar(model.factors().mapv(f64::from).view());
        let own = span(self);
        let their = span(previous);
        let products = own.t().dot(&their);
        let overlap: f64 = products.iter().map(|v| v * v).sum();
        let drift = 1.0 - overlap / smaller as f64;
        Some(drift.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::family::weighted::WeightedTerms;

    fn model(factors: Array2<f32>) -> WeightedModel {
        let counts = vec![1.0; factors.nrows()];
        WeightedModel::new(factors, counts, WeightedTerms::default())
    }

    #[test]
    fn figures_are_those_of_the_worst_factor() {
        let figures = model(array![[0.5, 2.0], [0.5, 0.0], [0.5, 0.0], [0.5, 0.0]]).plausibility();
        assert_eq!(
            figures,
            Plausibility {
                norm: 1.0,
                concentration: 1.0
            }
        );
    }

    #[test]
    fn drift_is_what_left_the_span_whatever_the_scale() {
        let first = model(array![[1.0, 0.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.0]]);
        let turned = model(array![[2.0, 2.0], [-2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]);
        let other = model(array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]);
        assert!(turned.drift(&first).unwrap() < 1e-6);
        assert!((other.drift(&first).unwrap() - 0.5).abs() < 1e-6);
        assert_eq!(first.drift(&model(array![[1.0]])), None);
    }
}
