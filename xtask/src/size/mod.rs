//! What the SDK adds to an app, in bytes: the library of tests/size in three sizes, built as it is
//! shipped to phones, held to gates, with a table of what the bytes are of.

mod build;
mod checks;
mod elf;
mod table;

use std::fs;
use std::path::Path;

use anyhow::ensure;

use self::build::Linker;
use self::elf::Elf;

/// A library that an app may take.
pub(super) struct Part {
    name: &'static str,
    /// Features of tests/size.
    features: &'static str,
    /// Most bytes it may have, stripped: what is reached, rounded up.
    most: u64,
    /// What it ought to be.
    goal: u64,
}

const PARTS: [Part; 3] = [
    Part {
        name: "rank",
        features: "",
        most: 510_000,
        goal: 450_000,
    },
    Part {
        name: "rank + store",
        features: "store",
        most: 1_275_000,
        goal: 1_200_000,
    },
    Part {
        name: "all",
        features: "train",
        most: 3_850_000,
        goal: 3_600_000,
    },
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the largest, which holds the others.
    #[arg(long)]
    short: bool,
}

/// Builds and measures; fails where a gate is not held.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let linker = Linker::at_hand()?;
    println!("{linker}");
    let skipped = if options.short { PARTS.len() - 1 } else { 0 };
    let mut failed = Vec::new();
    for part in &PARTS[skipped..] {
        failed.extend(measure(part, &linker)?);
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Builds one library and prints what it is made of; gives what is wrong with it.
fn measure(part: &Part, linker: &Linker) -> anyhow::Result<Vec<String>> {
    let built = build::library(part, linker)?;
    let stripped = build::stripped(&built, part)?;
    let bytes = fs::read(&stripped)?;
    let size = bytes.len() as u64;
    let Part {
        name, most, goal, ..
    } = part;
    println!("\n{name}: {size} bytes, at most {most}; the goal is {goal}");
    println!("{}", relative(&stripped));
    table::print(&Elf::read(&built)?);

    let mut wrong = checks::wrong(&Elf::read(&stripped)?, &bytes);
    wrong.extend(checks::used(&stripped, part.features)?);
    if size > part.most {
        wrong.push(format!("{size} bytes are more than {}", part.most));
    }
    let named = |problem| format!("{}: {problem}", part.name);
    Ok(wrong.into_iter().map(named).collect())
}

fn relative(path: &Path) -> String {
    let root = crate::root().canonicalize().unwrap_or_default();
    let short = path.strip_prefix(root).unwrap_or(path);
    short.display().to_string()
}
