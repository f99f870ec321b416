//! Evaluation by the devices, of planned tasks.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;

use tacit_data::{SyntheticSpec, synthetic};
use tacit_model::family::recipe::{Recipe, SIGNAL_MIN, SIGNAL_UNSURE};
use tacit_model::family::spectral::server::random_init;
use tacit_model::measure::evaluation::{Estimate, answers, keeps_factors, layout};
use tacit_model::{History, Model};
use tacit_plan::Plan;
use tacit_simulate::train::{train, train_without_noise};
use tacit_simulate::{Family, Population, Setting, Sweep, exact, noise, page, table};
use tacit_types::{Delta, Epsilon, Kind};

const USERS: u32 = 1_500;

fn population() -> Population {
    Population::new(synthetic(&SyntheticSpec {
        users: USERS as usize,
        items: 400,
        seed: 4,
    }))
}

fn setting(epsilon: f64, evaluation: f64) -> Setting {
    Setting {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: Delta::new(1e-5).unwrap(),
        dropout: 0.05,
        dishonest: 0.05,
        history_max: 200,
        factors: None,
        clip_norm: None,
        rounds: None,
        evaluation,
    }
}

fn planned(epsilon: f64, evaluation: f64) -> Plan {
    setting(epsilon, evaluation)
        .plan(Family::Spectral, USERS, 400)
        .unwrap()
}

#[test]
fn the_private_figures_are_near_the_true_ones_and_the_training_never_saw_what_they_ask_for() {
    let (population, plan) = (population(), planned(8.0, 0.03));
    let histories = population.capped(plan.history_max);
    let run = train(&histories, &plan, 1).unwrap();
    let found = run.evaluation.unwrap();
    let pairs: [(Option<Estimate>, Option<Estimate>); 3] = [
        (found.private.hr_at_10, found.direct.hr_at_10),
        (found.private.gain, found.direct.gain),
        (found.private.ndcg_at_10, found.direct.ndcg_at_10),
    ];
    for (private, direct) in pairs {
        let (private, direct) = (private.unwrap(), direct.unwrap());
        assert!(
            (private.value - direct.value).abs() < 4.0 * private.error,
            "{private:?} {direct:?}"
        );
        assert!(private.error > direct.error && private.error < 0.05);
    }
    assert!(!found.factors_dropped && run.model.factor_count() > 0);
    assert_eq!(run.releases.last().unwrap().kind, "metrics");
    // The same owners without their latest item, and the same shares without the evaluation.
    let spared: Vec<History> = histories
        .iter()
        .map(|history| history.clone().hold_out().0)
        .collect();
    let blind = Plan {
        releases: plan.releases[..plan.releases.len() - 1].to_vec(),
        ..plan
    };
    assert!(train(&spared, &blind, 1).unwrap().model == run.model);
}

#[test]
fn what_the_devices_found_stands_in_every_output() {
    let sweep = Sweep {
        family: Family::Spectral,
        split: "last item".into(),
        base: setting(8.0, 0.03),
        epsilons: vec![Epsilon::new(8.0).unwrap()],
        factors: vec![None],
        rounds: vec![None],
        clip_norms: vec![None],
        projected: vec![None],
        seeds: vec![7],
        half_life: None,
        exact: false,
        central: false,
    };
    let outcome = tacit_simulate::run(&[population()], &sweep, &|| ()).unwrap();
    let found = outcome.points[0].evaluation.as_ref().unwrap();
    let private = found.private.hr_at_10.unwrap().value;
    let mut csv = Vec::new();
    table::csv(&outcome, &mut csv).unwrap();
    let rows: Vec<BTreeMap<String, String>> = csv::Reader::from_reader(csv.as_slice())
        .deserialize()
        .collect::<Result<_, _>>()
        .unwrap();
    let row = rows
        .iter()
        .find(|row| row["model"] == "own_evaluation")
        .unwrap();
    assert_eq!(
        (row["seed"].as_str(), row["hr_at_10"].parse()),
        ("7", Ok(private))
    );
    let shown = format!("{private:.4} ±");
    for text in [page::html(&outcome), table::text(&outcome)] {
        assert!(
            text.contains(&shown) && text.contains("HR@10 gained over popularity"),
            "{text}"
        );
    }
}

#[test]
fn devices_that_make_real_bytes_evaluate_too() {
    let (population, plan) = (population(), planned(8.0, 0.1));
    let few = &population.interactions[..];
    let found = exact::train(few, &plan, 1)
        .unwrap()
        .evaluation
        .unwrap();
    let (private, direct) = (
        found.private.hr_at_10.unwrap(),
        found.direct.hr_at_10.unwrap(),
    );
    assert!(
        (private.value - direct.value).abs() < 5.0 * private.error,
        "{private:?} {direct:?}"
    );
}

/// The noise of the plan's own evaluation on the true answers to a model, 40 times: how often its
/// factors stay.
fn kept(histories: &[History], model: &Model, plan: &Plan) -> usize {
    let &(kind, rho) = plan.releases.last().unwrap();
    assert_eq!(kind, Kind::Metrics);
    let mechanism = plan.mechanism(kind, rho, model).unwrap();
    let mut sum = [0.0f32; layout::LENGTH];
    for history in histories {
        let vector = answers(&history.into(), model)
            .vector()
            .into_coordinates();
        sum.iter_mut()
            .zip(vector)
            .for_each(|(sum, v)| *sum += v);
    }
    let steps = mechanism.steps as f32;
    #[allow(clippy::cast_possible_truncation, reason = "far below 2^31")]
    let sum: Vec<i32> = sum
        .iter()
        .map(|v| (v * steps).round() as i32)
        .collect();
    let std = mechanism.sum_noise_std(USERS);
    let noisy = |seed| noise::add(sum.clone(), &mechanism, USERS, seed, 9);
    let norms = |seed| {
        noisy(seed)
            .into_iter()
            .map(|v| f64::from(v) / f64::from(steps))
            .collect::<Vec<_>>()
    };
    (0..40)
        .filter(|&seed| keeps_factors(&norms(seed), std, true))
        .count()
}

#[test]
fn in_doubt_good_factors_stay_and_planted_noise_goes() {
    let (population, plan) = (population(), planned(0.6, 0.03));
    assert!(
        (SIGNAL_MIN..SIGNAL_UNSURE).contains(&plan.signal),
        "{}",
        plan.signal
    );
    let histories = population.capped(plan.history_max);
    let spared: Vec<History> = histories
        .iter()
        .map(|history| history.clone().hold_out().0)
        .collect();
    let recipe = Recipe::for_signal(f64::INFINITY, 400).unwrap();
    let good = train_without_noise(&spared, 400, None, &recipe, 1).unwrap();
    let useless = Model::from(random_init(
        good.spectral().unwrap(),
        &Recipe {
            factors: 8,
            ..recipe
        },
        7,
    ));
    let (good, useless) = (
        kept(&histories, &good, &plan),
        kept(&histories, &useless, &plan),
    );
    assert!(
        good >= 30 && useless <= 10,
        "kept {good} and {useless} of 40"
    );
}
