//! `tacit`: every role of a deployment in one binary. This crate only composes; each role lives in
//! a library.

#![forbid(unsafe_code)]

mod audit;
mod bundle;
mod canary;
mod daemon;
mod data;
mod demo;
mod device;
mod failure;
mod family;
mod logs;
mod pki;
mod plan;
mod say;
mod signals;
mod simulate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use rustix::fs::Mode;

/// Privacy-preserving federated recommender.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 done, also when the reader of the output has gone away; 1 failed \
                  while running; 2 bad input or configuration (nothing written); 128 and the \
                  signal's number when a signal ended it."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole federation on this machine: real devices, coordinator and helper over mutual
    /// TLS.
    #[command(after_help = "Example: tacit demo --epsilon 3 --data ml-1m/ --json")]
    Demo(demo::Options),
    /// Run the coordinator daemon.
    #[command(after_help = "Example: tacit coordinator --config coordinator.toml")]
    Coordinator(daemon::CoordinatorOptions),
    /// Run the helper daemon.
    #[command(after_help = "Example: tacit helper --config helper.toml")]
    Helper(daemon::Options),
    /// Run one device, or several in one process, each with its own identity and store.
    #[command(after_help = "Example: tacit device --config device.toml --devices 100")]
    Device(device::Options),
    /// Simulate a federation in this process: what a task would give, over any range of budgets and
    /// sizes.
    #[command(
        after_help = "Example: tacit simulate --data ml-1m/ --epsilon 1,3,10 --seeds 5 --html \
                      curves.html"
    )]
    Simulate(Box<simulate::Options>),
    /// Check, report on and explain an exported release ledger; audit the release pipeline.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Say what a deployment of your size would cost each device and give, before anything exists.
    #[command(after_help = "Example: tacit plan --users 6040 --items 3706 --epsilon 8")]
    Plan(plan::Options),
    /// Make the file an app ships, so that it has a list before it reaches a coordinator.
    #[command(
        after_help = "Example: tacit bundle state/ledger --catalogue catalogue.txt --out app.bundle"
    )]
    Bundle(bundle::Options),
    /// Make keys, certificates, policies and enrolment tokens.
    #[command(subcommand)]
    Pki(pki::Command),
}

impl Command {
    /// Whether what it makes is for its owner's eyes only, besides what is made private by name.
    /// Reports, plans and curves are made to be shown: there the umask decides.
    fn keeps_state(&self) -> bool {
        matches!(
            self,
            Self::Demo(_) | Self::Coordinator(_) | Self::Helper(_) | Self::Device(_)
        )
    }
}

/// `DIR`, as many subcommands take it.
#[derive(clap::Args)]
struct Folder {
    /// The folder.
    dir: PathBuf,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // One line, like every bad value that is found later.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ValueValidation | ErrorKind::InvalidValue
            ) =>
        {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            let problem = line.strip_prefix("error: ").unwrap_or(line);
            say::note(format_args!("tacit: {problem}"));
            return ExitCode::from(2);
        }
        // What was asked for may have its colours; what was wrong holds words of the caller.
        Err(error) if error.use_stderr() => {
            say::note(error.render().to_string().trim_end());
            return ExitCode::from(2);
        }
        Err(asked) => asked.exit(),
    };
    if cli.command.keeps_state() {
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
    }
    let done = match cli.command {
        Command::Demo(options) => demo::run(options),
        Command::Coordinator(options) => daemon::coordinator(&options),
        Command::Helper(options) => daemon::helper(&options),
        Command::Device(options) => device::run(&options),
        Command::Simulate(options) => simulate::run(&options),
        Command::Audit(command) => audit::run(&command),
        Command::Plan(options) => plan::run(&options),
        Command::Bundle(options) => bundle::run(&options),
        Command::Pki(command) => pki::run(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say::note(format_args!("tacit: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}
