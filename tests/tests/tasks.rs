//! One task after the other for the same installations: each has a release ledger of its own, and one lifetime budget pays
//! for all.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::time::Duration;

use tacit_privacy::Rho;
use tacit_privacy::record::Event;
use tacit_round::device::Status;
use tacit_sdk::Store;
use tacit_tests::deployment::{Deployment, Role, Settings};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(60);
/// Seconds a round waits for its cohort, which the last one never gets.
const ROUND_SECONDS: u64 = 5;

/// Stops the coordinator of the task `old` and starts one of the task `new` on a fresh state, as an operator would; the helper
/// stays.
fn next_task(deployment: &mut Deployment, old: &str, new: &str) {
    deployment.kill(Role::Coordinator).unwrap();
    let path = deployment.path("coordinator.toml");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace(&format!("name = \"{old}\""), &format!("name = \"{new}\""));
    fs::write(&path, config).unwrap();
    fs::rename(deployment.path("coordinator"), deployment.path(&format!("coordinator.{old}"))).unwrap();
    deployment.start(Role::Coordinator).unwrap();
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn spent(deployment: &Deployment, device: u32) -> (Vec<(String, Status)>, Rho) {
    let store = Store::open(&deployment.path(&format!("devices/{device:06}"))).unwrap();
    let lines = store.ledger().unwrap();
    let lines = lines.into_iter().map(|(line, status)| (line.task.to_string(), status)).collect();
    (lines, store.spent().unwrap())
}

#[test]
fn the_next_task_has_a_ledger_of_its_own_and_the_same_lifetime_budget() {
    let settings = Settings { deadline_seconds: ROUND_SECONDS, ..Settings::default() };
    let mut deployment = Deployment::running(settings).unwrap();
    // Rho grows with about the square of epsilon: enough for two tasks of epsilon 1, not for three.
    fs::remove_file(deployment.path("pki/policy.json")).unwrap();
    let policy = ["pki", "policy", "pki", "--epsilon", "1.6", "--cohort", "4"];
    assert!(deployment.tacit(&policy).unwrap().status.success());
    fs::write(deployment.path("interactions.csv"), "device,item,timestamp,value,type\n0,1,,1,view\n").unwrap();

    let mut price = Rho::ZERO;
    for name in ["test", "second"] {
        if name == "second" {
            next_task(&mut deployment, "test", name);
        }
        deployment.start(Role::Devices).unwrap();
        wait_for(name, || deployment.ended(Role::Devices).unwrap().is_some());
        assert!(deployment.kill(Role::Devices).unwrap().success(), "{name}");
        deployment.verify().unwrap();
        let charge = deployment.releases().unwrap().remove(0).charge;
        assert_eq!(charge.task.as_str(), name);
        price = price.compose(charge.rho);
    }
    let both = ["second", "test"].map(|task| (task.to_owned(), Status::Acknowledged)).to_vec();
    (0..4).for_each(|device| assert_eq!(spent(&deployment, device), (both.clone(), price)));

    next_task(&mut deployment, "second", "third");
    deployment.start(Role::Devices).unwrap();
    let abandoned = |deployment: &Deployment| {
        deployment.lines().unwrap().iter().any(|line| matches!(line.event, Event::Abandoned(_)))
    };
    wait_for("a round without devices", || abandoned(&deployment));
    deployment.kill(Role::Devices).unwrap();
    assert!(deployment.releases().unwrap().is_empty(), "nobody can pay for a third task");
    (0..4).for_each(|device| assert_eq!(spent(&deployment, device), (both.clone(), price)));
}
