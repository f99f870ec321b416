//! A reader that has gone away: every command ends as it would have with a reader, without a word.

use std::io::pipe;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Runs `tacit` in `folder`; whatever it writes goes into pipes that nobody reads.
fn unread(folder: &Path, arguments: &[&str]) -> ExitStatus {
    let closed = || {
        let (_, writer) = pipe().expect("a pipe");
        Stdio::from(writer)
    };
    Command::new(env!("CARGO_BIN_EXE_tacit"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(closed())
        .stderr(closed())
        .status()
        .expect("the binary starts")
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        "--help",
        "--version",
        "demo --help",
        "plan --users 6040 --items 3706 --epsilon 8",
        "plan --users 6040 --items 3706 --epsilon 8 --json",
        "simulate --users 40 --epsilon 20",
        "simulate --users 40 --epsilon 20 --json",
        "pki init pki",
        "pki policy pki --epsilon 8 --cohort 10",
        "pki tokens pki --count 1",
        "pki members pki --count 1",
        "audit canary --devices 128 --length 256 --releases 2",
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let status = unread(folder.path(), &arguments);
        assert_eq!(status.code(), Some(0), "tacit {command}: {status}");
    }
}

#[test]
fn a_closed_pipe_hides_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    for (command, code) in [
        ("plan --users 1 --items 2 --epsilon 8", 2),
        ("plan --users many --items 2 --epsilon 8", 2),
        ("plan", 2),
        ("audit verify absent", 1),
        ("demo --users 2", 2),
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let status = unread(folder.path(), &arguments);
        assert_eq!(status.code(), Some(code), "tacit {command}: {status}");
    }
}

/// Another fault than a closed pipe is told, and no panic.
#[test]
fn a_full_disk_is_a_failure_of_one_line() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let output = Command::new(env!("CARGO_BIN_EXE_tacit"))
        .args([
            "plan",
            "--users",
            "6040",
            "--items",
            "3706",
            "--epsilon",
            "8",
        ])
        .stdout(full)
        .output()
        .expect("the binary starts");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.starts_with("tacit: standard output: ") && error.lines().count() == 1,
        "{error}"
    );
}
