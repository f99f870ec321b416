//! Norm, concentration and drift of the factors of weighted squares.

use super::model::WeightedModel;
use crate::family::plausibility::Plausibility;
use crate::maths::linalg::polar;

impl WeightedModel {
    /// Norm and concentration of the factors. Columns are not orthonormal here: `norm` is the
    /// largest root mean square of one factor over the items, which stays below 1 where inner
    /// products are trained towards 0 and 1.
    pub fn plausibility(&self) -> Plausibility {
        let (items, factors) = (self.catalogue_len() as f64, self.factors());
        let figures = factors.columns().into_iter().map(|column| {
            let squares = || column.iter().map(|&v| f64::from(v).powi(2));
            let (total, largest) = (squares().sum::<f64>(), squares().fold(0.0, f64::max));
            (
                (total / items).sqrt(),
                if total > 0.0 { largest / total } else { 0.0 },
            )
        });
        figures.fold(Plausibility::default(), |worst, (norm, concentration)| {
            Plausibility {
                norm: worst.norm.max(norm),
                concentration: worst.concentration.max(concentration),
            }
        })
    }

    /// Part of the span of `previous`' factors that is gone from the span of these, 0 to 1, as for
    /// a spectral model; `None` when the catalogues differ.
    pub fn drift(&self, previous: &Self) -> Option<f64> {
        if self.catalogue_len() != previous.catalogue_len() {
            return None;
        }
        let smaller = self.factor_count().min(previous.factor_count());
        let [own, their] =
            [self, previous].map(|model| polar(model.factors().mapv(f64::from).view()));
        let overlap = own.t().dot(&their).iter().map(|v| v * v).sum::<f64>();
        Some((1.0 - overlap / smaller as f64).clamp(0.0, 1.0))
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
