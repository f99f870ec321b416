//! What a daemon makes of a configuration or a folder that is another than before: it refuses
//! before it writes, and goes on as before once it is put right.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tacit_tests::deployment::{Deployment, Role, Settings, binary};
use tokio::time::Instant;

/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(60);

fn give_interactions(deployment: &Deployment) {
    let rows: String = (0..4)
        .map(|device| format!("{device},{device},1,1,view\n"))
        .collect();
    let text = format!("device,item,timestamp,value,type\n{rows}");
    fs::write(deployment.path("interactions.csv"), text).unwrap();
}

/// Everything in a folder and below, with the time it was last written.
fn state(folder: &Path) -> Vec<(String, i64, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::metadata(&path).unwrap();
        all.push((path.display().to_string(), found.mtime(), found.len()));
        if found.is_dir() {
            all.extend(state(&path));
        }
    }
    all.sort();
    all
}

/// HOSTILE 86: numbers of a task under way cannot be changed, by a signal or by a restart; with the
/// old ones the same round goes on.
#[tokio::test]
async fn privacy_numbers_of_a_running_task_cannot_be_changed() {
    let mut deployment = Deployment::with_open_round(Settings::default()).unwrap();
    give_interactions(&deployment);
    let ticket_before = deployment.log(Role::Coordinator);
    let before = fs::read_to_string(deployment.path("coordinator.toml")).unwrap();
    for (from, to) in [
        ("epsilon = 1", "epsilon = 2"),
        ("delta = 1e-5", "delta = 1e-4"),
        ("cohort = 4", "cohort = 5"),
        ("dropout = 0.05", "dropout = 0.5"),
        ("[task]", "[task]\nhelper_noise = true"),
        ("[task]", "[task]\nhistory_max = 7"),
    ] {
        fs::write(deployment.path("coordinator.toml"), &before).unwrap();
        deployment
            .configure(Role::Coordinator, from, to)
            .unwrap();
        deployment.hang_up(Role::Coordinator).unwrap();
        deployment.kill(Role::Coordinator).unwrap();
        let folder = state(&deployment.path("coordinator/ledger"));
        let arguments = ["coordinator", "--config", "coordinator.toml"];
        let refused = deployment.tacit(&arguments).unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains("another") || said.contains("task"), "{said}");
        assert_eq!(
            state(&deployment.path("coordinator/ledger")),
            folder,
            "{to}"
        );
        fs::write(deployment.path("coordinator.toml"), &before).unwrap();
        deployment.start(Role::Coordinator).unwrap();
    }
    assert!(ticket_before.contains("round=1"));
    deployment.start(Role::Devices).unwrap();
    deployment.finish(SOON).unwrap();
    assert_eq!(deployment.releases().unwrap().len(), 1);
    deployment.verify().unwrap();
}

/// Runs a copy of `tacit` in the deployment's folder as somebody whom permissions hold: root is
/// held by none. `None` where that cannot be done.
fn as_nobody(deployment: &Deployment, arguments: &[&str]) -> Option<Output> {
    let program = deployment.path("tacit");
    let mut command = match rustix::process::getuid().is_root() {
        false => Command::new(&program),
        true => {
            let mut command = Command::new("setpriv");
            let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
            command.args(nobody).arg(&program);
            command
        }
    };
    let command = command
        .args(arguments)
        .current_dir(deployment.path(""));
    command.stdin(Stdio::null()).output().ok()
}

/// HOSTILE 87: a folder that may not be written is named before anything is, by a check as by a
/// start.
#[test]
fn a_folder_that_may_not_be_written_is_named() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    fs::copy(binary(), deployment.path("tacit")).unwrap();
    let locked = deployment.path("locked");
    fs::create_dir(&locked).unwrap();
    for (role, state) in [
        ("coordinator", "coordinator"),
        ("coordinator", "enrolled"),
        ("helper", "helper"),
    ] {
        let config = fs::read_to_string(deployment.path(&format!("{role}.toml"))).unwrap();
        for folder in ["locked", "locked/below/that"] {
            let moved = config.replace(
                &format!("state = \"{state}\""),
                &format!("state = \"{folder}\""),
            );
            assert_ne!(moved, config);
            fs::write(deployment.path("moved.toml"), moved).unwrap();
            fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
            if rustix::process::getuid().is_root() {
                let everything = deployment.path("");
                let mut chown = Command::new("chown");
                let owned = chown
                    .args(["-R", "65534:65534"])
                    .arg(everything)
                    .status();
                assert!(owned.unwrap().success());
            }
            for more in [&[][..], &["--check-config"]] {
                let arguments = [&[role, "--config", "moved.toml"], more].concat();
                let Some(output) = as_nobody(&deployment, &arguments) else {
                    println!("SKIPPED: root is held by no permission, and setpriv is missing");
                    return;
                };
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
                let named = format!("{folder}: cannot be written");
                assert!(said.lines().count() == 1 && said.contains(&named), "{said}");
            }
            assert_eq!(fs::read_dir(&locked).unwrap().count(), 0);
        }
    }
}

/// A daemon whose log nobody reads any more serves on, and ends as it should.
#[test]
fn a_log_that_nobody_reads_stops_no_daemon() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    for (role, address) in [
        ("helper", deployment.helper_address()),
        ("coordinator", deployment.coordinator_address()),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut daemon = Command::new(binary())
            .args([role, "--config"])
            .arg(deployment.path(&format!("{role}.toml")))
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        let address = address.trim_start_matches("https://");
        let deadline = Instant::now() + SOON;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline && daemon.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(20));
        }
        kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
        let ended = daemon.wait().unwrap();
        assert!(ended.success(), "{role}: {ended}");
    }
}
