//! Explicit ratings: `rating = mu + b_u + b_j + p_u . v_j`, with `b_u` and `p_u` kept on the
//! device.
//!
//! One release of [`device::biases`] gives the item biases `b_j` and the item counts; the
//! directions of `v_j` are those of the spectral subspace of what was rated, trained from there by
//! the devices' usual unit vectors. Public item features (genres) are the prior mean of the biases
//! and further columns of `v_j`: what an owner thinks of a genre costs no privacy, because it is
//! fitted on the device and stays there.

pub mod central;
mod codec;
pub mod device;
pub mod server;

use std::fmt;

use ndarray::{Array2, ArrayView2};

pub(crate) use codec::MAGIC;
pub use device::Ratings;

use crate::family::spectral::SpectralModel;
use server::assemble;

/// The public scale of the ratings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Least rating.
    pub low: f64,
    /// Largest rating, above the least.
    pub high: f64,
}

impl Scale {
    /// A scale between finite ends at least a hundredth apart and at most a million from 0; `None`
    /// for any other.
    pub fn new(low: f64, high: f64) -> Option<Self> {
        let bounded = low.abs() <= 1e6 && high.abs() <= 1e6;
        (bounded && high - low >= 0.01).then_some(Self { low, high })
    }

    /// One to five stars.
    pub const STARS: Self = Self {
        low: 1.0,
        high: 5.0,
    };

    /// mu, the middle.
    pub fn midpoint(self) -> f64 {
        f64::midpoint(self.low, self.high)
    }

    /// One star of five: ratings differ from their owner's mean by about this much.
    pub fn unit(self) -> f64 {
        (self.high - self.low) / 4.0
    }

    /// The nearest rating on the scale.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "rounded to storage precision"
    )]
    pub fn clamp(self, rating: f32) -> f32 {
        rating.clamp(self.low as f32, self.high as f32)
    }

    pub(crate) fn nearest(self, rating: f64) -> f64 {
        rating.clamp(self.low, self.high)
    }
}

/// Published item biases, public features and spectral state; what ratings are fitted with follows
/// from them.
#[derive(Clone, PartialEq)]
pub struct RatingModel {
    scale: Scale,
    /// b_j: (M).
    biases: Vec<f32>,
    /// Counts and the subspace of what was rated, every item in its block.
    spectral: SpectralModel,
    /// Public item features as given: (M, F).
    features: Array2<f32>,
    /// v_j, learned columns first, then public features, then a column of ones for the owner's own
    /// bias: (M, d + F + 1).
    factors: Array2<f32>,
    /// Penalty on the owner's factor of each column.
    ridge: Vec<f64>,
}

impl RatingModel {
    /// The model before anything was released.
    ///
    /// # Panics
    /// When `catalogue_len` is not that of a catalogue.
    pub fn genesis(catalogue_len: u32, scale: Scale) -> Self {
        let items = catalogue_len as usize;
        assemble(
            vec![0.0; items],
            SpectralModel::genesis(catalogue_len),
            Array2::zeros((items, 0)),
            scale,
        )
    }

    /// The same model with public item features: (M, F), F from 0.
    ///
    /// # Panics
    /// When there is not one row per item.
    #[must_use]
    pub fn with_features(self, features: Array2<f32>) -> Self {
        assemble(self.biases, self.spectral, features, self.scale)
    }

    /// The same biases with another subspace.
    pub(crate) fn with_spectral(&self, spectral: SpectralModel) -> Self {
        assemble(
            self.biases.clone(),
            spectral,
            self.features.clone(),
            self.scale,
        )
    }

    /// Ends of the scale.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Counts and the subspace of what was rated.
    pub fn spectral(&self) -> &SpectralModel {
        &self.spectral
    }

    /// Public item features as given: (M, F).
    pub fn features(&self) -> ArrayView2<'_, f32> {
        self.features.view()
    }

    /// Penalty on the owner's factor of each column: (d + F + 1).
    pub(crate) fn ridge(&self) -> &[f64] {
        &self.ridge
    }

    /// mu + b_j, what an owner nothing is known of would give: (M).
    pub(crate) fn start(&self, item: usize) -> f64 {
        self.scale.midpoint() + f64::from(self.biases[item])
    }

    /// Item biases: (M).
    pub fn biases(&self) -> &[f32] {
        &self.biases
    }

    /// What an owner's ratings are fitted with: (M, d + F + 1), learned columns, public features,
    /// and ones.
    pub fn factors(&self) -> ArrayView2<'_, f32> {
        self.factors.view()
    }

    /// M, the number of items.
    pub fn catalogue_len(&self) -> usize {
        self.biases.len()
    }

    pub(crate) fn row(&self, item: usize) -> &[f32] {
        let d = self.factors.ncols();
        &self.factors.as_slice().expect("stored row-major")[item * d..][..d]
    }
}

impl fmt::Debug for RatingModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RatingModel(M={}, columns={})",
            self.catalogue_len(),
            self.factors.ncols()
        )
    }
}
