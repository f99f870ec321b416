//! Where nothing was learned yet: an owner who did nothing, an item nobody used.

use faer::prelude::Solve;
use faer::{Mat, Side};
use tacit_types::ItemId;

use crate::family::features::FEATURES_MAX;
use crate::family::spectral::model::most_popular;
use crate::maths::linalg::narrow;
use crate::rank::ranker::Ranker;

/// Items that stand for the categories an owner chose.
const PRIOR_ITEMS: usize = 20;

/// Weights the most popular of `liked`, the items a new owner said to like, all alike and together
/// as much as one item used last. Empty without any; then private popularity decides.
///
/// Local: the choice is never sent, and it fades as interactions come in.
pub fn prior(liked: &[ItemId], ranker: &Ranker) -> Vec<(ItemId, f64)> {
    let mut known: Vec<u32> = liked
        .iter()
        .map(|item| item.0)
        .filter(|item| *item < ranker.catalogue_len())
        .collect();
    known.sort_unstable();
    known.dedup();
    let chosen = most_popular(ranker.counts(), &known, PRIOR_ITEMS);
    let mut squares = 0.0;
    for &item in &chosen {
        let weight = ranker.weight(ItemId(item));
        squares += weight.map_or(0.0, f64::from).powi(2);
    }
    let share = squares.sqrt().recip();
    chosen
        .into_iter()
        .map(|item| (ItemId(item), share))
        .collect()
}

/// A public linear map from an item's features to its factors.
///
/// Ridge regression on the items that have both, `B = (F^T F + lambda I)^-1 F^T Q`, F with a column
/// of ones added. It reads nothing but the published model and the app's own catalogue, so it costs
/// no privacy and every device finds the same map.
pub struct FeatureMap {
    /// (features + 1, d), row-major.
    coefficients: Vec<f64>,
    features: usize,
    d: usize,
}

impl FeatureMap {
    /// Learns the map from items with the same number of features each.
    ///
    /// `None` if the features are more than [`FEATURES_MAX`], differ in number or are not finite,
    /// if no item has factors, or if `lambda` is not above 0.
    pub fn fit(items: &[(ItemId, Vec<f32>)], ranker: &Ranker, lambda: f64) -> Option<Self> {
        let features = items.first()?.1.len();
        let good = |row: &Vec<f32>| {
            let finite = row.iter().all(|v| v.is_finite());
            finite && row.len() == features
        };
        if features > FEATURES_MAX || !items.iter().all(|(_, row)| good(row)) {
            return None;
        }
        // A lambda of NaN is refused too.
        if lambda.is_nan() || lambda <= 0.0 {
            return None;
        }
        let mut known = Vec::new();
        let mut factors = Vec::new();
        for (item, row) in items {
            if let Some(own) = ranker.factors(*item) {
                known.push(row);
                factors.push(own);
            }
        }
        if known.is_empty() {
            return None;
        }
        let (rows, d) = (known.len(), ranker.factor_count());
        let f = Mat::from_fn(rows, features + 1, |i, j| with_one(known[i], j));
        let q = Mat::from_fn(rows, d, |i, j| f64::from(factors[i][j]));
        Some(Self {
            coefficients: ridge(&f, &q, lambda)?,
            features,
            d,
        })
    }

    /// Predicts the factors of an item: (d), for [`Ranker::place`]. `None` for another number of
    /// features than learned from.
    pub fn predict(&self, features: &[f32]) -> Option<Vec<f32>> {
        if features.len() != self.features {
            return None;
        }
        let mut factors = vec![0.0f64; self.d];
        for (j, row) in self.coefficients.chunks_exact(self.d).enumerate() {
            let feature = with_one(features, j);
            factors
                .iter_mut()
                .zip(row)
                .for_each(|(factor, coefficient)| *factor += feature * coefficient);
        }
        Some(factors.into_iter().map(narrow).collect())
    }
}

/// `(F^T F + lambda I)^-1 F^T Q`, row-major; `None` where rounding left the matrix not positive
/// definite.
fn ridge(f: &Mat<f64>, q: &Mat<f64>, lambda: f64) -> Option<Vec<f64>> {
    let mut normal = f.transpose() * f;
    for j in 0..f.ncols() {
        normal[(j, j)] += lambda;
    }
    let aims = f.transpose() * q;
    let cholesky = normal.llt(Side::Lower).ok()?;
    let solved = cholesky.solve(aims);
    let mut coefficients = Vec::with_capacity(f.ncols() * q.ncols());
    for i in 0..f.ncols() {
        for j in 0..q.ncols() {
            coefficients.push(solved[(i, j)]);
        }
    }
    Some(coefficients)
}

/// Feature `j`, where the one after the last is the column of ones.
fn with_one(features: &[f32], j: usize) -> f64 {
    features
        .get(j)
        .map_or(1.0, |&feature| f64::from(feature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::spectral::SpectralModel;
    use crate::rank::profile::Profile;
    use crate::rank::ranker::Precision;
    use crate::rank::top::top_k;
    use crate::synthetic::{learned, planted, trained};

    const TASTES: u32 = 8;

    fn taste_of(item: u32) -> Vec<f32> {
        (0..TASTES)
            .map(|taste| if item % TASTES == taste { 1.0 } else { 0.0 })
            .collect()
    }

    #[test]
    fn a_new_item_reaches_the_owners_who_share_its_taste() {
        let data = planted(1500, 400, TASTES, 2);
        let mut ranker = Ranker::new(&learned(&data, 8), Precision::Full);
        let items: Vec<_> = (0..400)
            .map(|item| (ItemId(item), taste_of(item)))
            .collect();
        let map = FeatureMap::fit(&items, &ranker, 1e-3).unwrap();
        let new = ranker
            .place(&map.predict(&taste_of(3)).unwrap())
            .unwrap();
        let place = |used: &crate::History| {
            let weights: Vec<(ItemId, f64)> =
                used.items().iter().map(|&item| (item, 1.0)).collect();
            let scores = ranker.scores(&Profile::of(&weights, &ranker));
            scores
                .iter()
                .filter(|score| **score > scores[new.0 as usize])
                .count()
        };
        let mean = |share: bool| {
            let asked = (0u32..)
                .zip(&data.histories)
                .filter(|(user, _)| (user % TASTES == 3) == share);
            let places: Vec<usize> = asked.map(|(_, used)| place(used)).collect();
            places.iter().sum::<usize>() as f64 / places.len() as f64
        };
        let (own, other) = (mean(true), mean(false));
        assert!(
            own < 0.5 * other,
            "place {own} among its own, {other} among others"
        );
    }

    #[test]
    fn a_map_that_can_be_exact_is() {
        let ranker = Ranker::new(&trained(200, 4), Precision::Full);
        let items: Vec<_> = (0..100)
            .map(|item| (ItemId(item), ranker.factors(ItemId(item)).unwrap()))
            .collect();
        let map = FeatureMap::fit(&items, &ranker, 1e-9).unwrap();
        let again = map
            .predict(&ranker.factors(ItemId(150)).unwrap())
            .unwrap();
        assert!(
            again
                .iter()
                .zip(ranker.factors(ItemId(150)).unwrap())
                .all(|(a, b)| (a - b).abs() < 1e-5)
        );
        assert!(map.predict(&[1.0]).is_none());
    }

    #[test]
    fn bad_features_give_no_map() {
        let ranker = Ranker::new(&trained(20, 4), Precision::Full);
        let fit = |rows: &[Vec<f32>], lambda| {
            let items: Vec<_> = (0..).map(ItemId).zip(rows.iter().cloned()).collect();
            FeatureMap::fit(&items, &ranker, lambda).is_some()
        };
        assert!(fit(&[vec![1.0], vec![2.0]], 1.0));
        assert!(!fit(&[vec![1.0], vec![]], 1.0) && !fit(&[vec![f32::NAN]], 1.0) && !fit(&[], 1.0));
        assert!(
            !fit(&[vec![1.0]], 0.0)
                && !fit(&[vec![1.0]], f64::NAN)
                && !fit(&[vec![0.0; FEATURES_MAX + 1]], 1.0)
        );
        let bare = Ranker::new(&SpectralModel::genesis(2), Precision::Full);
        assert!(FeatureMap::fit(&[(ItemId(0), vec![1.0])], &bare, 1.0).is_none());
    }

    #[test]
    fn what_a_new_owner_likes_leads_the_list() {
        let data = planted(1500, 400, TASTES, 2);
        let ranker = Ranker::new(&learned(&data, 8), Precision::Full);
        let liked: Vec<ItemId> = (0..400)
            .filter(|item| item % TASTES == 5)
            .map(ItemId)
            .collect();
        let prior = prior(&[&liked[..], &[ItemId(9999)]].concat(), &ranker);
        assert_eq!(prior.len(), PRIOR_ITEMS);
        let list = top_k(&ranker.scores(&Profile::of(&prior, &ranker)), &[], 10);
        assert!(
            list.iter()
                .filter(|(item, _)| item.0 % TASTES == 5)
                .count()
                >= 8
        );
        assert!(super::prior(&[], &ranker).is_empty());
    }
}
