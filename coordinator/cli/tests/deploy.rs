//! The files of `deploy/` and the commands of the README fit together, as a person would try them.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What stands in `deploy/` where an operator puts a public key.
const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a line of the README in `folder`, with `more` behind it.
fn run(folder: &Path, line: &str, more: &[&str]) -> Output {
    let command = line.split('#').next().unwrap();
    let arguments = command.split_whitespace().skip(1);
    Command::new(env!("CARGO_BIN_EXE_tacit"))
        .args(arguments)
        .args(more)
        .current_dir(folder)
        .output()
        .expect("the binary starts")
}

fn assert_done(line: &str, output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{line}: {error}");
}

/// The README's lines that begin with one of these commands.
fn readme_lines(commands: &[&str]) -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let wanted = |line: &&str| {
        commands
            .iter()
            .any(|command| line.starts_with(command))
    };
    readme
        .lines()
        .filter(wanted)
        .map(str::to_owned)
        .collect()
}

/// A copy of `deploy/`, with the keys that the README's commands make in place of the placeholders,
/// as the comment above or behind each says.
fn deployment() -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in [
        "coordinator.toml",
        "helper.toml",
        "device.toml",
        "catalogue.txt",
    ] {
        fs::copy(root().join("deploy").join(file), folder.path().join(file)).unwrap();
    }
    let making = readme_lines(&["tacit pki "]);
    assert!(making.len() >= 3, "{making:?}");
    for line in &making {
        assert_done(line, &run(folder.path(), line, &[]));
    }
    for (file, key) in [
        ("coordinator.toml", "pki/helper.pub"),
        ("helper.toml", "pki/coordinator.pub"),
        ("device.toml", "pki/publisher.pub"),
    ] {
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let (before, after) = text.split_once(PLACEHOLDER).unwrap();
        assert!(before.lines().rev().nth(1).unwrap().contains(key), "{file}");
        let key = fs::read_to_string(folder.path().join(key)).unwrap();
        fs::write(&path, [before, key.trim(), after].concat()).unwrap();
    }
    folder
}

#[test]
fn the_samples_are_sound_once_the_readmes_commands_have_run() {
    let folder = deployment();
    // Whoever runs the tests need not be the daemons' user, who may write below /var/lib.
    for role in ["coordinator", "helper"] {
        keep_here(folder.path(), role);
    }
    let mut checked = Vec::new();
    for line in readme_lines(&["tacit helper ", "tacit coordinator "]) {
        assert_done(&line, &run(folder.path(), &line, &["--check-config"]));
        checked.push(line);
    }
    assert_eq!(checked.len(), 2, "{checked:?}");
    let devices = "tacit device --config device.toml --devices 100";
    assert_done(devices, &run(folder.path(), devices, &["--check-config"]));
    assert!(
        !folder.path().join("devices").exists(),
        "a check wrote something"
    );
}

/// The check reads what it is about.
#[test]
fn a_sample_with_its_placeholder_is_not_sound() {
    let folder = deployment();
    let sample = root().join("deploy/device.toml");
    fs::copy(sample, folder.path().join("device.toml")).unwrap();
    let line = "tacit device --config device.toml";
    let output = run(folder.path(), line, &["--check-config"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("device.toml: publisher_key: "), "{error}");
}

/// Every file that a sample names is one that the README's commands made, or that lies beside it.
#[test]
fn a_sample_names_only_files_that_exist_by_then() {
    let folder = deployment();
    for file in ["coordinator.toml", "helper.toml", "device.toml"] {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        let named = text.lines().filter_map(|line| {
            let value = line.split_once(" = \"")?.1.split('"').next()?;
            (!line.starts_with('#') && (value.contains("pki/") || value.ends_with(".txt")))
                .then_some(value)
        });
        for path in named {
            assert!(folder.path().join(path).exists(), "{file}: {path}");
        }
    }
}

/// Makes a daemon's sample run where it lies, on any free port.
fn keep_here(folder: &Path, role: &str) {
    let path = folder.join(format!("{role}.toml"));
    let text = fs::read_to_string(&path).unwrap();
    let here = text
        .replace("0.0.0.0:7420", "127.0.0.1:0")
        .replace("0.0.0.0:7421", "127.0.0.1:0")
        .replace("helper.example.net:7421", "127.0.0.1:9")
        .replace("/var/lib/", "state/");
    fs::write(&path, here).unwrap();
}

/// OpenSSL 3 reads every key, so that an operator's tools do.
#[test]
fn keys_are_read_by_other_tools() {
    let folder = deployment();
    for name in ["root", "issuing", "coordinator", "helper"] {
        let mut openssl = Command::new("openssl");
        let key = folder.path().join(format!("pki/{name}.key"));
        let Ok(read) = openssl
            .args(["pkey", "-noout", "-in"])
            .arg(&key)
            .output()
        else {
            println!("SKIPPED: openssl is not installed");
            return;
        };
        let error = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success(), "{name}: {error}");
    }
}

/// HOSTILE 85: exit code 2 and one line, and nothing made.
#[test]
fn what_is_no_name_of_a_server_is_refused_in_one_line() {
    let folder = TempDir::new().unwrap();
    for name in ["host:7420", "https://host", "[::1]", "", " ", "ho st"] {
        let output = Command::new(env!("CARGO_BIN_EXE_tacit"))
            .args(["pki", "init", "pki", "--helper", name])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name:?}: {error}");
        assert!(
            error.starts_with(&format!("tacit: --helper '{name}': give a DNS name"))
                && error.lines().count() == 1,
            "{error}"
        );
        assert!(!folder.path().join("pki").exists());
    }
}

/// Standard output and error that are closed from the start end no daemon, nor does a log that is
/// asked for in JSON hold anything else.
#[test]
fn a_daemon_without_outputs_goes_on_and_one_with_a_json_log_writes_only_that() {
    let folder = deployment();
    for role in ["coordinator", "helper"] {
        keep_here(folder.path(), role);
        for outputs in ["2>&- >&-", "2>log"] {
            let program = env!("CARGO_BIN_EXE_tacit");
            let line = format!("exec '{program}' {role} --config {role}.toml --log json {outputs}");
            let mut daemon = Command::new("sh")
                .args(["-c", &line])
                .current_dir(folder.path())
                .env("RUST_LOG", "debug")
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_secs(1));
            assert_eq!(daemon.try_wait().unwrap(), None, "{line} stopped");
            let pid = Pid::from_raw(daemon.id().cast_signed()).unwrap();
            kill_process(pid, Signal::TERM).unwrap();
            assert_eq!(daemon.wait().unwrap().code(), Some(0), "{line}");
        }
        let log = fs::read_to_string(folder.path().join("log")).unwrap();
        let events = log.lines().map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect(line);
            event["event"].as_str().map(str::to_owned)
        });
        let events: Vec<_> = events.flatten().collect();
        assert!(events.iter().any(|event| event == "listening"), "{log}");
    }
}

#[test]
fn a_daemon_whose_log_nobody_reads_goes_on_until_it_is_told_to_stop() {
    let folder = deployment();
    keep_here(folder.path(), "helper");
    let (_, unread) = std::io::pipe().unwrap();
    let mut helper = Command::new(env!("CARGO_BIN_EXE_tacit"))
        .args(["helper", "--config", "helper.toml"])
        .current_dir(folder.path())
        .env("RUST_LOG", "trace")
        .stderr(unread)
        .spawn()
        .unwrap();
    // Time to log, and to panic if it would.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(helper.try_wait().unwrap(), None, "it stopped");
    let pid = Pid::from_raw(helper.id().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(helper.wait().unwrap().code(), Some(0));
}
