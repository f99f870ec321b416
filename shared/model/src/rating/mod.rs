//! Explicit ratings: `rating = mu + b_u + b_j + p_u . v_j`, with `b_u` and `p_u` kept on the device.
//!
//! One release of [`device::biases`] gives the item biases `b_j` and the item counts; the directions of `v_j` are those of the
//! spectral subspace of what was rated, trained from there by the devices' usual unit vectors. Public item features (genres)
//! are the prior mean of the biases and further columns of `v_j`: what an owner thinks of a genre costs no privacy, because it
//! is fitted on the device and stays there.
//!
//! For simulations: the protocol has no such release yet.

pub mod central;
pub mod device;
pub mod server;

use std::fmt;

use ndarray::{Array2, ArrayView2};

pub use device::Ratings;

/// The public scale of the ratings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Least rating.
    pub low: f64,
    /// Largest rating, above the least.
    pub high: f64,
}

impl Scale {
    /// One to five stars.
    pub const STARS: Self = Self { low: 1.0, high: 5.0 };

    /// mu, the middle.
    pub fn midpoint(self) -> f64 {
        f64::midpoint(self.low, self.high)
    }

    /// One star of five: ratings differ from their owner's mean by about this much.
    pub fn unit(self) -> f64 {
        (self.high - self.low) / 4.0
    }

    fn clamp(self, rating: f64) -> f64 {
        rating.clamp(self.low, self.high)
    }
}

/// Published item biases and factors.
#[derive(Clone, PartialEq)]
pub struct RatingModel {
    scale: Scale,
    /// b_j: (M).
    biases: Vec<f32>,
    /// v_j, learned columns first, then public features, then a column of ones for the owner's own bias: (M, d + F + 1).
    factors: Array2<f32>,
    /// Penalty on the owner's factor of each column.
    ridge: Vec<f64>,
}

impl RatingModel {
    /// Item biases: (M).
    pub fn biases(&self) -> &[f32] {
        &self.biases
    }

    /// What an owner's ratings are fitted with: (M, d + F + 1), learned columns, public features, and ones.
    pub fn factors(&self) -> ArrayView2<'_, f32> {
        self.factors.view()
    }

    /// M, the number of items.
    pub fn catalogue_len(&self) -> usize {
        self.biases.len()
    }

    fn row(&self, item: usize) -> &[f32] {
        let d = self.factors.ncols();
        &self.factors.as_slice().expect("stored row-major")[item * d..][..d]
    }
}

impl fmt::Debug for RatingModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RatingModel(M={}, columns={})", self.catalogue_len(), self.factors.ncols())
    }
}
