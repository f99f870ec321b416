//! The public part: features through the hidden layer into an orthonormal basis.

use ndarray::{Array1, Array2, Axis, Slice};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};

use super::preset::DIRECTIONS;
use crate::family::features::Features;
use crate::family::spectral::SpectralModel;
use crate::maths::linalg::{eigen_descending, narrow};

/// H, units of the hidden layer.
pub const HIDDEN: usize = 256;
/// Directions below this share of all squares together say nothing.
const STRENGTH_MIN: f64 = 1e-6;
/// Items whose hidden units are held at once.
const STRETCH: usize = 1024;

/// Features, hidden layer and basis. Follows from the catalogue, a public seed and the counts, the
/// only data in it.
#[derive(Clone, PartialEq)]
pub struct Network {
    pub(super) features: Sparse,
    pub(super) seed: u64,
    /// From hidden units to the basis: (H, r).
    pub(super) mixing: Array2<f32>,
    /// W: (F, H); follows from the seed.
    first: Array2<f64>,
    /// The hidden units along the popularity axis, `m = sum_j a_j sqrt(c_j w_j) h_j`: (H); follows
    /// from the counts.
    along_axis: Array1<f64>,
}

/// Features of the items, each row of norm 1 or 0, without zeros.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sparse {
    /// F.
    pub(super) columns: usize,
    /// (column, value) of each item.
    pub(super) rows: Vec<Vec<(usize, f32)>>,
}

impl Sparse {
    fn of(features: &Features) -> Self {
        let row = |row: ndarray::ArrayView1<'_, f32>| {
            let norm = row
                .iter()
                .map(|&value| f64::from(value).powi(2))
                .sum::<f64>()
                .sqrt();
            let known = row
                .into_iter()
                .enumerate()
                .filter(|(_, value)| **value != 0.0);
            known
                .map(|(column, &value)| (column, narrow(f64::from(value) / norm)))
                .collect()
        };
        Self {
            columns: features.count(),
            rows: features.values().rows().into_iter().map(row).collect(),
        }
    }
}

impl Network {
    /// The network for these counts and features: the strongest directions of the hidden layer, at
    /// most [`DIRECTIONS`]. One direction of zeros where the features say no more than popularity,
    /// so that a task can end.
    pub(super) fn new(counted: &SpectralModel, features: &Features, seed: u64) -> Self {
        let mut network = Self::from_parts(
            counted,
            Sparse::of(features),
            seed,
            Array2::zeros((HIDDEN, 1)),
        );
        let (moment, whole) = network.second_moment(counted);
        let (squares, vectors) = eigen_descending(moment.view());
        let least = STRENGTH_MIN * whole;
        let known = squares
            .iter()
            .take(DIRECTIONS as usize)
            .take_while(|&&square| square > least)
            .count();
        if known > 0 {
            network.mixing = Array2::from_shape_fn((HIDDEN, known), |(unit, k)| {
                narrow(vectors[(unit, k)] / squares[k].sqrt())
            });
        }
        network
    }

    /// The network of what is sent: derives the rest.
    pub(super) fn from_parts(
        counted: &SpectralModel,
        features: Sparse,
        seed: u64,
        mixing: Array2<f32>,
    ) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let first = Array2::from_shape_simple_fn((features.columns, HIDDEN), || {
            StandardNormal.sample(&mut rng)
        });
        let mut network = Self {
            features,
            seed,
            mixing,
            first,
            along_axis: Array1::zeros(HIDDEN),
        };
        let mut along_axis = Array1::zeros(HIDDEN);
        for (item, &share) in counted.axis().iter().enumerate() {
            network.add_hidden(&mut along_axis, item, f64::from(share) * counted.size(item));
        }
        network.along_axis = along_axis;
        network
    }

    /// r.
    pub(super) fn directions(&self) -> usize {
        self.mixing.ncols()
    }

    /// `U^T x` for items of these weights: (r).
    pub(super) fn through_basis(&self, x: &[(usize, f32)], counted: &SpectralModel) -> Vec<f64> {
        let mut hidden = Array1::zeros(HIDDEN);
        let mut along = 0.0;
        for &(item, weight) in x {
            self.add_hidden(&mut hidden, item, f64::from(weight) * counted.size(item));
            along += f64::from(weight) * f64::from(counted.axis()[item]);
        }
        hidden.scaled_add(-along, &self.along_axis);
        self.mixing
            .columns()
            .into_iter()
            .map(|column| {
                column
                    .iter()
                    .zip(&hidden)
                    .map(|(&m, h)| f64::from(m) * h)
                    .sum()
            })
            .collect()
    }

    /// `U B` for these trained weights (r, d): (M, d).
    pub(super) fn factors(&self, counted: &SpectralModel, output: &Array2<f64>) -> Array2<f32> {
        let mixing = self.mixing.mapv(f64::from);
        let mixed = mixing.dot(output);
        let items = self.features.rows.len();
        let mut factors = Array2::zeros((items, output.ncols()));
        self.for_stretches(counted, |start, hidden| {
            let rows = hidden.dot(&mixed).mapv(narrow);
            let stretch = Slice::from(start..start + rows.nrows());
            factors.slice_axis_mut(Axis(0), stretch).assign(&rows);
        });
        factors
    }

    /// `U^T Q`, the trained weights behind these factors: (r, d).
    pub(super) fn output_of(&self, model: &SpectralModel) -> Array2<f64> {
        let factors = model.factors();
        let mut products = Array2::zeros((HIDDEN, factors.ncols()));
        self.for_stretches(model, |start, hidden| {
            let stretch = Slice::from(start..start + hidden.nrows());
            let rows = factors.slice_axis(Axis(0), stretch);
            products += &hidden.t().dot(&rows.mapv(f64::from));
        });
        let mixing = self.mixing.mapv(f64::from);
        mixing.t().dot(&products)
    }

    /// Products of the hidden units, scaled and without the popularity axis, over all items: (H,
    /// H), and the sum of their squares with it.
    fn second_moment(&self, counted: &SpectralModel) -> (Array2<f64>, f64) {
        let mut moment = Array2::zeros((HIDDEN, HIDDEN));
        self.for_stretches(counted, |_, hidden| {
            moment += &hidden.t().dot(hidden);
        });
        let along = self.along_axis.dot(&self.along_axis);
        let whole = moment.diag().sum() + along;
        (moment, whole)
    }

    /// Calls `with` the first item and the rows `sqrt(c_j w_j) h_j - a_j m` of some items, until
    /// all were there.
    fn for_stretches(&self, counted: &SpectralModel, mut with: impl FnMut(usize, &Array2<f64>)) {
        let items = self.features.rows.len();
        for start in (0..items).step_by(STRETCH) {
            let len = STRETCH.min(items - start);
            let mut hidden = Array2::zeros((len, HIDDEN));
            for (mut row, item) in hidden.rows_mut().into_iter().zip(start..) {
                let share = f64::from(counted.axis()[item]);
                let mut units = Array1::zeros(HIDDEN);
                self.add_hidden(&mut units, item, counted.size(item));
                units.scaled_add(-share, &self.along_axis);
                row.assign(&units);
            }
            with(start, &hidden);
        }
    }

    /// `sum += scale h_j`; nothing for an item nothing is known of.
    fn add_hidden(&self, sum: &mut Array1<f64>, item: usize, scale: f64) {
        let known = &self.features.rows[item];
        if known.is_empty() {
            return;
        }
        let mut units = Array1::<f64>::zeros(HIDDEN);
        for &(column, value) in known {
            let weights = self.first.row(column);
            units.scaled_add(value.into(), &weights);
        }
        sum.zip_mut_with(&units, |sum, &unit| {
            *sum += scale * unit.max(0.0);
        });
    }
}
