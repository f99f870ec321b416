//! The daemon itself: configuration, the state folder, health, and how it starts and stops.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tacit_helper::{Config, HelperError, serve};
use tacit_types::Timestamp;
use tacit_wire::Shutdown;
use tacit_wire::clock::now;
use tacit_wire::reload::Source;
use tokio::time::{Instant, sleep};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::*;

async fn start_fails(config: Config) -> HelperError {
    serve(config, Source::fixed(), now, Shutdown::default(), |_| ())
        .await
        .unwrap_err()
}

/// The helper must take this for the operator's mistake and say these words.
async fn assert_refused(config: Config, words: &str) {
    let error = start_fails(config).await;
    assert!(
        matches!(&error, HelperError::OperatorConfig(text) if text.contains(words)),
        "{error}"
    );
}

#[test]
fn a_configuration_is_read_and_each_bad_key_is_named() {
    let text = format!(
        "listen = '127.0.0.1:7501'\nstate = 's'\ncoordinator_key = '{}'\n[tls]\ncertificate = \
         'c'\nkey = 'k'\nroot = 'r'\n[signing]\nkey = 'k'\n",
        coordinator_key().public()
    );
    let config: Config = toml::from_str(&text).unwrap();
    assert_eq!((config.check(), config.honest_min), (Ok(()), 2));
    // HOSTILE 84, 85, 88.
    for (from, to, key) in [
        ("127.0.0.1:7501", "localhost", "listen"),
        ("127.0.0.1:7501", ":7501", "listen"),
        ("127.0.0.1:7501", "127.0.0.1:70000", "listen"),
        ("state = 's'", "state = ''", "state"),
        ("state = 's'", "state = 's'\nhonest_min = 1", "honest_min"),
        ("root = 'r'", "root = ''", "tls.root"),
    ] {
        let config: Config = toml::from_str(&text.replacen(from, to, 1)).unwrap();
        let problem = config.check().unwrap_err();
        assert!(problem.starts_with(&format!("{key}: ")), "{problem}");
    }
    assert!(toml::from_str::<Config>(&text.replacen("[tls]", "more = 1\n[tls]", 1)).is_err());
    assert!(
        toml::from_str::<Config>(&format!("{text}[membership]\nissuer_key = 'no key'\n")).is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_serves_one_process_and_one_key() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    // HOSTILE 100.
    assert_refused(deployment.config(), "another process uses").await;
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (
            mode(deployment.state()),
            mode(deployment.state().join("keys"))
        ),
        (0o700, 0o700)
    );
    helper.stop().await;
    let config = deployment.config();
    fs::write(&config.signing.key, hex::encode([9; 32])).unwrap();
    assert_refused(config, "signing.key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_and_addresses_stop_the_start_with_their_name() {
    let deployment = Deployment::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config {
        listen: taken.local_addr().unwrap().to_string(),
        ..deployment.config()
    };
    // HOSTILE 88.
    assert!(matches!(start_fails(config).await, HelperError::Network(_)));
    let mut config = deployment.config();
    config.tls.key = config.signing.key.clone();
    assert_refused(config, "signing.key").await;
    let config = deployment.config();
    fs::set_permissions(&config.tls.key, fs::Permissions::from_mode(0o640)).unwrap();
    // HOSTILE 74.
    assert_refused(config, "chmod 600").await;
}

/// What a call of the helper that has just stopped still held in its log is in the file.
fn checkpoint(database: &Path) {
    let database = Connection::open(database).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    let done = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    done.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_not_believed() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let round = countersign(&mut client, &draft(1)).await.unwrap();
    let answer = release(&mut client, &round, seeds(&cohort(&round, 4)))
        .await
        .unwrap();
    helper.stop().await;
    let path = deployment.state().join("helper.sqlite");
    checkpoint(&path);
    let good = fs::read(&path).unwrap();
    // HOSTILE 93: one bit of the ledger line, one bit of the mask sum.
    let flip = |needle: &[u8]| {
        let at = good
            .windows(needle.len())
            .position(|window| window == needle)
            .unwrap();
        let mut bad = good.clone();
        bad[at + 7] ^= 1;
        fs::write(&path, bad).unwrap();
    };
    flip(&answer.line[..64]);
    let error = start_fails(deployment.config()).await;
    assert!(
        matches!(&error, HelperError::Storage(text) if text.contains("line")),
        "{error}"
    );
    flip(&answer.mask_sum[..64]);
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let refused = release(&mut client, &round, seeds(&cohort(&round, 4)))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        matches!(helper.ended().await, Err(HelperError::Storage(text)) if text.contains("mask sum"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_begins_a_new_generation_and_ends_every_open_round() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let lost = countersign(&mut client, &draft(1)).await.unwrap();
    let other = countersign(&mut client, &draft(2)).await.unwrap();
    helper.stop().await;
    // HOSTILE 101: what a restored backup looks like, for keys are not in it.
    fs::remove_file(
        deployment
            .state()
            .join(format!("keys/{}.key", lost.hash)),
    )
    .unwrap();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    assert_eq!(deployment.key_files(), 0);
    for round in [&lost, &other] {
        let refused = release(&mut client, round, seeds(&cohort(round, 4)))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }
    let round = countersign(&mut client, &draft(3)).await.unwrap();
    let answer = release(&mut client, &round, seeds(&cohort(&round, 4)))
        .await
        .unwrap();
    assert_eq!(
        tacit_privacy::record::Line::from_bytes(&answer.line)
            .unwrap()
            .generation,
        2
    );
    helper.stop().await;
}

/// HOSTILE 143: nobody asks for it, and nothing that is said moves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rounds_key_is_erased_at_its_latest_deadline_by_the_helpers_own_clock() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let mut short = draft(1);
    short.deadline = now().plus_millis(1_000);
    short.latest_deadline = now().plus_millis(3_000);
    let round = countersign(&mut client, &short).await.unwrap();
    let kept = countersign(&mut client, &draft(2)).await.unwrap();
    let set = cohort(&round, 4);
    assert_eq!(deployment.key_files(), 2);

    let deadline = Instant::now() + Duration::from_secs(20);
    while deployment.key_files() > 1 {
        assert!(Instant::now() < deadline, "the key is still there");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(now() >= round.ticket.latest_deadline, "not before its time");
    let late = release(&mut client, &round, seeds(&set))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::NotFound);
    let again = countersign(&mut client, &short).await.map(drop);
    assert_eq!(
        again.unwrap_err().code(),
        Code::NotFound,
        "its number is used up"
    );
    release(&mut client, &kept, seeds(&cohort(&kept, 4)))
        .await
        .unwrap();
    helper.stop().await;
}

/// HOSTILE 145: a draft is refused under signature, and its number stays free; one that is over
/// already as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_draft_leaves_no_row_and_its_number_is_countersigned_later() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut client = deployment.coordinator(&helper).await;
    let mut few = draft(1);
    few.mechanism.n_min = 1;
    let mut over = draft(1);
    over.deadline = Timestamp(now().0 - 1);
    let mut reversed = draft(1);
    reversed.latest_deadline = reversed.deadline;
    for (refused, words) in [
        (few, "minimum"),
        (over, "its deadline has passed"),
        (reversed, "does not come after"),
    ] {
        let status = countersign(&mut client, &refused)
            .await
            .map(drop)
            .unwrap_err();
        assert!(status.message().contains(words), "{status}");
        assert_eq!(deployment.key_files(), 0);
    }
    countersign(&mut client, &draft(1)).await.unwrap();
    helper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_and_a_watch_does_not_hold_the_drain() {
    let deployment = Deployment::new();
    let helper = deployment.start().await;
    let mut health = HealthClient::new(deployment.coordinator_channel(&helper).await);
    let request = HealthCheckRequest {
        service: "tacit.v2.Helper".into(),
    };
    assert_eq!(
        health
            .check(request.clone())
            .await
            .unwrap()
            .into_inner()
            .status,
        1
    );
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    helper.stop().await;
}

/// Whoever copies the folder then, or puts an older copy there, finds one whole file: nothing waits
/// in a log beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_has_returned_has_closed_its_database() {
    let deployment = Deployment::new();
    let log = deployment.state().join("helper.sqlite-wal");
    for round in 1..=20 {
        let helper = deployment.start().await;
        let mut client = deployment.coordinator(&helper).await;
        countersign(&mut client, &draft(round)).await.unwrap();
        assert!(log.exists());
        helper.stop().await;
        assert!(!log.exists(), "round {round}");
    }
}
