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
        let ahead = forecast(&request(cohort, items, epsilon)).unwrap();
        assert!(
            ahead.epsilon <= epsilon && ahead.epsilon > 0.999 * epsilon,
            "{}",
            ahead.epsilon
        );
        assert_eq!(
            convert::epsilon(
                ahead.rho_total,
                ahead.total_variation,
                Delta::new(1e-5).unwrap()
            ),
            ahead.epsilon
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
        let ahead = forecast(&request(cohort, items, epsilon)).unwrap();
        let old = Recipe::for_signal(old_q, items).unwrap();
        assert!(
            (ahead.plan.signal / old_q - 0.926).abs() < 0.002,
            "{}",
            ahead.plan.signal
        );
        assert_eq!(
            Recipe {
                head: old.head,
                ..ahead.plan.recipe.clone()
            },
            old,
            "epsilon {epsilon}"
        );
        assert!(
            ahead.plan.recipe.head.abs_diff(old.head) <= 10,
            "{} {}",
            ahead.plan.recipe.head,
            old.head
        );
    }
}

#[test]
fn a_device_sends_four_bytes_a_number() {
    let release = forecast(&request(6_040, 400, 8.0))
        .unwrap()
        .releases
        .remove(0);
    assert_eq!(
        (release.mechanism.length, release.upload_bytes()),
        (400, 1_600)
    );
}

#[test]
fn a_weak_signal_plans_counts_only() {
    let ahead = forecast(&PlanRequest {
        rounds: Some(3),
        ..request(100, 4_000, 1.0)
    })
    .unwrap();
    assert!(ahead.plan.fallback && ahead.plan.signal < SIGNAL_MIN && ahead.gain_share == 0.0);
    assert_eq!(
        ahead
            .releases
            .iter()
            .map(|release| release.kind)
            .collect::<Vec<_>>(),
        [Kind::Counts]
    );
}

fn kinds(ahead: &Forecast) -> Vec<Kind> {
    ahead
        .releases
        .iter()
        .map(|release| release.kind)
        .collect()
}

#[test]
fn weighted_squares_follow_spectral_releases_at_half_the_price() {
    let of = |model, cohort| {
        forecast(&PlanRequest {
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
    assert!((last.rho.to_f64_up() / weighted.plan.rho_budget.to_f64_up() - 0.5).abs() < 1e-9);
    let d = weighted.plan.recipe.factors + 1;
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
        few.plan.fallback && few.plan.signal > SIGNAL_MIN && kinds(&few) == [Kind::Counts],
        "{}",
        few.plan.signal
    );
    let long = forecast(&PlanRequest {
        model: Family::Weighted,
        ..request(200_000, 400_000, 8.0)
    })
    .unwrap();
    assert!(long.plan.recipe.factors < 10, "what fits a vector");
}

#[test]
fn a_network_sends_as_much_for_every_catalogue() {
    let of = |cohort, items| {
        forecast(&PlanRequest {
            model: Family::Neural,
            ..request(cohort, items, 8.0)
        })
        .unwrap()
    };
    let (small, large) = (of(6_040, 3_706), of(6_040, 100_000));
    for ahead in [&small, &large] {
        assert!(
            ahead.epsilon <= 8.0 && ahead.epsilon > 0.999 * 8.0,
            "{}",
            ahead.epsilon
        );
        assert_eq!(
            kinds(ahead),
            [Kind::Counts, Kind::LayerGradient, Kind::LayerGradient]
        );
        assert_eq!(ahead.releases[1].mechanism.length, 128 * 32);
    }
    assert_eq!(
        small.plan.signal, large.plan.signal,
        "the noise is on the layer"
    );
    // The basis of 20 items has 20 directions at most, and no more factors.
    let few = of(6_040, 20);
    assert_eq!(
        (few.releases[1].mechanism.length, few.plan.recipe.factors),
        (20 * 20, 20)
    );
    let weak = of(30, 3_706);
    assert!(
        weak.plan.fallback && kinds(&weak) == [Kind::Counts],
        "{}",
        weak.plan.signal
    );
}

#[test]
fn ratings_begin_with_biases_and_below_the_floor_end_with_them() {
    let of = |cohort| {
        forecast(&PlanRequest {
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
    assert_eq!(
        (rating.plan.recipe.factors, rating.plan.recipe.coverage),
        (16, 1.0)
    );
    let few = of(300);
    assert!(
        few.plan.fallback && few.plan.signal > SIGNAL_MIN && kinds(&few) == [Kind::RatingBias],
        "{}",
        few.plan.signal
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
    let ahead = forecast(&own).unwrap();
    assert_eq!(
        (
            ahead.plan.recipe.factors,
            ahead.plan.recipe.rounds,
            ahead.releases.len()
        ),
        (16, 2, 4)
    );
    let few = forecast(&PlanRequest {
        factors: Some(99),
        ..request(6_040, 40, 8.0)
    })
    .unwrap();
    assert_eq!(few.plan.recipe.factors, 40);
}

#[test]
fn the_participation_limit_cuts_rounds_and_never_the_last_one() {
    let limited = |participation| {
        forecast(&PlanRequest {
            rounds: Some(5),
            participation: Some(participation),
            ..request(6_040, 3_706, 8.0)
        })
    };
    assert_eq!(limited(7).unwrap().releases.len(), 7);
    let cut = limited(4).unwrap();
    assert_eq!((cut.releases.len(), cut.plan.recipe.rounds), (4, 2));
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
    assert_eq!(forecast(&evaluated).unwrap().releases.len(), 4);
    assert_eq!(
        forecast(&PlanRequest {
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
    assert!(forecast(&counts).unwrap().plan.fallback);
}

#[test]
fn an_evaluation_comes_last_and_leaves_the_rest_in_proportion() {
    let off = request(6_040, 3_706, 8.0);
    let (without, with) = (
        forecast(&off).unwrap(),
        forecast(&PlanRequest {
            evaluation: 0.03,
            ..off
        })
        .unwrap(),
    );
    assert_eq!(
        (with.releases.len(), with.plan.signal),
        (without.releases.len() + 1, without.plan.signal)
    );
    let share = |ahead: &Forecast, at: usize| {
        ahead.releases[at].rho.to_f64_up() / ahead.plan.rho_budget.to_f64_up()
    };
    for at in 0..without.releases.len() {
        assert!((share(&with, at) / share(&without, at) - 0.97).abs() < 1e-9);
    }
    let last = with.releases.last().unwrap();
    assert_eq!((last.kind, last.mechanism.length), (Kind::Metrics, 32));
    assert!((last.rho.to_f64_up() / with.plan.rho_budget.to_f64_up() - 0.03).abs() < 1e-9);
    assert!(with.epsilon <= 8.0 && with.epsilon > 7.99);
    let counts = forecast(&PlanRequest {
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
        let ahead = forecast(&PlanRequest {
            evaluation,
            ..request(2_400, 4_000, epsilon)
        })
        .unwrap();
        let last = ahead.releases.last().unwrap();
        (
            ahead.plan.signal,
            if last.kind == Kind::Metrics {
                last.rho.to_f64_up() / ahead.plan.rho_budget.to_f64_up()
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
    let blamed = |request| forecast(&request).unwrap_err();
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
        forecast(&PlanRequest {
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
