//! tonic handlers: parse, call, map. Nothing here decides; the driver does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacit_privacy::canonical::digest;
use tacit_proto::v1::contribute_request::Part;
use tacit_proto::v1::coordinator_server::Coordinator;
use tacit_proto::{CHUNK_BYTES, v1};
use tacit_round::coordinator::Contribution;
use tacit_round::helper::SealedSeed;
use tacit_round::seal::{SCHEME_ID, SEALED_LEN};
use tacit_types::{ContributionId, DeviceId, Digest, Timestamp};
use tacit_wire::identity;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::admission::{Admission, Verdict};
use crate::board::{Board, OpenRound};
use crate::enrolment::{Enrolment, REQUEST_BYTES_MAX};
use crate::ingest::{Accepted, Arrival};
use crate::objects::Objects;
use crate::slots::UploadSlots;
use crate::status;

/// Largest message: one chunk and its framing.
pub const MESSAGE_BYTES_MAX: usize = CHUNK_BYTES + 4096;
/// An upload must be complete within this time.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(60);

/// The device-facing service.
pub struct CoordinatorService {
    board: Arc<Board>,
    objects: Objects,
    enrolment: Enrolment,
    admission: Admission,
    queue: mpsc::Sender<Arrival>,
    uploads: UploadSlots,
    now: fn() -> Timestamp,
}

impl CoordinatorService {
    /// Puts the parts together.
    pub fn new(
        board: Arc<Board>,
        objects: Objects,
        enrolment: Enrolment,
        admission: Admission,
        queue: mpsc::Sender<Arrival>,
        now: fn() -> Timestamp,
    ) -> Self {
        Self {
            board,
            objects,
            enrolment,
            admission,
            queue,
            uploads: UploadSlots::default(),
            now,
        }
    }

    fn answer(&self, outcome: v1::ContributionOutcome) -> Response<v1::ContributeResponse> {
        let retry_after_ms = self.board.retry_after_ms((self.now)());
        Response::new(v1::ContributeResponse {
            outcome: outcome.into(),
            retry_after_ms,
        })
    }

    /// Reads one upload into memory, checks it, has its seed admitted, and waits until it is
    /// durable.
    async fn take(
        &self,
        device: DeviceId,
        mut stream: Streaming<v1::ContributeRequest>,
    ) -> Result<v1::ContributionOutcome, Status> {
        let header = match next_part(&mut stream).await {
            Ok(Some(Part::Header(header))) => read_header(&header),
            Ok(_) => return Err(status::malformed("the first message", "a header")),
            Err(status) => return Err(status),
        };
        let header = match header {
            Ok(header) => header,
            Err(status) => return Err(status),
        };
        let contribution = Contribution {
            device,
            id: header.seed.contribution,
            digest: header.seed.digest,
        };
        if self.board.published().is_none() {
            return Err(status::not_now());
        }
        let Some(round) = self
            .board
            .open()
            .filter(|round| round.ticket.hash() == header.ticket)
        else {
            let counted = self.board.is_counted(header.ticket, &contribution);
            return Ok(if counted {
                v1::ContributionOutcome::Accepted
            } else {
                v1::ContributionOutcome::TooLate
            });
        };
        let masked = match read_vector(&mut stream, round.vector_bytes()).await {
            Ok(masked) => masked,
            Err(status) => return Err(status),
        };
        if digest(&masked) != header.seed.digest {
            return Ok(v1::ContributionOutcome::Refused);
        }
        match self
            .admission
            .ask(device, header.ticket, header.seed.clone())
            .await
        {
            Verdict::Admitted => self
                .hand_over(contribution, &round, header, masked)
                .await
                .ok_or_else(status::not_now),
            Verdict::Refused => Ok(v1::ContributionOutcome::Refused),
            Verdict::Away => Err(Status::unavailable(
                "the helper is away; send the same bytes again later",
            )),
        }
    }

    /// `None` when the driver stopped before answering.
    async fn hand_over(
        &self,
        contribution: Contribution,
        round: &OpenRound,
        header: Header,
        masked: Vec<u8>,
    ) -> Option<v1::ContributionOutcome> {
        let (reply, answered) = oneshot::channel();
        let sealed = header.seed.sealed.into();
        self.queue
            .send(Arrival {
                contribution,
                ticket: round.ticket.hash(),
                sealed,
                masked,
                reply,
            })
            .await
            .ok()?;
        Some(match answered.await.ok()? {
            Accepted::Yes => v1::ContributionOutcome::Accepted,
            Accepted::TooLate => v1::ContributionOutcome::TooLate,
            Accepted::Conflict => v1::ContributionOutcome::Refused,
        })
    }
}

/// A contribution's header, checked for form.
pub struct Header {
    ticket: Digest,
    seed: SealedSeed,
}

/// Reads the first message of an upload.
///
/// # Errors
/// `INVALID_ARGUMENT` naming the field of another scheme or length.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn read_header(header: &v1::ContributionHeader) -> Result<Header, Status> {
    if header.scheme_id != SCHEME_ID {
        return Err(status::malformed("scheme_id", "1"));
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
    let digest =
        Digest::from_slice(&header.digest).map_err(|_| status::malformed("digest", "32 bytes"));
    match (ticket, id, digest) {
        (Ok(ticket), Ok(contribution), Ok(digest)) => Ok(Header {
            ticket,
            seed: SealedSeed {
                contribution,
                sealed: header.sealed_seed.to_vec(),
                digest,
            },
        }),
        (Err(status), _, _) | (_, Err(status), _) | (_, _, Err(status)) => Err(status),
    }
}

async fn next_part(stream: &mut Streaming<v1::ContributeRequest>) -> Result<Option<Part>, Status> {
    match stream.next().await {
        Some(Ok(message)) => match message.part {
            Some(part) => Ok(Some(part)),
            None => Err(status::malformed("part", "a header or a chunk")),
        },
        Some(Err(status)) => Err(status),
        None => Ok(None),
    }
}

/// Reads chunks until exactly `bytes` have come and the stream has ended; memory is bounded by
/// `bytes`.
async fn read_vector(
    stream: &mut Streaming<v1::ContributeRequest>,
    bytes: usize,
) -> Result<Vec<u8>, Status> {
    let mut vector = Vec::with_capacity(bytes);
    loop {
        match next_part(stream).await {
            Ok(Some(Part::Chunk(chunk))) => {
                let expected = CHUNK_BYTES.min(bytes - vector.len());
                if chunk.len() != expected || expected == 0 {
                    return Err(status::malformed(
                        "chunk",
                        "65536 bytes, the last one the rest of the vector",
                    ));
                }
                vector.extend_from_slice(&chunk);
            }
            Ok(Some(Part::Header(_))) => return Err(status::malformed("header", "sent once")),
            Ok(None) if vector.len() == bytes => return Ok(vector),
            Ok(None) => {
                return Err(status::malformed(
                    "the vector",
                    "as long as the ticket says",
                ));
            }
            Err(status) => return Err(status),
        }
    }
}

fn to_proto(round: &OpenRound) -> v1::SignedTicket {
    let signed = round.ticket.signed();
    v1::SignedTicket {
        ticket: Bytes::copy_from_slice(&signed.bytes),
        coordinator_signature: Bytes::copy_from_slice(&signed.coordinator_signature.0),
        helper_signature: Bytes::copy_from_slice(&signed.helper_signature.0),
    }
}

#[tonic::async_trait]
impl Coordinator for CoordinatorService {
    async fn enrol(
        &self,
        request: Request<v1::EnrolRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        let request = request.into_inner();
        if request.token.len() != 32 || request.signing_request.len() > REQUEST_BYTES_MAX {
            return Err(status::malformed(
                "token and signing_request",
                "32 bytes and at most 4096 bytes",
            ));
        }
        let (enrolment, now) = (self.enrolment.clone(), (self.now)());
        let work = move || enrolment.enrol(&request.token, &request.signing_request, now);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(certificate_chain)) => Ok(Response::new(v1::EnrolResponse { certificate_chain })),
            Ok(Err(error)) => Err(status::enrol(&error)),
            Err(_) => Err(status::internal("enrolment stopped")),
        }
    }

    async fn check_in(
        &self,
        request: Request<v1::CheckInRequest>,
    ) -> Result<Response<v1::CheckInResponse>, Status> {
        let device = identity::device(&request)?;
        let Some(published) = self.board.published() else {
            return Err(status::not_now());
        };
        Ok(Response::new(v1::CheckInResponse {
            ticket: self.board.open().map(|round| to_proto(&round)),
            retry_after_ms: self.board.retry_after_ms((self.now)()),
            model_hash: Bytes::copy_from_slice(&published.model.0),
            catalogue_hash: Bytes::copy_from_slice(&published.catalogue.0),
            finished: published.finished,
            rho_counted: Bytes::copy_from_slice(&self.board.spent(device).units().to_be_bytes()),
            model_logged: published.logged,
        }))
    }

    async fn consistency(
        &self,
        request: Request<v1::ConsistencyRequest>,
    ) -> Result<Response<v1::ConsistencyResponse>, Status> {
        identity::device(&request)?;
        let v1::ConsistencyRequest { old_size, new_size } = request.into_inner();
        let proof = self
            .board
            .consistency(old_size, new_size)
            .unwrap_or_default();
        let proof = proof
            .iter()
            .map(|hash| Bytes::copy_from_slice(&hash.0))
            .collect();
        Ok(Response::new(v1::ConsistencyResponse { proof }))
    }

    type FetchStream = Pin<Box<dyn Stream<Item = Result<v1::FetchResponse, Status>> + Send>>;

    async fn fetch(
        &self,
        request: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        identity::device(&request)?;
        let Ok(hash) = Digest::from_slice(&request.get_ref().hash) else {
            return Err(status::malformed("hash", "32 bytes"));
        };
        let objects = self.objects.clone();
        let object = match tokio::task::spawn_blocking(move || objects.get(hash)).await {
            Ok(object) => object.map_err(|error| status::object(&error))?,
            Err(_) => return Err(status::internal("reading stopped")),
        };
        let chunks = tacit_proto::chunks(Bytes::from(object));
        let stream = tokio_stream::iter(chunks.map(|chunk| Ok(v1::FetchResponse { chunk })));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn contribute(
        &self,
        request: Request<Streaming<v1::ContributeRequest>>,
    ) -> Result<Response<v1::ContributeResponse>, Status> {
        let device = identity::device(&request)?;
        let Some(_slot) = self.uploads.acquire(device).await else {
            return Err(status::too_many_uploads());
        };
        match timeout(UPLOAD_DEADLINE, self.take(device, request.into_inner())).await {
            Ok(Ok(outcome)) => Ok(self.answer(outcome)),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::deadline_exceeded(
                "the upload took longer than 60 seconds",
            )),
        }
    }

    async fn round_status(
        &self,
        request: Request<v1::RoundStatusRequest>,
    ) -> Result<Response<v1::RoundStatusResponse>, Status> {
        identity::device(&request)?;
        let Some(published) = self.board.published() else {
            return Err(status::not_now());
        };
        let open = self.board.open();
        let ticket = open.as_ref().map(|round| round.ticket.content());
        Ok(Response::new(v1::RoundStatusResponse {
            task: ticket
                .map(|ticket| ticket.task.to_string())
                .unwrap_or_default(),
            round: ticket.map_or(published.round, |ticket| ticket.round.0),
            rounds_planned: published.rounds_planned,
            kind: ticket
                .map(|ticket| ticket.kind.as_str().to_owned())
                .unwrap_or_default(),
            received: self.board.received(),
            cohort: self.board.cohort(),
            finished: published.finished,
        }))
    }
}
