//! A stored plan: its bytes, its terms, and that it is run as it was forecast.

#![allow(clippy::unwrap_used, reason = "tests")]

use tacit_model::family::Family;
use tacit_model::family::neural;
use tacit_model::family::rating::{RatingModel, Scale};
use tacit_model::family::recipe::Recipe;
use tacit_model::family::spectral::server;
use tacit_model::family::weighted::WeightedTerms;
use tacit_model::release::OpenedSum;
use tacit_model::{Features, Model};
use tacit_plan::{Plan, PlanError, PlanRequest, apply, forecast, plan};
use tacit_types::{Delta, Epsilon, Kind};

/// Plans of every family, of an update, and of every number the operator may choose, exactly as the
/// coordinator's store keeps them.
const STORED: &str = include_str!("golden/plans.jsonl");

/// The numbers of the built-in demo.
fn demo() -> PlanRequest {
    PlanRequest {
        model: Family::Spectral,
        scale: Scale::STARS,
        items: 400,
        epsilon: Epsilon::new(8.0).unwrap(),
        delta: Delta::new(1e-5).unwrap(),
        cohort: 1_500,
        dropout: 0.05,
        dishonest: 0.05,
        history_max: 1024,
        rounds: None,
        factors: None,
        clip_norm: None,
        carried: None,
        evaluation: 0.03,
        helper_noise: false,
        participation: None,
    }
}

#[test]
fn a_stored_plan_is_read_and_written_byte_for_byte() {
    let families: Vec<Family> = STORED
        .lines()
        .map(|line| {
            let read: Plan = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), line);
            read.model
        })
        .collect();
    let all = [
        Family::Spectral,
        Family::Weighted,
        Family::Rating,
        Family::Neural,
    ];
    assert!(all.iter().all(|family| families.contains(family)));
}

#[test]
fn a_plan_stored_before_a_field_existed_still_reads() {
    let first = STORED.lines().next().unwrap();
    let mut older: serde_json::Value = serde_json::from_str(first).unwrap();
    let fields = older.as_object_mut().unwrap();
    for later in [
        "model",
        "scale_milli",
        "clip_norm",
        "carried",
        "evaluation_milli",
    ] {
        assert!(fields.remove(later).is_some(), "{later}");
    }
    let recipe = fields["recipe"].as_object_mut().unwrap();
    for later in ["feature_columns", "clip_norm"] {
        assert!(recipe.remove(later).is_some(), "{later}");
    }
    let read: Plan = serde_json::from_value(older).unwrap();
    assert_eq!((read.model, read.scale()), (Family::Spectral, Scale::STARS));
    assert_eq!((read.clip_norm, read.carried), (None, None));
    assert_eq!(read.evaluation_milli, 0);
    assert_eq!(read.recipe.feature_columns, 0);
}

/// A model with nothing pruned: its releases are exactly the planned ones.
fn unpruned(plan: &Plan, kind: Kind) -> Model {
    let recipe = Recipe {
        coverage: 1.0,
        ..plan.recipe.clone()
    };
    let counts: Vec<f64> = (0..plan.items)
        .map(|rank| f64::from(10_000 - rank))
        .collect();
    let counted = server::apply_counts(&counts, 0.0, &recipe);
    let factored = || server::random_init(&counted, &recipe, 1);
    match kind {
        Kind::Counts => plan.genesis(),
        Kind::HeadGram => counted.into(),
        Kind::FactorGradient | Kind::Metrics => factored().into(),
        Kind::WeightedGradient => Model::weighted_start(&factored(), WeightedTerms::default()),
        Kind::LayerGradient => {
            // As many different items as there are, so that no direction is missing.
            let categories: Vec<_> = (0..plan.items)
                .map(|item| vec![format!("{}", item % 300)])
                .collect();
            let features = Features::from_categories(&categories).unwrap();
            Model::Neural(neural::server::start(&counted, &features, &recipe, 1))
        }
        Kind::RatingBias => Model::Rating(RatingModel::genesis(plan.items, plan.scale())),
    }
}

#[test]
fn a_plan_is_run_as_it_was_forecast() {
    for (model, helper_noise) in [
        (Family::Spectral, false),
        (Family::Spectral, true),
        (Family::Weighted, false),
        (Family::Rating, false),
        (Family::Neural, false),
    ] {
        let request = PlanRequest {
            model,
            helper_noise,
            ..demo()
        };
        let (plan, ahead) = (plan(&request).unwrap(), forecast(&request).unwrap());
        assert!(
            ahead.epsilon <= 8.0 && ahead.epsilon > 7.99,
            "{}",
            ahead.epsilon
        );
        assert_eq!(plan.releases.len(), ahead.releases.len());
        for (&(kind, rho), expected) in plan.releases.iter().zip(&ahead.releases) {
            assert_eq!((kind, rho), (expected.kind, expected.rho));
            let mechanism = plan
                .mechanism(kind, rho, &unpruned(&plan, kind))
                .unwrap();
            assert_eq!(mechanism, expected.mechanism, "{kind}");
            assert_eq!(mechanism.helper_noise, helper_noise);
        }
    }
}

/// HOSTILE 86, 91: a task that is asked for again with other numbers is another task.
#[test]
fn a_stored_plan_is_known_by_its_terms_alone() {
    let planned = plan(&demo()).unwrap();
    let stored: Plan = serde_json::from_str(&serde_json::to_string(&planned).unwrap()).unwrap();
    assert!(stored.same_terms(&planned));
    let newer = Plan {
        signal: 1.0,
        fallback: true,
        recipe: Recipe::counts_only(),
        ..planned.clone()
    };
    assert!(stored.same_terms(&newer));
    let changes: [fn(&mut PlanRequest); 11] = [
        |asked| asked.model = Family::Weighted,
        |asked| asked.scale.low = 0.5,
        |asked| asked.items = 401,
        |asked| asked.epsilon = Epsilon::new(8.1).unwrap(),
        |asked| asked.cohort = 1_501,
        |asked| asked.helper_noise = true,
        |asked| asked.rounds = Some(1),
        |asked| asked.history_max = 1023,
        |asked| asked.clip_norm = Some(7.0),
        |asked| asked.carried = Some(8),
        |asked| asked.evaluation = 0.0,
    ];
    for change in changes {
        let mut asked = demo();
        change(&mut asked);
        assert!(!stored.same_terms(&plan(&asked).unwrap()));
    }
}

#[test]
fn the_clipping_norm_asked_for_is_trained_with() {
    let asked = |clip_norm| {
        let request = PlanRequest {
            model: Family::Weighted,
            clip_norm,
            ..demo()
        };
        plan(&request).unwrap().recipe.clip_norm
    };
    assert_eq!(asked(Some(6.25)), 6.25);
    assert_eq!(asked(None), Recipe::counts_only().clip_norm);
}

#[test]
fn what_the_model_does_not_give_is_refused_by_name() {
    let plan = plan(&demo()).unwrap();
    let (genesis, rho) = (plan.genesis(), plan.rho_budget);
    let refused = plan.mechanism(Kind::RatingBias, rho, &genesis);
    assert_eq!(refused, Err(PlanError::NotGiven(Kind::RatingBias)));
    let opened = OpenedSum {
        kind: Kind::Counts,
        sum: vec![0.0; 399],
        noise_std: 1.0,
        contributors: 3,
    };
    let refused = apply(&genesis, &opened, &plan.step(0, 1)).err();
    assert_eq!(refused, Some(PlanError::DoesNotFit(Kind::Counts)));
}
