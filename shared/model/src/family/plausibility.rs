//! Figures by which a device judges a published model before it takes part: public numbers, no data
//! involved.

use ndarray::ArrayView2;

/// What a model's factors look like; all zero for a model without factors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Plausibility {
    /// Largest L2 norm of one factor, a column over all items; 1 for orthonormal factors.
    pub norm: f64,
    /// Largest share of one factor's squared norm that lies on a single item; 1 for a one-hot
    /// factor.
    pub concentration: f64,
}

impl Plausibility {
    /// The figures of the worst column of `factors`: (items, d). The norm is the root of the sum of
    /// squares over `cells`.
    pub(super) fn of(factors: ArrayView2<'_, f32>, cells: f64) -> Self {
        let mut worst = Self::default();
        for column in factors.columns() {
            let mut total = 0.0;
            let mut largest = 0.0f64;
            for &value in column {
                let square = f64::from(value).powi(2);
                total += square;
                largest = largest.max(square);
            }
            worst.norm = worst.norm.max((total / cells).sqrt());
            if total > 0.0 {
                worst.concentration = worst.concentration.max(largest / total);
            }
        }
        worst
    }
}
