//! State put back from an older copy, with the real processes: never unnoticed, and never for
//! free.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tacit_data::{SyntheticSpec, synthetic};
use tacit_privacy::Rho;
use tacit_privacy::record::{Event, Line, Restored};
use tacit_round::device::Status;
use tacit_sdk::Store;
use tacit_tests::bare::BareDevice;
use tacit_tests::deployment::{Deployment, Role, Settings};
use tokio::time::Instant;

const USERS: u32 = 24;
/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(60);

/// A task of a few rounds, with coordinator, helper and devices running.
fn running(deadline_seconds: u64) -> Deployment {
    let settings = Settings {
        cohort: USERS,
        tokens: USERS,
        items: 60,
        epsilon: 200.0,
        deadline_seconds,
        task: "rounds = 6\nfactors = 4\n",
        ..Settings::default()
    };
    let mut deployment = Deployment::new(settings).unwrap();
    let data = synthetic(&SyntheticSpec {
        users: USERS as usize,
        items: 60,
        seed: 1,
    });
    deployment.write_interactions(&data).unwrap();
    for role in [Role::Helper, Role::Coordinator, Role::Devices] {
        deployment.start(role).unwrap();
    }
    deployment
}

fn until(deployment: &mut Deployment, holds: impl Fn(&mut Deployment) -> bool) {
    let start = Instant::now();
    while !holds(deployment) {
        assert!(start.elapsed() < SOON, "{}", deployment.log_tails());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn until_released(deployment: &mut Deployment, count: usize) {
    until(deployment, |deployment| {
        deployment.releases().unwrap().len() >= count
    });
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp")
        .args(["-a", "--"])
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// Keeps a copy of a folder of the deployment.
fn back_up(deployment: &Deployment, folder: &str) {
    copy(
        &deployment.path(folder),
        &deployment.path(&format!("{folder}.copy")),
    );
}

fn put_back(deployment: &Deployment, folder: &str) {
    copy(
        &deployment.path(&format!("{folder}.copy")),
        &deployment.path(folder),
    );
}

/// Waits until a daemon has ended by itself; gives its exit code and what it logged.
fn refusal(deployment: &mut Deployment, role: Role) -> (Option<i32>, String) {
    until(deployment, |deployment| {
        deployment.ended(role).unwrap().is_some()
    });
    let code = deployment.kill(role).unwrap().code();
    (code, deployment.log(role))
}

fn restores(deployment: &Deployment) -> Vec<Restored> {
    let lines = deployment.lines().unwrap().into_iter();
    let restores = lines.filter_map(|line| match line.event {
        Event::Restored(restored) => Some(restored),
        _ => None,
    });
    restores.collect()
}

/// What a device spent for each round of the ledger.
fn prices(deployment: &Deployment) -> BTreeMap<u32, Rho> {
    let lines = deployment.lines().unwrap();
    let price = |line: &Line| match &line.event {
        Event::Empty(empty) => Some((empty.round.0, empty.ticket_rho)),
        _ => line
            .charge()
            .map(|charge| (charge.round.0, charge.rho)),
    };
    lines.iter().filter_map(price).collect()
}

/// What the accounts of all tasks counted each device for, smallest first.
fn counted(deployment: &Deployment) -> Vec<Rho> {
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file = deployment.path("enrolled/accounts.sqlite");
    let accounts = Connection::open_with_flags(file, read_only).unwrap();
    let mut query = accounts
        .prepare("SELECT rho FROM counted ORDER BY rho")
        .unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.map(|rho| Rho::saturating_from_units(u128::from_be_bytes(rho.unwrap())))
        .collect()
}

/// Every device spent for every round it knows at the ledger's price, and for nothing else; and
/// was counted for all of it but the round that was open when its coordinator went away.
fn check_devices(deployment: &Deployment, open: u32) {
    let prices = prices(deployment);
    let mut least = Vec::new();
    for device in 0..USERS {
        let folder = deployment.path(&format!("devices/{device:06}"));
        let store = Store::open(&folder).unwrap();
        let (mut spent, mut acknowledged) = (Rho::ZERO, Rho::ZERO);
        for (line, status) in store.ledger().unwrap() {
            assert_eq!(Some(&line.rho), prices.get(&line.round.0), "{line:?}");
            spent = spent.compose(line.rho);
            if status == Status::Acknowledged && line.round.0 != open {
                acknowledged = acknowledged.compose(line.rho);
            }
        }
        let unrecorded = store.unrecorded().unwrap();
        assert_eq!(store.spent().unwrap(), spent.compose(unrecorded));
        least.push(acknowledged);
    }
    least.sort();
    let counted = counted(deployment);
    assert_eq!(counted.len(), least.len());
    for (counted, least) in counted.iter().zip(least) {
        assert!(*counted >= least, "{counted} of {least}");
    }
}

/// HOSTILE 163: the coordinator's folder is put back in the middle of a task. It is never taken
/// for the newest; with the flag every lost round is charged, and every device goes on, one whose
/// own folder is as old among them.
#[test]
fn a_coordinator_put_back_is_refused_and_restored_only_when_the_operator_says_so() {
    let mut deployment = running(12);
    until_released(&mut deployment, 1);
    deployment.kill(Role::Coordinator).unwrap();
    deployment.kill(Role::Devices).unwrap();
    back_up(&deployment, "coordinator");
    back_up(&deployment, "devices/000003");
    deployment.start(Role::Coordinator).unwrap();
    deployment.start(Role::Devices).unwrap();
    until_released(&mut deployment, 3);
    deployment.kill(Role::Coordinator).unwrap();
    deployment.kill(Role::Devices).unwrap();
    let lines_lost = deployment.lines().unwrap().len() as u64;

    put_back(&deployment, "coordinator");
    put_back(&deployment, "devices/000003");
    for _ in 0..2 {
        deployment.start(Role::Coordinator).unwrap();
        let (code, said) = refusal(&mut deployment, Role::Coordinator);
        assert_eq!(code, Some(2), "{said}");
        let last = said.lines().last().unwrap();
        for word in ["coordinator.sqlite is an older copy", "--restored"] {
            assert!(last.contains(word), "{last}");
        }
    }

    deployment.start_restored(Role::Coordinator).unwrap();
    until(&mut deployment, |deployment| {
        restores(deployment).len() == 1
    });
    let restored = restores(&deployment).remove(0);
    assert_eq!(restored.last_head.generation, 1);
    assert!(restored.last_head.size >= lines_lost);
    assert!(restored.lost >= 2, "{restored:?}");
    let last_lost = *prices(&deployment).keys().last().unwrap();
    deployment.start(Role::Devices).unwrap();
    deployment.finish(SOON).unwrap();
    deployment.verify().unwrap();
    check_devices(&deployment, last_lost);
    let after = deployment
        .releases()
        .unwrap()
        .into_iter()
        .filter(|release| release.charge.round.0 > last_lost);
    assert!(after.count() >= 2, "the task went on");
    let told = deployment
        .succeed(&["audit", "report", "coordinator/ledger", "--out", "page"])
        .map(|_| fs::read_to_string(deployment.path("page/report.html")).unwrap())
        .unwrap();
    assert!(told.contains("restored from an older copy"));

    // Said again, it changes nothing.
    deployment.kill(Role::Coordinator).unwrap();
    deployment.start_restored(Role::Coordinator).unwrap();
    until(&mut deployment, |deployment| {
        deployment
            .log(Role::Coordinator)
            .contains("nothing_to_restore")
    });
    assert_eq!(restores(&deployment).len(), 1);
}

/// HOSTILE 163: killed at any moment of the restore, it is begun once and whole.
#[test]
fn a_restore_that_is_killed_again_and_again_is_one_restore() {
    let mut deployment = running(12);
    until_released(&mut deployment, 1);
    deployment.kill(Role::Coordinator).unwrap();
    back_up(&deployment, "coordinator");
    deployment.start(Role::Coordinator).unwrap();
    until_released(&mut deployment, 3);
    deployment.kill(Role::Coordinator).unwrap();
    deployment.kill(Role::Devices).unwrap();

    for delay in [40, 60, 80, 100, 120, 140, 170, 200, 240, 300] {
        put_back(&deployment, "coordinator");
        for _ in 0..3 {
            deployment.start_restored(Role::Coordinator).unwrap();
            std::thread::sleep(Duration::from_millis(delay));
            deployment.kill(Role::Coordinator).unwrap();
        }
        if deployment
            .log(Role::Coordinator)
            .contains("nothing_to_restore")
        {
            break;
        }
    }
    deployment.start_restored(Role::Coordinator).unwrap();
    deployment.start(Role::Devices).unwrap();
    deployment.finish(SOON).unwrap();
    deployment.verify().unwrap();
    // What was put back again after the helper had signed is a restore of its own.
    let generations = deployment.lines().unwrap();
    let mut restored = generations
        .iter()
        .filter(|line| matches!(line.event, Event::Restored(_)));
    let first = restored.next().unwrap();
    assert!(first.generation >= 2);
    assert_eq!(restored.count(), 0, "the copy had none");
}

/// HOSTILE 166: the helper's folder is put back in the middle of a task. What it has signed itself
/// tells it so, and it stops; with the flag every open round ends, its generation rises, and the
/// coordinator gives back the lines it lost.
#[test]
fn a_helper_put_back_stops_until_the_operator_says_so_and_gets_its_lines_back() {
    let mut deployment = running(12);
    until_released(&mut deployment, 1);
    deployment.kill(Role::Helper).unwrap();
    back_up(&deployment, "helper");
    // A backup has no keys.
    let keys = deployment.path("helper.copy/keys");
    fs::remove_dir_all(keys).unwrap();
    deployment.start(Role::Helper).unwrap();
    until_released(&mut deployment, 3);
    deployment.kill(Role::Helper).unwrap();

    put_back(&deployment, "helper");
    for _ in 0..2 {
        deployment.start(Role::Helper).unwrap();
        let (code, said) = refusal(&mut deployment, Role::Helper);
        assert_eq!(code, Some(2), "{said}");
        let last = said.lines().last().unwrap();
        for word in ["helper.sqlite is an older copy", "--restored"] {
            assert!(last.contains(word), "{last}");
        }
    }

    deployment.start_restored(Role::Helper).unwrap();
    deployment.finish(SOON).unwrap();
    deployment.verify().unwrap();
    assert!(
        deployment
            .log(Role::Coordinator)
            .contains("lines_given_back")
    );
    let ledger = fs::read_to_string(deployment.ledger().join("helper.jsonl")).unwrap();
    let lines: Vec<Line> = ledger
        .lines()
        .map(|line| Line::from_bytes(line.as_bytes()).unwrap())
        .collect();
    let generations: Vec<u32> = lines.iter().map(|line| line.generation).collect();
    assert!(generations.is_sorted(), "{generations:?}");
    assert!(generations.last() > generations.first());
    assert!(
        restores(&deployment).is_empty(),
        "the coordinator lost nothing"
    );
    let open = lines.iter().filter(|line| line.generation == 1);
    let open = open.filter_map(|line| match &line.event {
        Event::Countersigned(signed) => Some(signed.round.0),
        _ => None,
    });
    check_devices(&deployment, open.max().unwrap());

    // It knows its own lines again without the flag.
    deployment.kill(Role::Helper).unwrap();
    deployment.start(Role::Helper).unwrap();
    deployment.crash(Role::Coordinator).unwrap();
    let lines = deployment.lines().unwrap().len();
    until(&mut deployment, |deployment| {
        deployment.lines().unwrap().len() > lines
    });
    deployment.verify().unwrap();
}

/// HOSTILE 167: the record of used tokens is put back with the coordinator. Whoever used one since
/// cannot use it again, and neither can anybody else; new ones enrol.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_from_before_the_copy_enrol_nobody_after_a_restore() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    let rows: String = (0..4)
        .map(|device| format!("{device},{device},1,1,view\n"))
        .collect();
    let rows = format!("device,item,timestamp,value,type\n{rows}");
    fs::write(deployment.path("interactions.csv"), rows).unwrap();
    until(&mut deployment, |deployment| {
        deployment
            .ledger()
            .join("heads/00000001.json")
            .exists()
    });
    deployment.kill(Role::Coordinator).unwrap();
    for folder in ["coordinator", "enrolled"] {
        back_up(&deployment, folder);
    }
    deployment.start(Role::Coordinator).unwrap();
    deployment.start(Role::Devices).unwrap();
    deployment.finish(SOON).unwrap();
    deployment.kill(Role::Coordinator).unwrap();
    for folder in ["coordinator", "enrolled"] {
        put_back(&deployment, folder);
    }

    deployment.start_restored(Role::Coordinator).unwrap();
    until(&mut deployment, |deployment| {
        restores(deployment).len() == 1
    });
    let tokens = deployment.tokens().unwrap();
    // Enrolling repeats a call that is refused until then.
    let deadline = || tokio::time::Instant::now() + Duration::from_secs(2);
    for token in [&tokens[0], &tokens[7]] {
        let enrolled = BareDevice::enrol(&deployment, token, deadline()).await;
        let problem = format!("{:#}", enrolled.err().unwrap());
        assert!(problem.contains("unknown or already used"), "{problem}");
    }
    let more = ["pki", "tokens", "pki", "--append", "--count", "1"];
    deployment.succeed(&more).unwrap();
    let token = deployment.tokens().unwrap().pop().unwrap();
    assert!(!tokens.contains(&token));
    deployment.hang_up(Role::Coordinator).unwrap();
    let start = Instant::now();
    while BareDevice::enrol(&deployment, &token, deadline())
        .await
        .is_err()
    {
        assert!(start.elapsed() < SOON, "{}", deployment.log_tails());
    }
}

/// What each device has spent by its own ledger.
fn spent(deployment: &Deployment) -> Vec<Rho> {
    let folders = (0..USERS).map(|device| deployment.path(&format!("devices/{device:06}")));
    folders
        .map(|folder| Store::open(&folder).unwrap().spent().unwrap())
        .collect()
}

/// HOSTILE 163: what both parties lost at once nobody can charge. The accounts still tell the
/// coordinator, and devices that saw more than the helper remembers stay out.
#[test]
fn devices_that_saw_what_both_parties_lost_spend_nothing_more() {
    let mut deployment = running(4);
    let all = [Role::Devices, Role::Coordinator, Role::Helper];
    until_released(&mut deployment, 1);
    for role in all {
        deployment.kill(role).unwrap();
    }
    for folder in ["coordinator", "helper"] {
        back_up(&deployment, folder);
    }
    for role in all {
        deployment.start(role).unwrap();
    }
    until_released(&mut deployment, 3);
    for role in all {
        deployment.kill(role).unwrap();
    }
    let before = spent(&deployment);

    for folder in ["coordinator", "helper"] {
        put_back(&deployment, folder);
    }
    deployment.start_restored(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    let (code, said) = refusal(&mut deployment, Role::Coordinator);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the accounts of all tasks"), "{said}");
    deployment.start_restored(Role::Coordinator).unwrap();
    deployment.start(Role::Devices).unwrap();
    until(&mut deployment, |deployment| {
        deployment.log(Role::Devices).contains("RolledBack")
    });
    for role in all {
        deployment.kill(role).unwrap();
    }
    assert_eq!(spent(&deployment), before);
}
