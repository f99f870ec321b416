//! Enrolment of a thousand devices by the real coordinator, each over a connection of its own.
//! Target: 30 s. Reference of the same run: as many rows in the same kind of file, each a durable
//! commit of its own, which enrolments that wait together share.

#![allow(clippy::print_stdout, reason = "benchmarks say what they measured")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rusqlite::Connection;
use tacit_proto::v2;
use tacit_tests::bare::BareDevice;
use tacit_tests::deployment::{Deployment, Settings};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Enrolments under way at any time.
const IN_FLIGHT: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    // Under `cargo test --benches` a few devices show that it still works.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let devices = if measured { 1000 } else { 64 };
    let settings = Settings {
        tokens: devices,
        ..Settings::default()
    };
    let deployment = Deployment::running(settings)?;
    let tokens = deployment.tokens()?;
    let requests = tokens
        .into_iter()
        .map(request)
        .collect::<Result<_>>()?;
    let ours = Runtime::new()?.block_on(enrol(&deployment, requests))?;
    let bare = insert(&deployment.path("bare.sqlite"), devices)?;
    println!(
        "{devices} devices enrolled in {ours:.2} s (target 30); as many bare commits take \
         {bare:.2} s, x{:.2}",
        ours / bare
    );
    Ok(())
}

fn request(token: Vec<u8>) -> Result<v2::EnrolRequest> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let request = CertificateParams::default().serialize_request(&key)?;
    Ok(v2::EnrolRequest {
        token: token.into(),
        signing_request: Bytes::copy_from_slice(request.der()),
    })
}

/// Seconds until all have their certificates.
async fn enrol(deployment: &Deployment, requests: Vec<v2::EnrolRequest>) -> Result<f64> {
    let (address, root) = (
        deployment.coordinator_address(),
        deployment.pki("root.crt")?,
    );
    let stranger = BareDevice::new(&address, &root, None)?;
    let patience = Instant::now() + PATIENCE;
    while stranger.connect().await.is_err() {
        ensure!(Instant::now() < patience, "{}", deployment.log_tails());
        sleep(PAUSE).await;
    }

    let mut lanes: Vec<Vec<v2::EnrolRequest>> = vec![Vec::new(); IN_FLIGHT];
    for (i, request) in requests.into_iter().enumerate() {
        lanes[i % IN_FLIGHT].push(request);
    }
    let begun = Instant::now();
    let mut enrolling = JoinSet::new();
    for lane in lanes {
        let stranger = stranger.clone();
        enrolling.spawn(async move {
            for request in lane {
                stranger.connect().await?.enrol(request).await?;
            }
            Ok(())
        });
    }
    let ended: Result<()> = enrolling.join_all().await.into_iter().collect();
    ended?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Seconds of that many rows of a certificate's size, each durable before the next.
fn insert(file: &Path, rows: u32) -> Result<f64> {
    let db = Connection::open(file)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch("CREATE TABLE rows (key BLOB PRIMARY KEY, chain BLOB) WITHOUT ROWID")?;
    let begun = Instant::now();
    let mut insert = db.prepare("INSERT INTO rows VALUES (?1, zeroblob(1500))")?;
    for row in 0..rows {
        insert.execute([row])?;
    }
    Ok(begun.elapsed().as_secs_f64())
}
