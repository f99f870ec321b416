//! Tests of the whole system: real processes, real certificates, real disks.
//!
//! [`deployment`] makes a throw-away deployment and runs, kills and restarts its processes;
//! [`certified`] signs certificates for them, good ones and spoilt ones;
//! [`bare`] speaks the device protocol without the SDK, so that a test knows every number it sends;
//! [`raw`] writes the frames below it; [`attack`] does both as an enemy would;
//! [`stand_in`] is a coordinator that records what the SDK sends; [`proxy`] stands before it and
//! goes silent; [`enrolled`] is an installation of the SDK in this process, and [`installation`]
//! runs one in a process to be killed; [`examples`] finds the apps that the SDK has as examples;
//! [`year`] moves the clocks of a whole deployment; [`lossy`] is a coordinator's store that loses
//! its power; [`fuzz`] says what must hold for any bytes at all. What they cannot find: anything
//! that needs two machines, a slow network, or a disk that loses what it said it has; SIGKILL
//! leaves the page cache intact.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "test support: says what it skips and why a test failed"
)]

pub mod attack;
pub mod bare;
pub mod certified;
pub mod crowd;
pub mod deployment;
pub mod ear;
pub mod enrolled;
pub mod examples;
pub mod faults;
pub mod fuzz;
pub mod installation;
pub mod lossy;
pub mod proxy;
pub mod raw;
pub mod stand_in;
pub mod year;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Puts a copy of a folder, with all that lies in it, in the place of `to`.
///
/// # Errors
/// When the disk fails.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(to)?,
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// Where an installation keeps the model that its recommendations come from; nowhere if that is not
/// one of this task.
pub fn kept_model(installation: &Path, task: &str) -> PathBuf {
    let models = installation.join("models");
    let serving = fs::read_to_string(models.join("serving")).unwrap_or_default();
    let mut words = serving.split_whitespace();
    let of_task = words.next() == Some(task);
    let hash = words.next().filter(|_| of_task);
    models.join(format!("{}.bin", hash.unwrap_or("none")))
}

/// Lets an installation contribute.
///
/// # Errors
/// When it has no store.
pub fn opt_in(installation: &Path) -> anyhow::Result<()> {
    let mut store = tacit_sdk::Store::open(installation)?;
    Ok(store.set_consent(tacit_sdk::Consent::Contribute)?)
}
