//! `cargo xtask year`: a year of a deployment whose clocks go forward by days, and the table of its
//! months.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::{cargo, machine, root};

/// What stands above the table.
const HEAD: &str = "# A year in an hour

One deployment lives through twelve months, by `cargo xtask year`: a coordinator, a helper and 300
devices in six fleets, real processes over loopback, whose wall clocks libfaketime moves while the
monotonic ones stay real. What happens on which day is in `tests/src/year/schedule.rs`, what must
hold in `tests/src/year/check.rs`; four months of it are a test, `tests/tests/year.rs`.

*Rounds* gave a model or were abandoned. *Devices* took part in the month, of all that have
enrolled. *Paid* are contributions a device spent budget on, *forfeited* those of them that reached
nobody in time. Memory is resident at the end of the month. Files are those of the task's state, of
what the coordinator keeps over all tasks, of the helper, and of the device that has most.
";

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Lives through the four months that are part of the tests, at most three minutes, and writes
    /// nothing.
    #[arg(long)]
    quick: bool,
    /// Repeats the kills of an earlier run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.quick {
        return cargo("test --release --locked --workspace --test year -- --nocapture");
    }

    // The whole workspace, as for the tests: one package alone would have its dependencies built
    // again with other features.
    cargo("build --release --locked --workspace --bins --examples")?;
    let mut year = Command::new(root().join("target/release/examples/year"));
    year.arg(options.seed.to_string());
    // Its progress is seen, and its report kept.
    year.stderr(Stdio::inherit());
    let output = year.current_dir(root()).output();
    let output = output.context("the year does not begin")?;
    ensure!(output.status.success(), "the year did not hold");
    let table = String::from_utf8(output.stdout)?;
    println!("{table}");
    let path = root().join("tests/year.md");
    fs::write(&path, format!("{HEAD}\n{}\n\n{table}", machine()?))?;
    println!("written to tests/year.md");
    Ok(())
}
