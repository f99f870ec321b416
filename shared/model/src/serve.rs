//! The model as a device keeps it for ranking: item factors in f32 or in one byte a number, and items placed since.
//!
//! Numerically the same scores as [`crate::score::scores`], which measuring uses; here they come from running sums
//! ([`Profile`]) and may cover items the published model does not know. Where user factors are fitted instead (weighted squares,
//! ratings), the profile holds the equation, and a predicted rating starts from what everybody would be told.

use std::ops::Range;
use std::sync::Arc;

use tacit_types::ItemId;

use crate::bytes::{dot_bytes, row_scale, to_16_bits, to_byte};
use crate::filter::shared;
use crate::fit::Fit;
use crate::fusion::{Fused, Rules, fuse_in};
use crate::interaction::Interaction;
use crate::linalg::{dot, narrow, norm_squared};
use crate::model::Model;
use crate::profile::Profile;
use crate::rating::{RatingModel, Ratings, Scale};
use crate::scene::Scene;
use crate::score::{Best, TASTE_PRIOR, popularity_scores};
use crate::spectral::SpectralModel;
use crate::weighted::WeightedModel;

/// Row of an item without factors.
const NO_ROW: u32 = u32::MAX;
/// Rows met between two looks at whether the rest can still matter.
const ROWS: usize = 256;
/// What rounding to bytes and to f32 can add to a score, relative to the reach of its row.
const ROUNDING: f32 = 1.01;

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
    /// Most that a row can score for a user vector of norm 1; placed items follow at the end without one.
    reach: Vec<f32>,
    /// Row of each item, or [`NO_ROW`].
    row_of: Vec<u32>,
    /// What a predicted rating starts from; empty for models that rank.
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

    /// Weighted squares: no axis, because popularity is one of the factors.
    fn weighted(model: &WeightedModel, precision: Precision) -> Self {
        let columns = Columns::plain(model.counts(), 0.0);
        let all: Vec<u32> = (0u32..).take(columns.counts.len()).collect();
        let ranker = Self::prepare(model.factor_slice(), model.factor_count(), &all, columns, precision);
        Self { fit: Some(Arc::new(Fit::weighted(model))), ..ranker }
    }

    /// Ratings: the owner's own bias lies along an axis on which all items are alike.
    fn rated(model: &RatingModel, precision: Precision) -> Self {
        let columns = Columns::plain(model.spectral().counts(), 1.0);
        let (items, width) = (columns.counts.len(), model.factors().ncols() - 1);
        let rows: Vec<f32> = (0..items).flat_map(|item| model.row(item)[..width].iter().copied()).collect();
        let all: Vec<u32> = (0u32..).take(if width > 0 { items } else { 0 }).collect();
        let ranker = Self::prepare(&rows, width, &all, columns, precision);
        let base = (0..items).map(|item| narrow(model.start(item))).collect();
        Self { base, fit: Some(Arc::new(Fit::rated(model))), ..ranker }
    }

    /// Rows of `d` factors for the items of `block`, sorted by what they can reach.
    fn prepare(rows: &[f32], d: usize, block: &[u32], columns: Columns, precision: Precision) -> Self {
        let (order, reach) = by_reach(rows, d, block, &columns);
        let row = |row: usize| &rows[row * d..][..d];
        let mut row_of = vec![NO_ROW; columns.counts.len()];
        let block: Vec<u32> = order.iter().map(|&row| block[row]).collect();
        (0u32..).zip(&block).for_each(|(row, &item)| row_of[item as usize] = row);
        let factors = match precision {
            Precision::Full => Factors::Full(order.iter().flat_map(|&at| row(at)).copied().collect()),
            Precision::Compact => {
                let scales: Vec<f32> = order.iter().map(|&at| row_scale(row(at))).collect();
                let rows = order.iter().map(|&at| row(at)).zip(&scales);
                let values = rows.flat_map(|(row, scale)| row.iter().map(move |&v| to_byte(v, *scale))).collect();
                Factors::Compact { values, scales }
            }
        };
        let Columns { weights, counts, axis, popularity } = columns;
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

    /// How an owner is fitted, where user factors are no plain sums.
    pub(crate) fn fit(&self) -> Option<&Arc<Fit>> {
        self.fit.as_ref()
    }

    /// The scale of ratings, where scores are predicted ratings.
    pub fn scale(&self) -> Option<Scale> {
        self.fit.as_ref()?.scale
    }

    /// What a score has whoever asks: the middle of the scale and the item's bias where ratings are predicted, else 0.
    pub fn general(&self, item: ItemId) -> f32 {
        self.base.get(item.0 as usize).copied().unwrap_or(0.0)
    }

    /// An owner's items with what each counts in a scene: fused interactions or, where ratings are predicted, how far each of
    /// the last `cap` ratings is from [`Self::general`], in every scene alike.
    pub fn weights(&self, scene: Scene, interactions: &[Interaction], cap: usize, rules: &Rules) -> Fused {
        let Some(scale) = self.scale() else {
            return fuse_in(scene, interactions, self.catalogue_len(), cap, rules);
        };
        let ratings = Ratings::new(interactions, self.catalogue_len(), cap, scale);
        let above = |&(item, rating): &(ItemId, f64)| (item, rating - f64::from(self.general(item)));
        Fused { weights: ratings.given().iter().map(above).collect(), timed: false }
    }

    /// Places an item the model does not know, by factors (d) that [`crate::cold_start::FeatureMap`] predicts for it. It
    /// counts as often used as the median item, so that it neither leads nor drowns.
    ///
    /// Returns `None`, and places nothing, unless there are d finite factors.
    pub fn place(&mut self, factors: &[f32]) -> Option<ItemId> {
        if factors.len() != self.d || self.d == 0 || !factors.iter().all(|v| v.is_finite()) {
            return None;
        }
        let (item, row) = (u32::try_from(self.counts.len()).ok()?, u32::try_from(self.block.len()).ok()?);
        let like = median_item(&self.counts)?;
        for column in [&mut self.weights, &mut self.counts, &mut self.axis, &mut self.popularity] {
            column.push(column[like]);
        }
        if let Some(&base) = self.base.get(like) {
            self.base.push(base);
        }
        match &mut self.factors {
            Factors::Full(all) => all.extend_from_slice(factors),
            Factors::Compact { values, scales } => {
                let scale = row_scale(factors);
                values.extend(factors.iter().map(|&v| to_byte(v, scale)));
                scales.push(scale);
            }
        }
        self.block.push(item);
        self.row_of.push(row);
        Some(ItemId(item))
    }

    /// How far taste is trusted: by half from so many items on ([`TASTE_PRIOR`] unless set), at once with 0. Not a number counts
    /// as 0. Profiles made before keep what held then.
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
        let row = self.row_of.get(item.0 as usize).copied().filter(|&row| row != NO_ROW)? as usize;
        Some(match &self.factors {
            Factors::Full(values) => values[row * self.d..][..self.d].to_vec(),
            Factors::Compact { values, scales } => {
                values[row * self.d..][..self.d].iter().map(|&v| f32::from(v) * scales[row]).collect()
            }
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
        self.popularity.get(item.0 as usize).copied().unwrap_or(0.0)
    }

    pub(crate) fn counts(&self) -> &[f32] {
        &self.counts
    }

    /// Scores every item for a profile: length [`Self::catalogue_len`], finite, larger is better. By private popularity where
    /// the profile is empty or the model has no factors.
    pub fn scores(&self, profile: &Profile) -> Vec<f32> {
        let bare = self.d == 0 && self.fit.is_none();
        if bare || profile.is_empty() {
            return if self.base.is_empty() { popularity_scores(&self.counts) } else { self.base.clone() };
        }
        let (p, along) = profile.user_factors();
        let mut scores: Vec<f32> = self.axis.iter().map(|axis| axis * along).collect();
        self.products(&p, 0..self.block.len(), |item, product| scores[item as usize] += product);
        scores.iter_mut().zip(&self.popularity).for_each(|(score, popularity)| *score *= popularity);
        scores.iter_mut().zip(&self.base).for_each(|(score, base)| *score += base);
        scores
    }

    /// The `k` best items, best first, by their scores with `shares` of them left ([`crate::filter::Filter::shares`]).
    ///
    /// The same list as from all [`Self::scores`]. Rows are met by falling reach, `sqrt(|Q_j|^2 + q_j^2) (c_j / max c)^b`; once no
    /// further row can reach the k-th best (Cauchy and Schwarz), the rest is not looked at. Predicted ratings are all computed.
    pub fn top(&self, profile: &Profile, shares: &[f32], k: usize) -> Vec<(ItemId, f32)> {
        let mut best = Best::new(k);
        if profile.is_empty() || self.d == 0 || !self.base.is_empty() {
            let scores = self.scores(profile);
            let scored = (0u32..).zip(&scores).zip(shares);
            scored.for_each(|((item, &score), &share)| best.offer(ItemId(item), shared(score, share)));
            return best.into_sorted();
        }
        let (p, along) = profile.user_factors();
        let offer = |best: &mut Best, item: u32, product: f32| {
            let at = item as usize;
            let score = (self.axis[at] * along + product) * self.popularity[at];
            best.offer(ItemId(item), shared(score, shares.get(at).copied().unwrap_or(f32::NAN)));
        };
        let without_row = (0u32..).zip(&self.row_of).filter(|(_, row)| **row == NO_ROW);
        without_row.for_each(|(item, _)| offer(&mut best, item, 0.0));
        let trained = self.reach.len();
        self.products(&p, trained..self.block.len(), |item, product| offer(&mut best, item, product));
        let norm = narrow((norm_squared(&p) + f64::from(along) * f64::from(along)).sqrt()) * ROUNDING;
        for start in (0..trained).step_by(ROWS) {
            if best.tighten().is_some_and(|least| self.reach[start] * norm < least) {
                break;
            }
            let rows = start..(start + ROWS).min(trained);
            self.products(&p, rows, |item, product| offer(&mut best, item, product));
        }
        best.into_sorted()
    }

    /// Gives `add` each item of these rows with the inner product of its factors and `p`.
    pub(crate) fn products(&self, p: &[f32], rows: Range<usize>, mut add: impl FnMut(u32, f32)) {
        if self.d == 0 {
            return;
        }
        let (block, cells) = (&self.block[rows.clone()], rows.start * self.d..rows.end * self.d);
        match &self.factors {
            Factors::Full(values) => {
                values[cells].chunks_exact(self.d).zip(block).for_each(|(row, &item)| add(item, dot(row, p)));
            }
            Factors::Compact { values, scales } => {
                let (p, scale) = to_16_bits(p);
                for ((row, row_scale), &item) in values[cells].chunks_exact(self.d).zip(&scales[rows]).zip(block) {
                    add(item, dot_bytes(row, &p) * row_scale * scale);
                }
            }
        }
    }
}

impl Columns {
    /// Every item weighs the same and lies at the same place on the axis.
    fn plain(counts: &[f32], axis: f32) -> Self {
        let same = |value: f32| vec![value; counts.len()];
        Self { weights: same(1.0), counts: counts.to_vec(), axis: same(axis), popularity: same(1.0) }
    }
}

/// Rows by falling reach, with their reach; none for a model without factors.
fn by_reach(rows: &[f32], d: usize, block: &[u32], columns: &Columns) -> (Vec<usize>, Vec<f32>) {
    let reach = |(row, &item): (&[f32], &u32)| {
        let item = item as usize;
        let axis = f64::from(columns.axis[item]);
        narrow((norm_squared(row) + axis * axis).sqrt()) * columns.popularity[item]
    };
    let reaches: Vec<f32> = rows.chunks_exact(d.max(1)).zip(block).map(reach).collect();
    let mut order: Vec<usize> = (0..reaches.len()).collect();
    order.sort_by(|&a, &b| reaches[b].total_cmp(&reaches[a]));
    let sorted = order.iter().map(|&row| reaches[row]).collect();
    (order, sorted)
}

fn median_item(counts: &[f32]) -> Option<usize> {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    let middle = counts.len() / 2;
    (middle < counts.len()).then(|| *order.select_nth_unstable_by(middle, |&a, &b| counts[a].total_cmp(&counts[b])).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::{Rules, fuse};
    use crate::interaction::{Interaction, InteractionKind};
    use crate::preference::History;
    use crate::score::{self, top_k};
    use crate::synthetic::trained;
    use tacit_types::Timestamp;

    fn used(items: &[u32]) -> Vec<Interaction> {
        let kind = InteractionKind::View;
        let one = |(time, &item)| Interaction {
            item: ItemId(item),
            timestamp: Some(Timestamp(time)),
            value: 1.0,
            kind,
            surface: 0,
        };
        (0u64..).zip(items).map(one).collect()
    }

    fn profile(used: &[Interaction], ranker: &Ranker) -> Profile {
        Profile::of(&fuse(used, ranker.catalogue_len(), 100, &Rules::default()).weights, ranker)
    }

    #[test]
    fn scores_are_those_of_the_history() {
        let model = trained(500, 16);
        let ranker = Ranker::new(&model, Precision::Full);
        for items in [&[][..], &[3], &[3, 400, 3, 7, 499]] {
            let used = used(items);
            let reference = score::scores(&History::new(&used, 500, 100), &model, Some(score::HALF_LIFE));
            let scores = ranker.scores(&profile(&used, &ranker));
            assert!(scores.iter().zip(&reference).all(|(a, b)| (a - b).abs() < 1e-6), "{items:?}");
        }
        let bare = Ranker::new(&SpectralModel::genesis(4), Precision::Compact);
        assert_eq!(bare.scores(&profile(&used(&[1]), &bare)), vec![1.0; 4]);
    }

    #[test]
    fn bytes_rank_almost_as_floats_do_in_a_quarter_of_the_space() {
        let model = trained(2000, 64);
        let (full, compact) = (Ranker::new(&model, Precision::Full), Ranker::new(&model, Precision::Compact));
        let (rows, d) = (model.block().len(), 64);
        assert_eq!((full.factor_bytes(), compact.factor_bytes()), (4 * rows * d, rows * d + 4 * rows));
        let (mut shared, mut listed) = (0, 0);
        for user in 0..50u32 {
            let used = used(&[user * 7, user * 31 % 2000, user * 13, 1999 - user]);
            let list = |ranker: &Ranker| top_k(&ranker.scores(&profile(&used, ranker)), &[], 20);
            let (by_float, by_byte) = (list(&full), list(&compact));
            shared += by_byte.iter().filter(|(item, _)| by_float.iter().any(|(other, _)| other == item)).count();
            listed += by_float.len();
        }
        assert!(shared as f64 > 0.95 * listed as f64, "{shared} of {listed}");
    }

    #[test]
    fn the_top_is_that_of_all_scores() {
        for precision in [Precision::Full, Precision::Compact] {
            let mut ranker = Ranker::new(&trained(3000, 8), precision);
            ranker.place(&[0.3; 8]).unwrap();
            let shares: Vec<f32> = (0..3001).map(|item| [1.0, 0.5, f32::NAN, 1.0, 1.0][item % 5]).collect();
            for items in [&[][..], &[0], &[2900, 1, 7], &[50, 60, 70, 80]] {
                let profile = profile(&used(items), &ranker);
                let scores =
                    ranker.scores(&profile).into_iter().zip(&shares).map(|(score, share)| shared(score, *share));
                for k in [0, 1, 20, 5000] {
                    let (top, all) =
                        (ranker.top(&profile, &shares, k), top_k(&scores.clone().collect::<Vec<_>>(), &[], k));
                    assert_eq!(top.len(), all.len());
                    let same = top.iter().zip(&all).all(|(a, b)| (a.1 - b.1).abs() < 1e-6);
                    assert!(same, "{precision:?} {items:?} {k}");
                }
            }
        }
    }

    #[test]
    fn a_placed_item_is_ranked_with_those_it_resembles() {
        for precision in [Precision::Full, Precision::Compact] {
            let mut ranker = Ranker::new(&trained(300, 8), precision);
            let like = ranker.factors(ItemId(5)).unwrap();
            assert!(ranker.place(&like[1..]).is_none() && ranker.place(&[f32::NAN; 8]).is_none());
            assert_eq!((ranker.place(&like), ranker.catalogue_len()), (Some(ItemId(300)), 301));
            let used = used(&[300]);
            let scores = ranker.scores(&profile(&used, &ranker));
            assert_eq!(scores.len(), 301);
            assert!(scores.iter().all(|score| score.is_finite()));
            let taste = |item: u32| scores[item as usize] / ranker.popularity(ItemId(item));
            assert!(taste(5) > taste(200).max(taste(100)));
        }
    }
}
