//! The repository's Rust files: which crate each belongs to, and whether its code ships.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use syn::Item;

use super::source::{Source, for_tests};

/// Folders whose code does not ship.
const NOT_SHIPPED: [&str; 4] = ["tests", "benches", "examples", "xtask"];

/// A file; paths are from the root of the repository.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// The folder of its crate.
    pub(super) package: PathBuf,
    pub(super) ships: bool,
    pub(super) text: String,
    pub(super) source: Source,
}

/// Every Rust file, by path.
pub(super) fn read(root: &Path) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in crate::files(root, "rs")? {
        files.push(read_file(root, &path).with_context(|| path.display().to_string())?);
    }
    let for_tests: Vec<PathBuf> = files.iter().flat_map(test_modules).collect();
    for file in &mut files {
        let inside = for_tests
            .iter()
            .any(|module| file.path.with_extension("").starts_with(module));
        file.ships &= !inside;
    }
    Ok(files)
}

fn read_file(root: &Path, path: &Path) -> anyhow::Result<File> {
    let text = fs::read_to_string(root.join(path))?;
    let package = path
        .ancestors()
        .skip(1)
        .find(|folder| root.join(folder).join("Cargo.toml").is_file())
        .context("no Cargo.toml in any folder above")?;
    let mut folders = path.iter().filter_map(|folder| folder.to_str());
    Ok(File {
        path: path.to_owned(),
        package: package.to_owned(),
        ships: !folders.any(|folder| NOT_SHIPPED.contains(&folder)),
        source: Source::parse(&text)?,
        text,
    })
}

/// Modules of a file that are for tests only and lie in files of their own, without extension.
fn test_modules(file: &File) -> Vec<PathBuf> {
    let is_root = ["lib.rs", "main.rs", "mod.rs"]
        .iter()
        .any(|name| file.path.ends_with(name));
    let below = if is_root {
        file.path.with_file_name("")
    } else {
        file.path.with_extension("")
    };
    let modules = file.source.items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && for_tests(&module.attrs) => {
            Some(below.join(module.ident.to_string()))
        }
        _ => None,
    });
    modules.collect()
}
