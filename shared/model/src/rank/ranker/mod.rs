//! The model as a device keeps it for ranking: item factors in f32 or in one byte a number, and
//! items placed since.
//!
//! Gives the scores of [`Model::scores`](crate::family::Model::scores) up to rounding. They come
//! from running sums ([`Profile`](crate::rank::profile::Profile)), so one more interaction is
//! cheap, and they may cover items the published model does not know. Where user factors are fitted
//! (weighted squares, ratings), the profile holds their equation.

mod list;
mod place;
mod prepare;

use std::ops::Range;
use std::sync::Arc;

use tacit_types::ItemId;

use crate::family::fit::Fit;
use crate::family::rating::{Ratings, Scale};
use crate::history::fusion::{Fused, Rules, fuse_in};
use crate::history::interaction::Interaction;
use crate::history::scene::Scene;
#[cfg(doc)]
use crate::history::trust::TASTE_PRIOR;
use crate::maths::bytes::{dot_bytes, to_16_bits};
use crate::maths::linalg::dot;

/// Row of an item without factors.
const NO_ROW: u32 = u32::MAX;
/// How item factors are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// As published: 4 bytes a number.
    #[default]
    Full,
    /// 1 byte a number and 4 a row: rows are scaled to -127..127.
    Compact,
}

/// Everything public that ranking needs: M items, M' of them with d factors.
#[derive(Clone)]
pub struct Ranker {
    weights: Vec<f32>,
    counts: Vec<f32>,
    axis: Vec<f32>,
    popularity: Vec<f32>,
    /// Item of each row; rows go by falling reach.
    block: Vec<u32>,
    /// Largest score of each row for a user vector of norm 1. Placed items follow at the end of
    /// `block` and have none.
    reach: Vec<f32>,
    /// Row of each item, or [`NO_ROW`].
    row_of: Vec<u32>,
    /// Middle of the scale and item bias: (M); empty for models that rank.
    base: Vec<f32>,
    fit: Option<Arc<Fit>>,
    factors: Factors,
    d: usize,
    taste_prior: f64,
}

#[derive(Clone)]
enum Factors {
    Full(Vec<f32>),
    Compact { values: Vec<i8>, scales: Vec<f32> },
}

impl Ranker {
    /// How an owner is fitted, where user factors are no plain sums.
    pub(crate) fn fit(&self) -> Option<&Arc<Fit>> {
        self.fit.as_ref()
    }

    /// The scale of ratings, where scores are predicted ratings.
    pub fn scale(&self) -> Option<Scale> {
        self.fit.as_ref()?.scale
    }

    /// The part of a score that is the same for every owner: the middle of the scale and the item's
    /// bias where ratings are predicted, else 0.
    pub fn general(&self, item: ItemId) -> f32 {
        self.base.get(item.0 as usize).copied().unwrap_or(0.0)
    }

    /// An owner's items, at most `cap`, with their weights in a scene. The weights are fused
    /// interactions. Where ratings are predicted they are the distances of ratings from
    /// [`Self::general`], in every scene alike.
    pub fn weights(
        &self,
        scene: Scene,
        interactions: &[Interaction],
        cap: usize,
        rules: &Rules,
    ) -> Fused {
        let Some(scale) = self.scale() else {
            return fuse_in(scene, interactions, self.catalogue_len(), cap, rules);
        };
        let ratings = Ratings::new(interactions, self.catalogue_len(), cap, scale);
        let above =
            |&(item, rating): &(ItemId, f64)| (item, rating - f64::from(self.general(item)));
        Fused {
            weights: ratings.given().iter().map(above).collect(),
            timed: false,
        }
    }

    /// Sets the effective number of items at which taste is trusted by half, [`TASTE_PRIOR`] unless
    /// set; 0 trusts it at once, and NaN counts as 0. Profiles made before keep the number they
    /// were made with.
    pub fn set_taste_prior(&mut self, prior: f32) {
        self.taste_prior = f64::from(prior.max(0.0));
    }

    pub(crate) fn taste_prior(&self) -> f64 {
        self.taste_prior
    }

    /// Items that can be ranked: those of the model, then the placed ones.
    pub fn catalogue_len(&self) -> u32 {
        u32::try_from(self.counts.len()).unwrap_or(u32::MAX)
    }

    /// d, numbers of an item's factors; 0 for a model without.
    pub fn factor_count(&self) -> usize {
        self.d
    }

    /// Bytes the factors take.
    pub fn factor_bytes(&self) -> usize {
        match &self.factors {
            Factors::Full(values) => 4 * values.len(),
            Factors::Compact { values, scales } => values.len() + 4 * scales.len(),
        }
    }

    /// The factors of an item, if it has any: (d).
    pub fn factors(&self, item: ItemId) -> Option<Vec<f32>> {
        let row = self
            .row_of
            .get(item.0 as usize)
            .copied()
            .filter(|&row| row != NO_ROW)? as usize;
        Some(match &self.factors {
            Factors::Full(values) => values[row * self.d..][..self.d].to_vec(),
            Factors::Compact { values, scales } => values[row * self.d..][..self.d]
                .iter()
                .map(|&v| f32::from(v) * scales[row])
                .collect(),
        })
    }

    /// Items that have factors.
    pub(crate) fn block(&self) -> &[u32] {
        &self.block
    }

    pub(crate) fn weight(&self, item: ItemId) -> Option<f32> {
        self.weights.get(item.0 as usize).copied()
    }

    pub(crate) fn axis(&self, item: ItemId) -> f32 {
        self.axis.get(item.0 as usize).copied().unwrap_or(0.0)
    }

    pub(crate) fn popularity(&self, item: ItemId) -> f32 {
        self.popularity
            .get(item.0 as usize)
            .copied()
            .unwrap_or(0.0)
    }

    pub(crate) fn counts(&self) -> &[f32] {
        &self.counts
    }

    /// Gives `add` each item of these rows with the inner product of its factors and `p`.
    pub(crate) fn products(&self, p: &[f32], rows: Range<usize>, mut add: impl FnMut(u32, f32)) {
        if self.d == 0 {
            return;
        }
        let (block, cells) = (
            &self.block[rows.clone()],
            rows.start * self.d..rows.end * self.d,
        );
        match &self.factors {
            Factors::Full(values) => {
                values[cells]
                    .chunks_exact(self.d)
                    .zip(block)
                    .for_each(|(row, &item)| add(item, dot(row, p)));
            }
            Factors::Compact { values, scales } => {
                let (p, scale) = to_16_bits(p);
                for ((row, row_scale), &item) in values[cells]
                    .chunks_exact(self.d)
                    .zip(&scales[rows])
                    .zip(block)
                {
                    add(item, dot_bytes(row, &p) * row_scale * scale);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
