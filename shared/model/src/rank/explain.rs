//! Why an item is recommended: its score as a sum over the items its owner met.

use tacit_types::ItemId;

use crate::maths::linalg::narrow;
use crate::rank::profile::Profile;
use crate::rank::ranker::Ranker;

/// Splits the score of `item` over the weighted items of its owner: one number per entry of
/// `weights`, in the same order.
///
/// The score of item j is linear in the unit vector x of the weighted items. So item i adds exactly
/// `x_i [s Q_j . Q_i + q_j q_i] (c_j / max c)^b`, with s the share of the score that taste gets,
/// and these parts add up to the score. Empty where popularity alone decides: no items with weight,
/// a model without factors, or an item outside the catalogue.
///
/// Fitted user factors are linear in the weights too, with the owner's whole matrix A held fixed:
/// item i adds `w_i h_i^T A^-1 h_j`. A predicted rating is these parts and [`Ranker::general`].
pub fn contributions(item: ItemId, weights: &[(ItemId, f64)], ranker: &Ranker) -> Vec<f32> {
    if ranker.fit().is_some() {
        return fitted(item, weights, ranker).unwrap_or_default();
    }
    let x: Vec<f64> = weights
        .iter()
        .map(|&(used, weight)| weight * ranker.weight(used).map_or(0.0, f64::from))
        .collect();
    let norm = x.iter().map(|x| x.powi(2)).sum::<f64>().sqrt();
    if norm == 0.0 || ranker.factor_count() == 0 || ranker.weight(item).is_none() {
        return Vec::new();
    }
    let trusted = Profile::of(weights, ranker).taste_share();
    let own = ranker.factors(item);
    let axis = f64::from(ranker.axis(item));
    let alike = |used: ItemId| {
        let taste = match (&own, ranker.factors(used)) {
            (Some(own), Some(used)) => product(own, &used),
            _ => 0.0,
        };
        trusted * taste + axis * f64::from(ranker.axis(used))
    };
    let scale = f64::from(ranker.popularity(item)) / norm;
    weights
        .iter()
        .zip(x)
        .map(|(&(used, _), x)| narrow(x * alike(used) * scale))
        .collect()
}

/// The inner product in f64: the parts of a score cancel where it is small.
fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

/// The parts of a score whose user factors are fitted; `None` for an item outside the catalogue, or
/// where no item has weight.
fn fitted(item: ItemId, weights: &[(ItemId, f64)], ranker: &Ranker) -> Option<Vec<f32>> {
    let profile = Profile::of(weights, ranker);
    if profile.is_empty() {
        return None;
    }
    let pull = profile.pull(with_axis(item, ranker)?)?;
    let part = |&(used, weight): &(ItemId, f64)| {
        let along = with_axis(used, ranker).map_or(0.0, |h| {
            h.iter()
                .zip(&pull)
                .map(|(h, pull)| h * pull)
                .sum::<f64>()
        });
        narrow(weight * along)
    };
    Some(weights.iter().map(part).collect())
}

/// `h_i`, the factors of an item and its place on the axis: (d + 1). `None` outside the catalogue.
fn with_axis(item: ItemId, ranker: &Ranker) -> Option<Vec<f64>> {
    ranker.weight(item)?;
    let mut row = ranker
        .factors(item)
        .unwrap_or_else(|| vec![0.0; ranker.factor_count()]);
    row.push(ranker.axis(item));
    Some(row.into_iter().map(f64::from).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::family::spectral::SpectralModel;
    use crate::rank::ranker::Precision;
    use crate::synthetic::trained;

    proptest! {
        #[test]
        fn contributions_add_up_to_the_score(
            used in prop::collection::btree_map(0u32..220, -1.0f64..1.0, 1..30), item in 0u32..200,
        ) {
            let ranker = Ranker::new(&trained(200, 8), Precision::Full);
            let weights: Vec<(ItemId, f64)> = used
                .into_iter()
                .map(|(item, weight)| (ItemId(item), weight))
                .collect();
            let shares = contributions(ItemId(item), &weights, &ranker);
            prop_assume!(!shares.is_empty());
            prop_assert_eq!(shares.len(), weights.len());
            let sum: f64 = shares.iter().map(|share| f64::from(*share)).sum();
            let size: f64 = shares.iter().map(|share| f64::from(share.abs())).sum();
            let score = f64::from(ranker.scores(&Profile::of(&weights, &ranker))[item as usize]);
            // Relative to what is added up: where contributions cancel, f32 scores keep no more
            // digits than that.
            prop_assert!((sum - score).abs() <= 1e-5 * size.max(1e-6), "{} against {}", sum, score);
        }
    }

    #[test]
    fn popularity_has_no_reasons_of_the_owner() {
        let used = [(ItemId(1), 1.0)];
        assert!(
            contributions(
                ItemId(0),
                &used,
                &Ranker::new(&SpectralModel::genesis(3), Precision::Full)
            )
            .is_empty()
        );
        let ranker = Ranker::new(&trained(20, 2), Precision::Full);
        assert!(contributions(ItemId(0), &[], &ranker).is_empty());
        assert!(contributions(ItemId(99), &used, &ranker).is_empty());
    }
}
