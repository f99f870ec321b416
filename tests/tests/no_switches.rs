//! Nothing can be switched off: the code between an interaction and the bytes that leave has no
//! environment variables, no build-time options and no debug-only paths, so no build or run of it
//! makes less noise than another. What an app embeds may leave out whole modules, and change none
//! but the provider of TLS.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Crates a device's release goes through.
const CRATES: [&str; 5] = [
    "shared/types",
    "shared/model",
    "shared/privacy",
    "shared/round",
    "client/sdk",
];
/// What would make behaviour depend on how the code was built or started, or on something another
/// caller has set.
const SWITCHES: [&str; 11] = [
    "cfg!(",
    "cfg_select!",
    "debug_assert",
    "env::var",
    "env::args",
    "env!(",
    "option_env!",
    "static mut",
    "thread_local!",
    "Atomic",
    "OnceLock",
];
/// The only conditions on code: tests and documentation, which ship in nothing, and lints that are
/// stricter outside tests.
const CONDITIONS: [&str; 4] = [
    "cfg(test)]",
    "cfg(doctest)]",
    "cfg(doc)]",
    "cfg_attr(not(test),deny(",
];
/// Conditions of one file more: which modules an app takes, and under which of them it does not
/// compile; which provider TLS has; how a file is closed to others, which each system does in its
/// own way.
const ELSEWHERE: [(&str, &[&str]); 3] = [
    (
        "client/sdk/src/lib.rs",
        &[
            "cfg(feature=\"store\")]",
            "cfg(feature=\"network\")]",
            "cfg_attr(not(feature=\"network\"),allow(dead_code,",
            "cfg(all(feature=\"network\",panic=\"abort\"))]compile_error!",
        ],
    ),
    (
        "client/sdk/src/tls/mod.rs",
        &[
            "cfg(feature=\"train\")]pubmodring;",
            "cfg(feature=\"train\")]modhybrid;",
            "cfg(feature=\"aws-lc\")]modaws_lc;",
            "cfg(feature=\"aws-lc\")]pubuseself::aws_lc::provider;",
            "cfg(not(feature=\"aws-lc\"))]pubuseself::ring::provider;",
        ],
    ),
    (
        "client/sdk/src/private.rs",
        &["cfg(unix)]mod", "cfg(not(unix))]mod"],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            found.push(path);
        }
    }
}

#[test]
fn the_release_path_has_no_features_and_reads_no_environment() {
    let mut files = Vec::new();
    for name in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let may_have = name == "client/sdk";
        assert!(
            may_have == manifest.contains("[features]") && !manifest.contains("[target."),
            "{name} has features"
        );
        assert!(
            !root().join(name).join("build.rs").exists(),
            "{name} has a build script"
        );
        sources(&root().join(name).join("src"), &mut files);
    }
    assert!(files.len() > 40, "the folders were not found");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for switch in SWITCHES {
            assert!(!text.contains(switch), "{}: {switch}", path.display());
        }
        // A condition may be laid out over several lines.
        let text: String = text.split_whitespace().collect();
        for (at, _) in text
            .match_indices("cfg(")
            .chain(text.match_indices("cfg_attr("))
        {
            let here = ELSEWHERE
                .iter()
                .filter(|(file, _)| path.ends_with(file));
            let known = here
                .flat_map(|(_, conditions)| *conditions)
                .chain(&CONDITIONS)
                .any(|condition| text[at..].starts_with(condition));
            let shown: String = text[at..].chars().take(80).collect();
            assert!(known, "{}: {shown}", path.display());
        }
    }
}

/// Noise is made in one place, from one permit, with the mechanism the permit was granted for.
#[test]
fn only_the_noise_module_makes_an_update_and_only_the_ledger_a_permit() {
    let mut files = Vec::new();
    sources(&root().join("shared/privacy/src"), &mut files);
    for (made, home) in [
        ("PrivateUpdate {", "noise/mod.rs"),
        ("SpendPermit {", "ledger.rs"),
    ] {
        let holds = |path: &&PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            text.lines().any(|line| {
                let line = line.trim();
                !line.starts_with("//")
                    && line.contains(made)
                    && !line.contains("impl")
                    && !line.contains("struct")
                    && !line.contains("->")
            })
        };
        let places: Vec<&PathBuf> = files.iter().filter(holds).collect();
        assert!(
            places.len() == 1 && places[0].ends_with(home),
            "{made} in {places:?}"
        );
    }
}
