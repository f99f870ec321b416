//! `tacit`: every role of a deployment in one binary. This crate only composes; each role lives in a library.

#![forbid(unsafe_code)]

mod audit;
mod canary;
mod daemon;
mod demo;
mod device;
mod failure;
mod pki;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Privacy-preserving federated recommender.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed while running, 2 bad input or configuration (nothing written)."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole federation on this machine: real devices, coordinator and helper over mutual TLS.
    #[command(after_help = "Example: tacit demo --epsilon 3 --data ml-1m/ --json")]
    Demo(demo::Options),
    /// Run the coordinator daemon.
    #[command(after_help = "Example: tacit coordinator --config coordinator.toml")]
    Coordinator(daemon::Options),
    /// Run the helper daemon.
    #[command(after_help = "Example: tacit helper --config helper.toml")]
    Helper(daemon::Options),
    /// Run one device, or several in one process, each with its own identity and store.
    #[command(after_help = "Example: tacit device --config device.toml --devices 100")]
    Device(device::Options),
    /// Check, report on and explain an exported release ledger; audit the release pipeline.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Make keys, certificates, policies and enrolment tokens.
    #[command(subcommand)]
    Pki(pki::Command),
}

/// `DIR`, as many subcommands take it.
#[derive(clap::Args)]
struct Folder {
    /// The folder.
    dir: PathBuf,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(options) => demo::run(options),
        Command::Coordinator(options) => daemon::coordinator(&options),
        Command::Helper(options) => daemon::helper(&options),
        Command::Device(options) => device::run(&options),
        Command::Audit(command) => audit::run(&command),
        Command::Pki(command) => pki::run(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tacit: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
