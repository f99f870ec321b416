//! Scores of every item, from an owner's history and the published model.

use tacit_types::ItemId;

use super::model::SpectralModel;
use crate::history::preference::History;
use crate::history::recency::decayed;
use crate::history::trust::{TASTE_PRIOR, taste_share};
use crate::maths::linalg::{add_scaled, dot, narrow};

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
/// | untimed history, or a half-life not above 0 | every item of the history counts in full |
/// | history items the model does not know | ignored |
pub fn scores(history: &History, model: &SpectralModel, half_life: Option<f32>) -> Vec<f32> {
    let profile = profile(history, model, half_life);
    let d = model.factor_count();
    if profile.is_empty() || d == 0 {
        return popularity_scores(model.counts());
    }
    let along: f32 = profile
        .iter()
        .map(|&(item, x)| x * model.axis()[item.0 as usize])
        .sum();
    let mut scores: Vec<f32> = model.axis().iter().map(|q| q * along).collect();

    let sizes: f64 = profile.iter().map(|(_, x)| f64::from(x.abs())).sum();
    // The squares of a unit vector add up to 1.
    let share = narrow(taste_share(sizes, 1.0, TASTE_PRIOR));
    let mut p = user_factors(&profile, model);
    for value in &mut p {
        *value *= share;
    }
    let rows = model.factor_slice().chunks_exact(d);
    for (row, &item) in rows.zip(model.block()) {
        scores[item as usize] += dot(row, &p);
    }
    if model.popularity_exponent() > 0.0 {
        for (score, popularity) in scores.iter_mut().zip(model.popularity()) {
            *score *= popularity;
        }
    }
    scores
}

/// Scores every item by its private popularity, `c / max c` of a model's counts: length M, in (0,
/// 1].
///
/// The whole answer where no factors were trained. Recency cannot help here: without factors no two
/// items are alike, so the latest interactions change only which items are left to show.
pub fn popularity_scores(counts: &[f32]) -> Vec<f32> {
    let largest = counts
        .iter()
        .copied()
        .fold(f32::MIN_POSITIVE, f32::max);
    counts.iter().map(|count| count / largest).collect()
}

/// `x`: the history's items with their weights, norm 1.
fn profile(history: &History, model: &SpectralModel, half_life: Option<f32>) -> Vec<(ItemId, f32)> {
    let mut weighted: Vec<(ItemId, f64)> = Vec::with_capacity(history.len());
    for (item, decay) in decayed(history, half_life) {
        if let Some(&weight) = model.weights().get(item.0 as usize) {
            weighted.push((item, f64::from(weight) * decay));
        }
    }
    let squares: f64 = weighted.iter().map(|(_, w)| w * w).sum();
    let norm = squares.sqrt();
    weighted
        .into_iter()
        .map(|(item, w)| (item, narrow(w / norm)))
        .collect()
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
    use crate::rank::top::top_k;
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
        let p = p * n * n / (n * n + 64.0);
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
}
