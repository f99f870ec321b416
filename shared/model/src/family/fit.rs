//! An owner's factors where they are the solution of a small equation rather than a sum: weighted
//! squares and ratings.
//!
//! Unknown are `p` (d) and one number along the axis: an owner's own bias where ratings are
//! predicted. With `h_i` the factors of item i and its place on the axis, the equation is `(prior +
//! sum_i a_i (h_i h_i^T + lambda I)) x = sum_i w_i h_i`. Everything but the prior is a sum over the
//! owner's items, so one more item is one more rank.

use crate::family::rating::{RatingModel, Scale};
use crate::family::weighted::WeightedModel;
use crate::maths::linalg::narrow;
use crate::maths::solve::{add_outer, solve_cholesky};

/// The part of the equation that all owners share.
#[derive(Clone, PartialEq)]
pub(crate) struct Fit {
    /// Penalties and, for weighted squares, `alpha_0 V^T V`: (d + 1, d + 1), lower triangle.
    prior: Vec<f64>,
    /// lambda, further penalty for each unit of count.
    per_unit: f64,
    /// Where ratings are predicted: their scale.
    pub(crate) scale: Option<Scale>,
}

impl Fit {
    /// Weighted squares: an item of weight w counts |w| and aims at 1, or at -1 below 0. The axis
    /// is not used.
    pub(crate) fn weighted(model: &WeightedModel) -> Self {
        let (d, terms) = (model.factor_count(), model.terms());
        let per_unit = terms.regularisation;
        let ridge = per_unit * terms.unobserved_weight * model.catalogue_len() as f64;
        let mut prior = vec![0.0; (d + 1) * (d + 1)];
        for (row, gram) in prior
            .chunks_exact_mut(d + 1)
            .zip(model.gram().chunks_exact(d))
        {
            row.iter_mut()
                .zip(gram)
                .for_each(|(prior, gram)| *prior = terms.unobserved_weight * gram);
        }
        add_diagonal(&mut prior, std::iter::repeat_n(ridge, d).chain([1.0]));
        Self {
            prior,
            per_unit,
            scale: None,
        }
    }

    /// Ratings: every item rated counts 1 and aims at its rating less mu + b_j. The axis is the
    /// owner's own bias.
    pub(crate) fn rated(model: &RatingModel) -> Self {
        let d = model.ridge().len();
        let mut prior = vec![0.0; d * d];
        add_diagonal(&mut prior, model.ridge().iter().copied());
        Self {
            prior,
            per_unit: 0.0,
            scale: Some(model.scale()),
        }
    }

    /// The count of an item of this weight, a_i.
    fn counts(&self, weight: f64) -> f64 {
        if self.scale.is_some() {
            1.0
        } else {
            weight.abs()
        }
    }
}

/// One owner's share of the equation. Never leaves the device.
#[derive(Clone, PartialEq)]
pub(crate) struct Fitted {
    pub(crate) fit: std::sync::Arc<Fit>,
    /// `sum a_i h_i h_i^T`: (d + 1, d + 1), lower triangle.
    matrix: Vec<f64>,
}

impl Fitted {
    /// Nothing met yet.
    pub(crate) fn new(fit: &std::sync::Arc<Fit>) -> Self {
        Self {
            fit: fit.clone(),
            matrix: vec![0.0; fit.prior.len()],
        }
    }

    /// Adds an item, or takes it out with `sign` -1; gives the change of the count.
    pub(crate) fn shift(&mut self, h: &[f32], weight: f64, sign: f64) -> f64 {
        let counts = sign * self.fit.counts(weight);
        add_outer(&mut self.matrix, h, counts);
        counts
    }

    /// Lets everything so far count `share` as much.
    pub(crate) fn fade(&mut self, share: f64) {
        self.matrix.iter_mut().for_each(|sum| *sum *= share);
    }

    /// Solves for a right side, where the counts of the owner's items add up to `count`: (d + 1).
    pub(crate) fn solve(&self, mut rhs: Vec<f64>, count: f64) -> Vec<f64> {
        let mut matrix: Vec<f64> = self
            .fit
            .prior
            .iter()
            .zip(&self.matrix)
            .map(|(prior, own)| prior + own)
            .collect();
        add_diagonal(
            &mut matrix,
            std::iter::repeat_n(self.fit.per_unit * count.max(0.0), rhs.len()),
        );
        solve_cholesky(&mut matrix, &mut rhs);
        rhs
    }

    /// [`Self::solve`] as factors and the number along the axis.
    pub(crate) fn user_factors(&self, rhs: Vec<f64>, count: f64) -> (Vec<f32>, f32) {
        let solution = self.solve(rhs, count);
        let mut factors: Vec<f32> = solution.into_iter().map(narrow).collect();
        let along = factors.pop().unwrap_or(0.0);
        (factors, along)
    }
}

/// Adds to the diagonal of a square matrix.
fn add_diagonal(matrix: &mut [f64], values: impl Iterator<Item = f64>) {
    let side = matrix.len().isqrt();
    values
        .take(side)
        .enumerate()
        .for_each(|(place, value)| matrix[place * (side + 1)] += value);
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use tacit_types::{ItemId, Timestamp};

    use crate::family::rating::{RatingModel, Scale};
    use crate::family::weighted::WeightedTerms;
    use crate::family::{Model, Owner};
    use crate::history::fusion::{Rules, fuse};
    use crate::history::interaction::{Interaction, InteractionKind};
    use crate::history::preference::History;
    use crate::history::scene::Scene;
    use crate::rank::explain::contributions;
    use crate::rank::profile::{OnlineProfile, Profile};
    use crate::rank::ranker::{Precision, Ranker};
    use crate::synthetic::trained;

    const ITEMS: u32 = 80;

    fn rating(factors: bool) -> Model {
        let features = Array2::from_shape_fn((ITEMS as usize, 3), |(item, column)| {
            f32::from(item % 3 == column)
        });
        let model = RatingModel::genesis(ITEMS, Scale::STARS);
        if !factors {
            return Model::Rating(model);
        }
        let recipe = crate::Recipe {
            factors: 4,
            ..crate::Recipe::counts_only()
        };
        let counts: Vec<f64> = (1..=ITEMS).map(f64::from).collect();
        let counted = crate::family::spectral::server::apply_counts(&counts, 1.0, &recipe);
        let spectral = crate::family::spectral::server::random_init(&counted, &recipe, 2);
        Model::Rating(model.with_features(features).with_spectral(spectral))
    }

    fn weighted() -> Model {
        Model::weighted_start(&trained(ITEMS, 5), WeightedTerms::default())
    }

    fn did(items: &[u32], kind: InteractionKind) -> Vec<Interaction> {
        let one = |(at, &item): (u64, &u32)| {
            let value = f32::from(u8::try_from(item % 5).unwrap()) + 1.0;
            Interaction {
                item: ItemId(item),
                timestamp: Some(Timestamp(at)),
                value,
                kind,
                surface: 0,
            }
        };
        (0u64..).zip(items).map(one).collect()
    }

    fn close(a: &[f32], b: &[f32], by: f32) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < by)
    }

    #[test]
    fn scores_are_those_of_the_exact_local_solve() {
        let decaying = |half_life| {
            InteractionKind::ALL
                .into_iter()
                .fold(Rules::default(), |rules, kind| {
                    let rule = rules.rule(kind);
                    rules.with(kind, crate::history::fusion::Rule { half_life, ..rule })
                })
        };
        let rules = decaying(0.0);
        for (used, half_life) in [
            (&[][..], 0.0),
            (&[3], 0.0),
            (&[1, 9, 70, 44, 9], 0.0),
            (&[1, 9, 70, 44], 3.0),
        ] {
            let (did, rules) = (did(used, InteractionKind::View), decaying(half_life));
            let (model, history) = (weighted(), History::new(&did, ITEMS, 100));
            let ranker = Ranker::of(&model, Precision::Full);
            let profile = Profile::of(&fuse(&did, ITEMS, 100, &rules).weights, &ranker);
            assert!(
                close(
                    &ranker.scores(&profile),
                    &model.scores(&Owner::from(&history), Some(half_life)),
                    1e-5
                ),
                "{used:?}"
            );
        }
        for model in [rating(false), rating(true)] {
            for used in [&[][..], &[3], &[1, 9, 70, 44, 9]] {
                let rated = did(used, InteractionKind::Rating);
                let (history, ratings) =
                    (History::new(&rated, ITEMS, 100), model.ratings(&rated, 100));
                let ranker = Ranker::of(&model, Precision::Full);
                let weights = ranker
                    .weights(Scene::default(), &rated, 100, &rules)
                    .weights;
                let scores = ranker
                    .scores(&Profile::of(&weights, &ranker))
                    .into_iter();
                let scores: Vec<f32> = scores.map(|score| score.clamp(1.0, 5.0)).collect();
                let owner = Owner {
                    history: &history,
                    ratings: &ratings,
                };
                assert!(
                    close(&scores, &model.scores(&owner, None), 1e-5),
                    "{used:?}"
                );
            }
        }
    }

    #[test]
    fn following_one_by_one_equals_starting_over_and_contributions_add_up() {
        for (model, kind) in [
            (weighted(), InteractionKind::View),
            (rating(true), InteractionKind::Rating),
            (rating(false), InteractionKind::Rating),
        ] {
            let ranker = Ranker::of(&model, Precision::Full);
            let mut all = did(&[4, 8, 15, 16, 23, 42, 8, 61, 77], kind);
            all.extend(
                did(&[2], InteractionKind::Dislike)
                    .into_iter()
                    .map(|one| Interaction {
                        timestamp: Some(Timestamp(99)),
                        ..one
                    }),
            );
            let mut online = OnlineProfile::new(&[], Rules::default(), 6, &ranker);
            (1..=all.len()).for_each(|known| online.record(&all[..known], &ranker));
            let again = OnlineProfile::new(&all, Rules::default(), 6, &ranker);
            let scores = ranker.scores(online.profile());
            assert!(close(&scores, &ranker.scores(again.profile()), 1e-5));
            let weights = ranker
                .weights(Scene::default(), &all, 6, &Rules::default())
                .weights;
            for item in [0u32, 15, 79] {
                let parts = contributions(ItemId(item), &weights, &ranker);
                assert_eq!(parts.len(), weights.len());
                let sum = parts.iter().sum::<f32>() + ranker.general(ItemId(item));
                assert!(
                    (sum - scores[item as usize]).abs() < 1e-4,
                    "{sum} {}",
                    scores[item as usize]
                );
            }
            let top = ranker.top(online.profile(), &vec![1.0; ITEMS as usize], 10);
            let all = crate::rank::top::top_k(&scores, &[], 10);
            assert!(
                top.iter()
                    .zip(&all)
                    .all(|(a, b)| (a.1 - b.1).abs() < 1e-6)
            );
        }
    }
}
