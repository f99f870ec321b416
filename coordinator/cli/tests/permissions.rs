//! Whatever the umask, state and secrets are for their owner's eyes only.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs `tacit` in `folder` under umask 000.
fn open_to_all(folder: &Path, arguments: &str) {
    let program = env!("CARGO_BIN_EXE_tacit");
    let output = Command::new("sh")
        .args(["-c", &format!("umask 000; exec '{program}' {arguments}")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {error}");
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path)
        .unwrap()
        .permissions()
        .mode()
        & 0o777
}

/// A folder and everything in it.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(tree(&path)),
            false => all.push(path),
        }
    }
    all
}

/// HOSTILE 90: daemons, devices, exports and keys of a whole federation.
#[test]
fn a_federation_made_under_umask_0_is_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path(), "demo --users 20 --keep kept");
    let made = tree(&folder.path().join("kept"));
    for what in [
        "coordinator.sqlite",
        "accounts.sqlite",
        "enrolment.sqlite",
        "helper.sqlite",
        "store.sqlite",
        "ledger.jsonl",
        "coordinator.key",
        "device.key",
    ] {
        assert!(made.iter().any(|path| path.ends_with(what)), "no {what}");
    }
    let open: Vec<_> = made
        .iter()
        .filter(|path| mode(path) & 0o077 != 0)
        .collect();
    assert!(open.is_empty(), "{open:?}");
}

/// Lists that daemons read and nobody keeps secret.
fn shown(path: &Path) -> bool {
    path.ends_with("roots.txt") || path.ends_with("revoked.txt")
}

/// HOSTILE 90: public halves may be read by everybody who may enter the folder, its owner.
#[test]
fn keys_made_under_umask_0_are_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["init pki", "tokens pki --count 1", "members pki --count 1"] {
        open_to_all(folder.path(), &format!("pki {line}"));
    }
    let made = tree(&folder.path().join("pki"));
    assert!(made.len() > 15, "{made:?}");
    for path in made {
        let name = path.extension().unwrap_or_default();
        let public = name == "crt" || name == "pub" || name == "sha256" || shown(&path);
        let allowed = if public { 0o644 } else { 0o700 };
        assert_eq!(mode(&path) & !allowed, 0, "{}", path.display());
    }
}
