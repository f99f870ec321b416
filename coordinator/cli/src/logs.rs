//! The log of a daemon, on standard error, an event a line. It may hold texts of others (reasons,
//! names of files), so every line is escaped as it leaves; there are no colours to tell apart.

use std::io::{self, Write};

use tacit_types::shown::{Shown, shown_json};
use tracing_subscriber::EnvFilter;

/// What a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line for people.
    Text,
    /// A JSON object for machines.
    Json,
}

/// Starts to log; `RUST_LOG` chooses what, `info` by default. A second call changes nothing.
pub(crate) fn start(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Escaped(format))
        .with_ansi(false)
        .log_internal_errors(false)
        .with_target(false);
    let _ = match format {
        Format::Text => log.try_init(),
        Format::Json => log.json().flatten_event(true).try_init(),
    };
}

/// Standard error, to which a whole event is written at once. What cannot be written is lost: a
/// reader of the log that has gone away does not stop a daemon.
struct Escaped(Format);

impl Write for Escaped {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let escaped = match self.0 {
            Format::Text => format!("{}\n", Shown(line)),
            Format::Json => shown_json(line) + "\n",
        };
        let _ = io::stderr().lock().write_all(escaped.as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
