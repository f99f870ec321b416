//! Central recommenders that see every history: what the same people could have without privacy.
//!
//! EASE is tuned for each data set, on the item that each user used last of what it trains on,
//! never on the test. Implicit ALS has settings that do well on films; on sparse data others do
//! better.

mod ease;

use rayon::prelude::*;
use tacit_model::history::preference::History;
use tacit_model::measure::baseline::{IalsConfig, ials};
use tacit_model::measure::metric::Ranking;
use tacit_types::ItemId;

use crate::population::Population;
use crate::quality::{Figures, judge};
use ease::Ease;

/// Regularisations that EASE is tried with.
const RIDGES: [f32; 4] = [30.0, 100.0, 300.0, 1000.0];
/// Users who judge a setting.
const TUNING_USERS: usize = 1_000;
/// Most items for EASE: it inverts a matrix of all their pairs.
const EASE_ITEMS_MAX: u32 = 10_000;

/// Figures of the central recommenders.
#[derive(Clone, Debug)]
pub struct Central {
    /// Implicit ALS.
    pub ials: Figures,
    /// The same, ranking with the half-life that devices rank with, if they do.
    pub ials_recent: Option<Figures>,
}

/// Implicit ALS at `factors` factors; `half_life` as devices rank with.
pub fn trained_ials(
    population: &Population,
    factors: u32,
    half_life: Option<f32>,
    seed: u64,
) -> Central {
    let factors = factors.clamp(1, population.items.max(1)) as usize;
    let config = IalsConfig::new(factors, seed);
    let model = ials(&population.histories, population.items, &config);
    let ranked = |half_life: Option<f32>| {
        judge(population, |user| {
            model.recent_scores(&population.histories[user], half_life)
        })
    };
    let is_timed = population.histories.iter().any(History::is_timed);
    Central {
        ials: ranked(None),
        ials_recent: half_life
            .filter(|_| is_timed)
            .map(|half_life| ranked(Some(half_life))),
    }
}

/// EASE (Steck 2019), tuned; `None` where there are too many items for it.
pub fn tuned_ease(population: &Population) -> Option<Figures> {
    if population.items > EASE_ITEMS_MAX {
        return None;
    }
    let spared = Spared::of(population.histories.clone());
    let ridge = best(RIDGES, |&ridge| {
        let model = Ease::of(&spared.histories, population.items, ridge);
        spared.ndcg(|history| model.scores(history))
    });
    let model = Ease::of(&population.histories, population.items, ridge);
    Some(judge(population, |user| {
        model.scores(&population.histories[user])
    }))
}

/// The first of those with the largest figure.
fn best<T: Clone, const N: usize>(all: [T; N], figure: impl Fn(&T) -> f64) -> T {
    let figures = all.each_ref().map(figure);
    let best = (0..N).fold(0, |best, next| {
        if figures[next] > figures[best] {
            next
        } else {
            best
        }
    });
    all[best].clone()
}

/// Histories without their latest items, and these.
struct Spared {
    histories: Vec<History>,
    held_out: Vec<Option<ItemId>>,
}

impl Spared {
    fn of(histories: Vec<History>) -> Self {
        let spared = histories.into_iter().map(History::hold_out);
        let (histories, held_out) = spared.unzip();
        Self {
            histories,
            held_out,
        }
    }

    /// Mean NDCG@10 of the items held out, over some users.
    fn ndcg(&self, scores: impl Fn(&History) -> Vec<f32> + Sync) -> f64 {
        let step = self.histories.len().div_ceil(TUNING_USERS).max(1);
        let users: Vec<usize> = (0..self.histories.len()).step_by(step).collect();
        let judged: Vec<Ranking> = users
            .into_par_iter()
            .filter_map(|user| {
                let (history, held_out) = (&self.histories[user], self.held_out[user]?);
                Some(Ranking::full(
                    &scores(history),
                    history.items(),
                    &[held_out],
                ))
            })
            .collect();
        Ranking::mean(&judged).ndcg_at_10
    }
}

#[cfg(test)]
mod tests {
    use tacit_data::{SyntheticSpec, synthetic};

    use super::*;

    fn population() -> Population {
        Population::new(synthetic(&SyntheticSpec {
            users: 300,
            items: 120,
            seed: 3,
        }))
    }

    #[test]
    fn central_recommenders_beat_popularity() {
        let population = population();
        let owners: Vec<f32> = population.owners.iter().map(|&n| n as f32).collect();
        let popular = judge(&population, |_| owners.clone()).ndcg_at_10;
        let central = trained_ials(&population, 8, Some(10.0), 1);
        assert!(central.ials.ndcg_at_10 > popular);
        assert!(central.ials_recent.unwrap().ndcg_at_10 > popular);
        assert!(tuned_ease(&population).unwrap().ndcg_at_10 > popular);
    }

    #[test]
    fn the_first_of_the_best_is_taken() {
        assert_eq!(best([1, 2, 3], |one| f64::from(-(one - 2_i32).abs())), 2);
        assert_eq!(best([5, 6], |_| f64::NAN), 5);
    }
}
