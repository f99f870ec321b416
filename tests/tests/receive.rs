//! What an installation has without contributing, from the real processes: what is published, and
//! the file its app ships.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::time::Duration;

use tacit_model::rank::filter::Filter;
use tacit_model::rank::ranker::Precision;
use tacit_model::{Interaction, InteractionKind};
use tacit_sdk::{Bundle, Consent, Recommender, SdkError, Step, Store};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::enrolled::Installation;
use tacit_tests::kept_model;
use tacit_tests::stand_in::catalogue;
use tacit_types::{ItemId, Timestamp};
use tacit_wire::clock;
use tokio::time::{Instant, sleep};

const COHORT: u32 = 8;
/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings {
        cohort: COHORT,
        tokens: COHORT + 1,
        items: 400,
        epsilon: 200.0,
        task: "rounds = 3\nfactors = 8\n",
        ..Settings::default()
    }
}

/// What an action did; nothing while it has to be repeated.
fn done(acted: Result<Step, SdkError>) -> Step {
    match acted {
        Ok(step) => step,
        Err(SdkError::RetryLater { .. }) => Step::default(),
        Err(error) => panic!("{error}"),
    }
}

/// Steps all devices until the task has ended, and lets one that only receives refresh in between.
async fn train(devices: &[Installation], receiver: &Installation) {
    let until = Instant::now() + SOON;
    let mut finished = 0;
    while finished < devices.len() {
        assert!(Instant::now() < until, "the task does not end");
        sleep(Duration::from_millis(50)).await;
        finished = 0;
        for device in devices {
            finished += usize::from(done(device.agent.step(clock::now()).await).finished);
            done(receiver.agent.refresh(clock::now()).await);
        }
    }
}

fn list(recommender: &mut Recommender) -> Vec<u32> {
    let viewed = Interaction {
        item: ItemId(7),
        timestamp: Some(Timestamp(7)),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    recommender.record(viewed).unwrap();
    let list = recommender.recommend(20, &Filter::default());
    list.iter().map(|one| one.item.0).collect()
}

/// HOSTILE 153, 154.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_receives_gets_every_model_and_takes_part_in_nothing() {
    let mut deployment = Deployment::new(settings()).unwrap();
    fs::write(deployment.path("catalogue.txt"), catalogue(400)).unwrap();
    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    let mut installations = Vec::new();
    for token in deployment.tokens().unwrap() {
        installations.push(Installation::enrol(&deployment, &token).await.unwrap());
    }
    let receiver = installations.pop().unwrap();
    let store = || Store::open(receiver.folder()).unwrap();
    store().set_consent(Consent::Receive).unwrap();
    let mut running = Recommender::open(receiver.folder()).unwrap();
    assert!(!running.has_model());

    train(&installations, &receiver).await;
    let until = Instant::now() + SOON;
    while !done(receiver.agent.refresh(clock::now()).await).finished {
        assert!(Instant::now() < until, "the end is not heard of");
    }
    let kept = |one: &Installation| fs::read(kept_model(one.folder(), "test")).unwrap();
    assert!(kept(&receiver) == kept(&installations[0]));
    assert_eq!(store().ledger().unwrap().len(), 0, "it has spent nothing");
    for release in deployment.releases().unwrap() {
        assert_eq!(release.contributors, COHORT);
    }

    // The file an app ships gives a new installation the same list while nobody can be reached.
    let (ledger, catalogue) = (deployment.ledger(), deployment.path("catalogue.txt"));
    let out = deployment.path("app.bundle");
    let [ledger, catalogue, file] = [&ledger, &catalogue, &out].map(|path| path.to_str().unwrap());
    let make = ["bundle", ledger, "--catalogue", catalogue, "--out", file];
    deployment.succeed(&make).unwrap();
    deployment.kill(Role::Coordinator).unwrap();
    deployment.kill(Role::Helper).unwrap();
    let bundle = Bundle::read(&fs::read(&out).unwrap(), receiver.shipped.policy()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let opened = Recommender::open_with(folder.path(), Precision::Full, Some(&bundle));
    let mut opened = opened.unwrap();
    assert!(running.reload().unwrap());
    for known in [&running, &opened] {
        assert_eq!(known.title(ItemId(399)), Some("Film 399"));
        assert_eq!(known.item("film-0"), Some(ItemId(0)));
    }
    let expected = list(&mut running);
    assert_eq!(expected.len(), 20);
    assert_eq!(list(&mut opened), expected);

    let mut altered = fs::read(&out).unwrap();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    let refused = Bundle::read(&altered, receiver.shipped.policy()).unwrap_err();
    assert!(refused.to_string().contains("did not sign"), "{refused}");
}
