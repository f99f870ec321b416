//! JSON lines read as a separated file with the same fields does, and what is no JSON line is
//! refused by its place.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;

use tacit_data::{LoadOptions, Split, load, recorded};
use tempfile::TempDir;

fn options() -> LoadOptions {
    LoadOptions {
        split: Split::Nothing,
        ..LoadOptions::default()
    }
}

/// HOSTILE 118: reviews as they are published, lists and keys that only some lines have included.
#[test]
fn reviews_read_as_the_same_rows_separated() {
    let folder = TempDir::new().unwrap();
    let (lines, table) = (folder.path().join("a.jsonl"), folder.path().join("a.csv"));
    fs::write(
        &lines,
        "{\"overall\": 5.0, \"reviewerID\": \"A1\", \"asin\": \"B,7\", \
         \"unixReviewTime\": 1252800000}\n\
         \n\
         {\"reviewerID\": \"A2\", \"asin\": \"B8\", \"overall\": 3, \
         \"unixReviewTime\": 1252800001, \
         \"image\": [\"x\"]}\r\n\
         {\"asin\": \"B,7\", \"reviewerID\": \"A2\", \"overall\": null, \
         \"unixReviewTime\": 1252800002}",
    )
    .unwrap();
    fs::write(
        &table,
        "asin,overall,reviewerID,unixReviewTime\n\"B,7\",5.0,A1,1252800000\nB8,3,A2,1252800001\n\
         \"B,7\",,A2,1252800002\n",
    )
    .unwrap();
    let (a, b) = (
        load(&lines, &options()).unwrap(),
        load(&table, &options()).unwrap(),
    );
    assert_eq!(a.users, b.users);
    assert_eq!(a.items[0].key, b.items[0].key);
    assert_eq!((a.users.len(), a.items.len()), (2, 2));
    assert!(
        a.reading.columns.contains("JSON keys"),
        "{}",
        a.reading.columns
    );
}

#[test]
fn what_is_no_json_line_is_refused_by_its_place() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.ndjson");
    let sound = "{\"user\": 0, \"item\": 1}\n";
    for (line, says) in [
        (
            "{\"user\": 0, \"item\": 1},",
            "line 2: the line is not one JSON object",
        ),
        ("[0, 1]", "line 2: the line is not one JSON object"),
        (
            "{\"user\": 0, \"item\": {\"id\": 1}}",
            "line 2: 'item' is a list or an object",
        ),
        ("{\"user\": 0}", "line 2"),
    ] {
        fs::write(&path, format!("{sound}{line}\n")).unwrap();
        let error = load(&path, &options()).unwrap_err().to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
    fs::write(&path, "\n").unwrap();
    let error = load(&path, &options()).unwrap_err().to_string();
    assert!(error.contains("there is no object"), "{error}");
    fs::write(&path, sound).unwrap();
    assert_eq!(recorded(&path, None).unwrap()[&0].len(), 1);
}
