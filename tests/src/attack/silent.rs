//! Attackers that take a place and do little with it. Whoever loses its place comes again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message;
use tacit_proto::v2;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::stage::Stage;
use crate::bare::{BareDevice, Contribution};
use crate::proxy::Proxy;
use crate::raw::frame::{PAYLOAD_BYTES_MAX, data, message, setting};
use crate::raw::{Connection, Door, path};

/// Who was turned away comes again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// A place is kept for so long.
const LONG: Duration = Duration::from_secs(3600);
/// Between two chunks of an upload that goes on as slowly as it may.
const DRIP: Duration = Duration::from_millis(4500);
/// Connections of one identity, and calls on each.
const PER_IDENTITY: usize = 32;
/// Uploads and fetches through the proxy.
const THROUGH_PROXY: usize = 32;

/// Tasks of one attack; they end with it.
async fn play(tasks: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let mut playing = JoinSet::new();
    for task in tasks {
        playing.spawn(task);
        // Not all in one moment: the attackers' own processor is not what is measured.
        tokio::task::yield_now().await;
    }
    while playing.join_next().await.is_some() {}
}

/// Strangers that connect and say no more than their preface, or not even that.
pub(super) async fn strangers(stage: Stage, preface: bool) {
    let stranger = |number: usize| {
        let door = stage.strangers[number % stage.strangers.len()].clone();
        let (stage, shake) = (stage.clone(), number.is_multiple_of(2));
        async move {
            loop {
                stranger(&stage, &door, preface, shake).await;
                sleep(AGAIN).await;
            }
        }
    };
    play((0..stage.connections).map(stranger)).await;
}

async fn stranger(stage: &Stage, door: &Door, preface: bool, shake: bool) {
    if preface {
        if let Some(mut connection) = stage.opened(door.connect().await) {
            connection.closed_within(LONG).await;
            stage.count(|counts| &counts.closed, 1);
        }
    } else if shake {
        let stream = stage.opened(door.knock().await);
        wait(stage, stream).await;
    } else {
        let stream = stage.opened(door.reach().await);
        wait(stage, stream).await;
    }
}

/// Waits until the other side closes the connection.
async fn wait(stage: &Stage, stream: Option<impl AsyncRead + Unpin>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 64];
    while stream
        .read(&mut buffer)
        .await
        .is_ok_and(|read| read > 0)
    {}
    stage.count(|counts| &counts.closed, 1);
}

/// As many connections as an identity may have, each with a call that never ends its request.
pub(super) async fn open_calls(stage: Stage) {
    let each = (stage.connections / stage.doors.len()).clamp(1, PER_IDENTITY);
    let calls = |number: usize| {
        let (stage, door) = (stage.clone(), stage.doors[number / each].clone());
        async move {
            loop {
                if let Some(mut connection) = stage.opened(door.connect().await) {
                    let begun = connection.begin(&path("CheckIn"), &[]).await;
                    stage.count(|counts| &counts.sent, u64::from(begun.is_ok()));
                    connection.closed_within(LONG).await;
                    stage.count(|counts| &counts.closed, 1);
                }
                sleep(AGAIN).await;
            }
        }
    };
    play((0..each * stage.doors.len()).map(calls)).await;
}

/// Every identity fetches twice and gives the answers no room.
pub(super) async fn reads(stage: Stage) {
    let request = v2::FetchRequest {
        hash: stage.object.clone(),
    };
    let request = message(&request);
    let reader = |number: usize| {
        let (stage, request) = (stage.clone(), request.clone());
        let door = stage.doors[number].clone();
        async move {
            loop {
                let window = [(setting::INITIAL_WINDOW_SIZE, 0)];
                if let Some(connection) = stage.opened(door.connect_with(&window).await) {
                    read_twice(&stage, connection, &request).await;
                }
                sleep(AGAIN).await;
            }
        }
    };
    play((0..stage.doors.len()).map(reader)).await;
}

async fn read_twice(stage: &Stage, mut connection: Connection, request: &[u8]) {
    let mut last = 1;
    for _ in 0..2 {
        let Ok(stream) = connection.begin(&path("Fetch"), &[]).await else {
            return;
        };
        let body = data(stream, PAYLOAD_BYTES_MAX, true, request);
        if connection.send(&body).await.is_err() {
            return;
        }
        stage.count(|counts| &counts.sent, 1);
        last = stream;
    }
    // The server takes the object back and ends the stream; then the next two begin.
    connection.answer(last, LONG).await;
}

/// Every identity uploads: one in four says nothing, one stops after its header, one after its
/// first chunk, one goes on with a chunk every four and a half seconds.
pub(super) async fn uploads(stage: Stage) {
    let upload = |number: usize| {
        let (stage, door) = (stage.clone(), stage.doors[number].clone());
        async move {
            loop {
                if let Some(connection) = stage.opened(door.connect().await) {
                    drip(&stage, connection, number % 4).await;
                }
                sleep(AGAIN).await;
            }
        }
    };
    play((0..stage.doors.len()).map(upload)).await;
}

async fn drip(stage: &Stage, mut connection: Connection, messages: usize) {
    let values = vec![0; stage.ticket.mechanism.length as usize];
    let Ok(contribution) = Contribution::new(&stage.ticket, stage.hash, values) else {
        return;
    };
    let Ok(stream) = connection.begin(&path("Contribute"), &[]).await else {
        return;
    };
    let parts = contribution.parts();
    let sent = if messages == 3 {
        parts.len() - 1
    } else {
        messages
    };
    for (number, part) in parts[..sent].iter().enumerate() {
        if number > 1 {
            let answer = connection.answer(stream, DRIP).await;
            if answer.code().is_some() {
                return;
            }
        }
        let body = data(stream, PAYLOAD_BYTES_MAX, false, &message(part));
        if connection.send(&body).await.is_err() {
            return;
        }
        stage.count(|counts| &counts.sent, 1);
    }
    connection.answer(stream, LONG).await;
}

/// Uploads and fetches of devices behind a proxy that carries a part of them and then nothing.
pub(super) async fn proxy(stage: Stage) {
    let Ok(proxy) = Proxy::start(&stage.address).await else {
        return;
    };
    proxy.limits.up.store(100_000, Ordering::Relaxed);
    proxy.limits.down.store(50_000, Ordering::Relaxed);
    let device = |number: usize| {
        let stage = stage.clone();
        let own = &stage.credentials[number];
        let device = BareDevice::new(&proxy.address, &stage.root, Some(own)).ok();
        async move {
            let Some(device) = device else { return };
            loop {
                let tried = through_proxy(&stage, &device, number.is_multiple_of(2));
                // A device gives up; its connection to the coordinator stays.
                let _ = timeout(DRIP, tried).await;
                stage.count(|counts| &counts.sent, 1);
            }
        }
    };
    play((0..THROUGH_PROXY).map(device)).await;
}

async fn through_proxy(stage: &Stage, device: &BareDevice, upload: bool) {
    let Some(mut client) = stage.opened(device.connect().await.map_err(Into::into)) else {
        return sleep(AGAIN).await;
    };
    if upload {
        let values = vec![0; stage.ticket.mechanism.length as usize];
        if let Ok(contribution) = Contribution::new(&stage.ticket, stage.hash, values) {
            let parts = tokio_stream::iter(contribution.parts());
            let _ = client.contribute(parts).await;
        }
    } else {
        let hash = stage.object.clone();
        if let Ok(answer) = client.fetch(v2::FetchRequest { hash }).await {
            let mut chunks = answer.into_inner();
            while let Ok(Some(chunk)) = chunks.message().await {
                debug_assert!(chunk.encoded_len() > 0);
            }
        }
    }
}
