//! The short form of `cargo xtask attack`: every attack on the running daemons, with what must hold
//! whatever the machine. Times are printed, and none is judged.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "tests say what they measured")]

use tacit_tests::attack::{Size, campaign, table};

/// HOSTILE 15-18, 20, 21, 23: every way of [`tacit_tests::attack::Attack`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_honest_devices_are_served_and_nothing_is_lost() {
    let report = campaign::run(Size::short(), |_, _| {}).await.unwrap();
    println!("{}", table::markdown(&report));
}
