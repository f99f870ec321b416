//! What `readelf` says of a library.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// A section: its number, name, and what it takes in the file.
pub(super) struct Section {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) address: u64,
    pub(super) bytes: u64,
    pub(super) in_file: bool,
}

/// A symbol of some section.
pub(super) struct Symbol {
    pub(super) section: u64,
    pub(super) address: u64,
    pub(super) name: String,
    /// The C file it stands in, where the linker has kept that.
    pub(super) file: Option<String>,
}

pub(super) struct Elf {
    pub(super) sections: Vec<Section>,
    /// Functions and data, in the order of the file.
    pub(super) symbols: Vec<Symbol>,
    /// What other libraries can reach.
    pub(super) exported: Vec<String>,
    /// Alignments of what is loaded.
    pub(super) aligned: Vec<u64>,
}

impl Elf {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let sections = said(path, "--section-headers")?;
        let symbols = said(path, "--symbols")?;
        let exported = said(path, "--dyn-syms")?;
        let segments = said(path, "--program-headers")?;
        let defined = |line| fields(line).map(|symbol| symbol.name);
        let loaded = |line: &str| {
            let mut words = line.split_whitespace();
            let loaded = words.next()? == "LOAD";
            hexadecimal(
                words
                    .next_back()
                    .filter(|_| loaded)?
                    .trim_start_matches("0x"),
            )
        };
        Ok(Self {
            sections: sections.lines().filter_map(section).collect(),
            symbols: all_symbols(&symbols),
            exported: exported.lines().filter_map(defined).collect(),
            aligned: segments.lines().filter_map(loaded).collect(),
        })
    }
}

fn said(path: &Path, what: &str) -> anyhow::Result<String> {
    let output = Command::new("readelf")
        .args(["--wide", "--demangle", what])
        .arg(path)
        .output()
        .context("readelf, of Debian's package binutils, does not start")?;
    ensure!(output.status.success(), "readelf {what}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// `[12] .text PROGBITS address offset size ...`
fn section(line: &str) -> Option<Section> {
    let (number, rest) = line.trim().strip_prefix('[')?.split_once(']')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [name, kind, address, _offset, size, ..] = words[..] else {
        return None;
    };
    Some(Section {
        number: number.trim().parse().ok()?,
        name: name.to_owned(),
        address: hexadecimal(address)?,
        bytes: hexadecimal(size)?,
        in_file: kind != "NOBITS",
    })
}

/// `12: address size FUNC LOCAL DEFAULT 12 name`, with what it defines; `None` for other lines and
/// for what is defined elsewhere.
fn fields(line: &str) -> Option<Symbol> {
    let mut rest = line.trim();
    let mut word = || {
        let (word, after) = rest.split_once(char::is_whitespace)?;
        rest = after.trim_start();
        Some(word)
    };
    let _number: u64 = word()?.strip_suffix(':')?.parse().ok()?;
    let address = hexadecimal(word()?)?;
    let _size = word()?;
    let kind = word()?;
    let [_bind, _visible] = [word()?, word()?];
    let section = word()?.parse().ok()?;
    let known = ["FUNC", "OBJECT", "NOTYPE", "TLS"].contains(&kind);
    known.then(|| Symbol {
        section,
        address,
        name: rest.to_owned(),
        file: None,
    })
}

/// Symbols with the file that was named last before them.
fn all_symbols(said: &str) -> Vec<Symbol> {
    let mut file = None;
    let mut symbols = Vec::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, "FILE", .., name] = words[..] {
            file = Some(name.to_owned());
        }
        if let Some(symbol) = fields(line) {
            let file = file.clone();
            symbols.push(Symbol { file, ..symbol });
        }
    }
    symbols
}
