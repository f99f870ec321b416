//! What the server publishes.

use std::fmt;

use ndarray::{Array2, ArrayView2, Axis};

use super::scale::Scale;
use crate::family::spectral::SpectralModel;
use crate::maths::linalg::narrow_all;

/// Penalties of the owner's own factors: learned columns, public features, bias.
const RIDGE: [f64; 3] = [6.0, 12.0, 1.0];

/// Published item biases, public features and spectral state; the columns ratings are fitted with
/// follow from them.
#[derive(Clone, PartialEq)]
pub struct RatingModel {
    pub(super) scale: Scale,
    /// b_j: (M).
    pub(super) biases: Vec<f32>,
    /// Counts and the subspace of what was rated, every item in its block.
    pub(super) spectral: SpectralModel,
    /// Public item features as given: (M, F).
    pub(super) features: Array2<f32>,
    /// v_j: (M, d + F + 1), learned columns, public features, and a column of ones for the owner's
    /// own bias.
    pub(super) factors: Array2<f32>,
    /// Penalty on the owner's factor of each column.
    pub(super) ridge: Vec<f64>,
}

impl RatingModel {
    /// Puts a model together: `biases` (M), the subspace `Q` as `Q_j / sqrt(|Q_j|^2 + median
    /// |Q|^2)`, and public `features` (M, F).
    ///
    /// The division makes items of all popularities alike in size while those without a direction
    /// stay small.
    ///
    /// # Panics
    /// When biases, model and features do not have one row per item.
    pub fn new(
        biases: Vec<f32>,
        spectral: SpectralModel,
        features: Array2<f32>,
        scale: Scale,
    ) -> Self {
        let (items, d, public) = (biases.len(), spectral.factor_count(), features.ncols());
        assert!(
            spectral.counts().len() == items && features.nrows() == items,
            "one row per item"
        );
        let counts: Vec<f64> = spectral
            .counts()
            .iter()
            .map(|&count| f64::from(count))
            .collect();
        let mut factors = Array2::<f64>::ones((items, d + public + 1));
        let (mut learned, rest) = factors.view_mut().split_at(Axis(1), d);
        let (mut known, _ones) = rest.split_at(Axis(1), public);
        learned.assign(&levelled(&spectral));
        known.assign(&centred(features.view(), &counts));
        for mut row in known.rows_mut() {
            let norm = row.dot(&row).sqrt().max(f64::MIN_POSITIVE);
            row.mapv_inplace(|v| v / norm);
        }
        let [on_learned, on_features, on_bias] = RIDGE;
        let ridge = [(on_learned, d), (on_features, public), (on_bias, 1)];
        let ridge = ridge
            .into_iter()
            .flat_map(|(ridge, columns)| std::iter::repeat_n(ridge, columns))
            .collect();
        Self {
            scale,
            biases,
            spectral,
            features,
            factors: narrow_all(&factors),
            ridge,
        }
    }

    /// The model before anything was released.
    ///
    /// # Panics
    /// When `catalogue_len` is not that of a catalogue.
    pub fn genesis(catalogue_len: u32, scale: Scale) -> Self {
        let items = catalogue_len as usize;
        Self::new(
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
        Self::new(self.biases, self.spectral, features, self.scale)
    }

    /// The same biases with another subspace.
    pub(crate) fn with_spectral(&self, spectral: SpectralModel) -> Self {
        Self::new(
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

    /// mu + b_j, the rating predicted for an owner who rated nothing.
    pub(crate) fn start(&self, item: usize) -> f64 {
        self.scale.midpoint() + f64::from(self.biases[item])
    }

    /// Item biases: (M).
    pub fn biases(&self) -> &[f32] {
        &self.biases
    }

    /// Columns an owner's ratings are fitted with: (M, d + F + 1), learned ones, public features,
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

/// Features less their mean over what was rated.
pub(super) fn centred(features: ArrayView2<'_, f32>, counts: &[f64]) -> Array2<f64> {
    let mut features = features.mapv(f64::from);
    let total: f64 = counts.iter().sum();
    for mut column in features.columns_mut() {
        let mean = column
            .iter()
            .zip(counts)
            .map(|(v, count)| v * count)
            .sum::<f64>()
            / total;
        column.mapv_inplace(|v| v - mean);
    }
    features
}

/// `Q_j / sqrt(|Q_j|^2 + median |Q|^2)`: (M, d), zero outside the trained block.
fn levelled(trained: &SpectralModel) -> Array2<f64> {
    let factors = trained.factors().mapv(f64::from);
    let squares: Vec<f64> = factors
        .rows()
        .into_iter()
        .map(|row| row.dot(&row))
        .collect();
    let mut ordered = squares.clone();
    ordered.sort_unstable_by(f64::total_cmp);
    let median = ordered
        .get(ordered.len() / 2)
        .copied()
        .unwrap_or(0.0)
        .max(f64::MIN_POSITIVE);
    let mut levelled = Array2::zeros((trained.counts().len(), factors.ncols()));
    for ((row, square), &item) in factors
        .rows()
        .into_iter()
        .zip(squares)
        .zip(trained.block())
    {
        levelled
            .row_mut(item as usize)
            .assign(&(&row / (square + median).sqrt()));
    }
    levelled
}
