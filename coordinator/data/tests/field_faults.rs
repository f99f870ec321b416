//! What people really hand over: files as spreadsheets, programs and shops write them, and the
//! faults in them that must not change a figure in silence. HOSTILE 118, 119.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;

use tacit_data::{Columns, DataError, Dataset, LoadOptions, load, recorded};
use tacit_model::history::interaction::InteractionKind;
use tacit_types::Timestamp;
use tempfile::TempDir;

fn try_load(text: impl AsRef<[u8]>, options: &LoadOptions) -> Result<Dataset, DataError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.csv");
    fs::write(&path, text).unwrap();
    load(&path, options)
}

fn loaded(text: impl AsRef<[u8]>) -> Dataset {
    try_load(text, &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn with_columns(columns: &str) -> LoadOptions {
    LoadOptions {
        columns: Some(columns.parse::<Columns>().unwrap()),
        ..LoadOptions::default()
    }
}

/// Two users and three items, every way round.
const PLAIN: &str = "user,item,value\na,x,5\na,y,4\nb,x,3\nb,z,2\n";

#[test]
fn the_same_table_is_read_whatever_wrote_it() {
    let plain = loaded(PLAIN);
    let rows = |separator: &str| PLAIN.replace(',', separator);
    for (name, text) in [
        ("semicolons", rows(";")),
        ("tabs", rows("\t")),
        ("bars", rows("|")),
        ("two colons", rows("::")),
        ("blanks after commas", rows(", ")),
        ("a spreadsheet's own line", format!("sep=;\n{}", rows(";"))),
        ("a comment", format!("# exported 2024\n{PLAIN}")),
        ("CR alone", PLAIN.replace('\n', "\r")),
        (
            "byte order mark and CRLF",
            format!("\u{feff}{}", PLAIN.replace('\n', "\r\n")),
        ),
        ("no last line end", PLAIN.trim_end().to_owned()),
        ("a trailing comma", PLAIN.replace('\n', ",\n")),
        (
            "an index column",
            PLAIN
                .replace("user", ",user")
                .replace("\na", "\n0,a")
                .replace("\nb", "\n1,b"),
        ),
        (
            "capitals",
            PLAIN.replace("user,item,value", "USER,ITEM,VALUE"),
        ),
        (
            "another column",
            PLAIN
                .replace('\n', ",ios\n")
                .replacen("ios", "device_type", 1),
        ),
        (
            "RecBole names",
            rows("\t").replace(
                "user\titem\tvalue",
                "user_id:token\titem_id:token\trating:float",
            ),
        ),
    ] {
        let data = loaded(&text);
        assert_eq!(
            (&data.items, &data.users),
            (&plain.items, &plain.users),
            "{name}: {text}"
        );
    }
}

#[test]
fn columns_are_named_by_the_caller_or_by_place() {
    let named = try_load(
        "client;thing;mood;stars\na;x;3;5\na;y;1;4\n",
        &with_columns("user=client,item=thing,value=stars"),
    );
    assert_eq!(named.unwrap().users[0][0].value, 5.0);
    let text = "B01,A9,5.0,1341100800\nB02,A9,4.0,1341100801\n";
    let by_place = try_load(text, &with_columns("item=1,user=2,value=3,time=4")).unwrap();
    assert_eq!(
        (by_place.items[0].key.as_str(), by_place.test[0].len()),
        ("B01", 1)
    );
    let error = try_load(text, &LoadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("--columns user=1,item=2,value=3,time=4"),
        "{error}"
    );
    let error = try_load(PLAIN, &with_columns("user=client,item=item"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no column 'client'") && error.contains("'user'"),
        "{error}"
    );
}

#[test]
fn what_a_refusal_of_a_header_suggests_is_what_reads_the_file() {
    let text = "client;thing;grade\na;x;5\na;y;4\n";
    let error = try_load(text, &LoadOptions::default())
        .unwrap_err()
        .to_string();
    let (_, columns) = error.split_once("--columns ").unwrap();
    assert_eq!(
        try_load(text, &with_columns(columns))
            .unwrap()
            .users
            .len(),
        1
    );
}

#[test]
fn times_of_every_unit_give_one_order_and_the_unit_is_told() {
    for (times, unit) in [
        (["1600000000", "1600000060"], "seconds"),
        (["1600000000.0", "1600000060.5"], "seconds"),
        (["1.6e9", "1.60000006e9"], "seconds"),
        (["1600000000000", "1600000060000"], "milliseconds"),
        (["1600000000000000", "1600000060000000"], "microseconds"),
        (
            ["1600000000000000000", "1600000060000000000"],
            "nanoseconds",
        ),
        (["2020-09-13T12:26:40Z", "2020-09-13 12:27:40"], "ISO 8601"),
    ] {
        let [first, second] = times;
        let data = loaded(format!(
            "user,item,time\na,late,{second}\na,early,{first}\n"
        ));
        assert_eq!(
            data.users[0][0].timestamp,
            Some(Timestamp(1_600_000_000_000)),
            "{first}"
        );
        assert!(
            data.reading.times.starts_with(unit),
            "{}",
            data.reading.times
        );
        assert!(
            data.reading
                .times
                .ends_with("2020-09-13 to 2020-09-13"),
            "{}",
            data.reading.times
        );
    }
}

#[test]
fn one_missing_time_changes_the_split_and_says_so() {
    let rows = |first: &str| {
        format!("user,item,time\na,x,{first}\na,y,1600000001\nb,x,1600000002\nb,z,1600000003\n")
    };
    let all = loaded(rows("1600000000")).reading;
    assert_eq!(
        (all.split.as_str(), all.random_split),
        ("each user's last item by time", false)
    );
    assert!(all.notes.is_empty());
    let partial = loaded(rows("")).reading;
    assert_eq!(
        (partial.split.as_str(), partial.random_split),
        ("a random fifth of each user's items", true)
    );
    assert!(
        partial.notes[0].starts_with("1 of 4 interactions have no time"),
        "{:?}",
        partial.notes
    );
    assert!(
        partial.notes[1].contains("random fifth"),
        "{:?}",
        partial.notes
    );
    let none = loaded(PLAIN).reading;
    assert!(none.random_split && none.notes.is_empty() && none.times == "none");
}

#[test]
fn identifiers_are_one_whatever_surrounds_them() {
    let data = loaded("user,item\n17 ,x\n17,\" y\"\n17.0,x\n\"17\",z\n");
    assert_eq!(data.users.len(), 1);
    assert!(
        data.reading.notes[0].starts_with("1 identifiers such as 12.0"),
        "{:?}",
        data.reading.notes
    );
    let url = format!("https://news.example.org/{}", "a-long-slug-".repeat(30));
    let data = loaded(format!("user,item\n夜,{url}\n夜,{}\n", "夜".repeat(170)));
    assert_eq!(data.items[0].key, url);
}

#[test]
fn bytes_that_are_no_utf8_are_read_as_latin1_and_counted() {
    let data = loaded(b"user,item\nu,caf\xe9\nu,t\xe9\n");
    assert_eq!(data.items[0].key, "café");
    assert!(
        data.reading.notes[0].starts_with("2 fields are not UTF-8"),
        "{:?}",
        data.reading.notes
    );
}

#[test]
fn titles_never_refuse_a_folder() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("ratings.csv"), "userId,movieId,rating\n1,10,5\n1,11,4\n").unwrap();
    let long = "x".repeat(2000);
    let movies = format!("movieId,title,genres\n10,a\u{7}b,D\u{1b}rama\n11,{long},\nbroken\n");
    fs::write(at("movies.csv"), movies).unwrap();
    let data = load(folder.path(), &LoadOptions::default()).unwrap();
    assert_eq!(
        (data.items[0].title.as_str(), data.items[1].title.len()),
        ("a b", 1024)
    );
    assert_eq!(data.items[0].categories, ["D rama"]);
    let notes = data.reading.notes.join("; ");
    assert!(
        notes.contains("2 titles or categories") && notes.contains("1 lines of title"),
        "{notes}"
    );
}

#[test]
fn ratings_keep_their_scale_and_the_callers_is_enforced() {
    let rated = |low: &str, high: &str| format!("user,item,rating\na,x,{low}\na,y,{high}\n");
    for (low, high, scale) in [
        ("2", "10", [2.0, 10.0]),
        ("0.2", "1", [0.2, 1.0]),
        ("-10", "10", [-10.0, 10.0]),
    ] {
        assert_eq!(loaded(rated(low, high)).reading.scale, Some(scale));
    }
    let given = LoadOptions {
        scale: Some([1.0, 5.0]),
        ..LoadOptions::default()
    };
    assert_eq!(
        try_load(rated("2", "4"), &given)
            .unwrap()
            .reading
            .scale,
        Some([1.0, 5.0])
    );
    let error = try_load(rated("2", "10"), &given)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 3: rating '10' is outside the scale from 1 to 5"),
        "{error}"
    );
}

#[test]
fn a_test_file_has_a_shape_of_its_own() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("x.csv"), PLAIN).unwrap();
    fs::write(
        at("t.tsv"),
        "user_id\titem_id\trating\na\ty\t5\nb\tnew\t5\n",
    )
    .unwrap();
    let options = LoadOptions {
        test: Some(at("t.tsv")),
        ..LoadOptions::default()
    };
    let data = load(&at("x.csv"), &options).unwrap();
    assert_eq!(data.reading.split, "the pairs of t");
    assert_eq!((data.users[0].len(), data.test[1].len()), (1, 1));
    assert!(!data.reading.random_split);
}

#[test]
fn devices_read_what_a_data_set_reads() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("recorded.csv");
    fs::write(
        &path,
        "device;item;timestamp;value;type\n\
         0;7;1600000000;;view\n0;8;1600000001;;dislike\n3;7;;4;\n",
    )
    .unwrap();
    let devices = recorded(&path, None).unwrap();
    assert_eq!(devices.keys().copied().collect::<Vec<_>>(), [0, 3]);
    let first = &devices[&0];
    assert_eq!(first[0].timestamp, Some(Timestamp(1_600_000_000_000)));
    assert_eq!(first[1].kind, InteractionKind::Dislike);
    assert_eq!(devices[&3][0].value, 4.0);
    for (row, says) in [
        ("x;7;;;view", "line 2: device 'x' is not a whole number"),
        ("0;film;;;view", "line 2: item 'film' is not a whole number"),
    ] {
        fs::write(&path, format!("device;item;timestamp;value;type\n{row}\n")).unwrap();
        let error = recorded(&path, None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // The first line was taken for a header without a look, and its device lost.
    fs::write(&path, "0,7,1600000000,1,view\n").unwrap();
    let error = recorded(&path, None).unwrap_err().to_string();
    assert!(error.contains("no header"), "{error}");
    let columns = "user=1,item=2,time=3,value=4,type=5".parse().unwrap();
    let devices = recorded(&path, Some(&columns)).unwrap();
    assert_eq!(devices[&0][0].kind, InteractionKind::View);
}
