//! Data sets as a person hands them to the binary: what was read is told in text, JSON and page,
//! and what has no meaning is refused.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn simulate(data: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tacit"))
        .args(["simulate", "--data"])
        .arg(data)
        .args(options)
        .output()
        .expect("the binary starts")
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refusal(output: &Output) -> String {
    assert_eq!(
        output.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(data: &Path, options: &[&str]) -> Value {
    let options = [options, &["--json"]].concat();
    serde_json::from_str(&text(&simulate(data, &options))).expect("one object")
}

/// Forty users with ten ratings each; `row` writes user, item, stars from 1 to 5 and a number that
/// grows with time.
fn table(header: &str, row: impl Fn(u64, u64, u64, u64) -> String) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut lines = format!("{header}\n");
    for user in 0..40 {
        for turn in 0..10 {
            let item = (user * 7 + turn * turn + 3 * turn) % 30;
            let stars = 1 + (user + item) % 5;
            let row = row(user, item, stars, user * 1000 + turn);
            writeln!(lines, "{row}").expect("memory");
        }
    }
    let path = folder.path().join("x.csv");
    std::fs::write(&path, lines).expect("a temporary file");
    (folder, path)
}

fn rmse(outcome: &Value) -> f64 {
    outcome["points"][0]["rows"][1]["rmse"]["mean"]
        .as_f64()
        .expect("a figure")
}

#[test]
fn errors_of_ratings_grow_with_their_scale() {
    let scaled = |factor: u64| {
        let (_folder, path) = table("user,item,rating", |user, item, stars, _| {
            format!("{user},{item},{}", stars * factor)
        });
        json(&path, &["--model", "rating"])
    };
    let (one, two) = (scaled(1), scaled(20));
    assert_eq!(two["scale"], serde_json::json!([20.0, 100.0]));
    assert!(
        (rmse(&two) / rmse(&one) - 20.0).abs() < 0.1,
        "{} {}",
        rmse(&one),
        rmse(&two)
    );
    let (_folder, path) = table("user,item,rating", |u, i, stars, _| {
        format!("{u},{i},{stars}")
    });
    let told = text(&simulate(&path, &["--model", "rating", "--scale", "0..10"]));
    assert!(
        told.contains("scale 0 to 10") && told.contains("a random tenth"),
        "{told}"
    );
    let outside = refusal(&simulate(&path, &["--model", "rating", "--scale", "2..5"]));
    assert!(
        outside.contains("rating '1' is outside the scale from 2 to 5"),
        "{outside}"
    );
    let none = refusal(&simulate(&path, &["--scale", "5..1"]));
    assert!(none.contains("--scale '5..1' is no scale"), "{none}");
}

#[test]
fn ratings_are_predicted_from_ratings_only() {
    let (_folder, path) = table("user,item", |user, item, _, _| format!("{user},{item}"));
    let error = refusal(&simulate(&path, &["--model", "rating"]));
    assert!(error.contains("--model rating needs ratings"), "{error}");
    let (_folder, path) = table("user,item,rating", |user, item, _, _| {
        format!("{user},{item},5")
    });
    let error = refusal(&simulate(&path, &["--model", "rating"]));
    assert!(
        error.contains("every rating is 5; give the scale"),
        "{error}"
    );
}

#[test]
fn the_split_that_was_used_is_told_everywhere() {
    let with_times = |missing: bool| {
        table("user,item,time", move |user, item, _, time| {
            let time = 1_600_000_000 + time;
            let gap = missing && time == 1_600_000_000;
            format!(
                "{user},{item},{}",
                if gap { String::new() } else { time.to_string() }
            )
        })
    };
    let (folder, path) = with_times(false);
    let told = text(&simulate(&path, &[]));
    assert!(
        told.contains("held out: each user's last item by time"),
        "{told}"
    );
    assert!(
        told.contains("a half-life of 10 interactions") && !told.contains("Note:"),
        "{told}"
    );
    assert!(
        told.contains("times: seconds since 1970, 2020-09-13 to"),
        "{told}"
    );

    let (_folder, partial) = with_times(true);
    let page = folder.path().join("page.html");
    let page_option = page.to_str().expect("a path of letters");
    let told = text(&simulate(&partial, &["--html", page_option]));
    for said in [
        "held out: a random fifth of each user's items",
        "recency does not order lists",
        "Note: 1 of 400 interactions have no time",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let page = std::fs::read_to_string(page).expect("the page was written");
    assert!(page.contains("a random fifth of each user") && page.contains("1 of 400"));
    let outcome = json(&partial, &[]);
    assert_eq!(outcome["split"], "a random fifth of each user's items");
    assert_eq!(
        outcome["reading"]["notes"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(outcome["half_life"], Value::Null);
}

#[test]
fn a_test_file_is_what_is_tested_on() {
    let (folder, path) = table("user,item", |user, item, _, _| format!("{user},{item}"));
    let test = folder.path().join("test.csv");
    std::fs::write(&test, "user_id;movieId\n0;0\n1;7\n").expect("a temporary file");
    let outcome = json(
        &path,
        &["--test", test.to_str().expect("a path of letters")],
    );
    assert_eq!(outcome["split"], "the pairs of test");
    assert_eq!(outcome["points"][0]["rows"][0]["tested"], 2);
}

#[test]
fn a_delta_that_promises_little_is_warned_of() {
    let (_folder, path) = table("user,item", |user, item, _, _| format!("{user},{item}"));
    let output = simulate(&path, &["--delta", "0.01"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("delta is above 1/(10 n): use at most 2e-3 for 40 devices"),
        "{said}"
    );
}

#[test]
fn the_columns_that_a_refusal_suggests_are_taken() {
    let (_folder, path) = table("client;thing;grade", |u, i, stars, _| {
        format!("{u};{i};{stars}")
    });
    let error = refusal(&simulate(&path, &[]));
    let columns = error
        .trim_end()
        .split_once("--columns ")
        .expect("a suggestion")
        .1;
    let told = text(&simulate(&path, &["--columns", columns]));
    assert!(
        told.contains("x.csv: user=client,item=thing, parted by semicolons; not read: grade"),
        "{told}"
    );
}

#[test]
fn two_results_on_the_same_people_are_compared_user_by_user() {
    let (folder, path) = table("user,item,time", |user, item, _, time| {
        format!("{user},{item},{}", 1_600_000_000 + time)
    });
    let saved = |epsilon: &str| {
        let options = ["--epsilon", epsilon, "--json", "--per-user"];
        let saved = folder.path().join(format!("{epsilon}.json"));
        std::fs::write(&saved, text(&simulate(&path, &options))).expect("a temporary file");
        saved
    };
    let (a, b) = (saved("1"), saved("20"));
    let page = folder.path().join("page.html");
    let compare = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacit"));
        command
            .args(["simulate", "--compare"])
            .args([&a, &b])
            .args(options);
        text(&command.output().expect("the binary starts"))
    };
    let told = compare(&["--html", page.to_str().expect("a path of letters")]);
    assert!(
        told.contains("private federated") && told.contains("40 users, paired"),
        "{told}"
    );
    assert!(
        std::fs::read_to_string(page)
            .expect("the page")
            .contains("standard error")
    );
    let compared: Value = serde_json::from_str(&compare(&["--json"])).expect("one object");
    let (row, outcome) = (&compared["rows"][2], json(&path, &["--epsilon", "20"]));
    assert_eq!(row["model"], "federated");
    let [mean, expected] = [
        &row["figures"][0]["means"][1],
        &outcome["points"][0]["rows"][2]["figures"]["hr_at_10"]["mean"],
    ]
    .map(|figure| figure.as_f64().expect("a figure"));
    assert!((mean - expected).abs() < 1e-6, "{mean} {expected}");
    assert!(outcome["points"][0]["rows"][2]["per_user"].is_null());
}
