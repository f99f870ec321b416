//! `cargo xtask mutants`: cargo-mutants over the privacy arithmetic, and the table of what the
//! tests noticed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{CARGO_MUTANTS, cargo, root};

/// One crate's mutants: code in which a wrong sign or bound would be a wrong guarantee.
struct Part {
    package: &'static str,
    files: &'static [&'static str],
    /// Which of the crate's tests meet them. Documentation tests show what is tested elsewhere, and
    /// the integration tests of tacit-privacy draw millions of numbers from samplers that are not
    /// mutated here.
    tests: &'static str,
}

const PARTS: [Part; 3] = [
    Part {
        package: "tacit-privacy",
        files: &[
            "shared/privacy/src/ledger.rs",
            "shared/privacy/src/clip.rs",
            "shared/privacy/src/quantise.rs",
            "shared/privacy/src/rounding.rs",
            "shared/privacy/src/mechanism.rs",
            "shared/privacy/src/convert.rs",
            "shared/privacy/src/rho.rs",
        ],
        tests: "--lib",
    },
    Part {
        package: "tacit-plan",
        files: &[
            "shared/plan/src/mechanism.rs",
            "shared/plan/src/outline.rs",
            "shared/plan/src/plan.rs",
            "shared/plan/src/planner.rs",
            "shared/plan/src/request.rs",
        ],
        tests: "--lib --tests",
    },
    Part {
        package: "tacit-opendp",
        files: &["coordinator/opendp/src/map.rs"],
        tests: "--tests",
    },
];
/// Outcomes as cargo-mutants names them, in the order of the columns.
const OUTCOMES: [&str; 4] = ["CaughtMutant", "MissedMutant", "Timeout", "Unviable"];

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only write the table, from these outcomes.json of runs that were made in pieces; the last
    /// run of a file counts.
    #[arg(long, num_args = 1..)]
    from: Vec<PathBuf>,
}

/// What became of the mutants of one file.
#[derive(Default)]
struct Row {
    counts: [usize; OUTCOMES.len()],
    /// Mutants that no test noticed.
    survivors: Vec<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut outcomes = options.from.clone();
    if outcomes.is_empty() {
        for Part {
            package,
            files,
            tests,
        } in PARTS
        {
            let files: String = files
                .iter()
                .map(|file| format!(" --file {file}"))
                .collect();
            let folder = format!("target/mutants/{package}");
            fs::create_dir_all(root().join(&folder))?;
            let written = root().join(&folder).join("mutants.out/outcomes.json");
            let _ = fs::remove_file(&written);
            // It also fails when a mutant survives, which the table says better; without outcomes
            // it did not run.
            let ran = cargo(&format!(
                "mutants --package {package}{files} --output {folder} -- {tests}"
            ));
            ensure!(written.exists(), "{package}: {ran:?}");
            outcomes.push(written);
        }
    }
    let mut rows = BTreeMap::new();
    for path in outcomes {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        rows.extend(read(&serde_json::from_str(&text)?)?);
    }
    ensure!(!rows.is_empty(), "no mutant was tested");
    fs::write(root().join("tests/mutants.md"), table(&rows)).context("tests/mutants.md")?;
    let [caught, missed, timeout, _] = total(&rows);
    ensure!(
        10 * (caught + timeout) >= 9 * (caught + missed + timeout),
        "fewer than nine tenths of the mutants were noticed, see tests/mutants.md"
    );
    Ok(())
}

/// The rows of one run, by file.
fn read(outcomes: &Value) -> anyhow::Result<BTreeMap<String, Row>> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .context("outcomes.json is of another version")
    };
    for outcome in outcomes["outcomes"]
        .as_array()
        .context("outcomes.json has no outcomes")?
    {
        let Some(mutant) = outcome["scenario"].get("Mutant") else {
            continue;
        };
        let (name, summary) = (text(&mutant["name"])?, text(&outcome["summary"])?);
        let row = rows.entry(text(&mutant["file"])?).or_default();
        let column = OUTCOMES
            .iter()
            .position(|known| *known == summary)
            .context(summary.clone())?;
        row.counts[column] += 1;
        if matches!(summary.as_str(), "MissedMutant" | "Timeout") {
            row.survivors.push(name);
        }
    }
    Ok(rows)
}

fn total(rows: &BTreeMap<String, Row>) -> [usize; OUTCOMES.len()] {
    let mut total = [0; OUTCOMES.len()];
    for row in rows.values() {
        total
            .iter_mut()
            .zip(row.counts)
            .for_each(|(sum, count)| *sum += count);
    }
    total
}

fn table(rows: &BTreeMap<String, Row>) -> String {
    let mut text = format!(
        "# Mutation tests\n\nMade by `cargo xtask mutants` with cargo-mutants {CARGO_MUTANTS}: \
         each mutant is one small change of the code, tested with the tests of its own crate. \
         Caught: a test failed. Missed: none did. Timeout: a test did not end, which is noticed \
         too. Unviable: it does not compile. `.cargo/mutants.toml` says what is left out and \
         why.\n\n\
         | file | mutants | caught | missed | timeout | unviable \
         |\n|---|---:|---:|---:|---:|---:|\n"
    );
    rows.iter()
        .for_each(|(file, row)| write_row(&mut text, file, &row.counts));
    write_row(&mut text, "all", &total(rows));
    let survivors: Vec<_> = rows.values().flat_map(|row| &row.survivors).collect();
    if !survivors.is_empty() {
        text.push_str("\n## Missed or timed out\n\n");
        survivors
            .iter()
            .for_each(|name| writeln!(text, "- `{name}`").expect("writing to a string"));
    }
    text
}

fn write_row(
    text: &mut String,
    name: &str,
    [caught, missed, timeout, unviable]: &[usize; OUTCOMES.len()],
) {
    let mutants = caught + missed + timeout + unviable;
    writeln!(
        text,
        "| {name} | {mutants} | {caught} | {missed} | {timeout} | {unviable} |"
    )
    .expect("writing to a string");
}
