//! Bad input ends with exit code 2 and one line on standard error that names the place; nothing is
//! written.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;

use tacit_tests::deployment::{Deployment, Settings, tacit};
use tempfile::TempDir;

/// Asserts exit code 2 and one line that contains all of `names`.
fn assert_refused(folder: &Path, arguments: &[&str], names: &[&str]) {
    let output = tacit(folder, arguments).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(2),
        "tacit {arguments:?}: {stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "tacit {arguments:?}: {stderr}");
    assert!(
        names.iter().all(|name| stderr.contains(name)),
        "tacit {arguments:?}: {names:?} not in: {stderr}"
    );
    assert!(
        output.stdout.is_empty(),
        "tacit {arguments:?} wrote to standard output"
    );
}

/// HOSTILE 27, 35, 118.
#[test]
fn a_data_set_that_is_not_as_documented_is_refused_by_file_and_line() {
    const HEADER: &str = "user,item,timestamp,value,type\n";
    let cases: [(&str, String, &[&str]); 12] = [
        (
            "nan.csv",
            format!("{HEADER}anna,a,1,5,rating\nanna,b,2,NaN,rating\n"),
            &["nan.csv line 3", "value"],
        ),
        (
            "infinite.csv",
            format!("{HEADER}anna,a,1,inf,rating\n"),
            &["infinite.csv line 2", "value"],
        ),
        (
            "huge.csv",
            format!("{HEADER}anna,a,1,1e38,rating\n"),
            &["huge.csv line 2", "value"],
        ),
        (
            "item.csv",
            format!("{HEADER}anna,-7,1,5,rating\n"),
            &["item.csv line 2", "item"],
        ),
        (
            "user.csv",
            format!("{HEADER}-1,a,1,5,rating\n"),
            &["user.csv line 2", "user"],
        ),
        (
            "time.csv",
            format!("{HEADER}anna,a,-5,5,rating\n"),
            &["time.csv line 2", "timestamp"],
        ),
        (
            "type.csv",
            format!("{HEADER}anna,a,1,5,share\n"),
            &["type.csv line 2", "type"],
        ),
        (
            "short.csv",
            format!("{HEADER}anna,a,1,5,rating\nben,a,1\n"),
            &["short.csv line 3"],
        ),
        (
            "long.csv",
            format!("{HEADER}anna,a,1,5,rating,more\n"),
            &["long.csv line 2"],
        ),
        (
            "header.csv",
            "name,thing\nanna,a\n".into(),
            &["header.csv line 1"],
        ),
        ("only_header.csv", HEADER.into(), &["only_header.csv"]),
        ("empty.csv", String::new(), &["empty.csv"]),
    ];
    let folder = TempDir::new().unwrap();
    for (name, content, names) in cases {
        fs::write(folder.path().join(name), content).unwrap();
        assert_refused(
            folder.path(),
            &["demo", "--data", name, "--keep", "kept"],
            names,
        );
        assert!(
            !folder.path().join("kept").exists(),
            "{name}: a folder was made"
        );
    }
    assert_refused(
        folder.path(),
        &["demo", "--data", "absent.csv", "--keep", "kept"],
        &["absent.csv"],
    );
    assert!(!folder.path().join("kept").exists());
}

/// HOSTILE 85.
#[test]
fn options_without_meaning_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    for epsilon in ["0", "-1", "nan", "inf", "-0"] {
        let option = format!("--epsilon={epsilon}");
        assert_refused(
            folder.path(),
            &["demo", &option, "--keep", "kept"],
            &["--epsilon"],
        );
        assert!(
            !folder.path().join("kept").exists(),
            "--epsilon {epsilon}: a folder was made"
        );
    }
    for option in ["--rounds=0", "--rounds=65", "--factors=0", "--factors=513"] {
        let name = option.split('=').next().unwrap();
        assert_refused(
            folder.path(),
            &["demo", option, "--users", "20", "--keep", "kept"],
            &[name],
        );
    }
    assert_refused(
        folder.path(),
        &["demo", "--users", "3", "--keep", "kept"],
        &["3 users"],
    );
    assert!(!folder.path().join("kept").exists());
    // A folder with something in it is not written over.
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/file"), "mine").unwrap();
    assert_refused(
        folder.path(),
        &["demo", "--users", "20", "--keep", "full"],
        &["--keep full"],
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Every change to a good configuration, and what the refusal names. HOSTILE 84, 85, 88, 89.
#[test]
fn a_configuration_that_is_not_sound_is_refused_by_file_and_key() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    let coordinator = fs::read_to_string(deployment.path("coordinator.toml")).unwrap();
    let helper = fs::read_to_string(deployment.path("helper.toml")).unwrap();
    let device = fs::read_to_string(deployment.path("device.toml")).unwrap();
    let cases: [(&str, &str, &str, &str, &[&str]); 28] = [
        (
            "coordinator",
            &coordinator,
            "cohort = 4",
            "cohrt = 4",
            &["line ", "cohrt", "cohort"],
        ),
        (
            "coordinator",
            &coordinator,
            "cohort = 4",
            "cohort = 1",
            &["cohort"],
        ),
        (
            "coordinator",
            &coordinator,
            "cohort = 4",
            "cohort = 0",
            &["cohort"],
        ),
        (
            "coordinator",
            &coordinator,
            "cohort = 4",
            "cohort = 262145",
            &["task.cohort", "262144, the most a helper sums"],
        ),
        (
            "coordinator",
            &coordinator,
            "cohort = 4",
            "cohort = -4",
            &["line ", "-4"],
        ),
        (
            "coordinator",
            &coordinator,
            "cohort = 4",
            "cohort = \"four\"",
            &["line ", "four"],
        ),
        (
            "coordinator",
            &coordinator,
            "cohort = 4",
            "cohort = 4\ncohort = 5",
            &["line ", "duplicate"],
        ),
        (
            "coordinator",
            &coordinator,
            "epsilon = 1",
            "epsilon = 0",
            &["line ", "psilon"],
        ),
        (
            "coordinator",
            &coordinator,
            "epsilon = 1",
            "epsilon = -1",
            &["line ", "psilon"],
        ),
        (
            "coordinator",
            &coordinator,
            "epsilon = 1",
            "epsilon = nan",
            &["line ", "psilon"],
        ),
        (
            "coordinator",
            &coordinator,
            "epsilon = 1",
            "epsilon = inf",
            &["line ", "psilon"],
        ),
        (
            "coordinator",
            &coordinator,
            "delta = 1e-5",
            "delta = 0.0",
            &["line ", "elta"],
        ),
        (
            "coordinator",
            &coordinator,
            "delta = 1e-5",
            "delta = 1.0",
            &["line ", "elta"],
        ),
        (
            "coordinator",
            &coordinator,
            "dropout = 0.05",
            "dropout = 1.0",
            &["dropout"],
        ),
        (
            "coordinator",
            &coordinator,
            "dropout = 0.05",
            "dropout = nan",
            &["dropout"],
        ),
        (
            "coordinator",
            &coordinator,
            "deadline_seconds = 60",
            "deadline_seconds = 0",
            &["deadline_seconds"],
        ),
        (
            "coordinator",
            &coordinator,
            "https://",
            "http://",
            &["helper.address"],
        ),
        (
            "coordinator",
            &coordinator,
            "[task]",
            "[task]\nclip_norm = 8.0",
            &["task.clip_norm", "weighted"],
        ),
        (
            "coordinator",
            &coordinator,
            "[task]",
            "[task]\nmodel = \"weighted\"\nclip_norm = 0.0",
            &["task.clip_norm"],
        ),
        (
            "coordinator",
            &coordinator,
            "[task]",
            "[task]\nmodel = \"weighted\"\nclip_norm = nan",
            &["task.clip_norm"],
        ),
        (
            "coordinator",
            &coordinator,
            "state = \"enrolled\"",
            "state = 7",
            &["line ", "string"],
        ),
        ("helper", &helper, "state =", "stat =", &["line ", "stat"]),
        (
            "helper",
            &helper,
            "state = \"helper\"",
            "state = \"helper\"\nhonest_min = 1",
            &["honest_min"],
        ),
        (
            "helper",
            &helper,
            "state = \"helper\"",
            "state = \"helper\"\nn_min_min = 100",
            &["line ", "unknown key 'n_min_min'", "'honest_min'"],
        ),
        (
            "helper",
            &helper,
            "listen = \"127",
            "listen = \"nowhere\" # ",
            &["listen"],
        ),
        (
            "helper",
            &helper,
            "[tls]",
            "[membership]\nissuer_key = \"00\"\n[tls]",
            &["line ", "issuer_key", "32 bytes", "hexadecimal"],
        ),
        (
            "helper",
            &helper,
            "[tls]",
            "[membership]\nrequired = true\n[tls]",
            &["line ", "issuer_key"],
        ),
        (
            "device",
            &device,
            "policy =",
            "polic =",
            &["line ", "polic"],
        ),
    ];
    for (role, good, from, to, names) in cases {
        assert!(good.contains(from), "{role}: no '{from}' to replace");
        fs::write(deployment.path("bad.toml"), good.replacen(from, to, 1)).unwrap();
        let names: Vec<&str> = names.iter().copied().chain(["bad.toml"]).collect();
        assert_refused(
            &deployment.path(""),
            &[role, "--config", "bad.toml"],
            &names,
        );
    }
    for content in [&b""[..], b"[[[", b"\xff\xfe\x00", &[b'a'; 2 << 20]] {
        fs::write(deployment.path("bad.toml"), content).unwrap();
        for role in ["coordinator", "helper", "device"] {
            assert_refused(
                &deployment.path(""),
                &[role, "--config", "bad.toml"],
                &["bad.toml"],
            );
        }
    }
    assert_refused(
        &deployment.path(""),
        &["coordinator", "--config", "absent.toml"],
        &["absent.toml"],
    );
    for state in ["coordinator", "helper", "devices"] {
        assert!(
            !deployment.path(state).exists(),
            "{state}: state was written"
        );
    }
}

/// A fault of a key is told as one, and of a file as one. HOSTILE 84.
#[test]
fn a_policy_that_the_pinned_key_did_not_sign_is_refused_by_file_and_key() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    let device = fs::read_to_string(deployment.path("device.toml")).unwrap();
    let key = |name: &str| fs::read_to_string(deployment.path(name)).unwrap();
    let (publisher, helper) = (key("pki/publisher.pub"), key("pki/helper.pub"));
    let wrong = device.replace(publisher.trim(), helper.trim());
    fs::write(deployment.path("bad.toml"), wrong).unwrap();
    assert_refused(
        &deployment.path(""),
        &["device", "--config", "bad.toml"],
        &[
            "bad.toml: publisher_key: ",
            "policy.json is not signed by this key",
            "publisher.pub",
        ],
    );
    fs::write(deployment.path("pki/policy.json"), "a policy").unwrap();
    assert_refused(
        &deployment.path(""),
        &["device", "--config", "device.toml"],
        &["policy.json: not a signed policy", "tacit pki policy"],
    );
    assert!(!deployment.path("devices").exists());
}

/// What outlives a task stands in a folder of its own: one that is none, and files that are no
/// databases. HOSTILE 87, 93.
#[test]
fn a_deployments_state_that_cannot_be_used_is_refused_by_name_and_left_alone() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    let start = || {
        deployment
            .tacit(&["coordinator", "--config", "coordinator.toml"])
            .unwrap()
    };
    fs::write(deployment.path("enrolled"), "mine").unwrap();
    assert_refused(
        &deployment.path(""),
        &["coordinator", "--config", "coordinator.toml"],
        &["enrolled"],
    );
    assert_eq!(
        fs::read_to_string(deployment.path("enrolled")).unwrap(),
        "mine"
    );
    fs::remove_file(deployment.path("enrolled")).unwrap();
    fs::create_dir(deployment.path("enrolled")).unwrap();
    for file in ["enrolment.sqlite", "accounts.sqlite"] {
        let path = deployment.path("enrolled").join(file);
        let garbage = "not a database".repeat(1000);
        fs::write(&path, &garbage).unwrap();
        let output = start();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains(file)
                && error
                    .lines()
                    .last()
                    .unwrap()
                    .contains("not a database"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), garbage);
        fs::remove_file(&path).unwrap();
    }
}

/// Memberships of a device process: absent, too few, or not what the helper's organisation issues.
/// HOSTILE 84.
#[test]
fn a_file_of_memberships_that_is_not_one_is_refused_by_file_and_line() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    let device = fs::read_to_string(deployment.path("device.toml")).unwrap();
    let with_members = device.replacen("policy =", "members = \"members.txt\"\npolicy =", 1);
    fs::write(deployment.path("members.toml"), with_members).unwrap();
    let arguments = ["device", "--config", "members.toml", "--devices", "2"];
    let refused = |names: &[&str]| assert_refused(&deployment.path(""), &arguments, names);
    refused(&["members.txt", "cannot be read"]);
    let good = "07".repeat(96);
    for (content, names) in [
        (
            format!("{good}\n{}\n", &good[2..]),
            ["line 2", "192 hexadecimal digits"],
        ),
        (
            format!("{good}\nnot hexadecimal\n"),
            ["line 2", "192 hexadecimal digits"],
        ),
        (
            format!("{good}\n"),
            ["1 memberships for 2 devices", "tacit pki members"],
        ),
    ] {
        fs::write(deployment.path("members.txt"), content).unwrap();
        refused(&[&["members.txt"][..], &names].concat());
    }
    assert!(!deployment.path("devices").exists());
}

/// Privacy numbers that are sound one by one and not together. HOSTILE 85, 91.
#[test]
fn a_cohort_without_enough_honest_devices_is_refused_before_a_task_exists() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    let good = fs::read_to_string(deployment.path("coordinator.toml")).unwrap();
    fs::write(
        deployment.path("bad.toml"),
        good.replace("dropout = 0.05", "dropout = 0.9"),
    )
    .unwrap();
    assert_refused(
        &deployment.path(""),
        &["coordinator", "--config", "bad.toml"],
        &["bad.toml", "task.cohort"],
    );
    assert!(!deployment.path("coordinator").exists());
}
