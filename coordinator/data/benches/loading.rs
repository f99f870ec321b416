//! Loading 20 million rows of MovieLens shape, beside the bare CSV library on the same file: its
//! records as text, which is what a loader needs, and as bytes, which is the least it can do.
//! Targets: at least half of the rate of text, and less than 100 bytes of memory a row.

#![allow(clippy::print_stdout, reason = "benchmarks say what they measured")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use csv::{ByteRecord, Reader, ReaderBuilder};
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
    let bytes = seconds(|| assert_eq!(byte_records(&path), ROWS + 1));
    let text = seconds(|| assert_eq!(text_records(&path), ROWS + 1));
    let before = resident_bytes("VmRSS");
    let mut users = 0;
    let loaded = seconds(|| users = users_loaded(&path));
    let memory = resident_bytes("VmHWM").saturating_sub(before) as f64 / f64::from(ROWS);
    let rate = |seconds: f64| f64::from(ROWS) / seconds / 1e6;
    println!(
        "{ROWS} rows of {users} users, in millions a second: {:.2} loaded, {:.2} split into text \
         by the CSV library (ratio {:.2}, target 0.5), {:.2} into bytes (ratio {:.2}); at most \
         {memory:.0} bytes of memory a row (target 100)",
        rate(loaded),
        rate(text),
        text / loaded,
        rate(bytes),
        bytes / loaded,
    );
}

/// Writes a file of ratings, ordered by user as MovieLens is, with items of a power law.
fn write_rows(path: &Path) {
    let mut out = BufWriter::new(File::create(path).expect("a temporary file can be made"));
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut write = |line: String| {
        out.write_all(line.as_bytes())
            .expect("the disk has room")
    };
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

/// Records of bytes into one buffer.
fn byte_records(path: &Path) -> u32 {
    let (mut reader, mut record, mut rows) = (reader(path), ByteRecord::new(), 0);
    while reader
        .read_byte_record(&mut record)
        .expect("the file is CSV")
    {
        rows += 1;
    }
    rows
}

/// Records of text, as the library hands them out.
fn text_records(path: &Path) -> u32 {
    let mut rows = 0;
    for record in reader(path).records() {
        rows += u32::from(!record.expect("the file is CSV").is_empty());
    }
    rows
}

fn reader(path: &Path) -> Reader<File> {
    let mut builder = ReaderBuilder::new();
    let reader = builder.has_headers(false).from_path(path);
    reader.expect("the file was just written")
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
