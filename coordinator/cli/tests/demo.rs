//! The demo from outside: what it says, and that no way out of it leaves anything behind.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::io::pipe;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A demo of few devices whose temporary folder is made in `folder`.
fn demo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacit"));
    command
        .args(["demo", "--users", "20"])
        .env("TMPDIR", folder)
        .stdin(Stdio::null());
    command
}

/// Waits at most a minute.
fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..600 {
        if happened() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} did not happen within a minute");
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// Whether any process was started on a file in `folder`.
fn any_process_in(folder: &Path) -> bool {
    let folder = folder.to_str().unwrap();
    let started_there = |process: fs::DirEntry| {
        fs::read(process.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(folder))
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(started_there)
}

/// Waits until the demo in `folder` runs devices.
fn wait_for_devices(folder: &Path) {
    wait_for("the start of the devices", || {
        fs::read_dir(folder)
            .unwrap()
            .flatten()
            .any(|demo| demo.path().join("devices").exists())
    });
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_demo_leaves_the_ledger_and_the_report_it_names() {
    let folder = TempDir::new().unwrap();
    let output = demo(folder.path()).output().unwrap();
    let (said, progress) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{progress}");
    assert!(progress.contains("round 1: Item counts"), "{progress}");
    assert!(!(said + &progress).contains('\x1b'), "a terminal code");
    assert!(!any_process_in(folder.path()));

    let left = fs::read_dir(folder.path()).unwrap().next().unwrap();
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        names
    };
    let left = left.unwrap().path();
    assert_eq!(names(&left), ["coordinator", "report"]);
    assert_eq!(names(&left.join("coordinator")), ["ledger"]);
}

#[test]
fn a_demo_whose_reader_has_gone_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let (_, writer) = pipe().unwrap();
    let mut command = demo(folder.path());
    let status = command
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(is_empty(folder.path()) && !any_process_in(folder.path()));
}

/// A demo as [`demo`] makes it, started by `env` so that a signal has the disposition given,
/// whatever this test has inherited; waits until devices run.
fn demo_with(disposition: &str, folder: &Path) -> Child {
    let demo = demo(folder);
    let child = Command::new("env")
        .arg(disposition)
        .arg(demo.get_program())
        .args(demo.get_args())
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_devices(folder);
    child
}

#[test]
fn a_signal_ends_a_demo_and_nothing_is_left() {
    for (sent, name, code) in [
        (Signal::INT, "INT", 130),
        (Signal::TERM, "TERM", 143),
        (Signal::HUP, "HUP", 129),
    ] {
        let folder = TempDir::new().unwrap();
        let mut child = demo_with(&format!("--default-signal={name}"), folder.path());
        signal(&child, sent);
        assert_eq!(child.wait().unwrap().code(), Some(code), "SIG{name}");
        assert!(is_empty(folder.path()) && !any_process_in(folder.path()));
    }
}

/// As under `nohup`.
#[test]
fn a_demo_that_is_to_outlive_its_terminal_does() {
    let folder = TempDir::new().unwrap();
    let mut child = demo_with("--ignore-signal=HUP", folder.path());
    signal(&child, Signal::HUP);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(child.try_wait().unwrap(), None, "SIGHUP ended it");
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(is_empty(folder.path()));
}

/// A failure ends as quietly as a success.
#[test]
fn a_demo_that_fails_leaves_nothing_and_tells_the_last_words() {
    let folder = TempDir::new().unwrap();
    let child = demo(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_devices(folder.path());
    let made = fs::read_dir(folder.path()).unwrap().next().unwrap();
    let made = made.unwrap().path();
    // Any process that is started again now finds no configuration.
    for role in ["coordinator", "helper", "device"] {
        fs::remove_file(made.join(format!("{role}.toml"))).unwrap();
    }
    let devices = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains(folder.path().to_str().unwrap()) && line.contains("--progress")
        });
    let pid: i32 = devices
        .unwrap()
        .file_name()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();

    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let last = error.lines().next_back().unwrap();
    assert!(
        last.contains("the devices stopped: exit status: 2; the last line of its log: tacit: ")
            && last.contains("device.toml: cannot be read"),
        "{error}"
    );
    assert!(is_empty(folder.path()) && !any_process_in(folder.path()));
}
