//! An app in a terminal, written against `tacit_sdk` alone: a list in the first second, what moves
//! it, why each film is in it, and what the network may have.
//!
//! `cargo run --release -p tacit-sdk --example films -- SHIPPED STATE`; `client/GUIDE.md` says how
//! the folder SHIPPED is made. Commands come from the terminal or through a pipe.

#![forbid(unsafe_code)]

mod app;
mod command;
mod screen;
mod shipped;
mod words;

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use tacit_sdk::types::Timestamp;

use app::App;
use command::Command;
use screen::Screen;

/// What stops a command or the app: a sentence for the person.
type Problem = Box<dyn Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ran = match &arguments[..] {
        [shipped, state] => run(Path::new(shipped), Path::new(state)),
        _ => Err("usage: films SHIPPED STATE".into()),
    };
    let Err(problem) = ran else {
        return ExitCode::SUCCESS;
    };
    // Whoever read the output has gone; there is nobody to tell.
    if is_closed(&*problem) {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(io::stderr(), "films: {problem}");
    ExitCode::FAILURE
}

fn run(shipped: &Path, state: &Path) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    let is_person = io::stdin().is_terminal();
    let screen = Screen::new(out.is_terminal());
    let mut app = App::open(shipped, state, screen)?;
    write!(out, "{}", app.list()?)?;

    let mut lines = io::stdin().lock().lines();
    loop {
        if is_person {
            write!(out, "\n> ")?;
            out.flush()?;
        }
        let Some(line) = lines.next() else {
            return Ok(());
        };
        let said = match Command::parse(&line?) {
            Ok(Command::Quit) => return Ok(()),
            Ok(command) => app.obey(command),
            Err(problem) => Err(problem),
        };
        match said {
            Ok(text) => write!(out, "{text}")?,
            Err(problem) => writeln!(out, "  {problem}")?,
        }
        out.flush()?;
    }
}

fn is_closed(problem: &(dyn Error + 'static)) -> bool {
    let error = problem.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// The wall clock, read here and nowhere else.
#[allow(
    clippy::disallowed_methods,
    reason = "an app hands the time to the SDK"
)]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let milliseconds = since.unwrap_or_default().as_millis();
    Timestamp(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}
