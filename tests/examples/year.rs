//! The long form of a year: `cargo xtask year`. Progress goes to stderr, the table to stdout. The
//! first argument is the seed of the kills.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer command"
)]

mod bar;

use anyhow::Context;
use tacit_tests::year::{self, Size, schedule, table};

fn main() -> anyhow::Result<()> {
    let seed = std::env::args()
        .nth(1)
        .map_or(Ok(1), |seed| seed.parse())?;
    let bar = bar::Bar::new()?;
    let months = year::run(Size::long(seed), &schedule::long(), |what, done| {
        bar.tell(what, done)
    })?;
    bar.finish();
    let months = months.context("no libfaketime; run: apt-get install faketime")?;
    print!("{}", table::markdown(&months));
    println!("\nSeed {seed}.");
    Ok(())
}
