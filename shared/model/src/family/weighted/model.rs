//! What the server publishes.

use std::fmt;

use ndarray::{Array2, ArrayView2};

use super::terms::WeightedTerms;
use crate::maths::solve::gram;

/// Most factors, popularity among them.
pub(super) const FACTORS_EACH_MAX: usize = 513;
/// Longest row of item factors; the server shortens what is longer. The loss is about inner
/// products from 0 to 1.
pub(super) const ROW_NORM_MAX: f64 = 1e3;

/// Published item factors. A published model never changes; `server::apply_gradient` makes the next
/// one.
#[derive(Clone, PartialEq)]
pub struct WeightedModel {
    pub(super) factors: Array2<f32>,
    pub(super) counts: Vec<f32>,
    /// `V^T V`: (d, d), lower triangle.
    pub(super) gram: Vec<f64>,
    pub(super) terms: WeightedTerms,
}

impl WeightedModel {
    /// From factors (M, d) and noisy item counts (M).
    ///
    /// # Panics
    /// When there are no factors, or not one count per row.
    pub fn new(factors: Array2<f32>, counts: Vec<f32>, terms: WeightedTerms) -> Self {
        assert!(
            factors.ncols() > 0 && factors.nrows() == counts.len(),
            "a count and at least one factor per item"
        );
        let factors = factors.as_standard_layout().into_owned();
        let gram = gram(
            factors.as_slice().expect("in standard layout"),
            factors.ncols(),
        );
        Self {
            factors,
            counts,
            gram,
            terms,
        }
    }

    /// Item factors: (M, d).
    pub fn factors(&self) -> ArrayView2<'_, f32> {
        self.factors.view()
    }

    /// Constants of the loss.
    pub fn terms(&self) -> &WeightedTerms {
        &self.terms
    }

    /// M, the number of items.
    pub fn catalogue_len(&self) -> usize {
        self.factors.nrows()
    }

    /// d, the number of factors.
    pub fn factor_count(&self) -> usize {
        self.factors.ncols()
    }

    /// Coordinates of a device's vector, (M + d) d: M item rows, then the d rows of `p p^T`.
    pub fn gradient_len(&self) -> usize {
        (self.catalogue_len() + self.factor_count()) * self.factor_count()
    }

    /// Noisy item counts of the spectral model it started from: (M).
    pub fn counts(&self) -> &[f32] {
        &self.counts
    }

    /// `V^T V`: (d, d), lower triangle.
    pub(crate) fn gram(&self) -> &[f64] {
        &self.gram
    }

    pub(crate) fn factor_slice(&self) -> &[f32] {
        self.factors.as_slice().expect("in standard layout")
    }

    pub(crate) fn row(&self, item: usize) -> &[f32] {
        let d = self.factor_count();
        &self.factor_slice()[item * d..][..d]
    }
}

impl fmt::Debug for WeightedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "WeightedModel(M={}, d={})",
            self.catalogue_len(),
            self.factor_count()
        )
    }
}
