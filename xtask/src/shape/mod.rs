//! `cargo xtask shape`: how the code is laid out, and the limits it keeps.
//!
//! - *Code that ships*: everything outside folders called `tests`, `benches`, `examples` and
//!   `xtask`, without modules and functions under `#[cfg(test)]`.
//! - *Lines of a function*: from its `fn` to its closing brace, without blank lines and lines of
//!   comment alone. A function inside another is part of it; inside a macro's call none is looked
//!   for.
//! - *Tokens of a function*: what a macro would be handed. `::` counts two, a pair of brackets one
//!   and what it holds, a comment none.
//! - *Circle of files*: files of one crate whose module-level `use` of `crate::` or `super::` lead
//!   round to where they began. What a file takes from modules below it is no part of one.
//!
//! Calibrated on the tree before it had any air: 10.7 tokens a line, formatted as now 7.6.

mod circles;
mod report;
mod source;
mod tree;

use std::path::{Path, PathBuf};

use anyhow::ensure;
use report::Report;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail when a limit is not kept.
    #[arg(long)]
    check: bool,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// The root of another tree.
    #[arg(long, value_name = "FOLDER")]
    tree: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let root = options.tree.as_deref().unwrap_or(crate::root());
    let files = tree::read(root)?;
    let report = Report::new(&files);
    if options.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    if options.check {
        keep_limits(&report)?;
    }
    Ok(())
}

/// Fails when a limit is not kept.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    keep_limits(&Report::new(&tree::read(root)?))
}

fn keep_limits(report: &Report) -> anyhow::Result<()> {
    let faults = report.faults();
    for fault in &faults {
        eprintln!("{fault}");
    }
    ensure!(faults.is_empty(), "{} limits are not kept", faults.len());
    Ok(())
}
