//! What a library that is shipped may not do.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::build::machine_folders;
use super::elf::Elf;

/// Pages of Android 15 and of Apple's systems, in bytes.
const PAGE: u64 = 16_384;
/// An app in another language.
const USE: &str = include_str!("use.py");
/// Where crates lie on the machines of others.
const CRATES: &str = "/.cargo/registry/";

/// What is wrong with a stripped library of these bytes.
pub(super) fn wrong(library: &Elf, bytes: &[u8]) -> Vec<String> {
    let mut wrong = Vec::new();
    let foreign: Vec<&str> = library
        .exported
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("tacit_"))
        .collect();
    if !foreign.is_empty() || library.exported.is_empty() {
        wrong.push(format!("exports {foreign:?} beside tacit_*"));
    }
    if library.aligned.is_empty() || library.aligned.iter().any(|aligned| *aligned < PAGE) {
        let aligned = &library.aligned;
        wrong.push(format!("is loaded in pages of {aligned:x?}, not 16 KB"));
    }
    wrong.extend(paths(bytes));
    wrong
}

/// What goes wrong when another language uses it, as it is shipped.
pub(super) fn used(library: &Path, features: &str) -> anyhow::Result<Option<String>> {
    let output = Command::new("python3")
        .args(["-c", USE])
        .arg(library)
        .arg(features)
        .output()
        .context("python3 does not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let ended = output.status;
    Ok((!ended.success()).then(|| format!("used from Python: {ended}: {said}")))
}

/// Folders of the machine it was built on, where they stand in it.
fn paths(bytes: &[u8]) -> Vec<String> {
    let folders = machine_folders().unwrap_or_default();
    let folders = folders
        .iter()
        .map(|(folder, _)| folder.display().to_string());
    folders
        .chain([CRATES.to_owned()])
        .filter_map(|path| {
            let at = find(bytes, path.as_bytes())?;
            let shown = &bytes[at..bytes.len().min(at + 120)];
            Some(format!("names {}", shown.escape_ascii()))
        })
        .collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
