//! What commands say: results on standard output, notes on standard error. Nothing here panics, and
//! a reader that has gone away neither stops a command nor changes its exit code.
//!
//! Texts of others may be in anything that is said, so all of it is escaped here. Line feeds pass:
//! those of a text of others are escaped where it is put in.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use tacit_types::shown::{Shown, shown_json};

use crate::failure::Failure;

/// Writes a result as it is given.
///
/// # Errors
/// When standard output fails otherwise than by a closed pipe: on a full disk, say.
pub(crate) fn result(text: impl Display) -> Result<(), Failure> {
    delivered(text).map(drop)
}

/// Writes a result as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    delivered_raw(&(shown_json(&serde_json::to_string(value)?) + "\n")).map(drop)
}

/// As [`result`]; gives whether anybody was there to read it.
pub(crate) fn delivered(text: impl Display) -> Result<bool, Failure> {
    delivered_raw(&shown(&text.to_string()))
}

fn delivered_raw(text: &str) -> Result<bool, Failure> {
    write(&mut io::stdout().lock(), text)
        .map_err(|error| anyhow::anyhow!("standard output: {error}").into())
}

/// Escapes what a text of somebody else may have brought along, line by line.
fn shown(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => format!("{}\n", Shown(line)),
            None => Shown(line).to_string(),
        })
        .collect()
}

/// Writes a line for the person who watches. It is lost where it cannot be written: a command is
/// not worth less for having been watched by nobody.
pub(crate) fn note(line: impl Display) {
    let _ = write(
        &mut io::stderr().lock(),
        &format!("{}\n", shown(&line.to_string())),
    );
}

fn write(out: &mut impl Write, text: &str) -> io::Result<bool> {
    match out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
