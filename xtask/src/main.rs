//! Developer commands, the same for people and CI: `cargo xtask check`, `cargo xtask test`, `cargo xtask bench`.

#![forbid(unsafe_code)]

use std::process::Command;

use anyhow::{Context, bail};
use clap::Parser;

/// Version of cargo-deny that `check` installs and runs.
const CARGO_DENY: &str = "0.20.2";

#[derive(Parser)]
#[command(about = "Developer commands of Tacit")]
enum Task {
    /// Formatting, clippy with warnings denied, documentation, and cargo-deny (bans, licences, sources).
    Check,
    /// Every test, optimised as shipped.
    Test,
    /// Benchmarks; each prints a reference beside the figure.
    Bench,
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Check => {
            cargo("fmt --all --check")?;
            cargo("clippy --release --workspace --all-targets --locked -- -D warnings")?;
            ensure_cargo_deny()?;
            cargo("deny --locked check bans licenses sources")
        }
        Task::Test => cargo("test --release --workspace --locked"),
        Task::Bench => cargo("bench --workspace --locked"),
    }
}

/// Installs the pinned cargo-deny unless that very version is there.
fn ensure_cargo_deny() -> anyhow::Result<()> {
    let found = Command::new("cargo").args(["deny", "--version"]).output();
    let there = found.is_ok_and(|found| String::from_utf8_lossy(&found.stdout).contains(CARGO_DENY));
    if there { Ok(()) } else { cargo(&format!("install cargo-deny --version {CARGO_DENY} --locked")) }
}

fn cargo(arguments: &str) -> anyhow::Result<()> {
    eprintln!("cargo {arguments}");
    let status = Command::new("cargo").args(arguments.split(' ')).status().context("cargo does not start")?;
    if !status.success() {
        bail!("cargo {arguments}: {status}");
    }
    Ok(())
}
