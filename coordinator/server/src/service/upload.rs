//! One upload: read, checked, admitted by the helper, handed to the driver, acknowledged once
//! durable.
//!
//! It holds a slot, and with it the memory of one contribution, only once its header and its first
//! chunk are there, so who connects and says nothing holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacit_proto::v2::contribute_request::Part;
use tacit_proto::{CHUNK_BYTES, v2};
use tacit_round::commitment::{CommitmentKey, Committer};
use tacit_round::coordinator::Contribution;
use tacit_round::helper::SealedSeed;
use tacit_round::seal::{SCHEME_ID, SEALED_LEN};
use tacit_types::{Commitment, ContributionId, DeviceId, Digest, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use crate::admission::{Admission, Verdict};
use crate::board::Board;
use crate::ingest::{Accepted, Arrival};
use crate::slots::{Call, Limits, Pressure, Slot, Slots};
use crate::status;

/// An upload must be complete and acknowledged within this time.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(60);
/// The header, and then each chunk, must come within this time.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(5);
/// A device whose upload took a slot for longer than this before it was whole goes last next time.
const SLOW_MS: u64 = 10_000;
/// At most 64 contributions in memory. One device may hold two, and 32 calls that say nothing yet.
const LIMITS: Limits = Limits {
    slots: 64,
    per_device: 2,
    calls_per_device: 32,
    crowd: 128,
    calls: 256,
};

/// Takes uploads.
pub(super) struct Uploads {
    board: Arc<Board>,
    admission: Admission,
    queue: mpsc::Sender<Arrival>,
    slots: Slots,
    now: fn() -> Timestamp,
}

type Upload = Streaming<v2::ContributeRequest>;

impl Uploads {
    pub(super) fn new(
        board: Arc<Board>,
        admission: Admission,
        queue: mpsc::Sender<Arrival>,
        now: fn() -> Timestamp,
        drain: CancellationToken,
    ) -> Self {
        Self {
            board,
            admission,
            queue,
            slots: Slots::new(LIMITS, drain),
            now,
        }
    }

    /// Takes one upload to its end.
    pub(super) async fn take(
        &self,
        device: DeviceId,
        stream: Upload,
    ) -> Result<v2::ContributionOutcome, Status> {
        let era = self.board.open().map(|round| round.ticket.hash());
        let Some(call) = self.slots.enter(device, era) else {
            return Err(status::too_many("uploads"));
        };
        let taking = self.take_counted(&call, device, stream);
        let Ok(taken) = timeout(UPLOAD_DEADLINE, taking).await else {
            return Err(status::late("the upload", UPLOAD_DEADLINE));
        };
        let fault = |status: &Status| {
            matches!(
                status.code(),
                Code::InvalidArgument | Code::DeadlineExceeded
            )
        };
        if taken.as_ref().is_err_and(fault) {
            call.put_last();
        }
        taken
    }

    async fn take_counted(
        &self,
        call: &Call,
        device: DeviceId,
        mut stream: Upload,
    ) -> Result<v2::ContributionOutcome, Status> {
        let first = or_gave_way(call, next_part(&mut stream));
        let (header, commitment_key) = match first.await? {
            Some(Part::Header(header)) => read_header(&header)?,
            _ => return Err(status::malformed("the first message", "a header")),
        };
        let contribution = header.contribution(device);
        if self.board.published().is_none() {
            return Err(status::not_now());
        }
        let open = self.board.open();
        let Some(round) = open.filter(|round| round.ticket.hash() == header.ticket) else {
            return Ok(self.closed(header.ticket, &contribution));
        };
        if self.admission.is_away() {
            return Err(status::helper_away());
        }
        let first = next_chunk(&mut stream, round.vector_bytes());
        let first = or_gave_way(call, first).await?;

        let mut slot = call.slot().await;
        let begun = (self.now)();
        let pressure = slot.pressure();
        let committer = Committer::new(&commitment_key);
        drop(commitment_key);
        let (masked, commitment) = read_vector(
            &mut stream,
            first,
            round.vector_bytes(),
            committer,
            &pressure,
        )
        .await?;
        if commitment != header.seed.commitment {
            return Ok(v2::ContributionOutcome::Refused);
        }
        if (self.now)().millis_since(begun) <= SLOW_MS {
            slot.whole();
        }
        // Whoever was not selected would take the place of somebody who was, and has spent for it.
        if !round.holds(device) {
            return Ok(v2::ContributionOutcome::Refused);
        }
        let outcome = self.admit(contribution, header, masked, slot).await;
        if matches!(outcome, Ok(v2::ContributionOutcome::Refused)) {
            round.declined(device);
        }
        outcome
    }

    /// What a device hears whose round is not open: whether exactly this contribution counts.
    fn closed(&self, ticket: Digest, contribution: &Contribution) -> v2::ContributionOutcome {
        if self.board.is_counted(ticket, contribution) {
            v2::ContributionOutcome::Accepted
        } else {
            v2::ContributionOutcome::TooLate
        }
    }

    async fn admit(
        &self,
        contribution: Contribution,
        header: Header,
        masked: Vec<u8>,
        slot: Slot,
    ) -> Result<v2::ContributionOutcome, Status> {
        let (device, seed) = (contribution.device, header.seed.clone());
        match self.admission.ask(device, header.ticket, seed).await {
            Verdict::Admitted => self
                .hand_over(contribution, header, masked, slot)
                .await
                .ok_or_else(status::not_now),
            Verdict::Refused => Ok(v2::ContributionOutcome::Refused),
            Verdict::Away => Err(status::helper_away()),
        }
    }

    /// `None` when the driver stopped before answering. The slot goes with the vector: from the
    /// moment it is folded, this call waits for its checkpoint without one.
    async fn hand_over(
        &self,
        contribution: Contribution,
        header: Header,
        masked: Vec<u8>,
        slot: Slot,
    ) -> Option<v2::ContributionOutcome> {
        let (reply, answered) = oneshot::channel();
        let arrival = Arrival {
            contribution,
            ticket: header.ticket,
            sealed: header.seed.sealed.into(),
            masked,
            slot,
            reply,
        };
        self.queue.send(arrival).await.ok()?;
        Some(match answered.await.ok()? {
            Accepted::Yes => v2::ContributionOutcome::Accepted,
            Accepted::TooLate => v2::ContributionOutcome::TooLate,
            Accepted::Conflict => v2::ContributionOutcome::Refused,
        })
    }
}

/// A contribution's header, checked for form.
pub struct Header {
    ticket: Digest,
    seed: SealedSeed,
}

impl Header {
    fn contribution(&self, device: DeviceId) -> Contribution {
        Contribution {
            device,
            id: self.seed.contribution,
            commitment: self.seed.commitment,
        }
    }
}

/// Reads the first message of an upload. The key of its commitment is apart from the rest, so that
/// it is dropped as soon as it has served.
///
/// # Errors
/// `INVALID_ARGUMENT` naming the field of another scheme or length.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn read_header(header: &v2::ContributionHeader) -> Result<(Header, CommitmentKey), Status> {
    if header.scheme_id != SCHEME_ID {
        return Err(status::malformed("scheme_id", "2"));
    }
    if header.sealed_seed.len() != SEALED_LEN {
        return Err(status::malformed(
            "sealed_seed",
            &format!("{SEALED_LEN} bytes"),
        ));
    }
    let ticket = Digest::from_slice(&header.ticket_hash)
        .map_err(|_| status::malformed("ticket_hash", "32 bytes"));
    let id = ContributionId::from_slice(&header.contribution_id)
        .map_err(|_| status::malformed("contribution_id", "16 bytes"));
    let commitment = Commitment::from_slice(&header.commitment)
        .map_err(|_| status::malformed("commitment", "32 bytes"));
    let commitment_key = CommitmentKey::from_slice(&header.commitment_key)
        .map_err(|_| status::malformed("commitment_key", "32 bytes"));
    let seed = SealedSeed {
        contribution: id?,
        sealed: header.sealed_seed.to_vec(),
        commitment: commitment?,
    };
    let ticket = ticket?;
    Ok((Header { ticket, seed }, commitment_key?))
}

/// What comes before an upload has a slot, unless it stands still while the server drains.
async fn or_gave_way<T>(
    call: &Call,
    next: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    tokio::select! {
        next = next => next,
        () = call.give_way() => Err(status::gave_way()),
    }
}

/// The next message, `None` at the end of the stream.
async fn next_part(stream: &mut Upload) -> Result<Option<Part>, Status> {
    let Ok(next) = timeout(PROGRESS_DEADLINE, stream.next()).await else {
        return Err(status::late("a message of the upload", PROGRESS_DEADLINE));
    };
    let Some(message) = next.transpose()? else {
        return Ok(None);
    };
    match message.part {
        Some(part) => Ok(Some(part)),
        None => Err(status::malformed("part", "a header or a chunk")),
    }
}

/// The next chunk of a vector of which `missing` bytes have not come; empty at the end of the
/// stream.
async fn next_chunk(stream: &mut Upload, missing: usize) -> Result<Bytes, Status> {
    let chunk = match next_part(stream).await? {
        Some(Part::Chunk(chunk)) => chunk,
        Some(Part::Header(_)) => return Err(status::malformed("header", "sent once")),
        None if missing == 0 => return Ok(Bytes::new()),
        None => {
            let expected = "as long as the ticket says";
            return Err(status::malformed("the vector", expected));
        }
    };
    if chunk.is_empty() || chunk.len() != CHUNK_BYTES.min(missing) {
        let expected = "65536 bytes, the last one the rest of the vector";
        return Err(status::malformed("chunk", expected));
    }
    Ok(chunk)
}

/// Reads on after the `first` chunk until exactly `bytes` have come and the stream has ended; gives
/// them with the commitment to them. An upload that stands still gives way to others.
async fn read_vector(
    stream: &mut Upload,
    first: Bytes,
    bytes: usize,
    mut committer: Committer,
    pressure: &Pressure,
) -> Result<(Vec<u8>, Commitment), Status> {
    let mut vector = Vec::with_capacity(bytes);
    let mut chunk = first;
    while !chunk.is_empty() {
        committer.update(&chunk);
        vector.extend_from_slice(&chunk);
        chunk = tokio::select! {
            next = next_chunk(stream, bytes - vector.len()) => next?,
            () = pressure.give_way() => return Err(status::gave_way()),
        };
    }
    Ok((vector, committer.finish()))
}
