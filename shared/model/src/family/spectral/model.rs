//! The published model: noisy item counts and, once trained, item factors.
//!
//! Everything here is public. Factors are stored in f32; weights, popularity and axis are computed
//! from the counts in f64 and rounded once.

use std::cmp::Ordering;
use std::fmt;

use ndarray::{Array2, ArrayView2};
use tacit_types::ItemId;

use crate::family::limits::{CATALOGUE_MAX, FACTORS_MAX};
use crate::maths::linalg::{make_unit, narrow, norm_squared};

/// Most head items; the head Gram then has 2,098,176 coordinates.
pub const HEAD_MAX: u32 = 1 << 11;

/// Everything a device needs to take part in a round and to rank items.
///
/// Life of a model: [`SpectralModel::genesis`] knows the catalogue only; `server::apply_counts`
/// gives it popularity and chooses the trained block; `server::apply_head_gram` or
/// `server::random_init` gives it first factors; each `server::apply_gradient` improves them, and
/// [`super::public::completed`] adds columns of public features. Each step makes a new value; a
/// published model never changes.
///
/// With catalogue length M, block length M' and d factors: the stored state is the counts (M), the
/// two exponents, the block (M'), the head length and the factors (M', d). Weights, popularity and
/// axis follow from it and are not sent.
#[derive(Clone, PartialEq)]
pub struct SpectralModel {
    counts: Vec<f32>,
    weights: Vec<f32>,
    popularity: Vec<f32>,
    axis: Vec<f32>,
    block: Vec<u32>,
    head: Vec<ItemId>,
    factors: Array2<f32>,
    weight_exponent: f32,
    popularity_exponent: f32,
}

/// The stored state of a [`SpectralModel`]; assembling it derives the rest.
pub(crate) struct Parts {
    pub(crate) counts: Vec<f32>,
    pub(crate) weight_exponent: f32,
    pub(crate) popularity_exponent: f32,
    pub(crate) block: Vec<u32>,
    pub(crate) head: usize,
    pub(crate) factors: Array2<f32>,
}

impl SpectralModel {
    /// The model before anything was learned: every item equally popular, the whole catalogue in
    /// the block, no factors.
    ///
    /// # Panics
    /// When `catalogue_len` is 0 or above [`CATALOGUE_MAX`].
    pub fn genesis(catalogue_len: u32) -> Self {
        assert!(
            (1..=CATALOGUE_MAX).contains(&catalogue_len),
            "a catalogue has 1 to {CATALOGUE_MAX} items"
        );
        let block: Vec<u32> = (0..catalogue_len).collect();
        let factors = Array2::zeros((block.len(), 0));
        let counts = vec![1.0; block.len()];
        Self::assemble(Parts {
            counts,
            weight_exponent: 0.0,
            popularity_exponent: 0.0,
            block,
            head: 0,
            factors,
        })
    }

    /// Derives weights, popularity, axis and head from the stored state, which the caller has
    /// checked.
    pub(crate) fn assemble(parts: Parts) -> Self {
        let Parts {
            counts,
            weight_exponent,
            popularity_exponent,
            block,
            head,
            factors,
        } = parts;
        let largest = f64::from(
            counts
                .iter()
                .copied()
                .fold(f32::MIN_POSITIVE, f32::max),
        );
        let power = |exponent: f32| -> Vec<f32> {
            counts
                .iter()
                .map(|&c| narrow((f64::from(c) / largest).powf(f64::from(exponent))))
                .collect()
        };
        let (weights, popularity) = (power(-weight_exponent), power(popularity_exponent));
        let mut axis = power(1.0 - weight_exponent);
        let norm = norm_squared(&axis);
        make_unit(axis.iter_mut(), norm);
        let head = most_popular(&counts, &block, head)
            .into_iter()
            .map(ItemId)
            .collect();
        Self {
            counts,
            weights,
            popularity,
            axis,
            block,
            head,
            factors,
            weight_exponent,
            popularity_exponent,
        }
    }

    /// The same counts and block with other factors: (M', d).
    pub(crate) fn with_factors(&self, factors: Array2<f32>) -> Self {
        assert_eq!(
            factors.nrows(),
            self.block.len(),
            "one row of factors per block item"
        );
        assert!(
            factors.len() <= FACTORS_MAX,
            "at most {FACTORS_MAX} factors"
        );
        Self {
            factors,
            ..self.clone()
        }
    }

    /// The same model with the whole catalogue in its block; items that were outside have rows of
    /// zeros: (M, d).
    pub(crate) fn over_all_items(&self) -> Self {
        if self.block.len() == self.counts.len() {
            return self.clone();
        }
        let mut factors = Array2::zeros((self.counts.len(), self.factor_count()));
        for (row, &item) in self.factors.rows().into_iter().zip(&self.block) {
            factors.row_mut(item as usize).assign(&row);
        }
        let block = (0..self.catalogue_len()).collect();
        Self::assemble(Parts {
            counts: self.counts.clone(),
            weight_exponent: self.weight_exponent,
            popularity_exponent: self.popularity_exponent,
            block,
            head: self.head.len(),
            factors,
        })
    }

    /// The same counts and block without factors: devices rank by popularity.
    #[must_use]
    pub fn without_factors(&self) -> Self {
        self.with_factors(Array2::zeros((self.block.len(), 0)))
    }

    /// M, the number of items in the catalogue.
    pub fn catalogue_len(&self) -> u32 {
        u32::try_from(self.counts.len()).expect("a catalogue has at most CATALOGUE_MAX items")
    }

    /// Noisy item counts, floored, all above 0: (M).
    pub fn counts(&self) -> &[f32] {
        &self.counts
    }

    /// Item weights `(c / max c)^-a`: (M).
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Popularity factor of the ranking, `(c / max c)^b`: (M).
    pub fn popularity(&self) -> &[f32] {
        &self.popularity
    }

    /// The popularity axis, unit(c w): (M), norm 1. The factors are orthogonal to it.
    pub fn axis(&self) -> &[f32] {
        &self.axis
    }

    /// Indices of the items that have factors, ascending: (M').
    pub fn block(&self) -> &[u32] {
        &self.block
    }

    /// Item factors, one row per block item: (M', d). Learned columns are orthonormal; columns made
    /// of public features follow, orthogonal to them and of norm at most 1.
    pub fn factors(&self) -> ArrayView2<'_, f32> {
        self.factors.view()
    }

    /// d, the number of factors; 0 before training.
    pub fn factor_count(&self) -> usize {
        self.factors.ncols()
    }

    /// The K most popular block items, most popular first, equals by lower index.
    pub fn head_items(&self) -> &[ItemId] {
        &self.head
    }

    /// a, how strongly rare items are weighted up.
    pub fn weight_exponent(&self) -> f32 {
        self.weight_exponent
    }

    /// b, how strongly popularity is put back when ranking.
    pub fn popularity_exponent(&self) -> f32 {
        self.popularity_exponent
    }

    /// Coordinates of the head Gram, K(K+1)/2.
    pub fn head_gram_len(&self) -> usize {
        self.head.len() * (self.head.len() + 1) / 2
    }

    /// Coordinates of the factor gradient, M' d.
    pub fn gradient_len(&self) -> usize {
        self.factors.len()
    }

    /// `sqrt(c_j w_j)`, how large an item is in a square root of the second moment.
    pub(crate) fn size(&self, item: usize) -> f64 {
        let count = f64::from(self.counts[item]);
        let weight = f64::from(self.weights[item]);
        (count * weight).sqrt()
    }

    /// All factors, row-major.
    pub(crate) fn factor_slice(&self) -> &[f32] {
        self.factors
            .as_slice()
            .expect("factors are stored row-major")
    }

    /// Row of an item in the block, if it is there.
    pub(crate) fn block_row(&self, item: ItemId) -> Option<usize> {
        if self.block.len() == self.counts.len() {
            return Some(item.0 as usize).filter(|&row| row < self.block.len());
        }
        self.block.binary_search(&item.0).ok()
    }
}

impl fmt::Debug for SpectralModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (items, block, d, head) = (
            self.counts.len(),
            self.block.len(),
            self.factor_count(),
            self.head.len(),
        );
        write!(
            f,
            "SpectralModel(M={items}, block={block}, d={d}, head={head})"
        )
    }
}

/// The `len` items of `candidates` with the largest counts, largest first, equals by lower index.
pub(crate) fn most_popular(counts: &[f32], candidates: &[u32], len: usize) -> Vec<u32> {
    let by_count = |a: &u32, b: &u32| -> Ordering {
        counts[*b as usize]
            .total_cmp(&counts[*a as usize])
            .then(a.cmp(b))
    };
    let mut items = candidates.to_vec();
    if len == 0 {
        return Vec::new();
    }
    if len < items.len() {
        items.select_nth_unstable_by(len - 1, by_count);
        items.truncate(len);
    }
    items.sort_unstable_by(by_count);
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genesis_knows_the_catalogue_and_nothing_else() {
        let model = SpectralModel::genesis(3);
        assert_eq!(
            (model.catalogue_len(), model.block(), model.factor_count()),
            (3, &[0, 1, 2][..], 0)
        );
        assert!(
            model
                .axis()
                .iter()
                .all(|v| (v - 3f32.sqrt().recip()).abs() < 1e-7)
        );
        assert!(model.head_items().is_empty());
    }

    #[test]
    #[should_panic(expected = "a catalogue has 1")]
    fn genesis_refuses_an_empty_catalogue() {
        SpectralModel::genesis(0);
    }

    #[test]
    fn the_head_is_ordered_by_count_and_ties_by_index() {
        let counts = [1.0, 5.0, 3.0, 5.0, 3.0];
        assert_eq!(most_popular(&counts, &[0, 1, 2, 3, 4], 4), vec![1, 3, 2, 4]);
        assert_eq!(most_popular(&counts, &[0, 2, 4], 9), vec![2, 4, 0]);
        assert!(most_popular(&counts, &[0, 1], 0).is_empty());
    }
}
