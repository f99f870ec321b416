//! One task after the other for the same installations: each has a release ledger of its own, and
//! one lifetime budget pays for all.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tacit_data::{SyntheticSpec, synthetic};
use tacit_model::family::spectral::server::{apply_counts, random_init};
use tacit_model::{Model, Recipe, SpectralModel};
use tacit_privacy::ledger::Refusal;
use tacit_privacy::{Rho, canonical};
use tacit_round::device::{Outcome, Status};
use tacit_round::policy::Policy;
use tacit_round::signed_policy::SignedPolicy;
use tacit_sdk::{Agent, Store, TableCache};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::{copy_folder, kept_model};
use tacit_types::Digest;
use tacit_wire::clock;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(60);

/// Stops the coordinator of the task `old` and starts one of the task `new` on a fresh state, as an
/// operator would. The helper starts again on its own, which holds the ledgers of all tasks.
fn next_task(deployment: &mut Deployment, old: &str, new: &str) {
    deployment.kill(Role::Coordinator).unwrap();
    deployment.crash(Role::Helper).unwrap();
    let path = deployment.path("coordinator.toml");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace(&format!("name = \"{old}\""), &format!("name = \"{new}\""));
    fs::write(&path, config).unwrap();
    fs::rename(
        deployment.path("coordinator"),
        deployment.path(&format!("coordinator.{old}")),
    )
    .unwrap();
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
    let lines = lines
        .into_iter()
        .map(|(line, status)| (line.task.to_string(), status))
        .collect();
    (lines, store.spent().unwrap())
}

/// What the app ships with.
fn shipped(deployment: &Deployment) -> tacit_sdk::Deployment {
    let policy = serde_json::from_str(&deployment.pki("policy.json").unwrap()).unwrap();
    let publisher =
        serde_json::from_value(deployment.pki("publisher.pub").unwrap().trim().into()).unwrap();
    let (address, root) = (
        deployment.coordinator_address(),
        deployment.pki("root.crt").unwrap(),
    );
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

const USERS: u32 = 60;
const ITEMS: u32 = 40;

fn catalogue(items: u32) -> String {
    (0..items)
        .map(|item| format!("item {item}\tkind {}\n", item % 3))
        .collect()
}

/// Puts a line at the end of the coordinator's file, in `[task]`.
fn ask(deployment: &Deployment, line: &str) {
    let path = deployment.path("coordinator.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{config}\n{line}\n")).unwrap();
}

/// The catalogue grew, and the next task goes on from the factors of the one before: counts, and
/// one round.
#[test]
fn the_next_task_updates_the_factors_of_the_one_before() {
    let task = "factors = 4\nrounds = 1\n";
    let settings = Settings {
        cohort: USERS,
        tokens: USERS,
        items: ITEMS,
        epsilon: 10.0,
        task,
        ..Settings::default()
    };
    let mut deployment = Deployment::running(settings).unwrap();
    fs::remove_file(deployment.path("pki/policy.json")).unwrap();
    let policy = ["pki", "policy", "pki", "--epsilon", "25", "--cohort", "60"];
    assert!(deployment.tacit(&policy).unwrap().status.success());
    let data = synthetic(&SyntheticSpec {
        users: USERS as usize,
        items: ITEMS as usize,
        seed: 1,
    });
    deployment.write_interactions(&data).unwrap();
    finished(&mut deployment);
    let first = deployment
        .releases()
        .unwrap()
        .last()
        .unwrap()
        .model_out_hash;
    let read = |path: &Path| Model::from_bytes(&fs::read(path).unwrap()).unwrap();
    let earlier = read(&deployment.ledger().join(format!("models/{first}.bin")));
    let known = earlier.factor_count();
    assert!(known > 0);

    fs::write(deployment.path("catalogue.txt"), catalogue(ITEMS + 5)).unwrap();
    ask(
        &deployment,
        &format!("start = \"coordinator.test/ledger/models/{first}.bin\""),
    );
    next_task(&mut deployment, "test", "update");
    finished(&mut deployment);
    let releases = deployment.releases().unwrap();
    let kinds: Vec<&str> = releases
        .iter()
        .map(|release| release.charge.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        ["counts", "factor_gradient"],
        "no head Gram: the basis is there"
    );
    let updated = read(&kept_model(&deployment.path("devices/000003"), "update"));
    assert!(
        updated.catalogue_len() == ITEMS + 5 && updated.factor_count() > known,
        "categories stand beside"
    );
    let genesis = read(
        &deployment
            .ledger()
            .join(format!("models/{}.bin", releases[0].charge.model_in_hash)),
    );
    assert_eq!(
        (genesis.catalogue_len(), genesis.factor_count()),
        (ITEMS + 5, known)
    );
    // A start that was not used at all would agree by chance in about d / M' of the span.
    let drift = |model: &Model, start: &Model| model.drift(start).unwrap();
    assert!(
        drift(&updated, &genesis) < 0.6,
        "{}",
        drift(&updated, &genesis)
    );

    // A coordinator that starts again on the same state goes on.
    deployment.crash(Role::Coordinator).unwrap();
    deployment.verify().unwrap();
}

/// HOSTILE 87, 91: each start that is none is refused by its name, before anything is written.
#[test]
fn a_start_that_is_none_is_refused_by_name() {
    let settings = Settings {
        items: ITEMS,
        epsilon: 200.0,
        task: "start = \"start.bin\"\n",
        ..Settings::default()
    };
    let deployment = Deployment::new(settings).unwrap();
    let recipe = Recipe {
        factors: 3,
        ..Recipe::counts_only()
    };
    let of = |items: u32| {
        random_init(
            &apply_counts(&vec![9.0; items as usize], 1.0, &recipe),
            &recipe,
            1,
        )
        .to_bytes()
    };
    let cases = [
        (None, "No such file"),
        (Some(b"nothing".to_vec()), "not a spectral model"),
        (Some(of(ITEMS + 1)), "a catalogue only grows"),
        (
            Some(SpectralModel::genesis(ITEMS).to_bytes()),
            "no learned factors",
        ),
    ];
    for (bytes, problem) in cases {
        if let Some(bytes) = bytes {
            fs::write(deployment.path("start.bin"), bytes).unwrap();
        }
        let refused = deployment
            .tacit(&["coordinator", "--config", "coordinator.toml"])
            .unwrap();
        let error = String::from_utf8(refused.stderr).unwrap();
        let named = error.contains("task.start 'start.bin'") && error.contains(problem);
        assert!(!refused.status.success() && named, "{problem}: {error}");
        assert!(
            !deployment.path("coordinator").exists(),
            "nothing was written"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_task_has_a_ledger_of_its_own_and_the_same_lifetime_budget() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    // Rho grows with about the square of epsilon: enough for two tasks of epsilon 1, not for three.
    fs::remove_file(deployment.path("pki/policy.json")).unwrap();
    let policy = ["pki", "policy", "pki", "--epsilon", "1.6", "--cohort", "4"];
    assert!(deployment.tacit(&policy).unwrap().status.success());
    fs::write(
        deployment.path("interactions.csv"),
        "device,item,timestamp,value,type\n0,1,,1,view\n",
    )
    .unwrap();
    let folders: Vec<_> = (0..4)
        .map(|device| deployment.path(&format!("devices/{device:06}")))
        .collect();

    finished(&mut deployment);
    let price = deployment.releases().unwrap()[0].charge.rho;
    let both = price.compose(price);
    let signed: SignedPolicy =
        serde_json::from_str(&deployment.pki("policy.json").unwrap()).unwrap();
    let lifetime = canonical::decode::<Policy>(signed.policy.as_bytes())
        .unwrap()
        .rho_lifetime;
    assert!(
        both <= lifetime && lifetime < both.compose(price),
        "this test is about the third task"
    );
    copy_folder(&folders[3], &deployment.path("old")).unwrap();

    next_task(&mut deployment, "test", "second");
    finished(&mut deployment);
    assert_eq!(
        deployment.releases().unwrap()[0].charge.task.as_str(),
        "second"
    );
    let lines = ["second", "test"]
        .map(|task| (task.to_owned(), Status::Acknowledged))
        .to_vec();
    folders
        .iter()
        .for_each(|folder| assert_eq!(spent(folder), (lines.clone(), both)));

    // One of them comes back as it was after the first task.
    copy_folder(&deployment.path("old"), &folders[3]).unwrap();
    assert_eq!(spent(&folders[3]), (lines[1..].to_vec(), price));
    next_task(&mut deployment, "second", "third");
    deployment.open_round().unwrap();
    // The count speaks for what the copy has forgotten, and is believed while it is claimed; what
    // no ledger it has seen accounts for is not written down.
    for (folder, known) in [(&folders[0], both), (&folders[3], price)] {
        let refused = outcome(&deployment, folder).await;
        assert!(
            matches!(
                refused,
                Some(Outcome::SpendRefused(Refusal::BudgetExhausted { .. }))
            ),
            "{refused:?}"
        );
        assert_eq!(spent(folder).1, known);
    }
    // HOSTILE 76: a token that was used for the first task buys no second identity in the third.
    let token = deployment.tokens().unwrap().remove(0);
    let fresh = deployment.path("fresh");
    let again = tacit_sdk::identity::enrol(&fresh, &shipped(&deployment), &token)
        .await
        .unwrap_err();
    assert!(again.to_string().contains("already used"), "{again}");
}

/// Hashes of the models devices recommend with.
fn served(deployment: &Deployment, task: &str) -> Vec<Digest> {
    let device = |number: u32| deployment.path(&format!("devices/{number:06}"));
    let model = |number| fs::read(kept_model(&device(number), task)).unwrap();
    (0..USERS)
        .map(|number| canonical::digest(&model(number)))
        .collect()
}

/// A second task that nobody can pay for changes nobody's model and is never said to be finished.
/// HOSTILE 131.
#[test]
fn a_task_that_released_nothing_takes_no_models_place() {
    let settings = Settings {
        cohort: USERS,
        tokens: USERS,
        items: ITEMS,
        epsilon: 8.0,
        task: "factors = 4\nrounds = 1\n",
        ..Settings::default()
    };
    let mut deployment = Deployment::running(settings).unwrap();
    let data = synthetic(&SyntheticSpec {
        users: USERS as usize,
        items: ITEMS as usize,
        seed: 1,
    });
    deployment.write_interactions(&data).unwrap();
    finished(&mut deployment);
    let good = served(&deployment, "test");

    // Told of the policy, the coordinator does not begin what its fleet cannot pay.
    let config = deployment.path("coordinator.toml");
    let first = fs::read_to_string(&config).unwrap();
    let second = first
        .replace("name = \"test\"", "name = \"empty\"")
        .replace("state = \"coordinator\"", "state = \"coordinator.empty\"");
    fs::write(&config, format!("policy = \"pki/policy.json\"\n{second}")).unwrap();
    let check = [
        "coordinator",
        "--config",
        "coordinator.toml",
        "--check-config",
    ];
    let refused = deployment.tacit(&check).unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let short = format!("{USERS} of {USERS} devices that took part before cannot pay");
    assert!(
        said.contains(&short) && said.contains("costs rho"),
        "{said}"
    );
    fs::write(&config, &first).unwrap();

    // Not told of it, it begins; devices refuse, rounds are abandoned, and the task pauses.
    fs::write(
        &config,
        first.replace("deadline_seconds = 60", "deadline_seconds = 1"),
    )
    .unwrap();
    next_task(&mut deployment, "test", "empty");
    deployment.start(Role::Devices).unwrap();
    let start = Instant::now();
    while !deployment.log_tails().contains("task_paused") {
        assert!(start.elapsed() < DEADLINE, "{}", deployment.log_tails());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(deployment.ended(Role::Coordinator).unwrap(), None);
    assert_eq!(
        deployment.ended(Role::Devices).unwrap(),
        None,
        "nobody was told it ended"
    );
    assert_eq!(served(&deployment, "test"), good);
    assert!(!kept_model(&deployment.path("devices/000003"), "empty").exists());
    deployment.terminate(Role::Devices).unwrap();
    deployment.verify().unwrap();
}

#[test]
fn a_state_folder_is_of_the_task_it_began_with() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    let start = Instant::now();
    while deployment.lines().is_ok_and(|lines| lines.is_empty()) || deployment.lines().is_err() {
        assert!(start.elapsed() < DEADLINE, "no ledger in time");
        std::thread::sleep(Duration::from_millis(50));
    }
    deployment.kill(Role::Coordinator).unwrap();
    let config = deployment.path("coordinator.toml");
    let other = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        other.replace("name = \"test\"", "name = \"other\""),
    )
    .unwrap();
    let refused = deployment
        .tacit(&["coordinator", "--config", "coordinator.toml"])
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("this state began with the task 'test', not 'other'"),
        "{said}"
    );
}
