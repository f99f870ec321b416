//! Ranking on the device: from an owner's history and the published model to the items to show.

use std::cmp::Ordering;

use tacit_types::ItemId;

use crate::family::spectral::SpectralModel;
use crate::history::preference::History;
use crate::maths::linalg::{add_scaled, dot, narrow};

/// Half-life to use for timed histories unless the application says otherwise, in interactions.
///
/// Chosen on the second-last interaction of MovieLens-1M and -100k among 5 to 200: best or next to
/// best of all at every noise level (ML-1M, epsilon 10, 99 negatives / full HR@10: .704 / .124
/// against .652 / .080 without one). 5 is ahead on the full ranking, where people rate films in the
/// order a page lists them; 10 leans on that less.
pub const HALF_LIFE: f32 = 10.0;

/// How far taste is trusted: by half from so many items on, see [`taste_share`]. 10, 15 and 20 were
/// compared for new owners, on users of MovieLens-1M with even numbers; before that four strengths
/// of a weaker form, on all of them, and two of those on the published tests.
pub const TASTE_PRIOR: f64 = 15.0;

/// Share of its score that taste gets from an owner whose weights add up to `sizes` and whose
/// squares to `squares`: `n^2 / (n^2 + prior^2)` for the effective number of items `n = sizes^2 /
/// squares` (Kish 1965, section 11.7).
///
/// A few items say little about the rest of a taste, while what is popular holds for everybody:
/// shrinkage toward the mean of all owners, which long histories hardly feel.
pub(crate) fn taste_share(sizes: f64, squares: f64, prior: f64) -> f64 {
    let n = sizes * sizes / squares.max(f64::MIN_POSITIVE);
    if n > 0.0 {
        n * n / (n * n + prior * prior)
    } else {
        0.0
    }
}

/// Scores every catalogue item for this owner: length M, finite, larger is better.
///
/// `half_life`, in interactions, lets older items count less: the latest with full weight, the one
/// `half_life` places before it with half. With `x` the unit vector of the weighted history, `Q`
/// the factors and `q` the popularity axis, item j scores `[Q Q^T x + q q^T x]_j (c_j / max c)^b`;
/// items outside the block have no factors and keep the popularity part.
///
/// | case | score |
/// |---|---|
/// | empty history, or a model without factors | popularity, [`popularity_scores`] |
/// | untimed history, or a half-life that is not above 0 | every item of the history counts in full |
/// | history items the model does not know | ignored |
pub fn scores(history: &History, model: &SpectralModel, half_life: Option<f32>) -> Vec<f32> {
    let profile = profile(history, model, half_life);
    if profile.is_empty() || model.factor_count() == 0 {
        return popularity_scores(model.counts());
    }
    let along: f32 = profile
        .iter()
        .map(|&(item, x)| x * model.axis()[item.0 as usize])
        .sum();
    let mut scores: Vec<f32> = model.axis().iter().map(|q| q * along).collect();
    let (d, factors, mut p) = (
        model.factor_count(),
        model.factor_slice(),
        user_factors(&profile, model),
    );
    // The squares of a unit vector add up to 1.
    let share = narrow(taste_share(
        profile.iter().map(|(_, x)| f64::from(x.abs())).sum(),
        1.0,
        TASTE_PRIOR,
    ));
    p.iter_mut().for_each(|p| *p *= share);
    for (row, &item) in factors.chunks_exact(d).zip(model.block()) {
        scores[item as usize] += dot(row, &p);
    }
    if model.popularity_exponent() > 0.0 {
        scores
            .iter_mut()
            .zip(model.popularity())
            .for_each(|(score, popularity)| *score *= popularity);
    }
    scores
}

/// Scores every item by its private popularity, `c / max c` of a model's counts: length M, in (0,
/// 1].
///
/// The whole answer where no factors were trained. Recency cannot help here: without factors
/// nothing says which items are alike, so what an owner did last changes only which items are left
/// to show.
pub fn popularity_scores(counts: &[f32]) -> Vec<f32> {
    let largest = counts.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    counts.iter().map(|count| count / largest).collect()
}

/// The `k` best items that are not in `exclude`, best first, equal scores by lower index; NaN is
/// never chosen.
pub fn top_k(scores: &[f32], exclude: &[ItemId], k: usize) -> Vec<(ItemId, f32)> {
    let mut closed = vec![false; scores.len()];
    for item in exclude {
        if let Some(flag) = closed.get_mut(item.0 as usize) {
            *flag = true;
        }
    }
    top_k_open(scores, &closed, k)
}

/// [`top_k`] of the items whose flag in `closed` is not set; items beyond its end are closed.
pub fn top_k_open(scores: &[f32], closed: &[bool], k: usize) -> Vec<(ItemId, f32)> {
    let mut best = Best::new(k);
    let open = (0u32..)
        .map(ItemId)
        .zip(scores)
        .zip(closed)
        .filter(|(_, closed)| !**closed);
    open.for_each(|((item, &score), _)| best.offer(item, score));
    best.into_sorted()
}

/// Collects the k best of any number of scored items, offered in any order. Most lose to the k-th
/// best so far at one comparison; the rest are sorted out k at a time.
pub(crate) struct Best {
    k: usize,
    list: Vec<(ItemId, f32)>,
    least: Option<(ItemId, f32)>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Self {
        Self {
            k,
            list: Vec::new(),
            least: None,
        }
    }

    /// Takes an item that may be among the k best; NaN never is.
    pub(crate) fn offer(&mut self, item: ItemId, score: f32) {
        let loses = self
            .least
            .is_some_and(|least| best_first(&least, &(item, score)).is_lt());
        if loses || score.is_nan() || self.k == 0 {
            return;
        }
        self.list.push((item, score));
        if self.list.len() >= self.k.saturating_mul(2) {
            self.tighten();
        }
    }

    /// Forgets all but the k best, and gives the least score among them once there are k.
    pub(crate) fn tighten(&mut self) -> Option<f32> {
        if self.k > 0 && self.list.len() > self.k {
            self.list.select_nth_unstable_by(self.k - 1, best_first);
            self.list.truncate(self.k);
            self.least = self.list.last().copied();
        }
        self.least.map(|(_, score)| score)
    }

    /// Best first, equal scores by lower index.
    pub(crate) fn into_sorted(mut self) -> Vec<(ItemId, f32)> {
        self.list.sort_unstable_by(best_first);
        self.list.truncate(self.k);
        self.list
    }
}

fn best_first(a: &(ItemId, f32), b: &(ItemId, f32)) -> Ordering {
    b.1.partial_cmp(&a.1)
        .unwrap_or(Ordering::Equal)
        .then(a.0.cmp(&b.0))
}

/// `x`: the history's items with their weights, norm 1.
fn profile(history: &History, model: &SpectralModel, half_life: Option<f32>) -> Vec<(ItemId, f32)> {
    let weight = |(item, decay): (ItemId, f64)| {
        Some((
            item,
            f64::from(*model.weights().get(item.0 as usize)?) * decay,
        ))
    };
    let weighted: Vec<(ItemId, f64)> = decayed(history, half_life).filter_map(weight).collect();
    let norm = weighted.iter().map(|(_, w)| w * w).sum::<f64>().sqrt();
    weighted
        .into_iter()
        .map(|(item, w)| (item, narrow(w / norm)))
        .collect()
}

/// The items, latest first, each with `2^(-age / half-life)`; with 1 where the history is untimed
/// or the half-life not above 0.
pub(crate) fn decayed(
    history: &History,
    half_life: Option<f32>,
) -> impl Iterator<Item = (ItemId, f64)> {
    let half_life = half_life.filter(|half_life| history.is_timed() && *half_life > 0.0);
    let share = move |age: usize| {
        half_life.map_or(1.0, |half_life| {
            (-(age as f64) / f64::from(half_life)).exp2()
        })
    };
    history
        .items()
        .iter()
        .rev()
        .enumerate()
        .map(move |(age, item)| (*item, share(age)))
}

/// `Q^T x`: (d).
fn user_factors(profile: &[(ItemId, f32)], model: &SpectralModel) -> Vec<f32> {
    let (d, factors) = (model.factor_count(), model.factor_slice());
    let mut p = vec![0.0f32; d];
    for &(item, x) in profile {
        if let Some(row) = model.block_row(item) {
            add_scaled(&mut p, x, &factors[row * d..][..d]);
        }
    }
    p
}

#[cfg(test)]
mod tests {
    use tacit_types::Timestamp;

    use super::*;
    use crate::family::recipe::Recipe;
    use crate::family::spectral::server::{apply_counts, apply_gradient, random_init};
    use crate::history::interaction::{Interaction, InteractionKind};
    use crate::synthetic::history;

    /// Two tastes: items 0 to 2 go together, and items 3 to 5; 6 and 7 are rare and stay outside
    /// the block.
    fn two_tastes() -> SpectralModel {
        let base = Recipe::for_signal(50.0, 8).unwrap();
        let recipe = Recipe {
            factors: 1,
            coverage: 0.94,
            popularity_exponent: 0.1,
            ..base
        };
        let start = apply_counts(&[9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.5, 0.4], 0.1, &recipe);
        let start = random_init(&start, &recipe, 1);
        apply_gradient(&start, &[1.0, 1.0, 1.0, -1.0, -1.0, -1.0], &recipe, true)
    }

    fn timed(items: &[u32]) -> History {
        let used = |(time, item): (u64, &u32)| Interaction {
            item: ItemId(*item),
            timestamp: Some(Timestamp(time)),
            value: 1.0,
            kind: InteractionKind::View,
            surface: 0,
        };
        History::new(&(0..).zip(items).map(used).collect::<Vec<_>>(), 8, 100)
    }

    fn best_unseen(used: &History, half_life: Option<f32>) -> u32 {
        top_k(&scores(used, &two_tastes(), half_life), used.items(), 1)[0]
            .0
            .0
    }

    #[test]
    fn what_goes_together_ranks_first() {
        assert_eq!(best_unseen(&history(&[0, 1]), None), 2);
        assert_eq!(best_unseen(&history(&[3, 4]), None), 5);
    }

    #[test]
    fn the_latest_taste_wins_only_with_a_half_life_and_times() {
        let (old_many, new_one) = (&[0, 1, 3], &timed(&[0, 1, 3]));
        assert_eq!(best_unseen(new_one, None), 2);
        assert_eq!(best_unseen(new_one, Some(0.5)), 4);
        assert_eq!(best_unseen(&history(old_many), Some(0.5)), 2);
    }

    #[test]
    fn a_half_life_without_meaning_is_ignored() {
        let (used, model) = (timed(&[0, 1, 3]), two_tastes());
        for half_life in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(
                scores(&used, &model, Some(half_life)),
                scores(&used, &model, None),
                "{half_life}"
            );
        }
    }

    #[test]
    fn without_a_history_or_factors_popularity_decides() {
        let (model, popular) = (two_tastes(), popularity_scores(two_tastes().counts()));
        assert_eq!(scores(&history(&[]), &model, None), popular);
        assert_eq!(scores(&history(&[99]), &model, None), popular);
        assert_eq!(
            scores(&history(&[1]), &SpectralModel::genesis(3), None),
            vec![1.0; 3]
        );
    }

    #[test]
    fn scores_follow_the_formula() {
        let (model, used) = (two_tastes(), history(&[0, 3, 6]));
        let norm = [0, 3, 6]
            .map(|j: usize| model.weights()[j].powi(2))
            .iter()
            .sum::<f32>()
            .sqrt();
        let x = [0, 3, 6].map(|j: usize| (j, model.weights()[j] / norm));
        let along: f32 = x.iter().map(|&(j, v)| v * model.axis()[j]).sum();
        let p: f32 = x
            .iter()
            .filter(|(j, _)| *j < 6)
            .map(|&(j, v)| v * model.factors()[(j, 0)])
            .sum();
        let n = x.iter().map(|(_, v)| v).sum::<f32>().powi(2);
        let p = p * n * n / (n * n + 225.0);
        for (j, score) in scores(&used, &model, None).into_iter().enumerate() {
            let taste = if j < 6 {
                model.factors()[(j, 0)] * p
            } else {
                0.0
            };
            assert!(
                (score - (taste + model.axis()[j] * along) * model.popularity()[j]).abs() < 1e-6
            );
        }
    }

    #[test]
    fn the_top_is_deterministic_and_skips_what_was_seen_and_nan() {
        let scores = [1.0, 3.0, f32::NAN, 3.0, 2.0, f32::NEG_INFINITY];
        let items = |k| {
            top_k(&scores, &[ItemId(4), ItemId(77)], k)
                .iter()
                .map(|(item, _)| item.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(items(2), vec![1, 3]);
        assert_eq!(items(99), vec![1, 3, 0, 5]);
        assert!(items(0).is_empty());
    }
}
