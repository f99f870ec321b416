//! Builds a library as it is shipped to phones: the profile of tests/size, SQLite without what is
//! not used, and what the linker at hand can do.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::Part;
use crate::embed::target;
use crate::{root, run};

const MANIFEST: &str = "tests/size/Cargo.toml";
/// Pages of Android 15 and of Apple's systems.
const PAGES: &str = "-Wl,-z,max-page-size=16384";
/// What not every linker can: to keep one of equal functions, and to write relocations as a bitmap.
const WISHES: [&str; 3] = [
    "-Wl,--icf=safe",
    "-Wl,-z,pack-relative-relocs",
    "-Wl,--build-id=none",
];
/// What C is compiled with: nothing unwinds through it.
const C: &str = "-fno-asynchronous-unwind-tables -fno-unwind-tables";

/// Parts of SQLite that its crate turns on and nobody here uses.
const SQLITE_OFF: [&str; 13] = [
    "SQLITE_ENABLE_API_ARMOR",
    "SQLITE_ENABLE_COLUMN_METADATA",
    "SQLITE_ENABLE_DBSTAT_VTAB",
    "SQLITE_ENABLE_FTS3",
    "SQLITE_ENABLE_FTS3_PARENTHESIS",
    "SQLITE_ENABLE_FTS5",
    "SQLITE_ENABLE_JSON1",
    "SQLITE_ENABLE_LOAD_EXTENSION",
    "SQLITE_ENABLE_RTREE",
    "SQLITE_ENABLE_STAT4",
    "SQLITE_SOUNDEX",
    "SQLITE_THREADSAFE",
    "SQLITE_USE_URI",
];
/// What is set instead.
const SQLITE_SET: [&str; 4] = [
    "SQLITE_THREADSAFE=2",
    "SQLITE_DQS=0",
    "SQLITE_DEFAULT_MEMSTATUS=0",
    "SQLITE_MAX_MMAP_SIZE=0",
];
/// Parts of SQLite that are left out.
const SQLITE_OMIT: [&str; 19] = [
    "AUTHORIZATION",
    "BETWEEN_OPTIMIZATION",
    "COMPLETE",
    "DATETIME_FUNCS",
    "DECLTYPE",
    "DEPRECATED",
    "DESERIALIZE",
    "GET_TABLE",
    "INCRBLOB",
    "INTROSPECTION_PRAGMAS",
    "JSON",
    "LIKE_OPTIMIZATION",
    "LOAD_EXTENSION",
    "OR_OPTIMIZATION",
    "PROGRESS_CALLBACK",
    "SHARED_CACHE",
    "TCL_VARIABLE",
    "TRACE",
    "UTF16",
];

fn sqlite() -> String {
    let off = SQLITE_OFF.iter().map(|name| format!("-U{name}"));
    let set = SQLITE_SET.iter().map(|pair| format!("-D{pair}"));
    let omit = SQLITE_OMIT
        .iter()
        .map(|part| format!("-DSQLITE_OMIT_{part}"));
    let flags: Vec<String> = off.chain(set).chain(omit).collect();
    flags.join(" ")
}

/// What the linker at hand can do of the wishes.
pub(super) struct Linker(Vec<&'static str>);

impl Linker {
    /// Tries each wish on an empty library.
    pub(super) fn at_hand() -> anyhow::Result<Self> {
        let folder = folder()?;
        let source = folder.join("empty.rs");
        fs::write(&source, "")?;
        let mut can = vec![PAGES];
        for wish in WISHES {
            let linked = Command::new("rustc")
                .args(["--crate-type", "cdylib", "-o"])
                .arg(folder.join("empty.so"))
                .arg(format!("-Clink-arg={wish}"))
                .arg(&source)
                .output()
                .context("rustc does not start")?;
            if linked.status.success() {
                can.push(wish);
            }
        }
        Ok(Self(can))
    }
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linked with {}", self.0.join(" "))?;
        let missing: Vec<_> = WISHES
            .into_iter()
            .filter(|wish| !self.0.contains(wish))
            .collect();
        if !missing.is_empty() {
            write!(f, "; the linker at hand cannot {}", missing.join(" "))?;
        }
        Ok(())
    }
}

fn folder() -> anyhow::Result<PathBuf> {
    let folder = target().join("size");
    fs::create_dir_all(&folder)?;
    Ok(folder.canonicalize()?)
}

/// Builds the library of this part, its symbols included.
pub(super) fn library(part: &Part, linker: &Linker) -> anyhow::Result<PathBuf> {
    let folder = folder()?;
    let mut cargo = Command::new("cargo");
    cargo.env("CARGO_TARGET_DIR", &folder);
    cargo.env("RUSTFLAGS", short_paths("--remap-path-prefix")?);
    cargo.env(
        "CFLAGS",
        format!("{C} {}", short_paths("-ffile-prefix-map")?),
    );
    cargo.env("LIBSQLITE3_FLAGS", sqlite());
    let features = match part.features {
        "" => String::new(),
        some => format!(" --features {some}"),
    };
    let arguments = format!(
        "rustc --release --locked --manifest-path {MANIFEST}{features} --lib -- {}",
        linker.arguments()
    );
    run(cargo, &arguments)?;
    Ok(folder.join("release/libtacit_size.so"))
}

impl Linker {
    fn arguments(&self) -> String {
        let arguments: Vec<_> = self
            .0
            .iter()
            .map(|argument| format!("-Clink-arg={argument}"))
            .collect();
        arguments.join(" ")
    }
}

/// Flags that say this machine's folders by other names: where something was built is nobody's
/// business.
fn short_paths(flag: &str) -> anyhow::Result<String> {
    let flags: Vec<_> = machine_folders()?
        .into_iter()
        .map(|(folder, name)| format!("{flag}={}={name}", folder.display()))
        .collect();
    Ok(flags.join(" "))
}

/// Folders of this machine that a compiler meets, and what to call them.
pub(super) fn machine_folders() -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
    let home = env::var_os("HOME").map_or(PathBuf::from("/"), PathBuf::from);
    let cargo = env::var_os("CARGO_HOME").map_or(home.join(".cargo"), PathBuf::from);
    Ok(vec![
        (root().canonicalize()?, "tacit"),
        (folder()?, "built"),
        (cargo, "crates"),
    ])
}

/// The library without its symbols, under the name of its part.
pub(super) fn stripped(built: &Path, part: &Part) -> anyhow::Result<PathBuf> {
    let name = part.name.replace(" + ", "-");
    let stripped = folder()?.join(format!("libtacit-{name}.so"));
    let status = Command::new("strip")
        .arg("--strip-all")
        .arg("-o")
        .args([&stripped, built])
        .status()
        .context("strip, of Debian's package binutils, does not start")?;
    ensure!(status.success(), "strip {}: {status}", built.display());
    Ok(stripped)
}
