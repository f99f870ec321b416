//! `cargo xtask attack`: the campaign of attacks on running daemons, and the table of what honest
//! devices felt of it.

use std::fs;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::{cargo, machine, root};

/// What stands above the tables.
const HEAD: &str = "# Under attack

What honest devices feel while the daemons are attacked, by `cargo xtask attack`: coordinator,
helper, honest devices and attackers on one machine over loopback. The attackers run at low
priority, as they would have machines of their own; the kernel's share of their packets is paid by
the same cores. `before -> during` are times of the same run, in milliseconds: *look* is to
connect, check in and fetch the model, *upload* to connect and send 200 KB until it is durable.
What must hold on any machine is asserted by `tests/tests/attack.rs` in every run of the tests;
the attacks are described in `tests/src/attack/mod.rs`.
";

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Plays the short form that is part of the tests, about a minute, and writes nothing.
    #[arg(long)]
    short: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.short {
        return cargo("test --release --locked --workspace --test attack -- --nocapture");
    }

    // The whole workspace, as for the tests: one package alone would have its dependencies built
    // again with other features.
    cargo("build --release --locked --workspace --bins --examples")?;
    let mut attack = Command::new(root().join("target/release/examples/attack"));
    // Its progress is seen, and its report kept.
    attack.stderr(std::process::Stdio::inherit());
    let output = attack.current_dir(root()).output();
    let output = output.context("the campaign does not start")?;
    ensure!(output.status.success(), "the campaign did not hold");
    let tables = String::from_utf8(output.stdout)?;
    println!("{tables}");
    let path = root().join("tests/attack.md");
    fs::write(&path, format!("{HEAD}\n{}\n\n{tables}", machine()?))?;
    println!("written to tests/attack.md");
    Ok(())
}
