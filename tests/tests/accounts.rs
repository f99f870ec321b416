//! The accounts of all tasks are a file that several coordinators hold, beside the store of each
//! task: one process may be killed between the two, another may hold it, and it may be restored.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tacit_privacy::Rho;
use tacit_tests::deployment::{Deployment, Role, Settings};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(60);

fn file(deployment: &Deployment) -> PathBuf {
    deployment.path("enrolled/accounts.sqlite")
}

fn until(deployment: &mut Deployment, holds: impl Fn(&mut Deployment) -> bool) {
    let start = Instant::now();
    while !holds(deployment) {
        assert!(start.elapsed() < DEADLINE, "{}", deployment.log_tails());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until_said(deployment: &mut Deployment, event: &str) {
    until(deployment, |deployment| {
        deployment.log(Role::Coordinator).contains(event)
    });
}

/// A deployment whose round waits for its devices, with the accounts held as another task's
/// coordinator would while it writes.
fn held() -> (Deployment, Connection) {
    let mut deployment = Deployment::with_open_round(Settings::default()).unwrap();
    let rows: String = (0..4)
        .map(|device| format!("{device},{device},1,1,view\n"))
        .collect();
    let rows = format!("device,item,timestamp,value,type\n{rows}");
    fs::write(deployment.path("interactions.csv"), rows).unwrap();
    until_said(&mut deployment, "round_opened");
    let accounts = Connection::open(file(&deployment)).unwrap();
    accounts.execute_batch("BEGIN IMMEDIATE").unwrap();
    deployment.start(Role::Devices).unwrap();
    until_said(&mut deployment, "accounts_busy");
    assert_eq!(deployment.ended(Role::Coordinator).unwrap(), None);
    (deployment, accounts)
}

/// All four devices hear that the task is finished, and each was counted for its one release.
fn counted_once(deployment: &mut Deployment) {
    until(deployment, |deployment| {
        deployment.ended(Role::Devices).unwrap().is_some()
    });
    assert!(deployment.kill(Role::Devices).unwrap().success());
    deployment.verify().unwrap();
    let releases = deployment.releases().unwrap();
    assert_eq!(releases.len(), 1);
    assert_eq!(counted(deployment), [releases[0].charge.rho; 4]);
}

fn counted(deployment: &Deployment) -> Vec<Rho> {
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let accounts = Connection::open_with_flags(file(deployment), read_only).unwrap();
    let mut query = accounts.prepare("SELECT rho FROM counted").unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.map(|rho| Rho::saturating_from_units(u128::from_be_bytes(rho.unwrap())))
        .collect()
}

/// A second coordinator ended with "database is locked". HOSTILE 138.
#[test]
fn accounts_that_another_process_holds_are_waited_for() {
    let (mut deployment, accounts) = held();
    // The line is durable, devices are answered, and nothing is said to be finished yet.
    assert_eq!(deployment.ended(Role::Devices).unwrap(), None);
    accounts.execute_batch("ROLLBACK").unwrap();
    counted_once(&mut deployment);
    assert_eq!(deployment.ended(Role::Coordinator).unwrap(), None);
    let said = deployment.log(Role::Coordinator);
    assert!(!said.contains("storage_unavailable"), "{said}");
}

/// HOSTILE 139.
#[test]
fn killed_between_the_line_and_the_accounts_everybody_is_counted_once() {
    let (mut deployment, accounts) = held();
    deployment.kill(Role::Coordinator).unwrap();
    drop(accounts);
    assert!(counted(&deployment).is_empty(), "the accounts know nothing");
    deployment.start(Role::Coordinator).unwrap();
    counted_once(&mut deployment);
    let said = deployment.log(Role::Coordinator);
    assert!(
        !said.contains("accounts_repeated"),
        "only this round was owed"
    );

    // Accounts that are lost are told everything again.
    let known = counted(&deployment);
    deployment.kill(Role::Coordinator).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("enrolled/accounts.sqlite{suffix}");
        let _ = fs::remove_file(deployment.path(&name));
    }
    deployment.start(Role::Coordinator).unwrap();
    until_said(&mut deployment, "accounts_repeated");
    until(&mut deployment, |deployment| counted(deployment) == known);
}
