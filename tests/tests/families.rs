//! A task of each family other than the default, by real processes from the first release to what a
//! device recommends.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tacit_data::{Dataset, SyntheticSpec, synthetic, synthetic_ratings};
use tacit_model::Model;
use tacit_model::family::Family;
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_model::rank::filter::Filter;
use tacit_sdk::{Feedback, Recommender};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::kept_model;
use tacit_types::{ItemId, Timestamp};

const USERS: u32 = 60;
const ITEMS: u32 = 40;
/// The task must be finished by then.
const DEADLINE: Duration = Duration::from_secs(120);

/// Runs the task to its end, for a catalogue with these lines; both verifiers must accept its
/// ledger.
fn finished(task: &'static str, data: &Dataset, catalogue: &str) -> Deployment {
    // As much epsilon as can be spent, so that so few devices give a signal.
    let settings = Settings {
        cohort: USERS,
        tokens: USERS,
        items: ITEMS,
        epsilon: 200.0,
        task,
        ..Settings::default()
    };
    let mut deployment = Deployment::new(settings).unwrap();
    deployment.write_interactions(data).unwrap();
    fs::write(deployment.path("catalogue.txt"), catalogue).unwrap();
    [Role::Helper, Role::Coordinator, Role::Devices]
        .into_iter()
        .for_each(|role| deployment.start(role).unwrap());
    deployment.finish(DEADLINE).unwrap();
    deployment.verify().unwrap();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/audit/python/verify.py");
    let second = Command::new("python3")
        .arg(script)
        .arg(deployment.ledger())
        .output()
        .unwrap();
    assert!(
        second.status.success(),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    deployment
}

fn kinds(deployment: &Deployment) -> Vec<String> {
    deployment
        .releases()
        .unwrap()
        .into_iter()
        .map(|release| release.charge.kind)
        .collect()
}

/// A catalogue that says nothing about its items.
fn bare() -> String {
    (0..ITEMS)
        .map(|item| format!("item {item}\n"))
        .collect()
}

/// The model every device has kept, read from one of them.
fn kept(deployment: &Deployment) -> Model {
    let bytes = fs::read(kept_model(&deployment.path("devices/000003"), "test")).unwrap();
    let last = deployment
        .releases()
        .unwrap()
        .last()
        .unwrap()
        .model_out_hash;
    assert_eq!(
        tacit_privacy::canonical::digest(&bytes),
        last,
        "devices keep the last published model"
    );
    Model::from_bytes(&bytes).unwrap()
}

/// What this device is recommended, each with an explanation that adds up.
fn recommended(recommender: &Recommender) -> Vec<ItemId> {
    let list = recommender.recommend(5, &Filter::default());
    assert_eq!(list.len(), 5);
    for one in &list {
        let why = recommender
            .explain(one.item, &Filter::default())
            .unwrap();
        let sum = why.general
            + why.chosen
            + why
                .reasons
                .iter()
                .map(|reason| reason.score)
                .sum::<f32>();
        assert!(
            (sum - one.score).abs() < 1e-3 && (why.score - one.score).abs() < 1e-4,
            "{sum} {}",
            one.score
        );
    }
    list.into_iter().map(|one| one.item).collect()
}

#[test]
fn weighted_squares_are_trained_over_the_wire_and_rank_on_the_device() {
    let data = synthetic(&SyntheticSpec {
        users: USERS as usize,
        items: ITEMS as usize,
        seed: 1,
    });
    let deployment = finished(
        "model = \"weighted\"\nrounds = 2\nfactors = 4\n",
        &data,
        &bare(),
    );
    let kinds = kinds(&deployment);
    assert_eq!(
        (kinds.first().unwrap().as_str(), &kinds[kinds.len() - 2..]),
        (
            "counts",
            &["weighted_gradient", "weighted_gradient"].map(String::from)[..]
        )
    );
    assert_eq!(kept(&deployment).family(), Family::Weighted);

    let mut recommender = Recommender::open(&deployment.path("devices/000003")).unwrap();
    let before = recommended(&recommender);
    let at = recommender
        .recent()
        .last()
        .and_then(|one| one.timestamp)
        .unwrap();
    let view = Interaction {
        item: before[4],
        timestamp: Some(Timestamp(at.0 + 1)),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    recommender.record(view).unwrap();
    let after = recommended(&recommender);
    assert!(
        !after.contains(&before[4]) && after != before,
        "the next list knows it"
    );
    assert_eq!(
        recommender
            .similar(before[0], 3, &Filter::default())
            .len(),
        3
    );
    assert_eq!(recommender.predicted_rating(before[0]), None);
}

#[test]
fn ratings_are_trained_over_the_wire_and_predicted_on_the_device() {
    let data = synthetic_ratings(&SyntheticSpec {
        users: USERS as usize,
        items: ITEMS as usize,
        seed: 1,
    });
    let deployment = finished("model = \"rating\"\nfactors = 2\n", &data, &bare());
    let kinds = kinds(&deployment);
    assert_eq!(
        (
            kinds.first().unwrap().as_str(),
            kinds.last().unwrap().as_str()
        ),
        ("rating_bias", "factor_gradient")
    );
    assert_eq!(kept(&deployment).family(), Family::Rating);

    let mut recommender = Recommender::open(&deployment.path("devices/000003")).unwrap();
    let before = recommended(&recommender);
    let predicted = |recommender: &Recommender, item| recommender.predicted_rating(item).unwrap();
    assert!((0..ITEMS).all(|item| (1.0..=5.0).contains(&predicted(&recommender, ItemId(item)))));
    let (disliked, first) = (before[1], predicted(&recommender, before[1]));
    let at = recommender
        .recent()
        .last()
        .and_then(|one| one.timestamp)
        .unwrap();
    recommender
        .feedback(disliked, Feedback::Dislike, Timestamp(at.0 + 1))
        .unwrap();
    assert!(
        predicted(&recommender, disliked) < first && !recommended(&recommender).contains(&disliked)
    );
    assert_eq!(recommender.predicted_rating(ItemId(ITEMS)), None);
}

#[test]
fn a_network_is_trained_over_the_wire_and_ends_as_a_spectral_model() {
    let data = synthetic(&SyntheticSpec {
        users: USERS as usize,
        items: ITEMS as usize,
        seed: 1,
    });
    let described: String = data
        .items
        .iter()
        .map(|item| format!("title\t{}\n", item.categories.join("|")))
        .collect();
    let deployment = finished(
        "model = \"neural\"\nrounds = 2\nfactors = 4\n",
        &data,
        &described,
    );
    assert_eq!(
        kinds(&deployment),
        ["counts", "layer_gradient", "layer_gradient"]
    );
    let releases = deployment.releases().unwrap();
    assert!(
        releases[1].charge.mechanism.length <= 40 * 4,
        "no longer than the basis of so small a catalogue"
    );
    let model = kept(&deployment);
    assert!(
        model.family() == Family::Spectral && model.factor_count() > 4,
        "trained factors and what categories tell"
    );
    recommended(&Recommender::open(&deployment.path("devices/000003")).unwrap());
}

/// HOSTILE 91: what the network needs is asked for before anything is written.
#[test]
fn a_network_without_categories_is_refused_by_name() {
    let settings = Settings {
        cohort: USERS,
        tokens: USERS,
        task: "model = \"neural\"\n",
        ..Settings::default()
    };
    let deployment = Deployment::new(settings).unwrap();
    let refused = deployment
        .tacit(&["coordinator", "--config", "coordinator.toml"])
        .unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && error.contains("tell no item from another"),
        "{error}"
    );
    assert!(
        !deployment.path("coordinator").exists(),
        "nothing was written"
    );
}

/// HOSTILE 91: a model that devices could not fetch is refused before a round costs anything.
#[test]
fn a_catalogue_whose_model_no_device_could_fetch_is_refused_by_name() {
    let settings = Settings {
        cohort: USERS,
        tokens: USERS,
        task: "model = \"rating\"\n",
        ..Settings::default()
    };
    let deployment = Deployment::new(settings).unwrap();
    // Features go along in full: 20,000 items of 1,000 categories are 80 MB.
    let catalogue: String = (0..20_000)
        .map(|item| format!("item {item}\tkind {}\n", item % 1_000))
        .collect();
    fs::write(deployment.path("catalogue.txt"), catalogue).unwrap();
    let refused = deployment
        .tacit(&["coordinator", "--config", "coordinator.toml"])
        .unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    let named = error.contains("task.catalogue 'catalogue.txt'")
        && error.contains("devices fetch 64 at most");
    assert!(!refused.status.success() && named, "{error}");
    assert!(
        !deployment.path("coordinator").exists(),
        "nothing was written"
    );
}
