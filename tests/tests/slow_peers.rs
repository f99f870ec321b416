//! Enrolled devices that send nothing, stop half way, or never read what they asked for: memory
//! stays bounded, and an honest device is served.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use tacit_proto::v2;
use tacit_proto::v2::ContributeRequest;
use tacit_proto::v2::ContributionOutcome::Accepted;
use tacit_tests::bare::{BareDevice, Contribution, Credentials, enrolled, repeat};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;
use tonic::{Code, Status};

/// Vectors of this length are sent in two chunks.
const ITEMS: u32 = 20_000;
const MEGABYTE: u64 = 1 << 20;

/// Enrolled devices.
fn devices(deployment: &Deployment, count: u16) -> Vec<BareDevice> {
    let root = deployment.pki("root.crt").unwrap();
    let address = deployment.coordinator_address();
    let device = |own: Credentials| BareDevice::new(&address, &root, Some(&own)).unwrap();
    let credentials = enrolled(deployment, count).unwrap();
    credentials.into_iter().map(device).collect()
}

/// Every device opens an upload, sends these messages and then nothing more.
fn stop_after(devices: &[BareDevice], parts: &[ContributeRequest]) -> JoinSet<Result<(), Status>> {
    let mut opened = JoinSet::new();
    for device in devices {
        let (device, parts) = (device.clone(), parts.to_vec());
        opened.spawn(async move {
            let silence = tokio_stream::pending();
            let stream = tokio_stream::iter(parts).chain(silence);
            let mut client = device.connect().await?;
            client.contribute(stream).await.map(|_| ())
        });
    }
    opened
}

/// HOSTILE 19, 21, 23: the coordinator has 64 upload slots. 140 devices that say nothing hold none,
/// and 140 that stop after their first chunk lose theirs, to who waits or after a while; all of
/// them are told why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_stand_still_hold_up_nobody_else() {
    let deployment = Deployment::with_open_round(Settings {
        items: ITEMS,
        ..Settings::default()
    });
    let deployment = deployment.unwrap();
    let deadline = Instant::now() + Duration::from_secs(50);
    let devices = devices(&deployment, 142);
    let (honest, hostile) = devices.split_at(2);
    let (ticket, hash) = honest[0].ticket(deadline).await.unwrap();
    honest[1].ticket(deadline).await.unwrap();
    let make = || Contribution::new(&ticket, hash, vec![1; ITEMS as usize]).unwrap();
    let stalled = make().parts();
    assert_eq!(stalled.len(), 3);

    for (device, sent) in honest.iter().zip([&stalled[..0], &stalled[..2]]) {
        let mut opened = stop_after(hostile, sent);
        sleep(Duration::from_secs(1)).await;
        let answered = device.send_until_answered(&make(), deadline).await;
        assert_eq!(answered.unwrap(), Accepted);
        let mut late = 0;
        while let Some(ended) = opened.join_next().await {
            let status = ended.unwrap().unwrap_err();
            assert!(
                matches!(
                    status.code(),
                    Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable
                ),
                "{status}"
            );
            late += 1;
        }
        assert_eq!(late, hostile.len());
    }
}

/// Fetches an object to its end.
async fn fetch(device: &BareDevice, hash: &Bytes) -> Result<Vec<u8>, Status> {
    let request = v2::FetchRequest { hash: hash.clone() };
    let mut stream = device
        .connect()
        .await?
        .fetch(request)
        .await?
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(message) = stream.message().await? {
        bytes.extend_from_slice(&message.chunk);
    }
    Ok(bytes)
}

/// Begins `count` fetches on one connection, and never reads an answer.
async fn begin(device: &BareDevice, hash: &Bytes, count: usize) -> JoinSet<()> {
    let mut begun = JoinSet::new();
    let client = device.connect().await.unwrap();
    for _ in 0..count {
        let (mut client, hash) = (client.clone(), hash.clone());
        begun.spawn(async move {
            let _unread = client.fetch(v2::FetchRequest { hash }).await;
            std::future::pending::<()>().await;
        });
    }
    begun
}

/// HOSTILE 18, 22: a window of zero on eight streams, and fetches that are given up at once, cost
/// the coordinator the object once; then the device's own slots are free again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetches_that_are_never_read_hold_the_object_once() {
    const LINE: usize = 1 << 17;
    const OBJECT: u64 = 8 * MEGABYTE;
    let mut deployment = Deployment::new(Settings::default()).unwrap();
    let line = "x".repeat(LINE - 1) + "\n";
    let catalogue = line.repeat(64);
    fs::write(deployment.path("catalogue.txt"), &catalogue).unwrap();
    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    deployment.open_round().unwrap();
    let deadline = Instant::now() + Duration::from_secs(40);
    let devices = devices(&deployment, 2);
    devices[0].ticket(deadline).await.unwrap();
    let hash = devices[0].check_in().await.unwrap().catalogue_hash;
    let before = deployment.memory(Role::Coordinator).unwrap();
    let grown = || {
        let now = deployment.memory(Role::Coordinator).unwrap();
        now.saturating_sub(before)
    };

    let unread = devices[0].clone().with_window(0);
    let held = begin(&unread, &hash, 8).await;
    sleep(Duration::from_secs(2)).await;
    assert!(grown() < OBJECT + 16 * MEGABYTE, "{} bytes, held", grown());

    for _ in 0..12 {
        let mut begun = begin(&unread, &hash, 8).await;
        sleep(Duration::from_millis(20)).await;
        begun.shutdown().await;
    }
    assert!(grown() < OBJECT + 16 * MEGABYTE, "{} bytes, reset", grown());
    assert_eq!(
        fetch(&devices[1], &hash).await.unwrap(),
        catalogue.as_bytes()
    );

    let again = repeat(deadline, || fetch(&devices[0], &hash)).await;
    assert_eq!(again.unwrap(), catalogue.as_bytes());
    assert!(grown() < OBJECT + 16 * MEGABYTE, "{} bytes", grown());
    drop(held);
}
