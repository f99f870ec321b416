//! `cargo xtask embed`: what an app of another workspace gets, and what it does not have to take.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::{cargo, root, run};

const SDK: &str = "tacit-sdk";
const MANIFEST: &str = "tests/embed/Cargo.toml";

/// A package and features of it, and packages that who takes only these must not build.
const LIGHT: [(&str, &str, &[&str]); 5] = [
    (
        SDK,
        "",
        &[
            "rusqlite",
            "tonic",
            "tokio",
            "rustls",
            "hyper",
            "rayon",
            "crossbeam-utils",
            "hpke",
            "serde_json",
        ],
    ),
    (
        SDK,
        "store",
        &["tonic", "tokio", "rustls", "hyper", "rayon"],
    ),
    (
        SDK,
        "train",
        &[
            "aws-lc-rs",
            "aws-lc-sys",
            "axum",
            "native-tls",
            "private-gemm-x86",
            "rayon",
            "rcgen",
            "x509-parser",
        ],
    ),
    (SDK, "aws-lc", &["ring"]),
    // One provider of cryptography a shipped artefact.
    ("tacit-cli", "", &["ring"]),
];

/// Tests the app of tests/embed against the `tacit` of this workspace. Both share a target folder,
/// so that few dependencies are built twice.
pub(crate) fn check() -> anyhow::Result<()> {
    light()?;
    cargo("build --release --locked -p tacit-cli")?;
    run(
        sharing(),
        &format!("test --release --locked --manifest-path {MANIFEST}"),
    )?;
    refuses_abort()
}

/// The target folder of both workspaces.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from)
}

fn sharing() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.env("CARGO_TARGET_DIR", target());
    cargo
}

/// Each set of the SDK's features builds no package that belongs to another.
pub(crate) fn light() -> anyhow::Result<()> {
    for (package, features, banned) in LIGHT {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root()).args([
            "tree",
            "--locked",
            "--package",
            package,
            "--no-default-features",
            "--features",
            features,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        // Set by whoever shares builds between packages, it would show what the others need.
        cargo.env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION");
        let output = cargo.output().context("cargo does not start")?;
        ensure!(output.status.success(), "cargo tree: {output:?}");
        let tree = String::from_utf8(output.stdout)?;
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        let heavy: Vec<&str> = names.filter(|name| banned.contains(name)).collect();
        ensure!(
            heavy.is_empty(),
            "{package} with only '{features}' builds {heavy:?}"
        );
    }
    Ok(())
}

/// An app that aborts on a panic is told at compile time that it cannot train.
fn refuses_abort() -> anyhow::Result<()> {
    let arguments = format!(
        "rustc --release --locked --manifest-path {MANIFEST} -p tacit-sdk --lib -- -C panic=abort"
    );
    eprintln!("cargo {arguments}");
    let built = sharing()
        .args(arguments.split(' '))
        .current_dir(root())
        .output()
        .context("cargo does not start")?;
    let said = String::from_utf8_lossy(&built.stderr);
    if built.status.success() || !said.contains("cannot train under panic = \"abort\"") {
        bail!("tacit-sdk under panic=abort: {said}");
    }
    Ok(())
}
