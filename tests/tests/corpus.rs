//! The committed fuzzing corpora, and fixed changes of them, through every fuzz target: what
//! libFuzzer once found stays fixed on machines that have no libFuzzer. Which case of
//! `tests/HOSTILE.md` a target covers stands at the target.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_tests::fuzz::seeds::seeds;
use tacit_tests::fuzz::{TARGETS, Target};

/// Changed copies of each file.
const MUTATIONS: usize = 300;
/// Files are cut off at no more than this many places, evenly spread; most are shorter and cut off
/// everywhere.
const CUTS_MAX: usize = 2_000;
/// A corpus stays small enough to be read and cloned.
const CORPUS_BYTES_MAX: usize = 200_000;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(corpora().join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| {
            (
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// Runs one input, naming it when a promise is broken.
fn run(target: Target, what: &str, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
        panic!("{what} broke a promise; the bytes: {}", hex::encode(bytes));
    }
}

fn run_corpus(name: &str) {
    let (_, target) = *TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .unwrap();
    let files = corpus(name);
    assert!(
        files.len() >= 4,
        "{name} has a corpus of {} files",
        files.len()
    );
    assert!(
        files
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>()
            <= CORPUS_BYTES_MAX,
        "{name}: too large"
    );
    let mut rng = ChaCha20Rng::seed_from_u64(0);
    for (file, bytes) in &files {
        run(target, &format!("{name}/{file}"), bytes);
        for cut in (0..bytes.len()).step_by(bytes.len().div_ceil(CUTS_MAX).max(1)) {
            run(
                target,
                &format!("{name}/{file} cut off at byte {cut}"),
                &bytes[..cut],
            );
        }
        for change in 0..MUTATIONS {
            run(
                target,
                &format!("{name}/{file} with change {change}"),
                &mutated(bytes, &files, &mut rng),
            );
        }
    }
}

/// One to four small changes: a bit, a byte, a removed or repeated piece, a piece of another file.
fn mutated(bytes: &[u8], others: &[(String, Vec<u8>)], rng: &mut ChaCha20Rng) -> Vec<u8> {
    /// Values at the edges of what numbers and texts mean.
    const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b'"'];
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let (from, length) = (rng.random_range(0..=bytes.len()), rng.random_range(1..=16));
        let to = (from + length).min(bytes.len());
        match rng.random_range(0..5) {
            0 if from < to => bytes[from] ^= 1 << rng.random_range(0..8),
            1 if from < to => bytes[from] = EDGES[rng.random_range(0..EDGES.len())],
            2 => drop(bytes.drain(from..to)),
            3 => bytes.extend_from_within(from..to),
            _ => {
                let (_, other) = &others[rng.random_range(0..others.len())];
                let start = rng.random_range(0..=other.len());
                let piece = other[start..(start + length).min(other.len())].to_vec();
                bytes.splice(from..to, piece);
            }
        }
    }
    bytes
}

macro_rules! corpus_tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run_corpus(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_test_and_a_front_end() {
            let tested = BTreeSet::from([$(stringify!($name)),*]);
            assert_eq!(tested, TARGETS.iter().map(|(name, _)| *name).collect());
            let folder = corpora().parent().unwrap().join("fuzz_targets");
            let front_ends: BTreeSet<_> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            let stems: BTreeSet<_> = front_ends
                .iter()
                .filter_map(|path| path.file_stem()?.to_str())
                .collect();
            assert_eq!(stems, tested);
        }
    };
}

corpus_tests!(config csv ledger_line model policy sealed_seed ticket tree_head wire);

/// A corpus of documents that no longer parse would test nothing but the first check.
#[test]
fn the_committed_seeds_are_what_the_generator_makes() {
    for seed in seeds() {
        let path = corpora().join(seed.target).join(seed.name);
        let same = fs::read(&path).is_ok_and(|bytes| bytes == seed.bytes);
        assert!(
            same,
            "{}: run cargo run --release -p tacit-tests --example seeds",
            path.display()
        );
    }
}
