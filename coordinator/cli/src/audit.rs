//! Checks, reports on and explains an exported release ledger; audits the release pipeline itself.

use std::path::{Path, PathBuf};

use tacit_audit::canary::Measured;
use tacit_audit::{Summary, Verified};
use tacit_opendp::{OpinionError, SecondOpinion};

use crate::Folder;
use crate::canary;
use crate::failure::Failure;
use crate::say;

/// Subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Check chain, tree, signatures and arithmetic; exit 0 when all hold, 1 naming the first wrong
    /// line.
    ///
    /// Prints the verified numbers as one JSON object. Its `second_opinion` holds opendp's epsilon
    /// at the same deltas and the difference; a stated epsilon below opendp's is refused.
    #[command(after_help = "Example: tacit audit verify state/ledger")]
    Verify(Folder),
    /// Verify, then write `report.html`, `report.json` and `registry.json`, a draft for the public
    /// registry of deployments.
    #[command(after_help = "Example: tacit audit report state/ledger --out report")]
    Report {
        /// Export folder.
        dir: PathBuf,
        /// Folder to write into.
        #[arg(long)]
        out: PathBuf,
        /// What `tacit audit canary --json` printed: its lower bound is shown beside the certified
        /// epsilon.
        #[arg(long)]
        canary: Option<PathBuf>,
    },
    /// Say in plain words what one line means for one person.
    #[command(after_help = "Example: tacit audit explain state/ledger 2")]
    Explain {
        /// Export folder.
        dir: PathBuf,
        /// Line number, from 0.
        seq: u64,
    },
    /// Run the real release pipeline on canaries; exit 0 when all checks pass, 1 when one fails.
    ///
    /// Prints what an adversary could measure, a lower bound and never a guarantee, beside the
    /// certified epsilon. The noise is the operating system's, so figures differ from run to run.
    #[command(after_help = "Example: tacit audit canary --epsilon 3 --releases 4 --json")]
    Canary(canary::Options),
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Verify(folder) => {
            let verified = tacit_audit::verify(&folder.dir)?;
            for warning in &verified.warnings {
                say::note(format_args!("warning: {warning}"));
            }
            say::json(&Checked::by_opendp(&verified)?)?;
        }
        Command::Report { dir, out, canary } => {
            let measured = canary.as_deref().map(read_canary).transpose()?;
            let (html, _) = write_report(dir, out, measured.as_ref())?;
            say::result(format_args!("{}\n", html.display()))?;
        }
        Command::Explain { dir, seq } => {
            let explained = tacit_audit::explain(dir, *seq)?;
            say::result(format_args!("{explained}\n"))?;
        }
        Command::Canary(options) => canary::audit(options)?,
    }
    Ok(())
}

/// What `tacit audit verify` prints: the numbers of an export, and what opendp says of them.
#[derive(serde::Serialize)]
struct Checked {
    #[serde(flatten)]
    summary: Summary,
    second_opinion: SecondOpinion,
}

impl Checked {
    fn by_opendp(verified: &Verified) -> Result<Self, OpinionError> {
        let summary = Summary::of(verified);
        let second_opinion = SecondOpinion::on(&summary)?;
        Ok(Self {
            summary,
            second_opinion,
        })
    }
}

fn read_canary(path: &Path) -> Result<Measured, Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::input(format!("--canary {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
    Measured::from_json(&text).map_err(|error| {
        bad(&format!(
            "not what tacit audit canary --json prints: {error}"
        ))
    })
}

/// Verifies an export and writes its report; gives the paths of the two files.
pub(crate) fn write_report(
    dir: &Path,
    out: &Path,
    measured: Option<&Measured>,
) -> Result<(PathBuf, PathBuf), Failure> {
    let report = tacit_audit::report(&tacit_audit::verify(dir)?, measured);
    std::fs::create_dir_all(out)?;
    let (html, json) = (out.join("report.html"), out.join("report.json"));
    std::fs::write(&html, report.html)?;
    std::fs::write(&json, report.json)?;
    std::fs::write(out.join("registry.json"), report.registry)?;
    Ok((html, json))
}
