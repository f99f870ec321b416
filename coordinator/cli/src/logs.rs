//! The log of a daemon, on standard error, an event a line. It may hold texts of others (reasons,
//! names of files), so every line is escaped as it leaves; there are no colours to tell apart.

use std::io::{self, Write};

use tacit_types::shown::{Shown, shown_json};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Changes what is logged from now on.
pub(crate) type Choose = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// What a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line for people.
    Text,
    /// A JSON object for machines.
    Json,
}

/// Starts to log what `RUST_LOG` chooses, or else what a configuration does, or else `info`. A
/// second call changes nothing.
pub(crate) fn start(format: Format, chosen: Option<&str>) -> Choose {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(chosen))
        .with_writer(move || Escaped(format))
        .with_ansi(false)
        .log_internal_errors(false)
        .with_target(false);
    match format {
        Format::Text => {
            let log = log.with_filter_reloading();
            let choose = log.reload_handle();
            let _ = log.try_init();
            Box::new(move |chosen| drop(choose.reload(filter(chosen))))
        }
        Format::Json => {
            let log = log.json().flatten_event(true).with_filter_reloading();
            let choose = log.reload_handle();
            let _ = log.try_init();
            Box::new(move |chosen| drop(choose.reload(filter(chosen))))
        }
    }
}

fn filter(chosen: Option<&str>) -> EnvFilter {
    let configured = || EnvFilter::new(chosen.unwrap_or("info"));
    EnvFilter::try_from_default_env().unwrap_or_else(|_| configured())
}

/// Checks what a configuration chooses.
pub(crate) fn check(chosen: Option<&str>) -> Result<(), Failure> {
    let parsed = chosen.map(EnvFilter::try_new).transpose();
    let bad = |error| Failure::input(format!("log: {error}; give a level, as in \"info\""));
    parsed.map(drop).map_err(bad)
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
