//! The long form of the campaign of attacks: `cargo xtask attack`. Progress goes to stderr, the
//! report to stdout.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer command"
)]

mod bar;

use tacit_tests::attack::{Size, campaign, table};

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let bar = bar::Bar::new()?;
    let report = campaign::run(Size::long(), |what, done| bar.tell(what, done)).await?;
    bar.finish();
    print!("{}", table::markdown(&report));
    Ok(())
}
