//! From the best items to a list worth showing: unlike each other, and now and then a surprise.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_types::ItemId;

use crate::maths::linalg::{dot, norm_squared};
use crate::rank::ranker::Ranker;

/// Chooses `k` of `candidates`, best first, by maximal marginal relevance (Carbonell and Goldstein
/// 1998): each place goes to the item with the largest `(1 - diversity) r_j - diversity max_i
/// cos(Q_i, Q_j)`, i over the items chosen before it and r_j the score scaled to 0..1 over the
/// candidates.
///
/// `diversity` from 0 (the ranking as it is) to 1 (as unlike as can be after the first); an item
/// without factors is like no other. O(k |candidates| d).
pub fn diversify(
    candidates: &[(ItemId, f32)],
    ranker: &Ranker,
    k: usize,
    diversity: f32,
) -> Vec<(ItemId, f32)> {
    let diversity = diversity.clamp(0.0, 1.0);
    let (Some(best), Some(worst)) = (candidates.first(), candidates.last()) else {
        return Vec::new();
    };
    let range = if best.1 > worst.1 {
        best.1 - worst.1
    } else {
        1.0
    };
    let direction = |item| {
        let mut row = ranker.factors(item).unwrap_or_default();
        let length = norm_squared(&row).sqrt();
        crate::maths::linalg::make_unit(row.iter_mut(), length * length);
        row
    };
    let mut open: Vec<Candidate> = candidates
        .iter()
        .map(|&scored| Candidate {
            scored,
            relevance: (scored.1 - worst.1) / range,
            direction: direction(scored.0),
            likeness: 0.0,
        })
        .collect();
    let mut list: Vec<(ItemId, f32)> = Vec::with_capacity(k.min(open.len()));
    while list.len() < k && !open.is_empty() {
        let value = |one: &Candidate| (1.0 - diversity) * one.relevance - diversity * one.likeness;
        // The first of equals, which is the better one.
        let next = (1..open.len()).fold(0, |best, i| {
            if value(&open[i]) > value(&open[best]) {
                i
            } else {
                best
            }
        });
        let chosen = open.remove(next);
        let first = list.is_empty();
        for one in &mut open {
            let cosine = dot(&one.direction, &chosen.direction);
            one.likeness = if first {
                cosine
            } else {
                one.likeness.max(cosine)
            };
        }
        list.push(chosen.scored);
    }
    list
}

struct Candidate {
    scored: (ItemId, f32),
    relevance: f32,
    direction: Vec<f32>,
    /// Largest cosine to an item chosen so far.
    likeness: f32,
}

/// Gives each place of `list` to a uniformly drawn item of `pool` with probability `share`
/// (epsilon-greedy).
///
/// Without it an owner sees only what the model already believes, and the model learns of nothing
/// else. `pool` is what comes after the list in the ranking; each of its items is shown at most
/// once. The same seed gives the same list.
pub fn explore(list: &mut [(ItemId, f32)], mut pool: Vec<(ItemId, f32)>, share: f32, seed: u64) {
    let share = if share.is_nan() {
        0.0
    } else {
        f64::from(share.clamp(0.0, 1.0))
    };
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    for place in list {
        if !pool.is_empty() && rng.random_bool(share) {
            *place = pool.swap_remove(rng.random_range(0..pool.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::ranker::Precision;
    use crate::rank::top::top_k;
    use crate::synthetic::trained;

    fn ranked(ranker: &Ranker) -> Vec<(ItemId, f32)> {
        top_k(
            &(0..ranker.catalogue_len())
                .map(|item| 1.0 / (item + 1) as f32)
                .collect::<Vec<_>>(),
            &[],
            40,
        )
    }

    fn likeness(list: &[(ItemId, f32)], ranker: &Ranker) -> f32 {
        let rows: Vec<Vec<f32>> = list
            .iter()
            .map(|(item, _)| ranker.factors(*item).unwrap())
            .collect();
        let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        rows.iter()
            .enumerate()
            .flat_map(|(n, a)| rows[..n].iter().map(move |b| cosine(a, b)))
            .sum()
    }

    #[test]
    fn no_diversity_keeps_the_ranking_and_more_makes_the_list_less_alike() {
        let ranker = Ranker::new(&trained(200, 4), Precision::Full);
        let ranked = ranked(&ranker);
        assert_eq!(diversify(&ranked, &ranker, 10, 0.0), ranked[..10].to_vec());
        let varied = diversify(&ranked, &ranker, 10, 0.7);
        assert_eq!((varied[0], varied.len()), (ranked[0], 10));
        assert!(likeness(&varied, &ranker) < likeness(&ranked[..10], &ranker) - 1.0);
        assert_eq!(diversify(&ranked, &ranker, 99, 0.5).len(), 40);
        assert!(diversify(&[], &ranker, 3, 0.5).is_empty());
    }

    #[test]
    fn a_copy_of_the_best_item_waits() {
        let mut ranker = Ranker::new(&trained(50, 4), Precision::Full);
        let twin = ranker
            .place(&ranker.factors(ItemId(0)).unwrap())
            .unwrap();
        let opposite = ranker
            .place(
                &ranker
                    .factors(ItemId(0))
                    .unwrap()
                    .iter()
                    .map(|v| -v)
                    .collect::<Vec<_>>(),
            )
            .unwrap();
        let candidates = [(ItemId(0), 1.0), (twin, 0.9), (opposite, 0.8)];
        assert_eq!(diversify(&candidates, &ranker, 2, 0.5)[1].0, opposite);
    }

    #[test]
    fn exploration_replaces_the_given_share_and_replays() {
        let pool: Vec<(ItemId, f32)> = (1000..2000).map(|item| (ItemId(item), 0.0)).collect();
        let list: Vec<(ItemId, f32)> = (0..400).map(|item| (ItemId(item), 1.0)).collect();
        let explored = |share, seed| {
            let mut list = list.clone();
            explore(&mut list, pool.clone(), share, seed);
            list
        };
        assert_eq!(explored(0.0, 1), list);
        assert_eq!(explored(f32::NAN, 1), list);
        assert_eq!(explored(0.2, 7), explored(0.2, 7));
        // 80 expected, standard deviation 8; the seed is fixed, so this does not flicker.
        let new = explored(0.2, 7)
            .iter()
            .filter(|(item, _)| item.0 >= 1000)
            .count();
        assert!((48..=112).contains(&new), "{new}");
        let mut all = explored(1.0, 3);
        all.sort_by_key(|(item, _)| *item);
        all.dedup();
        assert_eq!(all.len(), 400);
    }
}
