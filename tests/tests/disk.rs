//! Coordinator and helper on a disk that is full, or that fails to synchronise, at many steps of a
//! task: HOSTILE 96, 97.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::time::Duration;

use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::faults::{self, Fault};
use tokio::time::Instant;

/// Steps on the disk at which it begins to fail: the first are those of a start on nothing.
const STEPS: [u32; 6] = [1, 4, 12, 24, 40, 60];
/// A process that neither ends nor finishes the task by then goes on refusing; somebody makes room
/// and starts it again.
const PATIENCE: Duration = Duration::from_secs(3);
/// With a good disk the task must be finished by then.
const DEADLINE: Duration = Duration::from_secs(40);

#[test]
fn a_coordinator_whose_disk_fails_loses_nothing() {
    survives(Role::Coordinator);
}

#[test]
fn a_helper_whose_disk_fails_loses_nothing() {
    survives(Role::Helper);
}

fn survives(victim: Role) {
    if !faults::available() {
        return;
    }
    let mut ended = 0;
    for step in STEPS {
        for fault in [Fault::FullFrom(step), Fault::Sync(step)] {
            ended += usize::from(finishes_after(victim, fault));
        }
    }
    assert!(ended > 2, "the faults met the {victim:?} {ended} times");
}

/// Whether the process ended itself at the fault; either way the task is finished afterwards and
/// its export verifies.
fn finishes_after(victim: Role, fault: Fault) -> bool {
    let mut deployment = Deployment::new(Settings::default()).unwrap();
    let rows: String = (0..4)
        .map(|device| format!("{device},{device},1,1,view\n"))
        .collect();
    fs::write(
        deployment.path("interactions.csv"),
        format!("device,item,timestamp,value,type\n{rows}"),
    )
    .unwrap();
    for role in [Role::Helper, Role::Coordinator, Role::Devices] {
        let wrapper = if role == victim {
            faults::wrapper(fault, &[])
        } else {
            Vec::new()
        };
        deployment.start_under(&wrapper, role).unwrap();
    }
    let start = Instant::now();
    let mut met = None;
    while met.is_none()
        && start.elapsed() < PATIENCE
        && deployment.ended(Role::Devices).unwrap().is_none()
    {
        std::thread::sleep(Duration::from_millis(20));
        met = deployment.ended(victim).unwrap();
    }
    if let Some(status) = met {
        assert!(
            status.code().is_some_and(|code| code != 0),
            "{victim:?} {fault:?}: ended with {status}"
        );
    }
    deployment.kill(victim).unwrap();
    deployment.start(victim).unwrap();
    let ended = loop {
        if let Some(status) = deployment.ended(Role::Devices).unwrap() {
            break status;
        }
        assert_eq!(
            deployment.ended(victim).unwrap(),
            None,
            "{victim:?} {fault:?}: does not start again"
        );
        assert!(
            start.elapsed() < DEADLINE,
            "{victim:?} {fault:?}: not finished"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(
        ended.success(),
        "{victim:?} {fault:?}: the devices ended with {ended}"
    );
    assert!(
        !deployment.log_tails().contains("panicked"),
        "{victim:?} {fault:?}: {}",
        deployment.log_tails()
    );
    deployment.verify().unwrap();
    let releases = deployment.releases().unwrap();
    assert_eq!(releases.len(), 1, "{victim:?} {fault:?}");
    assert_eq!(
        releases[0].contributors, 4,
        "{victim:?} {fault:?}: every contribution counts once"
    );
    met.is_some()
}
