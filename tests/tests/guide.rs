//! Every block of `client/GUIDE.md`, as a reader would run them: the commands in bash, one after
//! the other in one folder, and the Rust blocks as the program they make.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tacit_tests::deployment::binary;
use tacit_tests::examples::example;

/// Whoever builds inside a test waits for whoever builds it: examples are built already. What was
/// started ends with the commands, also where one of them fails.
const CARGO: &str = r#"
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
cargo() {
    if [ "$1" != run ]; then
        command cargo "$@"
        return
    fi
    [ "$2 $4 $5 $6 $7 $9" = "--release tacit/Cargo.toml -p tacit-sdk --example --" ]
    local name="$8"
    shift 9
    "$EXAMPLES/$name" "$@"
}
"#;

/// All commands together are done within this time.
const SECONDS_MAX: &str = "180";

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_path_buf()
}

fn guide() -> String {
    fs::read_to_string(root().join("client/GUIDE.md")).unwrap()
}

/// Blocks of one language, in order; no block of the guide is of a third.
fn blocks(language: &str) -> Vec<String> {
    let guide = guide();
    let mut found = Vec::new();
    let mut parts = guide.split("```");
    while let (Some(_prose), Some(block)) = (parts.next(), parts.next()) {
        let (named, text) = block.split_once('\n').unwrap();
        assert!(["rust", "sh"].contains(&named), "a block of '{named}'");
        if named == language {
            found.push(text.to_owned());
        }
    }
    found
}

#[test]
fn the_guides_program_is_the_example() {
    let program = blocks("rust").join("\n");
    let path = root().join("client/sdk/examples/guide.rs");
    let example = fs::read_to_string(path).unwrap();
    let (header, code) = example.split_at(example.len() - program.len());
    assert!(code == program, "the guide's blocks are not its example");
    let is_header = |line: &str| {
        line.is_empty() || line.starts_with("//!") || line.starts_with("#![") || {
            let inside = line.starts_with("    ") || line == ")]";
            inside && !line.contains("fn ")
        }
    };
    assert!(header.lines().all(is_header), "{header}");
}

#[test]
fn the_guides_commands_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root(), folder.path().join("tacit")).unwrap();
    let commands = blocks("sh");
    assert!(commands.len() >= 5, "{commands:?}");
    let script = format!("set -euo pipefail\n{CARGO}\n{}", commands.concat());

    let binary = binary();
    let path = std::env::var("PATH").unwrap();
    let beside = binary.parent().unwrap().display();
    // A command that waits for what does not come ends with all that it started.
    let output = Command::new("timeout")
        .args([SECONDS_MAX, "bash", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{beside}:{path}"))
        .env("EXAMPLES", example("guide").parent().unwrap())
        .env("CARGO_NET_OFFLINE", "true")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}\n{said}");

    let manifest = fs::read_to_string(folder.path().join("films/Cargo.toml")).unwrap();
    assert!(manifest.contains("tacit-sdk"), "{manifest}");
    for expected in [
        "1 recorded, 0 waiting",
        "because of ",
        "new: true",
        "the task is over, its last model stays",
        "This device has taken part in no round",
        "1 interactions forgotten",
        "because you liked ",
        "1 of what you did is gone for good",
    ] {
        assert!(said.contains(expected), "no '{expected}' in:\n{said}");
    }
    let mine = fs::read_to_string(folder.path().join("device/my data.json")).unwrap();
    assert!(mine.contains("\"kind\":\"like\""), "{mine}");
}
