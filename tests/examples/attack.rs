//! The long form of the campaign of attacks: `cargo xtask attack`. Progress goes to stderr, the
//! report to stdout.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer command"
)]

use indicatif::{ProgressBar, ProgressStyle};
use tacit_tests::attack::{Size, campaign, table};

/// Parts of the bar.
const PARTS: u64 = 1000;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let bar = ProgressBar::new(PARTS);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} % {elapsed_precise} {msg}")?;
    bar.set_style(style);
    let tell = |what: &str, done: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 1"
        )]
        bar.set_position((done * PARTS as f64) as u64);
        bar.set_message(what.to_owned());
        if bar.is_hidden() {
            eprintln!("{:>3.0} % {what}", done * 100.0);
        }
    };
    let report = campaign::run(Size::long(), tell).await?;
    bar.finish_and_clear();
    print!("{}", table::markdown(&report));
    Ok(())
}
