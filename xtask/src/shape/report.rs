//! What is measured of all files, and the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

use super::circles;
use super::source::Function;
use super::tree::File;

const TOKENS_A_LINE_MAX: f64 = 7.7;
const MEDIAN_MAX: usize = 9;
const P90_MAX: usize = 27;
const SHIPPED_FILE_MAX: usize = 450;
const TEST_FILE_MAX: usize = 800;
const COLUMNS_MAX: usize = 100;
/// How many of the longest files are listed.
const LISTED: usize = 5;

/// The functions of a crate, or of all.
struct Functions {
    count: usize,
    tokens_a_line: f64,
    median: usize,
    p90: usize,
}

/// What is measured.
pub(super) struct Report<'a> {
    crates: BTreeMap<&'a Path, Functions>,
    all: Functions,
    /// Lines and paths, longest first.
    shipped: Vec<(usize, &'a Path)>,
    tests: Vec<(usize, &'a Path)>,
    /// Path and number of each line that is too long.
    wide: Vec<(&'a Path, usize)>,
    circles: BTreeSet<Vec<&'a Path>>,
}

impl Functions {
    fn new(functions: &[Function]) -> Self {
        let mut lengths: Vec<usize> = functions.iter().map(|one| one.lines).collect();
        lengths.sort_unstable();
        let at = |percent: usize| {
            let rank = lengths.len() * percent / 100;
            lengths.get(rank).copied().unwrap_or(0)
        };
        let lines: usize = lengths.iter().sum();
        let tokens: usize = functions.iter().map(|one| one.tokens).sum();
        Self {
            count: functions.len(),
            tokens_a_line: tokens as f64 / lines.max(1) as f64,
            median: at(50),
            p90: at(90),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "functions": self.count,
            "tokens_a_line": self.tokens_a_line,
            "lines_median": self.median,
            "lines_p90": self.p90,
        })
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(files: &'a [File]) -> Self {
        let mut functions: BTreeMap<&Path, Vec<Function>> = BTreeMap::new();
        for file in files.iter().filter(|file| file.ships) {
            let crates = functions.entry(&file.package).or_default();
            crates.extend(file.source.functions());
        }
        let all: Vec<Function> = functions.values().flatten().copied().collect();
        let crates = functions
            .iter()
            .map(|(package, functions)| (*package, Functions::new(functions)));
        Self {
            crates: crates.collect(),
            all: Functions::new(&all),
            shipped: longest(files.iter().filter(|file| file.ships)),
            tests: longest(files.iter().filter(|file| !file.ships)),
            wide: files.iter().flat_map(wide).collect(),
            circles: circles::find(files),
        }
    }

    /// One line for each limit that is not kept.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let all = &self.all;
        if all.tokens_a_line > TOKENS_A_LINE_MAX {
            let found = all.tokens_a_line;
            faults.push(format!(
                "{found:.2} tokens a line, at most {TOKENS_A_LINE_MAX}"
            ));
        }
        if all.median > MEDIAN_MAX {
            let found = all.median;
            faults.push(format!(
                "median function of {found} lines, at most {MEDIAN_MAX}"
            ));
        }
        if all.p90 > P90_MAX {
            let found = all.p90;
            faults.push(format!(
                "every tenth function above {found} lines, at most {P90_MAX}"
            ));
        }
        let limits = [
            (&self.shipped, SHIPPED_FILE_MAX),
            (&self.tests, TEST_FILE_MAX),
        ];
        for (files, limit) in limits {
            for (lines, path) in files.iter().filter(|(lines, _)| *lines > limit) {
                faults.push(format!(
                    "{}: {lines} lines, at most {limit}",
                    path.display()
                ));
            }
        }
        for (path, line) in &self.wide {
            let path = path.display();
            faults.push(format!("{path}:{line}: wider than {COLUMNS_MAX} columns"));
        }
        for circle in self
            .circles
            .iter()
            .filter(|circle| !circles::allowed(circle))
        {
            faults.push(format!("a circle of files: {}", names(circle)));
        }
        faults
    }

    pub(super) fn to_json(&self) -> Value {
        let crates: BTreeMap<_, _> = self
            .crates
            .iter()
            .map(|(package, functions)| (package.display().to_string(), functions.to_json()))
            .collect();
        json!({
            "all": self.all.to_json(),
            "crates": crates,
            "longest_shipped": &self.shipped[..LISTED.min(self.shipped.len())],
            "longest_in_tests": &self.tests[..LISTED.min(self.tests.len())],
            "wide_lines": self.wide,
            "circles": self.circles,
            "faults": self.faults(),
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "code that ships        functions  tokens/line  median  p90"
        )?;
        let crates = self.crates.iter();
        let rows = crates.map(|(package, functions)| (package.display().to_string(), functions));
        for (name, row) in rows.chain([("all".to_owned(), &self.all)]) {
            writeln!(
                f,
                "{name:<22} {:>9}  {:>11.2}  {:>6}  {:>3}",
                row.count, row.tokens_a_line, row.median, row.p90
            )?;
        }
        for (title, files) in [("that ship", &self.shipped), ("of tests", &self.tests)] {
            writeln!(f, "longest files {title}")?;
            for (lines, path) in files.iter().take(LISTED) {
                writeln!(f, "{lines:>5}  {}", path.display())?;
            }
        }
        writeln!(f, "lines over {COLUMNS_MAX} columns: {}", self.wide.len())?;
        writeln!(f, "circles of files: {}", self.circles.len())?;
        for circle in &self.circles {
            let allowed = if circles::allowed(circle) {
                " (allowed)"
            } else {
                ""
            };
            writeln!(f, "  {}{allowed}", names(circle))?;
        }
        Ok(())
    }
}

fn longest<'a>(files: impl Iterator<Item = &'a File>) -> Vec<(usize, &'a Path)> {
    let mut files: Vec<(usize, &Path)> = files
        .map(|file| (file.text.lines().count(), file.path.as_path()))
        .collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    files
}

fn wide(file: &File) -> impl Iterator<Item = (&Path, usize)> {
    (1..)
        .zip(file.text.lines())
        .filter(|(_, line)| line.chars().count() > COLUMNS_MAX)
        .map(|(number, _)| (file.path.as_path(), number))
}

fn names(circle: &[&Path]) -> String {
    let names: Vec<String> = circle
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}
