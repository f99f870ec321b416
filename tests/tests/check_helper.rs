//! `--check-helper`: a coordinator's configuration held against the terms of the helper that runs.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::time::Duration;

use tacit_tests::deployment::{Deployment, Role, Settings};

const CHECK: [&str; 4] = ["coordinator", "--config", "checked.toml", "--check-helper"];

/// Checks the coordinator's configuration with one text replaced: exit code and words.
fn checked(deployment: &Deployment, from: &str, to: &str) -> (Option<i32>, String) {
    let config = fs::read_to_string(deployment.path("coordinator.toml")).unwrap();
    assert!(config.contains(from), "{from}");
    fs::write(deployment.path("checked.toml"), config.replace(from, to)).unwrap();
    let output = deployment.tacit(&CHECK).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() <= 1, "{said}");
    (output.status.code(), said)
}

/// The helper with more lines on top of its configuration and below it, once it answers.
fn helper(deployment: &mut Deployment, above: &str, below: &str) {
    let path = deployment.path("helper.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{above}\n{config}\n{below}\n")).unwrap();
    deployment.start(Role::Helper).unwrap();
    let started = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(100));
        deployment.log(Role::Helper).contains("listening")
    });
    assert!(started.take(100).any(|listening| listening));
}

fn assert_refused(deployment: &Deployment, from: &str, to: &str, words: &str) {
    let (code, said) = checked(deployment, from, to);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("checked.toml: ") && said.contains(words),
        "{said}"
    );
}

#[test]
fn a_task_is_held_against_the_helpers_terms() {
    let mut deployment = Deployment::new(Settings::default()).unwrap();
    let (code, said) = checked(&deployment, "[task]", "[task]");
    assert_eq!(code, Some(1), "nobody answers: {said}");
    assert!(said.contains(&deployment.helper_address()), "{said}");

    helper(&mut deployment, "honest_min = 3", "");
    assert_eq!(
        checked(&deployment, "[task]", "[task]"),
        (Some(0), String::new())
    );
    assert!(
        !deployment.path("coordinator").exists(),
        "a check wrote something"
    );
    let few = "task.cohort leaves 2 honest devices";
    assert_refused(&deployment, "cohort = 4", "cohort = 3", few);
    let no_issuer = "the helper has no [membership]";
    assert_refused(
        &deployment,
        "[task]",
        "[task]\nmembership = true",
        no_issuer,
    );
    let own = deployment.pki("helper.pub").unwrap();
    let other = deployment.pki("publisher.pub").unwrap();
    let theirs = format!("which is {}", own.trim());
    assert_refused(&deployment, own.trim(), other.trim(), &theirs);
}

#[test]
fn a_helper_that_requires_members_says_so() {
    let mut deployment = Deployment::new(Settings::default()).unwrap();
    let issuer = deployment.pki("publisher.pub").unwrap();
    let issuer = issuer.trim();
    let members = format!("[membership]\nissuer_key = \"{issuer}\"\nrequired = true");
    helper(&mut deployment, "", &members);
    assert_refused(
        &deployment,
        "[task]",
        "[task]",
        "task.membership must be true",
    );
    let member = checked(&deployment, "[task]", "[task]\nmembership = true");
    assert_eq!(member, (Some(0), String::new()));
}
