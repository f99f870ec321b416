//! One task after the other for the same installations: each has a release ledger of its own, and one lifetime budget pays
//! for all.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tacit_privacy::ledger::Refusal;
use tacit_privacy::{Rho, canonical};
use tacit_round::device::{Outcome, Status};
use tacit_round::policy::{Policy, SignedPolicy};
use tacit_sdk::contribute::TableCache;
use tacit_sdk::{Agent, Store};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_wire::clock;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(60);

/// Stops the coordinator of the task `old` and starts one of the task `new` on a fresh state, as an operator would. The helper
/// starts again on its own, which holds the ledgers of all tasks.
fn next_task(deployment: &mut Deployment, old: &str, new: &str) {
    deployment.kill(Role::Coordinator).unwrap();
    deployment.crash(Role::Helper).unwrap();
    let path = deployment.path("coordinator.toml");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace(&format!("name = \"{old}\""), &format!("name = \"{new}\""));
    fs::write(&path, config).unwrap();
    fs::rename(deployment.path("coordinator"), deployment.path(&format!("coordinator.{old}"))).unwrap();
    deployment.start(Role::Coordinator).unwrap();
}

fn finished(deployment: &mut Deployment) {
    let start = Instant::now();
    deployment.start(Role::Devices).unwrap();
    while deployment.ended(Role::Devices).unwrap().is_none() {
        assert!(start.elapsed() < DEADLINE, "not finished in time");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(deployment.kill(Role::Devices).unwrap().success());
    deployment.verify().unwrap();
}

fn spent(folder: &Path) -> (Vec<(String, Status)>, Rho) {
    let store = Store::open(folder).unwrap();
    let lines = store.ledger().unwrap();
    let lines = lines.into_iter().map(|(line, status)| (line.task.to_string(), status)).collect();
    (lines, store.spent().unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What the app ships with.
fn shipped(deployment: &Deployment) -> tacit_sdk::Deployment {
    let policy = serde_json::from_str(&deployment.pki("policy.json").unwrap()).unwrap();
    let publisher = serde_json::from_value(deployment.pki("publisher.pub").unwrap().trim().into()).unwrap();
    let (address, root) = (deployment.coordinator_address(), deployment.pki("root.crt").unwrap());
    tacit_sdk::Deployment::new(&address, "localhost", &root, &policy, &publisher).unwrap()
}

/// What this installation makes of the open round.
async fn outcome(deployment: &Deployment, folder: &Path) -> Option<Outcome> {
    let agent = Agent::new(folder, Arc::new(shipped(deployment)), TableCache::default());
    let start = Instant::now();
    loop {
        match agent.step(clock::now()).await {
            Ok(step) if step.outcome.is_some() => return step.outcome,
            Ok(_) => assert!(start.elapsed() < DEADLINE, "nothing was offered"),
            Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_task_has_a_ledger_of_its_own_and_the_same_lifetime_budget() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    // Rho grows with about the square of epsilon: enough for two tasks of epsilon 1, not for three.
    fs::remove_file(deployment.path("pki/policy.json")).unwrap();
    let policy = ["pki", "policy", "pki", "--epsilon", "1.6", "--cohort", "4"];
    assert!(deployment.tacit(&policy).unwrap().status.success());
    fs::write(deployment.path("interactions.csv"), "device,item,timestamp,value,type\n0,1,,1,view\n").unwrap();
    let folders: Vec<_> = (0..4).map(|device| deployment.path(&format!("devices/{device:06}"))).collect();

    finished(&mut deployment);
    let price = deployment.releases().unwrap()[0].charge.rho;
    let both = price.compose(price);
    let signed: SignedPolicy = serde_json::from_str(&deployment.pki("policy.json").unwrap()).unwrap();
    let lifetime = canonical::decode::<Policy>(signed.policy.as_bytes()).unwrap().rho_lifetime;
    assert!(both <= lifetime && lifetime < both.compose(price), "this test is about the third task");
    copy(&folders[3], &deployment.path("old"));

    next_task(&mut deployment, "test", "second");
    finished(&mut deployment);
    assert_eq!(deployment.releases().unwrap()[0].charge.task.as_str(), "second");
    let lines = ["second", "test"].map(|task| (task.to_owned(), Status::Acknowledged)).to_vec();
    folders.iter().for_each(|folder| assert_eq!(spent(folder), (lines.clone(), both)));

    // One of them comes back as it was after the first task.
    copy(&deployment.path("old"), &folders[3]);
    assert_eq!(spent(&folders[3]), (lines[1..].to_vec(), price));
    next_task(&mut deployment, "second", "third");
    for folder in [&folders[0], &folders[3]] {
        let refused = outcome(&deployment, folder).await;
        assert!(matches!(refused, Some(Outcome::SpendRefused(Refusal::BudgetExhausted { .. }))), "{refused:?}");
        assert_eq!(spent(folder).1, both);
    }
    // A token that was used for the first task buys no second identity in the third.
    let token = deployment.tokens().unwrap().remove(0).try_into().unwrap();
    let fresh = deployment.path("fresh");
    let again = tacit_sdk::identity::enrol(&fresh, &shipped(&deployment), &token).await.unwrap_err();
    assert!(again.to_string().contains("already used"), "{again}");
}
