//! A disk that fails under a real process: errors injected into its system calls by `strace`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How the disk fails. Each thread of the process counts its own steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no space for the n-th write and all later ones.
    FullFrom(u32),
    /// The n-th synchronisation fails, and no other: what the disk holds is then unknown.
    Sync(u32),
}

/// The command that runs what follows it with a failing disk; with `paths`, only those files fail.
///
/// The process keeps its own place and number: killing it is not killing `strace`, which ends with
/// it.
pub fn wrapper(fault: Fault, paths: &[&Path]) -> Vec<String> {
    // Writes without a place are also how threads wake each other and how logs are written.
    let writes = if paths.is_empty() {
        "pwrite64"
    } else {
        "pwrite64,write"
    };
    let (calls, fails) = match fault {
        Fault::FullFrom(n) => (writes, format!("error=ENOSPC:when={n}+")),
        Fault::Sync(n) => ("fsync,fdatasync", format!("error=EIO:when={n}")),
    };
    let mut words: Vec<String> = ["strace", "-D", "-f", "-qq", "-o", "/dev/null"]
        .map(str::to_owned)
        .into();
    words.extend([
        "-e".into(),
        format!("trace={calls}"),
        "-e".into(),
        format!("inject={calls}:{fails}"),
    ]);
    words.extend(
        paths
            .iter()
            .flat_map(|path| ["-P".to_owned(), path.display().to_string()]),
    );
    words
}

/// The command that runs what follows it and kills it, with SIGKILL, at the first of these system
/// calls; with a path, at the first on this file or folder.
pub fn killer(calls: &str, path: Option<&Path>) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-D", "-f", "-qq", "-o", "/dev/null"]
        .map(str::to_owned)
        .into();
    words.extend([
        "-e".into(),
        format!("trace={calls}"),
        "-e".into(),
        format!("inject={calls}:signal=KILL:when=1"),
    ]);
    if let Some(path) = path {
        words.extend(["-P".to_owned(), path.display().to_string()]);
    }
    words
}

/// Whether faults can be injected here; says SKIPPED, past the test's capture, when they cannot.
pub fn available() -> bool {
    let words = wrapper(Fault::Sync(1), &[]);
    let tried = Command::new(&words[0])
        .args(&words[1..])
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let available = tried.is_ok_and(|status| status.success());
    if !available {
        // `eprintln!` would be captured with the rest of a test that passes.
        let _ = std::io::stderr()
            .write_all(b"SKIPPED: disk faults need strace and the right to trace\n");
    }
    available
}
