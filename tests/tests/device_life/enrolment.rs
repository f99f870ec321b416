//! Enrolment whose answer is unusable can be repeated, and makes one identity and one ledger.

use std::fs;

use tacit_round::device::Outcome;
use tacit_sdk::{SdkError, Store, identity};
use tacit_tests::stand_in::{Answer, Round, StandIn};

use crate::{contributions, enrolled, outcome, step};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_does_not_fit_is_not_kept() {
    let stand_in = StandIn::start(&Round::counts(300).unwrap())
        .await
        .unwrap();
    let base = tempfile::tempdir().unwrap();
    let (folder, other) = (base.path().join("one"), base.path().join("other"));
    enrolled(&stand_in, &other).await;
    let foreign = fs::read_to_string(identity::certificate_path(&other)).unwrap();
    for chain in [
        String::new(),
        "no certificate".into(),
        foreign.replace("MII", "AAA"),
        foreign,
    ] {
        stand_in.script(|script| script.certificate = Some(chain.clone()));
        let enrolled = identity::enrol(&folder, &stand_in.deployment, &[1; 32]).await;
        assert!(
            matches!(enrolled, Err(SdkError::RetryLater { .. })),
            "{chain}: {enrolled:?}"
        );
        assert!(!identity::is_enrolled(&folder) && !Store::path(&folder).exists());
    }
    let key = fs::read(folder.join("device.key")).unwrap();
    stand_in.script(|script| script.certificate = None);
    let agent = enrolled(&stand_in, &folder).await;
    assert_eq!(fs::read(folder.join("device.key")).unwrap(), key);
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
}

/// A device's key can be read by the tools people have, as the daemons' keys can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_reads_a_devices_key() {
    let stand_in = StandIn::start(&Round::counts(300).unwrap())
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    enrolled(&stand_in, folder.path()).await;
    let mut openssl = std::process::Command::new("openssl");
    let key = folder.path().join("device.key");
    let Ok(read) = openssl
        .args(["pkey", "-noout", "-in"])
        .arg(&key)
        .output()
    else {
        println!("SKIPPED: openssl is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{said}");
}

/// HOSTILE 104: what stands in place of a file of the identity is named, and nothing waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_or_a_folder_in_place_of_key_or_certificate_is_refused() {
    let stand_in = StandIn::start(&Round::counts(300).unwrap())
        .await
        .unwrap();
    for name in ["device.key", "device.crt"] {
        for pipe in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let agent = enrolled(&stand_in, folder.path()).await;
            let path = folder.path().join(name);
            fs::remove_file(&path).unwrap();
            if pipe {
                assert!(
                    std::process::Command::new("mkfifo")
                        .arg(&path)
                        .status()
                        .unwrap()
                        .success()
                );
            } else {
                fs::create_dir(&path).unwrap();
            }
            let stopped = step(&agent).await;
            assert!(
                matches!(&stopped, Err(SdkError::Stop(reason)) if reason.contains(name)),
                "{stopped:?}"
            );
        }
    }
}

/// An object the coordinator cannot give just now is asked for again; nothing was spent for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_away_is_asked_for_again() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    stand_in.script(|script| script.objects.clear());
    assert!(matches!(
        step(&agent).await,
        Err(SdkError::RetryLater { .. })
    ));
    stand_in.script(|script| script.fetch = Answer::Lose);
    assert!(matches!(
        step(&agent).await,
        Err(SdkError::RetryLater { .. })
    ));
    assert!(
        Store::open(folder.path())
            .unwrap()
            .ledger()
            .unwrap()
            .is_empty()
    );
    stand_in.script(|script| *script = tacit_tests::stand_in::Script::offer(&round));
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    assert_eq!(contributions(&stand_in).len(), 1);
}
