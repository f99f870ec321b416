//! Prepares a published model for ranking: rows sorted by the largest score they can reach, in the
//! precision asked for.

use std::sync::Arc;

use super::{Factors, NO_ROW, Precision, Ranker};
use crate::family::Model;
use crate::family::fit::Fit;
use crate::family::rating::RatingModel;
use crate::family::spectral::SpectralModel;
use crate::family::weighted::WeightedModel;
use crate::history::trust::TASTE_PRIOR;
use crate::maths::bytes::{row_scale, to_byte};
use crate::maths::linalg::{narrow, norm_squared};

/// A model's columns, one number per item: (M) each.
struct Columns {
    weights: Vec<f32>,
    counts: Vec<f32>,
    axis: Vec<f32>,
    popularity: Vec<f32>,
}

impl Ranker {
    /// Prepares a model of any family for ranking.
    pub fn of(model: &Model, precision: Precision) -> Self {
        match model {
            Model::Spectral(model) => Self::new(model, precision),
            Model::Weighted(model) => Self::weighted(model, precision),
            Model::Rating(model) => Self::rated(model, precision),
            Model::Neural(model) => Self::new(model.spectral(), precision),
        }
    }

    /// Prepares a spectral model for ranking.
    pub fn new(model: &SpectralModel, precision: Precision) -> Self {
        let columns = Columns {
            weights: model.weights().to_vec(),
            counts: model.counts().to_vec(),
            axis: model.axis().to_vec(),
            popularity: model.popularity().to_vec(),
        };
        let d = model.factor_count();
        Self::prepare(model.factor_slice(), d, model.block(), columns, precision)
    }

    /// No items: what ranks while there is no model.
    pub fn empty(precision: Precision) -> Self {
        Self::prepare(&[], 0, &[], Columns::plain(&[], 0.0), precision)
    }

    /// Weighted squares: no axis, because popularity is one of the factors.
    fn weighted(model: &WeightedModel, precision: Precision) -> Self {
        let columns = Columns::plain(model.counts(), 0.0);
        let all: Vec<u32> = (0u32..).take(columns.counts.len()).collect();
        let ranker = Self::prepare(
            model.factor_slice(),
            model.factor_count(),
            &all,
            columns,
            precision,
        );
        Self {
            fit: Some(Arc::new(Fit::weighted(model))),
            ..ranker
        }
    }

    /// Ratings: the owner's own bias lies along an axis on which all items are alike.
    fn rated(model: &RatingModel, precision: Precision) -> Self {
        let columns = Columns::plain(model.spectral().counts(), 1.0);
        let items = columns.counts.len();
        // The last column is the ones of the owner's bias, which are the axis here.
        let width = model.factors().ncols() - 1;
        let mut rows = Vec::with_capacity(items * width);
        for item in 0..items {
            rows.extend_from_slice(&model.row(item)[..width]);
        }
        let with_rows = if width > 0 { items } else { 0 };
        let block: Vec<u32> = (0u32..).take(with_rows).collect();
        let ranker = Self::prepare(&rows, width, &block, columns, precision);
        let base = (0..items)
            .map(|item| narrow(model.start(item)))
            .collect();
        Self {
            base,
            fit: Some(Arc::new(Fit::rated(model))),
            ..ranker
        }
    }

    /// Sorts rows of `d` factors, one for each item of `block`, by their reach.
    fn prepare(
        rows: &[f32],
        d: usize,
        block: &[u32],
        columns: Columns,
        precision: Precision,
    ) -> Self {
        let (order, reach) = by_reach(rows, d, block, &columns);
        let row = |row: usize| &rows[row * d..][..d];
        let mut row_of = vec![NO_ROW; columns.counts.len()];
        let block: Vec<u32> = order.iter().map(|&row| block[row]).collect();
        (0u32..)
            .zip(&block)
            .for_each(|(row, &item)| row_of[item as usize] = row);
        let factors = match precision {
            Precision::Full => {
                Factors::Full(order.iter().flat_map(|&at| row(at)).copied().collect())
            }
            Precision::Compact => {
                let scales: Vec<f32> = order.iter().map(|&at| row_scale(row(at))).collect();
                let rows = order.iter().map(|&at| row(at)).zip(&scales);
                let values = rows
                    .flat_map(|(row, scale)| row.iter().map(move |&v| to_byte(v, *scale)))
                    .collect();
                Factors::Compact { values, scales }
            }
        };
        let Columns {
            weights,
            counts,
            axis,
            popularity,
        } = columns;
        let taste_prior = TASTE_PRIOR;
        Self {
            weights,
            counts,
            axis,
            popularity,
            base: Vec::new(),
            fit: None,
            block,
            reach,
            row_of,
            factors,
            d,
            taste_prior,
        }
    }
}

impl Columns {
    /// Every item weighs the same and lies at the same place on the axis.
    fn plain(counts: &[f32], axis: f32) -> Self {
        let same = |value: f32| vec![value; counts.len()];
        Self {
            weights: same(1.0),
            counts: counts.to_vec(),
            axis: same(axis),
            popularity: same(1.0),
        }
    }
}

/// Places of the rows by falling reach, and their reaches; empty for a model without factors.
fn by_reach(rows: &[f32], d: usize, block: &[u32], columns: &Columns) -> (Vec<usize>, Vec<f32>) {
    let reach = |(row, &item): (&[f32], &u32)| {
        let item = item as usize;
        let axis = f64::from(columns.axis[item]);
        let norm = (norm_squared(row) + axis * axis).sqrt();
        narrow(norm) * columns.popularity[item]
    };
    let reaches: Vec<f32> = rows
        .chunks_exact(d.max(1))
        .zip(block)
        .map(reach)
        .collect();
    let mut order: Vec<usize> = (0..reaches.len()).collect();
    order.sort_by(|&a, &b| reaches[b].total_cmp(&reaches[a]));
    let sorted = order.iter().map(|&row| reaches[row]).collect();
    (order, sorted)
}
