//! Central baselines for honest comparison: they see every history, so they bound what private
//! training can reach.
//!
//! Implicit ALS after Rendle, Krichene, Zhang, Koren, "Revisiting the Performance of iALS on Item
//! Recommendation Benchmarks" (2021), equations 1 to 4. Factors in f32, solves in f64; parallel
//! over rows only, so results do not depend on the number of threads.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::history::preference::History;
use crate::history::recency::decayed;
use crate::maths::linalg::dot;
use crate::maths::solve::{NormalEquation, gram, implicit};

/// How many owners used each item: length `catalogue_len`. The raw popularity baseline.
pub fn popularity(histories: &[History], catalogue_len: u32) -> Vec<f32> {
    let mut counts = vec![0.0f32; catalogue_len as usize];
    for item in histories.iter().flat_map(History::items) {
        if let Some(count) = counts.get_mut(item.0 as usize) {
            *count += 1.0;
        }
    }
    counts
}

/// Settings of [`ials`].
#[derive(Clone, Debug, PartialEq)]
pub struct IalsConfig {
    /// d, length of the factors.
    pub factors: usize,
    /// Passes over users and items.
    pub epochs: usize,
    /// alpha_0, weight of every cell whether used or not, against 1 for a used one.
    pub unobserved_weight: f64,
    /// lambda, scaled per row by `|I_u| + alpha_0 |items|`.
    pub regularisation: f64,
    /// Seed of the first factors.
    pub seed: u64,
}

impl IalsConfig {
    /// Settings that do well on film-like data at `factors` factors.
    pub fn new(factors: usize, seed: u64) -> Self {
        Self {
            factors,
            epochs: 12,
            unobserved_weight: 0.3,
            regularisation: 0.003,
            seed,
        }
    }
}

/// Item factors of implicit ALS, with exact fold-in of any history.
pub struct Ials {
    config: IalsConfig,
    items: Factors,
    item_gram: Vec<f64>,
}

/// Trains implicit ALS on all histories.
pub fn ials(histories: &[History], catalogue_len: u32, config: &IalsConfig) -> Ials {
    let users: Vec<Vec<u32>> = histories
        .iter()
        .map(|history| known_items(history, catalogue_len))
        .collect();
    let by_item = transpose(&users, catalogue_len as usize);
    let mut rng = ChaCha20Rng::seed_from_u64(config.seed);
    let mut items = Factors::random(by_item.len(), config.factors, &mut rng);
    let mut owners = Factors::random(users.len(), config.factors, &mut rng);
    for _ in 0..config.epochs {
        owners.refit(&users, &items, config);
        items.refit(&by_item, &owners, config);
    }
    Ials {
        item_gram: items.gram(),
        items,
        config: config.clone(),
    }
}

impl Ials {
    /// Scores every item for a history by solving for its user factors exactly: length
    /// `catalogue_len`.
    pub fn scores(&self, history: &History) -> Vec<f32> {
        self.recent_scores(history, None)
    }

    /// [`Self::scores`] where older items weigh less, as devices let them; `half_life` as in
    /// [`crate::Model::scores`].
    pub fn recent_scores(&self, history: &History, half_life: Option<f32>) -> Vec<f32> {
        let d = self.config.factors;
        let catalogue_len = u32::try_from(self.items.rows()).unwrap_or(u32::MAX);
        let used = decayed(history, half_life)
            .filter(|(item, _)| item.0 < catalogue_len)
            .map(|(item, weight)| (item.0, weight));
        let used: Vec<(u32, f64)> = used.collect();
        let mut p = vec![0.0f32; d];
        self.items.refit_row(
            &mut NormalEquation::new(d),
            &used,
            &self.item_gram,
            &self.config,
            &mut p,
        );
        self.items
            .values
            .chunks_exact(d)
            .map(|row| dot(row, &p))
            .collect()
    }
}

/// Rows of d numbers.
struct Factors {
    values: Vec<f32>,
    d: usize,
}

impl Factors {
    fn random(rows: usize, d: usize, rng: &mut ChaCha20Rng) -> Self {
        assert!(d > 0, "implicit ALS needs at least one factor");
        let std = 0.1 / (d as f32).sqrt();
        let normal = |_| -> f32 {
            let normal: f32 = StandardNormal.sample(rng);
            std * normal
        };
        Self {
            values: (0..rows * d).map(normal).collect(),
            d,
        }
    }

    fn rows(&self) -> usize {
        self.values.len() / self.d
    }

    fn row(&self, row: u32) -> &[f32] {
        &self.values[row as usize * self.d..][..self.d]
    }

    fn gram(&self) -> Vec<f64> {
        gram(&self.values, self.d)
    }

    /// Solves every row exactly given the other side; `used[r]` lists the other side's rows that
    /// row r met.
    fn refit(&mut self, used: &[Vec<u32>], other: &Factors, config: &IalsConfig) {
        let gram = other.gram();
        let rows = self.values.chunks_exact_mut(self.d).zip(used);
        let rows = Mutex::new(rows);
        let next = || {
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.next()
        };
        let refit = || {
            let mut equation = NormalEquation::new(config.factors);
            while let Some((row, used)) = next() {
                let used: Vec<(u32, f64)> = used.iter().map(|&row| (row, 1.0)).collect();
                other.refit_row(&mut equation, &used, &gram, config, row);
            }
        };

        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            for _ in 1..cores {
                scope.spawn(refit);
            }
            refit();
        });
    }

    /// Solves one row of the other side, which met the rows `used` of this one with their weights.
    fn refit_row(
        &self,
        equation: &mut NormalEquation,
        used: &[(u32, f64)],
        gram: &[f64],
        config: &IalsConfig,
        p: &mut [f32],
    ) {
        let frequency = used.len() as f64 + config.unobserved_weight * self.rows() as f64;
        let met = used
            .iter()
            .map(|&(row, weight)| (self.row(row), weight));
        implicit(
            equation,
            met,
            gram,
            config.unobserved_weight,
            config.regularisation * frequency,
            p,
        );
    }
}

fn known_items(history: &History, catalogue_len: u32) -> Vec<u32> {
    history
        .items()
        .iter()
        .map(|item| item.0)
        .filter(|item| *item < catalogue_len)
        .collect()
}

/// For each item the users who used it.
fn transpose(users: &[Vec<u32>], items: usize) -> Vec<Vec<u32>> {
    let mut by_item = vec![Vec::new(); items];
    for (user, used) in (0u32..).zip(users) {
        used.iter()
            .for_each(|&item| by_item[item as usize].push(user));
    }
    by_item
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::metric::Ranking;
    use crate::synthetic::{history, planted};

    #[test]
    fn popularity_counts_owners() {
        assert_eq!(
            popularity(&[history(&[0, 2]), history(&[2, 9])], 3),
            vec![1.0, 0.0, 2.0]
        );
    }

    #[test]
    fn planted_tastes_are_found() {
        let data = planted(1500, 400, 8, 2);
        let model = ials(&data.histories, 400, &IalsConfig::new(8, 1));
        let popular = popularity(&data.histories, 400);
        let hits = |score: &dyn Fn(&History) -> Vec<f32>| {
            let judged = data.histories.iter().zip(&data.held_out);
            let judged = judged
                .map(|(used, held_out)| Ranking::full(&score(used), used.items(), &[*held_out]));
            Ranking::mean(&judged.collect::<Vec<_>>()).hr_at_10
        };
        assert!(hits(&|used| model.scores(used)) > 2.0 * hits(&|_| popular.clone()));
    }

    #[test]
    fn an_empty_history_and_an_unused_item_are_no_trouble() {
        let model = ials(&[history(&[0, 1]), history(&[])], 3, &IalsConfig::new(2, 1));
        assert!(
            model
                .scores(&history(&[]))
                .iter()
                .all(|&score| score == 0.0)
        );
        assert!(
            model
                .scores(&history(&[1, 99]))
                .iter()
                .all(|score| score.is_finite())
        );
    }
}
