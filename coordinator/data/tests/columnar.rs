//! Parquet files load as the same table in text does, and no damage to one does more than refuse
//! it. HOSTILE 118.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_data::{LoadOptions, load};
use tempfile::TempDir;

const SCHEMA: &str = "message ratings {
    REQUIRED INT64 user_id;
    REQUIRED BYTE_ARRAY item_id (UTF8);
    REQUIRED DOUBLE rating;
    REQUIRED INT64 timestamp (TIMESTAMP_MILLIS);
    REQUIRED BYTE_ARRAY mood (UTF8);
}";

/// The same in text; an early time is no reason to take milliseconds for seconds.
const TEXT: &str = "user_id,item_id,rating,timestamp,mood\n\
                    1,x,5,1600000000.000,a\n\
                    1,y,4.5,1.000,b\n\
                    2,x,1,1600000060.000,c\n";

fn write(path: &Path, compression: Compression) {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    numbers(&mut group, &[1, 1, 2]);
    words(&mut group, &["x", "y", "x"]);
    let mut ratings = group.next_column().unwrap().unwrap();
    ratings
        .typed::<DoubleType>()
        .write_batch(&[5.0, 4.5, 1.0], None, None)
        .unwrap();
    ratings.close().unwrap();
    numbers(&mut group, &[1_600_000_000_000, 1_000, 1_600_000_060_000]);
    words(&mut group, &["a", "b", "c"]);
    group.close().unwrap();
    writer.close().unwrap();
}

fn numbers(group: &mut SerializedRowGroupWriter<'_, File>, numbers: &[i64]) {
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<Int64Type>()
        .write_batch(numbers, None, None)
        .unwrap();
    column.close().unwrap();
}

fn words(group: &mut SerializedRowGroupWriter<'_, File>, words: &[&str]) {
    let words: Vec<ByteArray> = words
        .iter()
        .map(|word| ByteArray::from(*word))
        .collect();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<ByteArrayType>()
        .write_batch(&words, None, None)
        .unwrap();
    column.close().unwrap();
}

#[test]
fn a_parquet_file_is_the_table_it_holds() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("x.csv");
    fs::write(&text, TEXT).unwrap();
    let expected = load(&text, &LoadOptions::default()).unwrap();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(Default::default()),
    ] {
        let path = folder.path().join("x.parquet");
        write(&path, compression);
        let data = load(&path, &LoadOptions::default()).unwrap();
        assert_eq!(
            (&data.items, &data.users),
            (&expected.items, &expected.users),
            "{compression:?}"
        );
        assert_eq!((&data.test, &data.name), (&expected.test, &expected.name));
        assert!(
            data.reading.columns.contains("not read: mood"),
            "{}",
            data.reading.columns
        );
    }
}

#[test]
fn names_of_parquet_columns_are_judged_like_a_header() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, Compression::SNAPPY);
    let options = LoadOptions {
        columns: Some("user=mood,item=client".parse().unwrap()),
        ..LoadOptions::default()
    };
    let error = load(&path, &options).unwrap_err().to_string();
    assert!(
        error.contains("no column 'client' for item") && error.contains("'item_id'"),
        "{error}"
    );
}

#[test]
fn no_damage_to_a_parquet_file_panics_or_gives_more_than_one_line() {
    let mut rng = ChaCha20Rng::seed_from_u64(118);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, Compression::SNAPPY);
    let good = fs::read(&path).unwrap();
    for round in 0..2_000 {
        let mut bytes = good.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes.truncate(at.max(1)),
                _ => bytes[at] = rng.random(),
            }
        }
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = load(&path, &LoadOptions::default()) {
            let message = error.to_string();
            assert_eq!(message.lines().count(), 1, "damage {round}: {message}");
        }
    }
}
