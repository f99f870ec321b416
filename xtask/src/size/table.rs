//! Whose the bytes are: code by crate, and everything else by section.

use std::collections::BTreeMap;

use super::elf::{Elf, Section, Symbol};

/// Rows of the table before the rest is summed up.
const ROWS: usize = 24;
/// Sections smaller than this are summed up.
const SMALL: u64 = 4096;

/// Prints the table of a library that has its symbols.
pub(super) fn print(library: &Elf) {
    let mut rows = by_crate(library);
    rows.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let code: u64 = rows.iter().map(|(_, bytes)| bytes).sum();
    println!("{code:>9} code, of it");
    let (shown, rest) = rows.split_at(rows.len().min(ROWS));
    for (name, bytes) in shown {
        println!("{bytes:>11} {name}");
    }
    let rest: u64 = rest.iter().map(|(_, bytes)| bytes).sum();
    println!("{rest:>11} others");

    let shipped = library
        .sections
        .iter()
        .filter(|section| ships(section) && section.name != ".text");
    let (large, small): (Vec<_>, Vec<_>) = shipped.partition(|section| section.bytes >= SMALL);
    for section in large {
        println!("{:>9} {}", section.bytes, section.name);
    }
    let small: u64 = small.iter().map(|section| section.bytes).sum();
    println!("{small:>9} other sections");
}

/// Whether a section stays when symbols are stripped.
fn ships(section: &Section) -> bool {
    section.in_file && section.address > 0
}

/// Bytes of code by crate. A function reaches to the next one: what an assembler wrote has no
/// length of its own, and would not be seen.
fn by_crate(library: &Elf) -> Vec<(String, u64)> {
    let Some(text) = library
        .sections
        .iter()
        .find(|section| section.name == ".text")
    else {
        return Vec::new();
    };
    let mut functions: Vec<&Symbol> = library
        .symbols
        .iter()
        .filter(|symbol| symbol.section == text.number)
        .collect();
    functions.sort_by_key(|symbol| symbol.address);
    functions.dedup_by_key(|symbol| symbol.address);

    let end = text.address + text.bytes;
    let next = functions.iter().skip(1).map(|symbol| symbol.address);
    let mut sums = BTreeMap::new();
    for (function, until) in functions.iter().zip(next.chain([end])) {
        *sums.entry(owner(function)).or_insert(0) += until - function.address;
    }
    sums.into_iter().collect()
}

/// The crate of a function by its path, or the library of C it is of.
fn owner(symbol: &Symbol) -> String {
    let name = symbol.name.as_str();
    if name.contains("ring_core") {
        return "ring (C and assembler)".to_owned();
    }
    let file = symbol.file.as_deref();
    match path_begins(name) {
        Some(first) => first.to_owned(),
        None if name.starts_with("sqlite3") || file == Some("sqlite3.c") => "SQLite".to_owned(),
        None if name.starts_with("blake3") => "blake3 (C and assembler)".to_owned(),
        None if name.starts_with("tacit_") => "tacit_size".to_owned(),
        None => "C and assembler of others".to_owned(),
    }
}

/// The first name of a path such as `<&tacit_model::Model as core::fmt::Debug>::fmt`.
fn path_begins(name: &str) -> Option<&str> {
    let path = name.split_once("::")?.0;
    let begin = path
        .rfind(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .map_or(0, |at| at + 1);
    Some(&path[begin..]).filter(|first| !first.is_empty())
}
