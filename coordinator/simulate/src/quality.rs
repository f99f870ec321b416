//! Measures rankings on the items each simulated user holds out.

use rayon::prelude::*;
use serde::Serialize;
use tacit_model::measure::metric::{Ranking, full_ranks};
use tacit_model::rank::top::top_k;
use tacit_types::ItemId;

use crate::population::Population;

/// Length of the list whose coverage and popularity are looked at.
const LIST: usize = 10;

/// Lower edges of the groups of users by history length.
pub const LENGTHS: [usize; 5] = [1, 20, 50, 100, 200];

/// Figures of one ranking over all tested users; `None` where the data has no such figure.
///
/// Full ranking: against everything the user has not used. Sampled: against the published
/// negatives.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Users with something held out.
    pub tested: usize,
    /// Full ranking, hit ratio in the first ten.
    pub hr_at_10: Option<f64>,
    /// Full ranking, NDCG of the first ten.
    pub ndcg_at_10: Option<f64>,
    /// Full ranking, share of held-out items in the first twenty.
    pub recall_at_20: Option<f64>,
    /// Against published negatives, hit ratio in the first ten.
    pub hr_at_10_sampled: Option<f64>,
    /// Against published negatives, NDCG of the first ten.
    pub ndcg_at_10_sampled: Option<f64>,
    /// Share of the catalogue that is in somebody's first ten.
    pub coverage_at_10: Option<f64>,
    /// How much more popular the first ten are than what users chose themselves: mean over users of
    /// the mean number of owners of the ten items, over the same of the history, minus 1
    /// (Abdollahpouri et al. 2020).
    pub popularity_lift: Option<f64>,
    /// Share of the held-out items outside the most used fifth of the catalogue that are in the
    /// first twenty.
    pub tail_recall_at_20: Option<f64>,
    /// The same quality by length of history.
    pub by_history: Vec<Group>,
    /// HR@10 and NDCG@10 of each tested user, in the order of the data.
    pub per_user: Vec<[f32; 2]>,
}

/// Users with histories of similar length.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// Fewest items of a history in this group; it ends where the next begins.
    pub from: usize,
    /// Tested users in it.
    pub tested: usize,
    /// Full ranking, hit ratio in the first ten.
    pub hr_at_10: f64,
    /// Full ranking, NDCG of the first ten.
    pub ndcg_at_10: f64,
}

/// One figure of [`Figures`].
pub type Metric = (&'static str, fn(&Figures) -> Option<f64>);

/// The figures by name, in the order tables show them.
pub const METRICS: [Metric; 8] = [
    ("hr_at_10", |f| f.hr_at_10),
    ("ndcg_at_10", |f| f.ndcg_at_10),
    ("recall_at_20", |f| f.recall_at_20),
    ("hr_at_10_sampled", |f| f.hr_at_10_sampled),
    ("ndcg_at_10_sampled", |f| f.ndcg_at_10_sampled),
    ("coverage_at_10", |f| f.coverage_at_10),
    ("popularity_lift", |f| f.popularity_lift),
    ("tail_recall_at_20", |f| f.tail_recall_at_20),
];

/// Judges the ranking that `scores` gives each user, by index: larger is better, one score per
/// item.
pub fn judge(population: &Population, scores: impl Fn(usize) -> Vec<f32> + Sync) -> Figures {
    let tested = (0..population.histories.len())
        .into_par_iter()
        .filter(|&user| !population.test[user].is_empty());
    let judged: Vec<Judged> = tested
        .map(|user| judge_user(population, user, &scores(user)))
        .collect();
    let full = mean_of(judged.iter().map(|one| Some(one.full)));
    let sampled = mean_of(judged.iter().map(|one| one.sampled));
    let tail = judged
        .iter()
        .fold((0, 0), |sum, one| (sum.0 + one.tail.0, sum.1 + one.tail.1));
    Figures {
        tested: judged.len(),
        hr_at_10: full.map(|mean| mean.hr_at_10),
        ndcg_at_10: full.map(|mean| mean.ndcg_at_10),
        recall_at_20: full.map(|mean| mean.recall_at_20),
        hr_at_10_sampled: sampled.map(|mean| mean.hr_at_10),
        ndcg_at_10_sampled: sampled.map(|mean| mean.ndcg_at_10),
        coverage_at_10: full.map(|_| coverage(population, &judged)),
        popularity_lift: popularity_lift(population, &judged),
        tail_recall_at_20: (tail.1 > 0).then(|| tail.0 as f64 / tail.1 as f64),
        by_history: by_history(&judged),
        per_user: judged.iter().map(|one| pair(one.full)).collect(),
    }
}

/// One user's part.
struct Judged {
    history: usize,
    full: Ranking,
    sampled: Option<Ranking>,
    /// Held-out tail items found in the first twenty, and all of them.
    tail: (usize, usize),
    list: Vec<ItemId>,
    /// Mean number of owners of the history's items; `None` for an empty history.
    own_popularity: Option<f64>,
}

fn judge_user(population: &Population, user: usize, scores: &[f32]) -> Judged {
    let held_out = &population.test[user];
    let seen: Vec<ItemId> = population.interactions[user]
        .iter()
        .map(|one| one.item)
        .collect();
    let ranks = full_ranks(scores, &seen, held_out);
    let in_tail = held_out
        .iter()
        .zip(&ranks)
        .filter(|(item, _)| population.tail[item.0 as usize]);
    let tail = in_tail.fold((0, 0), |(found, all), (_, rank)| {
        (found + usize::from(*rank < 20), all + 1)
    });
    let negatives = population
        .negatives
        .as_ref()
        .map(|all| &all[user])
        .filter(|own| !own.is_empty());
    let history = &population.histories[user];
    Judged {
        history: history.len(),
        full: Ranking::from_ranks(&ranks),
        sampled: negatives.map(|negatives| Ranking::sampled(scores, held_out[0], negatives)),
        tail,
        list: top_k(scores, &seen, LIST)
            .into_iter()
            .map(|(item, _)| item)
            .collect(),
        own_popularity: mean_owners(population, history.items()),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "figures from 0 to 1")]
fn pair(ranking: Ranking) -> [f32; 2] {
    [ranking.hr_at_10 as f32, ranking.ndcg_at_10 as f32]
}

fn mean_of(rankings: impl Iterator<Item = Option<Ranking>>) -> Option<Ranking> {
    let rankings: Vec<Ranking> = rankings.flatten().collect();
    (!rankings.is_empty()).then(|| Ranking::mean(&rankings))
}

fn mean_owners(population: &Population, items: &[ItemId]) -> Option<f64> {
    let sum: f64 = items
        .iter()
        .map(|item| f64::from(population.owners[item.0 as usize]))
        .sum();
    (!items.is_empty()).then(|| sum / items.len() as f64)
}

fn coverage(population: &Population, judged: &[Judged]) -> f64 {
    let mut shown = vec![false; population.owners.len()];
    judged
        .iter()
        .flat_map(|one| &one.list)
        .for_each(|item| shown[item.0 as usize] = true);
    shown.iter().filter(|shown| **shown).count() as f64 / shown.len().max(1) as f64
}

fn popularity_lift(population: &Population, judged: &[Judged]) -> Option<f64> {
    let pairs = judged
        .iter()
        .filter_map(|one| Some((mean_owners(population, &one.list)?, one.own_popularity?)));
    let (shown, chosen) = pairs.fold((0.0, 0.0), |sum, (shown, chosen)| {
        (sum.0 + shown, sum.1 + chosen)
    });
    (chosen > 0.0).then(|| shown / chosen - 1.0)
}

fn by_history(judged: &[Judged]) -> Vec<Group> {
    let group = |(place, &from): (usize, &usize)| {
        let end = LENGTHS.get(place + 1).copied().unwrap_or(usize::MAX);
        let own: Vec<Ranking> = judged
            .iter()
            .filter(|one| (from..end).contains(&one.history))
            .map(|one| one.full)
            .collect();
        let mean = Ranking::mean(&own);
        Group {
            from,
            tested: own.len(),
            hr_at_10: mean.hr_at_10,
            ndcg_at_10: mean.ndcg_at_10,
        }
    };
    LENGTHS
        .iter()
        .enumerate()
        .map(group)
        .filter(|group| group.tested > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use tacit_data::{SyntheticSpec, synthetic};

    use super::*;

    fn population() -> Population {
        Population::new(synthetic(&SyntheticSpec {
            users: 60,
            items: 80,
            seed: 2,
        }))
    }

    #[test]
    fn one_list_for_everybody_covers_little_and_is_popular() {
        let population = population();
        let popular: Vec<f32> = population
            .owners
            .iter()
            .map(|&owners| owners as f32)
            .collect();
        let figures = judge(&population, |_| popular.clone());
        assert_eq!(figures.tested, 60);
        assert!(figures.popularity_lift.unwrap() > 0.0);
        let rare = judge(&population, |_| {
            popular.iter().map(|owners| -owners).collect()
        });
        assert!(rare.popularity_lift.unwrap() < 0.0);
    }

    #[test]
    fn knowing_the_answer_scores_one_everywhere() {
        let population = population();
        let oracle = |user: usize| {
            let mut scores = vec![0.0; 80];
            population.test[user]
                .iter()
                .for_each(|item| scores[item.0 as usize] = 1.0);
            scores
        };
        let figures = judge(&population, oracle);
        assert_eq!(
            (figures.hr_at_10, figures.ndcg_at_10, figures.recall_at_20),
            (Some(1.0), Some(1.0), Some(1.0))
        );
        assert_eq!(figures.tail_recall_at_20, Some(1.0));
        assert_eq!(
            figures
                .by_history
                .iter()
                .map(|group| group.tested)
                .sum::<usize>(),
            60
        );
        assert!(
            figures
                .by_history
                .iter()
                .all(|group| group.hr_at_10 == 1.0)
        );
    }

    #[test]
    fn a_constant_covers_the_first_places_only_and_nobody_tested_has_no_figures() {
        let mut population = population();
        population.test.iter_mut().for_each(Vec::clear);
        assert_eq!(judge(&population, |_| vec![0.0; 80]), Figures::default());
    }
}
