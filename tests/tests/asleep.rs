//! Processes that are stopped for longer than every deadline, as a laptop that is closed or a phone
//! that sleeps, and go on later: their timers stood still, the world's did not.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use rustix::process::Signal;
use tacit_data::{SyntheticSpec, synthetic};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tokio::time::sleep;

/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(90);
/// Longer than the latest deadline of a round, and than anybody waits for an answer.
const ASLEEP: Duration = Duration::from_secs(15);

fn settings() -> Settings {
    Settings {
        deadline_seconds: 6,
        task: "latest_deadline_seconds = 12\n",
        ..Settings::default()
    }
}

/// Stops a process with a round open, lets it go on later, and wants the task to end as any other.
async fn sleeps(role: Role) {
    let mut deployment = Deployment::running(settings()).unwrap();
    // What is spent for a round that is over is spent: there is room for one more.
    let larger = ["--epsilon", "4", "--cohort", "4", "--replace"];
    deployment
        .succeed(&[&["pki", "policy", "pki"][..], &larger].concat())
        .unwrap();
    let data = synthetic(&SyntheticSpec {
        users: 4,
        items: 64,
        seed: 1,
    });
    deployment.write_interactions(&data).unwrap();
    deployment.start(Role::Devices).unwrap();
    deployment
        .logs(Role::Coordinator, "round_opened")
        .await
        .unwrap();

    deployment.signal(role, Signal::STOP).unwrap();
    sleep(ASLEEP).await;
    assert!(deployment.ended(role).unwrap().is_none());
    deployment.signal(role, Signal::CONT).unwrap();

    deployment.finish(SOON).unwrap();
    deployment.verify().unwrap();
    assert!(!deployment.releases().unwrap().is_empty());
}

/// HOSTILE 125, 107: all installations of the deployment sleep in the middle of a round.
#[tokio::test(flavor = "multi_thread")]
async fn devices_that_slept_find_their_round_over_and_take_part_in_the_next() {
    sleeps(Role::Devices).await;
}

/// HOSTILE 107.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_slept_ends_the_round_and_goes_on() {
    sleeps(Role::Coordinator).await;
}

/// HOSTILE 107.
#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_slept_answers_or_ends_the_round_and_goes_on() {
    sleeps(Role::Helper).await;
}
