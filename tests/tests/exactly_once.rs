//! Every acknowledged contribution is in the released sum exactly once, whatever is killed and
//! whatever is sent again.
//!
//! Bare devices send numbers the test knows, so the sum that is opened must be exactly right: its
//! digest stands in the ledger. Device i adds 1 in cell i, so a cell above one is a double count
//! and a zero is a loss.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "tests say what they measured")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_privacy::canonical::digest;
use tacit_proto::v2::ContributionOutcome::{Accepted, Refused, TooLate};
use tacit_tests::bare::{BareDevice, Contribution};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_types::Digest;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;
use tonic::Code;

const ITEMS: usize = 64;

/// 1 in the device's own cell, and a power of two in the last one.
fn one_hot(device: usize) -> Vec<u32> {
    let mut values = vec![0; ITEMS];
    values[device] = 1;
    values[ITEMS - 1] = 1 << (device % 31);
    values
}

/// Digest of the sum of these devices' vectors, as a ledger line states it.
fn digest_of_sum(devices: std::ops::Range<usize>) -> Digest {
    let mut sum = vec![0u32; ITEMS];
    for device in devices {
        sum.iter_mut()
            .zip(one_hot(device))
            .for_each(|(sum, value)| *sum = sum.wrapping_add(value));
    }
    digest(
        &sum.iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>(),
    )
}

/// The task has one release, of exactly these devices.
fn assert_released(deployment: &Deployment, devices: usize) {
    let releases = deployment.releases().unwrap();
    assert_eq!(releases.len(), 1);
    assert_eq!(releases[0].contributors as usize, devices);
    assert_eq!(
        releases[0].sum_digest,
        digest_of_sum(0..devices),
        "the released sum is not the sum of what was sent"
    );
    deployment.verify().unwrap();
}

/// HOSTILE 50, 51, 56, 105 (k1 to k15), 124: SIGKILL of both daemons while 40 devices stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_contributions_stream_lose_nothing_and_double_nothing() {
    for seed in [1, 2, 3] {
        kill_while_streaming(seed).await;
    }
}

async fn kill_while_streaming(seed: u64) {
    const DEVICES: usize = 40;
    println!("seed {seed}");
    let settings = Settings {
        cohort: 40,
        tokens: 40,
        deadline_seconds: 120,
        ..Settings::default()
    };
    let mut deployment = Deployment::running(settings).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let acknowledged = Arc::new(AtomicU32::new(0));
    let mut devices = Vec::new();
    for token in deployment.tokens().unwrap() {
        devices.push(
            BareDevice::enrol(&deployment, &token, deadline)
                .await
                .unwrap(),
        );
    }
    let mut running = JoinSet::new();
    for (number, device) in devices.iter().cloned().enumerate() {
        let (start, counter) = (
            Duration::from_millis(rng.random_range(0..3000)),
            acknowledged.clone(),
        );
        running.spawn(async move {
            let (ticket, hash) = device.ticket(deadline).await.unwrap();
            let contribution = Contribution::new(&ticket, hash, one_hot(number)).unwrap();
            sleep(start).await;
            let first = device
                .send_until_answered(&contribution, deadline)
                .await
                .unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            // The same bytes once more: counted already, or the round has closed with them.
            let second = device
                .send_until_answered(&contribution, deadline)
                .await
                .unwrap();
            for outcome in [first, second] {
                assert!(
                    matches!(outcome, Accepted | TooLate),
                    "device {number}: {outcome:?}"
                );
            }
        });
    }
    // Each kill waits for a number of acknowledgements; the last ones hit the closing of the round
    // and its release.
    let plan = [
        (3, Role::Coordinator),
        (9, Role::Helper),
        (14, Role::Coordinator),
        (22, Role::Coordinator),
        (27, Role::Helper),
        (33, Role::Coordinator),
        (40, Role::Coordinator),
        (40, Role::Helper),
        (40, Role::Coordinator),
    ];
    for (count, role) in plan {
        while acknowledged.load(Ordering::Relaxed) < count {
            assert!(
                Instant::now() < deadline,
                "seed {seed}: stuck before {count} acknowledgements"
            );
            sleep(Duration::from_millis(2)).await;
        }
        sleep(Duration::from_millis(rng.random_range(0..60))).await;
        deployment.crash(role).unwrap();
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    devices[0].wait_until_finished(deadline).await.unwrap();
    assert_released(&deployment, DEVICES);
}

/// HOSTILE 1, 9, 34, 40-43, 45-48, 141: repeats count once; other bytes under a known device or
/// id are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_count_once_and_second_versions_are_refused() {
    let deployment = Deployment::with_open_round(Settings {
        tokens: 5,
        ..Settings::default()
    })
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut devices = Vec::new();
    for token in deployment.tokens().unwrap() {
        devices.push(
            BareDevice::enrol(&deployment, &token, deadline)
                .await
                .unwrap(),
        );
    }
    let (ticket, hash) = devices[0].ticket(deadline).await.unwrap();
    for device in &devices[1..4] {
        assert_eq!(device.ticket(deadline).await.unwrap().1, hash);
    }
    let make = |device| Contribution::new(&ticket, hash, one_hot(device)).unwrap();

    // 135: nobody selected the fifth, so it may not take a place of those who were.
    assert_eq!(devices[4].send(&make(4)).await.unwrap(), Refused);

    // 40: twice, one after the other.
    let first = make(0);
    assert_eq!(devices[0].send(&first).await.unwrap(), Accepted);
    assert_eq!(devices[0].send(&first).await.unwrap(), Accepted);

    // 41: sixteen times at once, on sixteen connections.
    let second = make(1);
    let mut sending = JoinSet::new();
    for _ in 0..16 {
        let (device, contribution) = (devices[1].clone(), second.clone());
        sending.spawn(async move { device.send(&contribution).await });
    }
    while let Some(sent) = sending.join_next().await {
        assert_eq!(sent.unwrap().unwrap(), Accepted);
    }

    // 42: the same id with other bytes, sealed correctly for them or not; and a second contribution
    // of one device.
    let mut other = make(1);
    assert_eq!(devices[1].send(&other).await.unwrap(), Refused);
    other.header.contribution_id = second.header.contribution_id.clone();
    assert_eq!(devices[1].send(&other).await.unwrap(), Refused);
    other.header = second.header.clone();
    assert_eq!(devices[1].send(&other).await.unwrap(), Refused);
    // 48, the other way round: another device with a known contribution.
    assert_eq!(devices[2].send(&second).await.unwrap(), Refused);

    // 43, 45: sealed for a ticket that is not open.
    let unknown = Contribution::new(&ticket, Digest([7; 32]), one_hot(2)).unwrap();
    assert_eq!(devices[2].send(&unknown).await.unwrap(), TooLate);
    // 1, 9, 34: no vector, and one of another length.
    let sent = 4 * ticket.mechanism.sent_length() as usize;
    for bytes in [0, sent - 4, sent + 4, 80_000] {
        let mut wrong = make(2);
        wrong.masked = vec![1; bytes].into();
        assert_eq!(
            devices[2].send(&wrong).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
    // A seed that does not open under the round's key.
    let mut garbled = make(2);
    let mut sealed = garbled.header.sealed_seed.to_vec();
    sealed[1150] ^= 1;
    garbled.header.sealed_seed = sealed.into();
    assert_eq!(devices[2].send(&garbled).await.unwrap(), Refused);

    // None of that has changed the round: the cohort completes it, and the fifth device is too late
    // (46).
    for device in [2, 3] {
        assert_eq!(devices[device].send(&make(device)).await.unwrap(), Accepted);
    }
    devices[0].wait_until_finished(deadline).await.unwrap();
    assert_eq!(devices[4].send(&make(4)).await.unwrap(), TooLate);
    // One whose acknowledgement was lost still hears that it counts; with other bytes it does not.
    assert_eq!(devices[0].send(&first).await.unwrap(), Accepted);
    assert_eq!(devices[0].send(&make(0)).await.unwrap(), TooLate);
    assert_released(&deployment, 4);
}

/// HOSTILE 20, 21, 23: one certificate opens 70 uploads on five connections and lets them stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_holds_its_uploads_open_holds_up_nobody_else() {
    const OPENED: usize = 70;
    const SENT_AWAY: usize = OPENED - 32;
    let deployment = Deployment::with_open_round(Settings {
        tokens: 2,
        ..Settings::default()
    })
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut devices = Vec::new();
    for token in deployment.tokens().unwrap() {
        devices.push(
            BareDevice::enrol(&deployment, &token, deadline)
                .await
                .unwrap(),
        );
    }
    let (ticket, hash) = devices[0].ticket(deadline).await.unwrap();
    devices[1].ticket(deadline).await.unwrap();
    let make = |device| Contribution::new(&ticket, hash, one_hot(device)).unwrap();
    let mut opened = JoinSet::new();
    for _ in 0..5 {
        let client = devices[0].connect().await.unwrap();
        for _ in 0..OPENED / 5 {
            let (mut client, header) = (client.clone(), make(0).parts().swap_remove(0));
            opened.spawn(async move {
                client
                    .contribute(tokio_stream::once(header).chain(tokio_stream::pending()))
                    .await
            });
        }
    }
    for _ in 0..SENT_AWAY {
        let refused = opened.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    }
    assert_eq!(devices[1].send(&make(1)).await.unwrap(), Accepted);
    // Given up, they free what they held.
    opened.shutdown().await;
    assert_eq!(
        devices[0]
            .send_until_answered(&make(0), deadline)
            .await
            .unwrap(),
        Accepted
    );
}
