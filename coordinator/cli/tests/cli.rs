//! The binary as a person meets it: help, exit codes, one clear line for bad input.

use std::process::{Command, Output};

fn tacit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tacit"))
        .args(arguments)
        .output()
        .expect("the binary starts")
}

#[test]
fn every_subcommand_has_help_with_an_example() {
    for command in [
        &["demo"][..],
        &["coordinator"],
        &["helper"],
        &["device"],
        &["simulate"],
        &["audit", "verify"],
        &["audit", "report"],
        &["audit", "explain"],
        &["audit", "canary"],
        &["plan"],
        &["pki", "init"],
        &["pki", "policy"],
        &["pki", "renew"],
        &["pki", "revoke"],
        &["pki", "rotate"],
        &["pki", "tokens"],
    ] {
        let output = tacit(&[command, &["--help"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("Usage: tacit"),
            "{command:?}"
        );
        assert!(
            text.contains("Example: tacit") || command == ["audit", "verify"],
            "{command:?} has no example"
        );
    }
}

/// A good plan with one option changed.
fn plan<'a>(option: &'a str, value: &'a str) -> Vec<&'a str> {
    let mut arguments = vec![
        "plan",
        "--users",
        "6040",
        "--items",
        "3706",
        "--epsilon",
        "8",
    ];
    match arguments
        .iter()
        .position(|&argument| argument == option)
    {
        Some(place) => arguments[place + 1] = value,
        None => arguments.extend([option, value]),
    }
    arguments
}

/// Each sentence of the plan for people is held by a figure of the plan for scripts.
#[test]
fn a_plan_is_one_object_for_scripts_and_a_verdict_for_people() {
    let run = |more: &[&str]| {
        let output = tacit(&[&plan("--epsilon", "8"), more].concat());
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&run(&["--json"])).unwrap();
    let object = json.as_object().unwrap();
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = [
        "advice",
        "bytes_up_per_device",
        "conversion",
        "epsilon",
        "gain_share",
        "gamma",
        "q",
        "releases",
        "rho",
        "rho_units",
        "sigma",
    ];
    assert_eq!(keys, expected);
    assert!(json["epsilon"].as_f64().unwrap() <= 8.0);
    let releases = json["releases"].as_array().unwrap();
    let total = |key: &str| {
        releases
            .iter()
            .map(|release| release[key].as_f64().unwrap())
            .sum::<f64>()
    };
    assert!((total("rho") / json["rho"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(
        total("bytes"),
        json["bytes_up_per_device"].as_f64().unwrap()
    );
    let units: f64 = json["rho_units"].as_str().unwrap().parse().unwrap();
    assert!((units * 2f64.powi(-64) / json["rho"].as_f64().unwrap() - 1.0).abs() < 1e-12);

    let text = run(&[]);
    let gain = format!(
        "about {:.0} % of a central model's gain",
        100.0 * json["gain_share"].as_f64().unwrap()
    );
    assert!(text.lines().next().unwrap().contains(&gain), "{text}");
    assert_eq!(
        run(&["--participation", "4"]),
        text,
        "four releases, the evaluation with them, fit the limit"
    );
    let weak = String::from_utf8(tacit(&plan("--users", "50")).stdout).unwrap();
    assert!(
        weak.starts_with("Out of reach:") && weak.contains("To train factors"),
        "{weak}"
    );
}

#[test]
fn bad_options_exit_with_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let kept = kept.to_str().unwrap();
    for (arguments, expected) in [
        (
            vec!["demo", "--epsilon", "0", "--keep", kept],
            "--epsilon: epsilon must be",
        ),
        (
            vec!["demo", "--epsilon", "nan", "--keep", kept],
            "--epsilon: epsilon must be",
        ),
        (
            vec!["demo", "--rounds", "0", "--keep", kept],
            "--rounds must be from 1 to 64",
        ),
        (
            vec!["demo", "--users", "2", "--keep", kept],
            "users are too few",
        ),
        (
            vec!["demo", "--data", "no-such-folder", "--keep", kept],
            "no-such-folder",
        ),
        (
            vec!["audit", "canary", "--delta", "1"],
            "--delta: delta must be",
        ),
        (
            vec!["audit", "canary", "--devices", "10"],
            "--devices must be at least 128",
        ),
        (
            vec!["audit", "canary", "--epsilon", "1e-9"],
            "no release can be made",
        ),
        (plan("--epsilon", "-1"), "--epsilon: epsilon must be"),
        (plan("--delta", "2"), "--delta: delta must be"),
        (
            plan("--delta", "1e-25"),
            "--delta: too small for any release",
        ),
        (plan("--users", "1"), "--users: must be from 2 to 262144"),
        (
            plan("--users", "262145"),
            "the most a helper sums; with more devices give 262144",
        ),
        (
            plan("--users", "many"),
            "invalid value 'many' for '--users <N>'",
        ),
        (plan("--items", "0"), "--items: must be from 1 to 4194304"),
        (
            plan("--dropout", "nan"),
            "--dropout: must be from 0 to below 1",
        ),
        (
            plan("--dishonest", "0.9999"),
            "--users: fewer than 2 honest devices",
        ),
        (plan("--factors", "513"), "--factors: must be from 1 to 512"),
        (plan("--rounds", "0"), "--rounds: must be from 1 to 64"),
        (
            plan("--history-max", "0"),
            "--history-max: must be from 1 to 1048576",
        ),
        (
            plan("--participation", "2"),
            "--participation: must be at least 4",
        ),
        (
            vec!["simulate", "--epsilon", "3,0"],
            "--epsilon: epsilon must be",
        ),
        (vec!["simulate", "--delta", "1"], "--delta: delta must be"),
        (vec!["simulate", "--users", "3"], "3 users are too few"),
        (
            vec!["simulate", "--rounds", "1,65"],
            "--rounds must be from 1 to 64, not 65",
        ),
        (
            vec!["simulate", "--factors", "0"],
            "--factors must be from 1 to 512",
        ),
        (
            vec!["simulate", "--seeds", "0"],
            "--seeds must be from 1 to 1000",
        ),
        (
            vec!["simulate", "--dropout", "1"],
            "--dropout must be from 0 to below 1",
        ),
        (
            vec!["simulate", "--dishonest", "nan"],
            "--dishonest must be from 0 to below 1",
        ),
        (
            vec!["simulate", "--history-max", "0"],
            "--history-max must be from 1 to 1048576",
        ),
        (
            vec!["simulate", "--half-life", "-1"],
            "--half-life must be from 0",
        ),
        (
            vec!["simulate", "--users", "20", "--projected-users", "10"],
            "--projected-users: 10 is fewer than the 20",
        ),
        (
            vec!["simulate", "--model", "weighted", "--clip-norm", "8,0"],
            "--clip-norm must be from 0.001 to 1000, not 0",
        ),
        (
            vec!["simulate", "--model", "weighted", "--clip-norm", "nan"],
            "--clip-norm must be from 0.001 to 1000",
        ),
        (
            vec!["simulate", "--users", "20", "--clip-norm", "8"],
            "--clip-norm: only weighted squares have",
        ),
        (
            vec!["simulate", "--model", "rating", "--clip-norm", "8"],
            "--clip-norm: --model rating has no use for it",
        ),
        (
            vec![
                "audit",
                "report",
                "x",
                "--out",
                kept,
                "--canary",
                "no-such-file",
            ],
            "--canary no-such-file: ",
        ),
        (
            vec![
                "audit",
                "report",
                "x",
                "--out",
                kept,
                "--canary",
                "Cargo.toml",
            ],
            "not what tacit audit canary --json prints",
        ),
        (
            vec!["simulate", "--data", "no-such-folder"],
            "no-such-folder",
        ),
        (
            vec!["simulate", "--exact", "--projected-users", "9000"],
            "--projected-users: only devices that exist",
        ),
        (
            vec!["simulate", "--csv", "no-such-folder/out.csv"],
            "--csv no-such-folder/out.csv: the file is in no",
        ),
        (
            vec!["coordinator", "--config", "no-such-file.toml"],
            "no-such-file.toml: cannot be read",
        ),
    ] {
        let output = tacit(&arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(
            error.contains(expected) && error.lines().count() == 1,
            "{arguments:?}: {error}"
        );
        assert!(
            !std::path::Path::new(kept).exists(),
            "{arguments:?} wrote something"
        );
    }
}

#[test]
fn the_canary_audit_passes_and_prints_one_object() {
    // A sound pipeline fails with probability below 2e-7.
    let output = tacit(&[
        "audit",
        "canary",
        "--devices",
        "128",
        "--length",
        "256",
        "--releases",
        "2",
        "--json",
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let audit: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let epsilon = |path: &str| {
        audit
            .pointer(path)
            .and_then(serde_json::Value::as_f64)
            .unwrap()
    };
    assert!(epsilon("/certified_epsilon") <= 3.0 && epsilon("/delta") == 1e-5);
    assert!(epsilon("/one_shot/epsilon_estimate") >= 0.0 && epsilon("/one_run/confidence") == 0.95);
    assert!(audit["checks"].as_array().unwrap().len() > 10 && audit["passed"] == true);
}

#[test]
fn pki_init_makes_secrets_only_the_owner_can_read_and_never_overwrites() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("pki");
    let dir = dir.to_str().unwrap();
    assert!(tacit(&["pki", "init", dir]).status.success());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let secret = path
            .extension()
            .is_some_and(|kind| kind == "key" || kind == "sign");
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            mode,
            if secret { 0o600 } else { 0o644 },
            "{}",
            path.display()
        );
    }
    let again = tacit(&["pki", "init", dir]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        tacit(&["pki", "tokens", dir, "--count", "3"])
            .status
            .success()
    );
    assert!(
        tacit(&["pki", "policy", dir, "--epsilon", "8", "--cohort", "100"])
            .status
            .success()
    );
}

#[test]
fn simulate_writes_what_was_asked_and_the_number_of_threads_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let on_threads = |threads: &str| {
        let file = |kind: &str| {
            folder
                .path()
                .join(format!("{threads}.{kind}"))
                .to_str()
                .unwrap()
                .to_owned()
        };
        let (csv, html) = (file("csv"), file("html"));
        let arguments = [
            "simulate",
            "--users",
            "40",
            "--epsilon",
            "4,20",
            "--seeds",
            "2",
            "--json",
            "--csv",
            &csv,
            "--html",
            &html,
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacit"));
        let output = command
            .args(arguments)
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .expect("the binary starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let again = tacit(&arguments);
        assert_eq!(again.status.code(), Some(2), "files are never overwritten");
        (
            output.stdout,
            std::fs::read(csv).unwrap(),
            std::fs::read(html).unwrap(),
        )
    };
    let one = on_threads("1");
    assert!(one == on_threads("2"));
    let outcome: serde_json::Value = serde_json::from_slice(&one.0).unwrap();
    assert_eq!(outcome["points"].as_array().unwrap().len(), 2);
}

/// What a file or a stranger put on a command line neither moves a cursor nor turns a text.
#[test]
fn words_on_the_command_line_are_said_escaped() {
    let hostile = "\u{1b}[2J\u{202e}\u{9b}x";
    for arguments in [
        vec![hostile],
        vec!["plan", "--users", hostile],
        vec![
            "plan",
            "--items",
            "1",
            "--epsilon",
            "1",
            "--users",
            "10",
            &format!("--{hostile}"),
        ],
        vec!["audit", hostile],
        vec!["audit", "verify", hostile],
        vec!["audit", "explain", hostile, "0"],
        vec!["demo", "--data", hostile],
        vec!["coordinator", "--config", hostile],
        vec!["device", "--config", hostile],
        vec!["pki", "init", "pki", "--helper", hostile],
    ] {
        let output = tacit(&arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let lines = said.replace('\n', "");
        assert!(!lines.contains(tacit_types::shown::is_control), "{said:?}");
    }
}
