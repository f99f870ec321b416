//! What a job will release, what that costs, and how much of the gain to expect: everything public
//! numbers say before it.
//!
//! One planner for everybody: `tacit plan` prints this plan, the coordinator keeps it and runs it.
//! It inverts the conversion that is printed, so the reported epsilon is at most the requested one,
//! with the samplers' distance from the ideal included.

use tacit_model::Recipe;
use tacit_model::family::recipe::{SIGNAL_MIN, SIGNAL_UNSURE, gain_share, signal_to_noise};
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::{Mechanism, Rho, convert};
use tacit_types::{Delta, Epsilon, Kind};

use crate::advice::advice;
use crate::error::PlanError;
use crate::mechanism::{Crowd, Shape, mechanism_for};
use crate::outline::{Outline, outline, trained_rows};
use crate::request::PlanRequest;

/// Room for the samplers' total variation over a whole task, in units of 2^-128: 2^70 of them are
/// 3.5e-18, against a delta of 1e-5 or 1e-8. Fixed, so that publisher, coordinator and planner turn
/// one epsilon into the same budget; every release is checked against it.
pub const TOTAL_VARIATION_MAX: u128 = 1 << 70;

/// Least share of rho for evaluation where the signal leaves open whether factors beat popularity,
/// so that it decides something.
///
/// Chosen by a computation, not on data: HR@10 gained or lost as the law of [`gain_share`] gives it
/// with its break-even at q = 4 or at 10, even odds, for a central gain of .05 to .10; training
/// with what the share leaves, and the rule of
/// [`tacit_model::measure::evaluation::keeps_factors`] under the noise the share buys. Of .03 to
/// .4, shares of .1 to .2 keep most at q from 6 to 12 for 400 to 4,000 items. What it cannot do:
/// with 4,000 items at q = 8 the standard error is .008 and the gain at most about as large, so the
/// rule errs towards popularity. It protects owners from a loss; it does not raise the mean.
pub const GUARD_SHARE: f64 = 0.15;

/// One release of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRelease {
    /// What its vector means.
    pub kind: Kind,
    /// Most it may cost; the mechanism's own price is at most this.
    pub rho: Rho,
    /// Its public numbers. The length of a head Gram or a factor gradient is an upper bound,
    /// because rare items are pruned once the counts are known.
    pub mechanism: Mechanism,
}

impl PlannedRelease {
    /// Bytes one device sends, at most.
    pub fn upload_bytes(&self) -> u64 {
        4 * u64::from(self.mechanism.length)
    }
}

/// A job before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Budget of one device for the job.
    pub rho_budget: Rho,
    /// Who takes part in every release; `n_min` is floor(cohort (1 - p) (1 - f)).
    pub crowd: Crowd,
    /// Signal-to-noise ratio of what is expected to arrive.
    pub q: f64,
    /// Share of the gain over popularity that is expected to survive the noise; 0 in the fallback.
    pub gain_share: f64,
    /// What is trained, with the overrides of the request.
    pub recipe: Recipe,
    /// Everything that will be released, in order.
    pub releases: Vec<PlannedRelease>,
    /// Price of all releases together, at most `rho_budget`.
    pub rho_total: Rho,
    /// Bound on the distance of all noise from the ideal, units of 2^-128.
    pub total_variation: u128,
    /// Epsilon of everything at the requested delta, at most the requested one.
    pub epsilon: f64,
    /// What the operator should know, in sentences.
    pub advice: Vec<String>,
    /// Whether the signal is too weak to train factors, so that only counts are released.
    pub fallback: bool,
}

/// Budget of one device for `epsilon` at `delta`.
///
/// # Errors
/// [`PlanError::DeltaTooSmall`] when nothing can be released at this delta.
pub fn budget(epsilon: Epsilon, delta: Delta) -> Result<Rho, PlanError> {
    convert::rho_for(epsilon, TOTAL_VARIATION_MAX, delta).ok_or(PlanError::DeltaTooSmall)
}

/// Plans a job.
///
/// # Errors
/// [`PlanError`] when a number is out of range or no sound mechanism exists.
///
/// # Guarantees
/// `rho_total <= rho_budget`, and `epsilon` is at most the requested one at the requested delta.
pub fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
    request.check()?;
    let rho_budget = budget(request.epsilon, request.delta)?;
    let crowd = crowd(request)?;
    let q = signal(request, &crowd, rho_budget);
    let outline = outline(request, q)?;
    let releases = releases(
        request,
        &outline,
        rho_budget,
        &crowd,
        evaluation_share(request, q),
    )?;
    let rho_total = releases.iter().fold(Rho::ZERO, |sum, release| {
        sum.compose(release.mechanism.rho())
    });
    let total_variation = releases
        .iter()
        .map(|release| release_total_variation(&release.mechanism))
        .sum();
    if total_variation > TOTAL_VARIATION_MAX {
        return Err(PlanError::TooManyDraws);
    }
    let recipe = outline.recipe;
    let fallback = recipe.rounds == 0;
    let mut plan = Plan {
        rho_budget,
        crowd,
        q,
        gain_share: if fallback { 0.0 } else { gain_share(q) },
        recipe,
        releases,
        rho_total,
        total_variation,
        epsilon: convert::epsilon(rho_total, total_variation, request.delta),
        advice: Vec::new(),
        fallback,
    };
    plan.advice = advice(request, &plan);
    Ok(plan)
}

/// n_min = floor(cohort (1 - p) (1 - f)); one device alone would hide behind nobody.
fn crowd(request: &PlanRequest) -> Result<Crowd, PlanError> {
    let (stay, honest) = (
        1000 - request.dropout_milli(),
        1000 - request.dishonest_milli(),
    );
    let n_min = u64::from(request.cohort) * u64::from(stay) * u64::from(honest) / 1_000_000;
    match u32::try_from(n_min) {
        Ok(n_min) if n_min >= 2 => Ok(Crowd {
            cohort: request.cohort,
            n_min,
            helper_noise: request.helper_noise,
        }),
        _ => Err(PlanError::TooFewHonest),
    }
}

/// q of what is expected to arrive: cohort (1 - p) answers, each adding a share of noise meant for
/// `n_min`, and the helper's whole noise once more if it adds any. The noise on the sum then has
/// standard deviation sqrt(answers / n_min + helper) / sqrt(2 rho).
fn signal(request: &PlanRequest, crowd: &Crowd, rho: Rho) -> f64 {
    let answers = f64::from(request.cohort) * f64::from(1000 - request.dropout_milli()) / 1000.0;
    let variance = answers / f64::from(crowd.n_min) + f64::from(u8::from(crowd.helper_noise));
    signal_to_noise(
        answers / variance.sqrt(),
        rho.to_f64_up(),
        trained_rows(request).into(),
    )
}

/// Share of rho for the evaluation; the other releases share what it leaves.
fn evaluation_share(request: &PlanRequest, q: f64) -> f64 {
    match f64::from(request.evaluation_milli()) / 1000.0 {
        // The one release a device may take part in is the counts.
        _ if request.participation == Some(1) => 0.0,
        share if share > 0.0 && (SIGNAL_MIN..SIGNAL_UNSURE).contains(&q) => share.max(GUARD_SHARE),
        share => share,
    }
}

fn releases(
    request: &PlanRequest,
    outline: &Outline,
    budget: Rho,
    crowd: &Crowd,
    evaluation: f64,
) -> Result<Vec<PlannedRelease>, PlanError> {
    let release = |kind, share, shape: &Shape| {
        let rho = budget.share(share);
        Ok(PlannedRelease {
            kind,
            rho,
            mechanism: mechanism_for(rho, shape, crowd)?,
        })
    };
    let trained = outline
        .releases
        .iter()
        .map(|&(kind, share, ref shape)| release(kind, share * (1.0 - evaluation), shape));
    let metrics = Shape::metrics(request.history_max);
    let evaluated = (evaluation > 0.0).then(|| release(Kind::Metrics, evaluation, &metrics));
    trained.chain(evaluated).collect()
}

#[cfg(test)]
mod tests {
    use tacit_model::family::Family;
    use tacit_model::family::recipe::SIGNAL_MIN;

    use super::*;
    use crate::request::tests::request;

    #[test]
    fn a_plan_never_costs_more_than_was_asked() {
        for (cohort, items, epsilon) in [
            (943, 1_682, 8.0),
            (6_040, 3_706, 2.0),
            (6_040, 3_706, 1.0),
            (100_000, 200_000, 8.0),
            (300, 4_000, 0.5),
        ] {
            let plan = plan(&request(cohort, items, epsilon)).unwrap();
            assert!(
                plan.epsilon <= epsilon && plan.epsilon > 0.999 * epsilon,
                "{}",
                plan.epsilon
            );
            assert_eq!(
                convert::epsilon(
                    plan.rho_total,
                    plan.total_variation,
                    Delta::new(1e-5).unwrap()
                ),
                plan.epsilon
            );
        }
    }

    /// Rows chosen while q still counted the whole cohort without its noise; MovieLens-1M and the
    /// built-in demo.
    #[test]
    fn the_presets_are_those_the_figures_were_measured_with() {
        for (cohort, items, epsilon, old_q) in [
            (6_040, 3_706, 10.0, 187.3),
            (6_040, 3_706, 8.0, 155.6),
            (6_040, 3_706, 3.0, 66.4),
            (1_500, 400, 8.0, 117.6),
        ] {
            let plan = plan(&request(cohort, items, epsilon)).unwrap();
            let old = Recipe::for_signal(old_q, items).unwrap();
            assert!((plan.q / old_q - 0.926).abs() < 0.002, "{}", plan.q);
            assert_eq!(
                Recipe {
                    head: old.head,
                    ..plan.recipe.clone()
                },
                old,
                "epsilon {epsilon}"
            );
            assert!(
                plan.recipe.head.abs_diff(old.head) <= 10,
                "{} {}",
                plan.recipe.head,
                old.head
            );
        }
    }

    #[test]
    fn a_device_sends_four_bytes_a_number() {
        let release = plan(&request(6_040, 400, 8.0)).unwrap().releases.remove(0);
        assert_eq!(
            (release.mechanism.length, release.upload_bytes()),
            (400, 1_600)
        );
    }

    #[test]
    fn a_weak_signal_plans_counts_only() {
        let plan = plan(&PlanRequest {
            rounds: Some(3),
            ..request(100, 4_000, 1.0)
        })
        .unwrap();
        assert!(plan.fallback && plan.q < SIGNAL_MIN && plan.gain_share == 0.0);
        assert_eq!(
            plan.releases
                .iter()
                .map(|release| release.kind)
                .collect::<Vec<_>>(),
            [Kind::Counts]
        );
    }

    fn kinds(plan: &Plan) -> Vec<Kind> {
        plan.releases.iter().map(|release| release.kind).collect()
    }

    #[test]
    fn weighted_squares_follow_a_spectral_job_at_half_the_price() {
        let of = |model, cohort| {
            plan(&PlanRequest {
                model,
                ..request(cohort, 3_706, 8.0)
            })
            .unwrap()
        };
        let weighted = of(Family::Weighted, 6_040);
        assert!(
            weighted.epsilon <= 8.0 && weighted.epsilon > 0.999 * 8.0,
            "{}",
            weighted.epsilon
        );
        assert_eq!(
            kinds(&weighted),
            [
                Kind::Counts,
                Kind::HeadGram,
                Kind::FactorGradient,
                Kind::WeightedGradient
            ]
        );
        let last = weighted.releases.last().unwrap();
        assert!((last.rho.to_f64_up() / weighted.rho_budget.to_f64_up() - 0.5).abs() < 1e-9);
        let d = weighted.recipe.factors + 1;
        assert_eq!(last.mechanism.length, (3_706 + d) * d);
        assert_eq!(
            kinds(&of(Family::Weighted, 70_000))
                .iter()
                .filter(|kind| **kind == Kind::WeightedGradient)
                .count(),
            5
        );
        // A spectral half below its floor would start from nothing.
        let few = of(Family::Weighted, 210);
        assert!(
            few.fallback && few.q > SIGNAL_MIN && kinds(&few) == [Kind::Counts],
            "{}",
            few.q
        );
        let long = plan(&PlanRequest {
            model: Family::Weighted,
            ..request(300_000, 400_000, 8.0)
        })
        .unwrap();
        assert!(long.recipe.factors < 10, "what fits a vector");
    }

    #[test]
    fn a_network_sends_as_much_for_every_catalogue() {
        let of = |cohort, items| {
            plan(&PlanRequest {
                model: Family::Neural,
                ..request(cohort, items, 8.0)
            })
            .unwrap()
        };
        let (small, large) = (of(6_040, 3_706), of(6_040, 100_000));
        for plan in [&small, &large] {
            assert!(
                plan.epsilon <= 8.0 && plan.epsilon > 0.999 * 8.0,
                "{}",
                plan.epsilon
            );
            assert_eq!(
                kinds(plan),
                [Kind::Counts, Kind::LayerGradient, Kind::LayerGradient]
            );
            assert_eq!(plan.releases[1].mechanism.length, 128 * 32);
        }
        assert_eq!(small.q, large.q, "the noise is on the layer");
        // The basis of 20 items has 20 directions at most, and no more factors.
        let few = of(6_040, 20);
        assert_eq!(
            (few.releases[1].mechanism.length, few.recipe.factors),
            (20 * 20, 20)
        );
        let weak = of(30, 3_706);
        assert!(
            weak.fallback && kinds(&weak) == [Kind::Counts],
            "{}",
            weak.q
        );
    }

    #[test]
    fn ratings_begin_with_biases_and_below_the_floor_end_with_them() {
        let of = |cohort| {
            plan(&PlanRequest {
                model: Family::Rating,
                ..request(cohort, 1_682, 8.0)
            })
            .unwrap()
        };
        let rating = of(943);
        assert!(
            rating.epsilon <= 8.0 && rating.epsilon > 0.999 * 8.0,
            "{}",
            rating.epsilon
        );
        assert_eq!(
            kinds(&rating),
            [Kind::RatingBias, Kind::HeadGram, Kind::FactorGradient]
        );
        assert_eq!((rating.recipe.factors, rating.recipe.coverage), (16, 1.0));
        let few = of(300);
        assert!(
            few.fallback && few.q > SIGNAL_MIN && kinds(&few) == [Kind::RatingBias],
            "{}",
            few.q
        );
        assert!(few.epsilon > 0.999 * 8.0);
    }

    #[test]
    fn the_requests_own_choices_are_kept() {
        let own = PlanRequest {
            factors: Some(16),
            rounds: Some(2),
            ..request(6_040, 3_706, 8.0)
        };
        let plan = plan(&own).unwrap();
        assert_eq!(
            (plan.recipe.factors, plan.recipe.rounds, plan.releases.len()),
            (16, 2, 4)
        );
        let few = super::plan(&PlanRequest {
            factors: Some(99),
            ..request(6_040, 40, 8.0)
        })
        .unwrap();
        assert_eq!(few.recipe.factors, 40);
    }

    #[test]
    fn the_participation_limit_cuts_rounds_and_never_the_last_one() {
        let limited = |participation| {
            plan(&PlanRequest {
                rounds: Some(5),
                participation: Some(participation),
                ..request(6_040, 3_706, 8.0)
            })
        };
        assert_eq!(limited(7).unwrap().releases.len(), 7);
        let cut = limited(4).unwrap();
        assert_eq!((cut.releases.len(), cut.recipe.rounds), (4, 2));
        assert!(
            cut.epsilon > 0.999 * 8.0,
            "what the cut rounds would have cost goes to the others"
        );
        assert_eq!(
            limited(2).unwrap_err(),
            PlanError::TooFewParticipations { needed: 3 }
        );
        let evaluated = PlanRequest {
            evaluation: 0.03,
            participation: Some(4),
            ..request(6_040, 3_706, 8.0)
        };
        assert_eq!(plan(&evaluated).unwrap().releases.len(), 4);
        assert_eq!(
            plan(&PlanRequest {
                participation: Some(3),
                ..evaluated
            })
            .unwrap_err(),
            PlanError::TooFewParticipations { needed: 4 }
        );
        let counts = PlanRequest {
            participation: Some(1),
            ..request(100, 4_000, 1.0)
        };
        assert!(plan(&counts).unwrap().fallback);
    }

    #[test]
    fn an_evaluation_comes_last_and_leaves_the_rest_in_proportion() {
        let off = request(6_040, 3_706, 8.0);
        let (without, with) = (
            plan(&off).unwrap(),
            plan(&PlanRequest {
                evaluation: 0.03,
                ..off
            })
            .unwrap(),
        );
        assert_eq!(
            (with.releases.len(), with.q),
            (without.releases.len() + 1, without.q)
        );
        let share = |plan: &Plan, at: usize| {
            plan.releases[at].rho.to_f64_up() / plan.rho_budget.to_f64_up()
        };
        for at in 0..without.releases.len() {
            assert!((share(&with, at) / share(&without, at) - 0.97).abs() < 1e-9);
        }
        let last = with.releases.last().unwrap();
        assert_eq!((last.kind, last.mechanism.length), (Kind::Metrics, 32));
        assert!((last.rho.to_f64_up() / with.rho_budget.to_f64_up() - 0.03).abs() < 1e-9);
        assert!(with.epsilon <= 8.0 && with.epsilon > 7.99);
        let counts = plan(&PlanRequest {
            evaluation: 0.03,
            ..request(100, 4_000, 1.0)
        })
        .unwrap();
        assert_eq!(
            counts
                .releases
                .iter()
                .map(|release| release.kind)
                .collect::<Vec<_>>(),
            [Kind::Counts, Kind::Metrics]
        );
    }

    #[test]
    fn where_factors_are_in_doubt_the_evaluation_gets_enough_to_decide() {
        let share = |epsilon: f64, evaluation| {
            let plan = plan(&PlanRequest {
                evaluation,
                ..request(2_400, 4_000, epsilon)
            })
            .unwrap();
            let last = plan.releases.last().unwrap();
            (
                plan.q,
                if last.kind == Kind::Metrics {
                    last.rho.to_f64_up() / plan.rho_budget.to_f64_up()
                } else {
                    0.0
                },
            )
        };
        let (q, guarded) = share(0.8, 0.03);
        assert!(
            (SIGNAL_MIN..SIGNAL_UNSURE).contains(&q) && (guarded - GUARD_SHARE).abs() < 1e-9,
            "{q} {guarded}"
        );
        assert!((share(0.8, 0.4).1 - 0.4).abs() < 1e-9);
        assert_eq!(share(0.8, 0.0).1, 0.0);
        assert!((share(3.0, 0.03).1 - 0.03).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_planned_blames_a_field() {
        let blamed = |request| plan(&request).unwrap_err();
        let many = blamed(request(1_000_000, 4_000, 20.0));
        assert!(
            many.to_string()
                .contains("could leave 32 bits: select at most about"),
            "{many}"
        );
        assert_eq!(many.field(), "cohort");
        assert_eq!(
            blamed(PlanRequest {
                dropout: 0.9999,
                ..request(100, 100, 1.0)
            }),
            PlanError::TooFewHonest
        );
        let delta = PlanRequest {
            delta: Delta::new(1e-20).unwrap(),
            ..request(100, 100, 1.0)
        };
        assert_eq!(blamed(delta), PlanError::DeltaTooSmall);
        let helper = PlanRequest {
            helper_noise: true,
            history_max: 1024,
            ..request(200_000, 20_000, 0.1)
        };
        assert_eq!(blamed(helper.clone()), PlanError::HelperNoiseTooLarge);
        assert!(
            plan(&PlanRequest {
                history_max: 200,
                ..helper
            })
            .is_ok(),
            "what the message says helps"
        );
        let little = blamed(request(100, 4_000, 1e-4));
        assert_eq!(
            (little.field(), little),
            ("epsilon", PlanError::BudgetTooSmall)
        );
    }
}
