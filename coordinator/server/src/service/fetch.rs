//! One fetch: a published object, cut into pieces as they are taken.
//!
//! HTTP/2 asks a stream for its next piece only when the peer has room for the last, so a peer that
//! gives no room is never heard of again. Each fetch therefore has a watch beside it that takes the
//! object and the slot back from a peer that takes too little.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tacit_proto::{CHUNK_BYTES, v2};
use tacit_types::{DeviceId, Digest};
use tacit_wire::listener::HangUp;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::board::Board;
use crate::shelf::Shelf;
use crate::slots::{Call, Limits, Pressure, Slot, Slots};
use crate::status;
use crate::storage::Objects;

/// A fetch waits this long for its slot and its object.
const OPEN_DEADLINE: Duration = Duration::from_secs(20);
/// A chunk must be taken within this time.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(5);
/// A fetch must be over within this time once it has begun: as long as a device waits for it.
const FETCH_DEADLINE: Duration = Duration::from_secs(120);
/// Bytes of a message. The next one is made before the peer has room for it, and is held until then
/// or until the call has ended: it is small, and an HTTP/2 frame is no larger.
const PIECE_BYTES: usize = CHUNK_BYTES / 4;
/// One device reads one object at a time. Its calls count until its connection has let them go.
/// All share the objects' memory and hold one piece each, so that there are slots for a hundred who
/// read nothing and for everybody else.
const LIMITS: Limits = Limits {
    slots: 256,
    per_device: 1,
    calls_per_device: 16,
    crowd: 256,
    calls: 1024,
};

/// Answers fetches.
pub(super) struct Fetches {
    board: Arc<Board>,
    shelf: Shelf,
    slots: Slots,
}

impl Fetches {
    pub(super) fn new(
        board: Arc<Board>,
        objects: Arc<dyn Objects>,
        drain: CancellationToken,
    ) -> Self {
        Self {
            board,
            shelf: Shelf::new(objects),
            slots: Slots::new(LIMITS, drain),
        }
    }

    /// Begins to send an object, over a connection that `hang_up` closes.
    pub(super) async fn open(
        &self,
        device: DeviceId,
        hash: Digest,
        hang_up: Option<HangUp>,
    ) -> Result<FetchStream, Status> {
        let Some(published) = self.board.objects() else {
            return Err(status::not_now());
        };
        let Some(call) = self.slots.enter(device, published.first().copied()) else {
            return Err(status::too_many("fetches"));
        };
        let opening = async {
            let slot = call.slot().await;
            let object = self.shelf.get(hash, &published).await?;
            Ok::<_, Status>(Rest { object, slot })
        };
        let Ok(opened) = timeout(OPEN_DEADLINE, opening).await else {
            return Err(Status::unavailable("too many fetches; retry later"));
        };
        Ok(FetchStream::new(call, opened?, hang_up))
    }
}

/// What is still to be sent, and the slot it is sent under.
struct Rest {
    object: Bytes,
    slot: Slot,
}

/// The pieces of one object.
pub struct FetchStream {
    /// `None` once all is sent or the watch took it.
    rest: Arc<Mutex<Option<Rest>>>,
    /// Told of every chunk but the last; `None` after it. Dropping it ends the watch.
    taken: Option<watch::Sender<()>>,
    /// Bytes of the chunk that is being taken.
    of_chunk: usize,
    _call: Call,
}

impl FetchStream {
    fn new(call: Call, rest: Rest, hang_up: Option<HangUp>) -> Self {
        let pressure = rest.slot.pressure();
        let rest = Arc::new(Mutex::new(Some(rest)));
        let (taken, progress) = watch::channel(());
        tokio::spawn(watch(rest.clone(), progress, pressure, hang_up));
        Self {
            rest,
            taken: Some(taken),
            of_chunk: 0,
            _call: call,
        }
    }
}

/// Takes the rest back when chunks are taken too slowly, or not at all while others wait.
async fn watch(
    rest: Arc<Mutex<Option<Rest>>>,
    mut progress: watch::Receiver<()>,
    pressure: Pressure,
    hang_up: Option<HangUp>,
) {
    let keeps_up = async {
        loop {
            let taken = tokio::select! {
                taken = timeout(PROGRESS_DEADLINE, progress.changed()) => taken,
                () = pressure.give_way() => return,
            };
            if !matches!(taken, Ok(Ok(()))) {
                return;
            }
        }
    };
    let _ = timeout(FETCH_DEADLINE, keeps_up).await;
    let was_slow = lock(&rest).take().is_some();

    // The call of a peer that reads nothing is heard of only when it reads again, and holds its
    // connection until then. A drain does not wait for that.
    if let Some(hang_up) = hang_up.filter(|_| was_slow) {
        let forgotten = async { while progress.changed().await.is_ok() {} };
        tokio::select! {
            () = pressure.draining() => hang_up.now(),
            () = forgotten => {}
        }
    }
}

fn lock(rest: &Mutex<Option<Rest>>) -> std::sync::MutexGuard<'_, Option<Rest>> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream for FetchStream {
    type Item = Result<v2::FetchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(taken) = self.taken.take() else {
            return Poll::Ready(None);
        };
        let mut held = lock(&self.rest);
        let Some(rest) = held.as_mut() else {
            let late = status::late("65536 bytes of the object", PROGRESS_DEADLINE);
            return Poll::Ready(Some(Err(late)));
        };
        let chunk = rest
            .object
            .split_to(PIECE_BYTES.min(rest.object.len()));
        if rest.object.is_empty() {
            rest.slot.whole();
            *held = None;
            drop(held);
        } else {
            drop(held);
            self.of_chunk = (self.of_chunk + chunk.len()) % CHUNK_BYTES;
            if self.of_chunk == 0 {
                // The watch listens for as long as this stream has anything to send.
                let _ = taken.send(());
            }
            self.taken = Some(taken);
        }
        Poll::Ready(Some(Ok(v2::FetchResponse { chunk })))
    }
}
