//! Developer commands, the same for people and CI: `cargo xtask check`, `test`, `bench`, `quality`,
//! `fuzz`, `mutants`, `attack`, `year`, `embed`, `size`.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a developer command"
)]

mod attack;
mod compare;
mod embed;
mod fuzz;
mod links;
mod mutants;
mod shape;
mod size;
mod year;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Parser;

/// Version of cargo-deny that `check` installs and runs.
const CARGO_DENY: &str = "0.20.2";
/// Version of cargo-fuzz that `fuzz` installs and runs.
const CARGO_FUZZ: &str = "0.13.2";
/// Version of cargo-mutants that `mutants` installs and runs.
const CARGO_MUTANTS: &str = "27.1.0";

#[derive(Parser)]
#[command(about = "Developer commands of Tacit")]
enum Task {
    /// Formatting, the code's shape, what Markdown files link to, clippy and rustdoc with warnings
    /// denied, the fuzz workspace's lock, what the SDK's features build, and cargo-deny (bans,
    /// licences, sources).
    Check,
    /// Every test, optimised as shipped.
    Test,
    /// Benchmarks; each prints a reference beside the figure.
    ///
    /// One alone: `cargo bench -p tacit-tests --bench NAME`, where NAME is accounts, app (what the
    /// SDK's calls cost), device, enrolment, helper, ingest, serving or simulate.
    Bench,
    /// libFuzzer on one target or all, from the committed corpus; needs a C++ compiler, not a
    /// nightly toolchain.
    ///
    /// What it finds stays under tests/fuzz: new inputs in found/TARGET, inputs that break a
    /// promise in artifacts/TARGET. Copy those worth keeping into corpus/TARGET, where the test
    /// `corpus` of tacit-tests runs them without libFuzzer.
    Fuzz(fuzz::Options),
    /// Mutation tests of the privacy arithmetic; writes tests/mutants.md.
    ///
    /// Each mutant is one small change of the code that some test of its crate should notice.
    Mutants(mutants::Options),
    /// Attacks on running daemons while honest devices work; writes tests/attack.md, about eight
    /// minutes.
    Attack(attack::Options),
    /// A year of a deployment whose clocks go forward by days; writes tests/year.md, needs Debian's
    /// package `faketime`.
    Year(year::Options),
    /// Recommendation quality on public data in TACIT_DATA, written to tests/quality/RESULTS.md;
    /// minutes.
    Quality,
    /// Every file, heading and path that Markdown files name exists; part of `check`.
    Links,
    /// How the code is laid out: tokens a line, lengths of functions and files, circles of files;
    /// its limits are part of `check`.
    Shape(shape::Options),
    /// The app of tests/embed, a workspace of its own that depends on the SDK alone: what it relies
    /// on holds by the SDK, and it does not compile where that cannot hold.
    Embed,
    /// What the SDK adds to an app in bytes: three libraries built as they are shipped, each held
    /// to its gate, with a table of bytes by crate; needs Debian's package `binutils`.
    Size(size::Options),
    /// Two builds of `tacit` must give the same sums, models, ledgers and reports, byte for byte.
    Compare(compare::Options),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Check => {
            cargo("fmt --all --check")?;
            shape::check(root())?;
            links::check(root())?;
            cargo("clippy --release --workspace --all-targets --locked -- -D warnings")?;
            document()?;
            // The fuzz workspace is not built here; its lock must still fit what it is built from.
            cargo("fetch --locked --manifest-path tests/fuzz/Cargo.toml")?;
            embed::light()?;
            ensure("deny", CARGO_DENY)?;
            cargo("deny --locked check bans licenses sources")
        }
        Task::Test => cargo("test --release --workspace --locked"),
        Task::Bench => cargo("bench --workspace --locked"),
        Task::Fuzz(options) => {
            ensure("fuzz", CARGO_FUZZ)?;
            fuzz::run(&options)
        }
        Task::Mutants(options) => {
            ensure("mutants", CARGO_MUTANTS)?;
            mutants::run(&options)
        }
        Task::Attack(options) => attack::run(&options),
        Task::Year(options) => year::run(&options),
        Task::Quality => cargo("run --release --locked -p tacit-quality"),
        Task::Links => links::check(root()),
        Task::Shape(options) => shape::run(&options),
        Task::Embed => embed::check(),
        Task::Size(options) => size::run(&options),
        Task::Compare(options) => compare::run(&options),
    }
}

/// Installs a cargo subcommand unless that very version is there.
fn ensure(name: &str, version: &str) -> anyhow::Result<()> {
    let found = Command::new("cargo")
        .args([name, "--version"])
        .output();
    let there = found.is_ok_and(|found| String::from_utf8_lossy(&found.stdout).contains(version));
    if there {
        Ok(())
    } else {
        cargo(&format!(
            "install cargo-{name} --version {version} --locked"
        ))
    }
}

/// Cores and memory of this machine.
fn machine() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kilobytes = memory
        .split_whitespace()
        .nth(1)
        .context("/proc/meminfo")?;
    let gigabytes = kilobytes.parse::<u64>()? >> 20;
    Ok(format!("Machine: {cores} cores, {gigabytes} GB of memory."))
}

/// The repository's root, where every command runs.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every file of the tree with this extension, from its root, without what is built.
fn files(root: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            if name == "target" || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|found| found == extension)
            {
                files.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Every item's documentation, private ones included; a link that leads nowhere fails.
fn document() -> anyhow::Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    run(
        cargo,
        "doc --release --workspace --no-deps --document-private-items --locked",
    )
}

fn cargo(arguments: &str) -> anyhow::Result<()> {
    run(Command::new("cargo"), arguments)
}

fn run(mut cargo: Command, arguments: &str) -> anyhow::Result<()> {
    eprintln!("cargo {arguments}");
    let status = cargo
        .args(arguments.split(' '))
        .current_dir(root())
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("cargo {arguments}: {status}");
    }
    Ok(())
}
