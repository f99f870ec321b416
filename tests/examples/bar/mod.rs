//! How far a long command is, on stderr.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Parts of the bar.
const PARTS: f64 = 1000.0;

/// A bar on a terminal, lines elsewhere.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// An empty one.
    ///
    /// # Errors
    /// When its template is none.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive number"
    )]
    pub(crate) fn new() -> Result<Self> {
        let bar = ProgressBar::new(PARTS as u64);
        let template = "{bar:30} {percent:>3} % {elapsed_precise} {msg}";
        bar.set_style(ProgressStyle::with_template(template)?);
        Ok(Self(bar))
    }

    /// Says what happens now; `done` is between 0 and 1.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1"
    )]
    pub(crate) fn tell(&self, what: &str, done: f64) {
        self.0.set_position((done * PARTS) as u64);
        self.0.set_message(what.to_owned());
        if self.0.is_hidden() {
            eprintln!("{:>3.0} % {what}", done * 100.0);
        }
    }

    /// Removes it.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
