//! Offline quality: where held-out items land in a ranking.
//!
//! Two protocols. Full ranking: against every catalogue item the owner has not used. Sampled:
//! against a published list of negatives. Both count ranks from 0, and in both an equal score
//! counts against the held-out item, so a model that scores everything alike gets nothing.

use tacit_types::ItemId;

/// Quality of one ranking, or the mean of many.
///
/// For one held-out item at rank r: HR@10 is 1 if r < 10, NDCG@10 is `1/log2(r + 2)` if r < 10,
/// Recall@20 is 1 if r < 20. For several held-out items: HR@10 is 1 if any is in the first 10;
/// NDCG@10 is the DCG of the hits over that of a ranking with min(10, their number) hits on top;
/// Recall@20 is the share of them in the first 20.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ranking {
    /// Hit ratio in the first ten.
    pub hr_at_10: f64,
    /// Normalised discounted cumulative gain of the first ten.
    pub ndcg_at_10: f64,
    /// Share of the held-out items found in the first twenty.
    pub recall_at_20: f64,
}

impl Ranking {
    /// Judges the ranks of all held-out items of one owner, each counted from 0; no items, no
    /// quality.
    pub fn from_ranks(ranks: &[usize]) -> Self {
        if ranks.is_empty() {
            return Self::default();
        }
        let gain = |rank: usize| (rank as f64 + 2.0).log2().recip();
        let ideal: f64 = (0..ranks.len().min(10)).map(gain).sum();
        let top10: Vec<usize> = ranks
            .iter()
            .copied()
            .filter(|rank| *rank < 10)
            .collect();
        let found: f64 = top10.iter().copied().map(gain).sum();
        let in_20 = ranks.iter().filter(|rank| **rank < 20).count();
        Self {
            hr_at_10: if top10.is_empty() { 0.0 } else { 1.0 },
            // The sum of no gains is -0.
            ndcg_at_10: found / ideal + 0.0,
            recall_at_20: in_20 as f64 / ranks.len() as f64,
        }
    }

    /// Judges `held_out` in the ranking of all items but `seen`.
    pub fn full(scores: &[f32], seen: &[ItemId], held_out: &[ItemId]) -> Self {
        Self::from_ranks(&full_ranks(scores, seen, held_out))
    }

    /// Judges one `held_out` item against `negatives`.
    pub fn sampled(scores: &[f32], held_out: ItemId, negatives: &[ItemId]) -> Self {
        Self::from_ranks(&[sampled_rank(scores, held_out, negatives)])
    }

    /// Mean over owners; zero for none.
    pub fn mean(rankings: &[Self]) -> Self {
        let owners = rankings.len().max(1) as f64;
        let mean = |part: fn(&Self) -> f64| rankings.iter().map(part).sum::<f64>() / owners + 0.0;
        Self {
            hr_at_10: mean(|r| r.hr_at_10),
            ndcg_at_10: mean(|r| r.ndcg_at_10),
            recall_at_20: mean(|r| r.recall_at_20),
        }
    }
}

/// Rank of each held-out item: how many of the items not in `seen` score at least as much.
///
/// Of held-out items with an equal score only those listed earlier count against it, so that no two
/// share a place and a perfect ranking of equals is perfect. A held-out item without a score, or
/// with NaN, ranks last.
pub fn full_ranks(scores: &[f32], seen: &[ItemId], held_out: &[ItemId]) -> Vec<usize> {
    let mut open = scores.to_vec();
    for item in seen.iter().filter(|item| !held_out.contains(item)) {
        if let Some(score) = open.get_mut(item.0 as usize) {
            // No comparison holds with NaN, so what was seen counts against nothing.
            *score = f32::NAN;
        }
    }
    let score_of = |item: &ItemId| {
        open.get(item.0 as usize)
            .copied()
            .filter(|score| !score.is_nan())
    };
    let rank = |(place, item): (usize, &ItemId)| match score_of(item) {
        Some(own) => {
            let equal = |others: &[ItemId]| {
                let same = others
                    .iter()
                    .filter(|other| score_of(other) == Some(own));
                same.count()
            };
            let at_least = open.iter().filter(|score| **score >= own).count();
            at_least - equal(held_out) + equal(&held_out[..place])
        }
        None => scores.len(),
    };
    held_out.iter().enumerate().map(rank).collect()
}

/// Rank of one held-out item among published negatives: how many score at least as much.
pub fn sampled_rank(scores: &[f32], held_out: ItemId, negatives: &[ItemId]) -> usize {
    let score_of = |item: ItemId| {
        scores
            .get(item.0 as usize)
            .copied()
            .filter(|score| !score.is_nan())
    };
    let Some(own) = score_of(held_out) else {
        return negatives.len();
    };
    negatives
        .iter()
        .filter(|&&item| score_of(item).is_some_and(|score| score >= own))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 5] = [0.5, 0.9, 0.1, 0.9, 0.3];

    fn ids(items: &[u32]) -> Vec<ItemId> {
        items.iter().copied().map(ItemId).collect()
    }

    #[test]
    fn full_ranking_skips_what_was_seen() {
        assert_eq!(full_ranks(&SCORES, &ids(&[1, 3]), &ids(&[4])), vec![1]);
        assert_eq!(full_ranks(&SCORES, &[], &ids(&[4])), vec![3]);
    }

    #[test]
    fn a_tie_counts_against_the_item_in_both_protocols() {
        assert_eq!(sampled_rank(&SCORES, ItemId(1), &ids(&[3, 0])), 1);
        assert_eq!(full_ranks(&SCORES, &[], &ids(&[1])), vec![1]);
        assert_eq!(full_ranks(&[0.0; 5], &ids(&[0]), &ids(&[4])), vec![3]);
        let unknown = [f32::NEG_INFINITY; 3];
        assert_eq!(full_ranks(&unknown, &ids(&[0]), &ids(&[1])), vec![1]);
    }

    #[test]
    fn held_out_items_with_equal_scores_do_not_share_a_place() {
        assert_eq!(full_ranks(&SCORES, &[], &ids(&[1, 3])), vec![0, 1]);
    }

    #[test]
    fn an_item_without_a_score_ranks_last() {
        assert_eq!(full_ranks(&SCORES, &[], &ids(&[9])), vec![5]);
        assert_eq!(full_ranks(&[f32::NAN, 1.0], &[], &ids(&[0])), vec![2]);
        assert_eq!(sampled_rank(&[f32::NAN, 1.0], ItemId(0), &ids(&[1])), 1);
    }

    #[test]
    fn one_held_out_item_is_judged_by_its_rank() {
        let third = Ranking::from_ranks(&[2]);
        assert_eq!(
            (third.hr_at_10, third.ndcg_at_10, third.recall_at_20),
            (1.0, 0.5, 1.0)
        );
        let fifteenth = Ranking::from_ranks(&[14]);
        assert_eq!(
            (
                fifteenth.hr_at_10,
                fifteenth.ndcg_at_10,
                fifteenth.recall_at_20
            ),
            (0.0, 0.0, 1.0)
        );
        assert_eq!(Ranking::from_ranks(&[]), Ranking::default());
    }

    #[test]
    fn several_held_out_items_are_judged_against_the_ideal_ranking() {
        let perfect: Vec<usize> = (0..15).collect();
        assert!((Ranking::from_ranks(&perfect).ndcg_at_10 - 1.0).abs() < 1e-12);
        let half = Ranking::from_ranks(&[0, 40]);
        assert_eq!((half.hr_at_10, half.recall_at_20), (1.0, 0.5));
        assert!((half.ndcg_at_10 - 1.0 / (1.0 + 3f64.log2().recip())).abs() < 1e-12);
    }

    #[test]
    fn the_mean_of_no_rankings_is_zero() {
        let missed = Ranking::mean(&[Ranking::from_ranks(&[50])]);
        assert!(missed.ndcg_at_10.is_sign_positive() && missed.hr_at_10.is_sign_positive());
        assert_eq!(Ranking::mean(&[]), Ranking::default());
        assert_eq!(
            Ranking::mean(&[Ranking::from_ranks(&[0]), Ranking::from_ranks(&[99])]).hr_at_10,
            0.5
        );
    }
}
