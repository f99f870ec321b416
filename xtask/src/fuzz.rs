//! `cargo xtask fuzz`: libFuzzer over the targets of tests/fuzz.

use std::fs;

use anyhow::Context;

use crate::{cargo, root};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Name of a target, as in tests/fuzz/fuzz_targets; all of them when none is named.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.target {
        Some(target) => fuzz(target, options.seconds),
        None => targets()?
            .iter()
            .try_for_each(|target| fuzz(target, options.seconds)),
    }
}

fn targets() -> anyhow::Result<Vec<String>> {
    let entries =
        fs::read_dir(root().join("tests/fuzz/fuzz_targets")).context("tests/fuzz/fuzz_targets")?;
    let paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let mut names: Vec<_> = paths
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// The tree has no unsafe code, so no sanitizer is used: what remains to be found are panics,
/// overflows, hangs and memory.
fn fuzz(target: &str, seconds: u32) -> anyhow::Result<()> {
    let found = format!("tests/fuzz/found/{target}");
    fs::create_dir_all(root().join(&found)).context(found.clone())?;
    cargo(&format!(
        "fuzz run --fuzz-dir tests/fuzz --sanitizer none {target} {found} \
         tests/fuzz/corpus/{target} -- -max_total_time={seconds} -len_control=0 -timeout=10 \
         -rss_limit_mb=1024 -print_final_stats=1"
    ))
}
