//! Weighted squares: item factors of implicit ALS, trained from one bounded vector per device and
//! round.
//!
//! With `p_u` the user factors and `v_j` the item factors, the loss is that of implicit ALS
//! (Rendle, Krichene, Zhang, Koren 2021, equation 1): squares `(p_u . v_j - 1)^2` over what was
//! used and `alpha_0 (p_u . v_j)^2` over the whole catalogue. Each device solves for its own `p_u`
//! exactly and keeps it. The gradient of the unobserved part, `alpha_0 V sum_u p_u p_u^T`, needs
//! only a (d, d) matrix from the devices: nobody touches the catalogue row by row, and a device's
//! vector is zero outside the items its owner used and that matrix.
//!
//! Start from a trained [`crate::SpectralModel`] with [`server::warm_start`].

mod codec;
pub mod device;
mod plausibility;
pub mod server;

use std::fmt;
use std::ops::RangeInclusive;

use ndarray::{Array2, ArrayView2};

pub(crate) use codec::MAGIC;

use crate::maths::solve::gram;

/// Most factors, popularity among them.
pub(crate) const FACTORS_EACH_MAX: usize = 513;
/// Longest row of item factors; the server shortens what is longer. The loss is about inner
/// products from 0 to 1.
pub(crate) const ROW_NORM_MAX: f64 = 1e3;

/// Public constants of the loss and of the devices' vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedTerms {
    /// alpha_0, weight of every cell whether used or not, against 1 for a used one.
    pub unobserved_weight: f64,
    /// lambda, scaled per row by `|I_u| + alpha_0 |items|`. User factors are then shorter than
    /// `1/sqrt(lambda)`.
    pub regularisation: f64,
    /// gamma, size of the (d, d) part of a device's vector beside its item rows.
    pub gram_weight: f64,
    /// C, norm at which a device's gradient is clipped before it is scaled to norm 1.
    pub clip_norm: f64,
}

/// Clipping norms that may be asked for.
pub const CLIP_NORMS: RangeInclusive<f64> = 1e-3..=1e3;
/// C where nothing else is asked for: a little below the median norm on film-like data.
pub const CLIP_NORM: f64 = 8.0;

impl Default for WeightedTerms {
    /// alpha_0 as for central implicit ALS. lambda is a third above: of both the better at 16, 32
    /// and 64 factors together, on the second-last interactions of MovieLens-1M, without noise.
    fn default() -> Self {
        Self {
            unobserved_weight: 0.3,
            regularisation: 0.004,
            gram_weight: 0.5,
            clip_norm: CLIP_NORM,
        }
    }
}

impl WeightedTerms {
    /// Whether every constant is one that some loss could have.
    fn in_range(&self) -> bool {
        (1e-6..=1.0).contains(&self.unobserved_weight)
            && (1e-6..=1e3).contains(&self.regularisation)
            && (1e-3..=1e3).contains(&self.gram_weight)
            && (1e-3..=1e8).contains(&self.clip_norm)
    }

    /// The same loss with a clipping norm that no device reaches while no item factor is longer
    /// than `lambda^(-3/2)`: `|r|^2 <= |I_u|` and `|p|^2 < 1/lambda` bound every gradient.
    #[must_use]
    pub fn unclipped(self, history_max: u32) -> Self {
        let p_squared = self.regularisation.recip();
        let gram = self.gram_weight * p_squared;
        Self {
            clip_norm: (4.0 * p_squared * f64::from(history_max) + gram * gram).sqrt(),
            ..self
        }
    }
}

/// Published item factors. A published model never changes; `server::apply_gradient` makes the next
/// one.
#[derive(Clone, PartialEq)]
pub struct WeightedModel {
    factors: Array2<f32>,
    counts: Vec<f32>,
    /// `V^T V`: (d, d), lower triangle.
    gram: Vec<f64>,
    terms: WeightedTerms,
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
