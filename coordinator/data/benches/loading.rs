//! Loading 20 million rows of MovieLens shape, beside the bare CSV library on the same file.
//! Targets: at least half of its rate, and less than 100 bytes of memory a row.

#![allow(clippy::print_stdout, reason = "benchmarks say what they measured")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use csv::{ByteRecord, ReaderBuilder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_data::{LoadOptions, Split, load};
use tempfile::TempDir;

/// Rows, and those of one user.
const ROWS: u32 = 20_000_000;
const ROWS_PER_USER: u32 = 144;
/// Items of the catalogue.
const ITEMS: f64 = 27_000.0;

fn main() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let path = folder.path().join("ratings.csv");
    write_rows(&path);
    let bare = seconds(|| assert_eq!(bare_rows(&path), ROWS + 1));
    let before = resident_bytes("VmRSS");
    let mut users = 0;
    let loaded = seconds(|| users = users_loaded(&path));
    let bytes = resident_bytes("VmHWM").saturating_sub(before) as f64 / f64::from(ROWS);
    println!(
        "{ROWS} rows of {users} users: {:.2} million a second loaded, {:.2} by the bare CSV \
         library: ratio {:.2} (target 0.5); {bytes:.0} bytes a row at most (target 100)",
        f64::from(ROWS) / loaded / 1e6,
        f64::from(ROWS) / bare / 1e6,
        bare / loaded,
    );
}

/// Writes a file of ratings, ordered by user as MovieLens is, with items of a power law.
fn write_rows(path: &Path) {
    let mut out = BufWriter::new(File::create(path).expect("a temporary file can be made"));
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut write = |line: String| out.write_all(line.as_bytes()).expect("the disk has room");
    write("userId,movieId,rating,timestamp\n".to_owned());
    for row in 0..ROWS {
        let item = ITEMS.powf(rng.random::<f64>()).floor();
        let stars = f64::from(rng.random_range(1..=10)) / 2.0;
        let time = rng.random_range(800_000_000..1_400_000_000);
        write(format!(
            "{},{item},{stars:.1},{time}\n",
            row / ROWS_PER_USER + 1
        ));
    }
}

/// What the library does with the same file and nothing else.
fn bare_rows(path: &Path) -> u32 {
    let mut reader = ReaderBuilder::new();
    let reader = reader.has_headers(false).from_path(path);
    let mut reader = reader.expect("the file was just written");
    let (mut record, mut rows) = (ByteRecord::new(), 0);
    while reader
        .read_byte_record(&mut record)
        .expect("the file is CSV")
    {
        rows += 1;
    }
    rows
}

fn users_loaded(path: &Path) -> usize {
    let options = LoadOptions {
        split: Split::Nothing,
        ..LoadOptions::default()
    };
    let data = load(path, &options).expect("the file is a data set");
    assert_eq!(data.interaction_count(), ROWS as usize);
    data.users.len()
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Memory of this process as Linux tells it; 0 elsewhere.
fn resident_bytes(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u64>().ok());
    1024 * kilobytes.unwrap_or(0)
}
