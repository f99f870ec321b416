//! The short form of `cargo xtask year`: four months of a deployment whose clocks go forward by
//! days, with what must hold at the end. Times are printed, and none is judged.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "tests say what they measured")]

use tacit_tests::year::{self, Size, schedule, table};

/// HOSTILE 158. `TACIT_SEED` asks for other kills.
#[test]
fn four_months_pass_and_every_ledger_and_every_device_agree() {
    let seed = std::env::var("TACIT_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let tell = |what: &str, _| println!("{what}");
    match year::run(Size::quick(seed), &schedule::quick(), tell).unwrap() {
        Some(months) => println!("{}", table::markdown(&months)),
        None => println!("SKIPPED: no libfaketime; apt-get install faketime"),
    }
}
