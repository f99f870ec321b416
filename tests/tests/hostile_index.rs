//! `tests/HOSTILE.md` and the sources agree: every case cited in a source stands in the table with
//! that file, and every test the table names exists and cites its case.
//!
//! A source cites a case as `HOSTILE`, a space, and one or more ids: `40, 92-95 and k1 to k15`.
//! Kill points may also be cited as `kill point`.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with sources.
const FOLDERS: [&str; 6] = ["client", "coordinator", "proto", "shared", "tests", "xtask"];
/// What a source writes in front of ids.
const MARKS: [&str; 3] = ["HOSTILE", "kill point", "Kill point"];

/// One row of the table.
struct Case {
    id: String,
    state: String,
    /// Path and function.
    tests: Vec<(String, String)>,
    /// Words beside the tests.
    note: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn collect(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .display()
                .to_string();
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Every source by its path, but this one.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        collect(&root().join(folder), &mut found);
    }
    found.remove("tests/tests/hostile_index.rs").unwrap();
    found
}

fn table() -> Vec<Case> {
    let text = fs::read_to_string(root().join("tests/HOSTILE.md")).unwrap();
    text.lines().filter_map(read_row).collect()
}

/// A row whose first cell is an id: id, input, expected, state, tests.
fn read_row(line: &str) -> Option<Case> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, id, _, _, state, tests, _] = cells[..] else {
        return None;
    };
    read_ids(id).is_some().then_some(())?;
    let (mut named, mut note) = (Vec::new(), String::new());
    for part in tests.split("<br>") {
        match part.trim_matches('`').split_once("::") {
            Some((path, test)) => named.push((path.to_owned(), test.to_owned())),
            None => note.push_str(part),
        }
    }
    Some(Case {
        id: id.to_owned(),
        state: state.to_owned(),
        tests: named,
        note,
    })
}

/// The letter (none for a case, `k` or `c` for a kill point) and the number of an id.
fn split(id: &str) -> Option<(&str, u32)> {
    let digits = id.trim_start_matches(['k', 'c']);
    let letter = &id[..id.len() - digits.len()];
    let known = letter.len() <= 1 && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((letter, digits.parse().ok().filter(|_| known)?))
}

/// `40`, `k3` or `92-95`.
fn read_ids(word: &str) -> Option<Vec<String>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let ((letter, first), (_, last)) = (split(first)?, split(last)?);
    Some(
        (first..=last)
            .map(|n| format!("{letter}{n}"))
            .collect(),
    )
}

/// Ids at the start of `text`, up to the first word that is none.
fn leading_ids(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut range = false;
    for word in text.split_whitespace() {
        let bare = word.trim_matches(['(', ')', ',', '.', ':', ';']);
        match (bare, read_ids(bare)) {
            ("and", _) => {}
            ("to", _) => range = true,
            (_, Some(_)) if range => {
                let first = ids.pop().unwrap();
                ids.extend(read_ids(&format!("{first}-{bare}")).unwrap());
                range = false;
            }
            (_, Some(more)) => ids.extend(more),
            (_, None) => break,
        }
        if word.ends_with(['.', ':', ';']) {
            break;
        }
    }
    ids
}

/// Every id that this source cites.
fn cited(source: &str) -> BTreeSet<String> {
    // A citation may go on in the next line of its comment.
    let lines = source.lines().map(|line| {
        let line = line.trim_start();
        line.trim_start_matches('/').trim_start_matches('!')
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    let after = |mark: &'static str| text.split(mark).skip(1);
    MARKS
        .into_iter()
        .flat_map(after)
        .filter_map(|rest| {
            rest.strip_prefix('s')
                .or(Some(rest))?
                .strip_prefix(' ')
        })
        .flat_map(leading_ids)
        .collect()
}

#[test]
fn every_number_has_its_row() {
    let cases = (1..=177).map(|n| n.to_string());
    let server = (1..=18).map(|n| format!("k{n}"));
    let device = (1..=4).map(|n| format!("c{n}"));
    let expected: Vec<String> = cases.chain(server).chain(device).collect();
    let found: Vec<String> = table().into_iter().map(|case| case.id).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_row_says_what_tests_it_or_what_is_missing() {
    for Case {
        id,
        state,
        tests,
        note,
    } in table()
    {
        let sound = match state.as_str() {
            "covered" => !tests.is_empty(),
            "partly" => !tests.is_empty() && !note.is_empty(),
            "open" | "cannot apply" => tests.is_empty() && !note.is_empty(),
            _ => false,
        };
        assert!(sound, "case {id}: state '{state}' with {tests:?} '{note}'");
    }
}

#[test]
fn every_test_of_the_table_exists_and_cites_its_case() {
    let sources = sources();
    for case in table() {
        for (path, test) in case.tests {
            let source = sources
                .get(&path)
                .unwrap_or_else(|| panic!("case {}: {path} does not exist", case.id));
            assert!(
                source.contains(&format!("fn {test}(")),
                "case {}: {path} has no fn {test}",
                case.id
            );
            assert!(
                cited(source).contains(&case.id),
                "{path} does not cite case {}",
                case.id
            );
        }
    }
}

#[test]
fn every_case_a_source_cites_names_that_source() {
    let table: BTreeMap<String, Case> = table()
        .into_iter()
        .map(|case| (case.id.clone(), case))
        .collect();
    for (path, source) in sources() {
        for id in cited(&source) {
            let case = table.get(&id).unwrap_or_else(|| {
                panic!("{path} cites case {id}, which tests/HOSTILE.md has not")
            });
            // A label in code that ships marks the place of a kill point; its tests are elsewhere.
            let label = id.starts_with(['k', 'c']) && path.contains("/src/");
            assert!(
                label || case.tests.iter().any(|(named, _)| *named == path),
                "{path} cites case {id}; name its test in tests/HOSTILE.md"
            );
        }
    }
}

#[test]
fn citations_are_read_as_they_are_written() {
    let source = "/// HOSTILE 56, 92-94\n    /// and 105 (k1 to k3), 124: two. Kill points c1 to \
                  c2. HOSTILES 7, HOSTILE.md";
    let expected = [
        "56", "92", "93", "94", "105", "k1", "k2", "k3", "124", "c1", "c2",
    ];
    assert_eq!(cited(source), expected.map(str::to_owned).into());
}
