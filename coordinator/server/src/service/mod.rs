//! tonic handlers: parse, call, map. Nothing here decides; the driver does.
//!
//! `upload` and `fetch` are the two calls that hold memory; each has its slots and its deadlines.
//! `select` says who may take part.

mod fetch;
mod select;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use tacit_proto::v2::coordinator_server::Coordinator;
use tacit_proto::{CHUNK_BYTES, v2};
use tacit_round::refusal::RefusalCode;
use tacit_round::root::SignedRoot;
use tacit_round::token::Token;
use tacit_types::{DeviceId, Digest, Timestamp};
use tacit_wire::current::Current;
use tacit_wire::identity;
use tacit_wire::listener::HangUp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::admission::Admission;
use crate::board::Board;
use crate::census;
use crate::enrolment::{Enrolment, REQUEST_BYTES_MAX};
use crate::ingest::Arrival;
use crate::live::Offered;
use crate::status;
use crate::storage::{Accounts, Stores};

use fetch::{FetchStream, Fetches};
use select::Selections;
use upload::Uploads;
pub use upload::{Header, read_header};

/// Bytes of a token that stands in the operator's list.
const SINGLE_TOKEN: usize = 32;
/// Largest message: one chunk and its framing.
pub const MESSAGE_BYTES_MAX: usize = CHUNK_BYTES + 4096;
/// What a peer may send ahead of being read: two messages, whether its upload has a slot or not.
pub const WINDOW_BYTES: u32 = 139_264;
const _: () = assert!(WINDOW_BYTES as usize == 2 * MESSAGE_BYTES_MAX);

/// What the service is made of.
pub(crate) struct Parts {
    /// What is published, and what is open.
    pub board: Arc<Board>,
    /// Where leases, accounts and published objects are.
    pub(crate) stores: Stores,
    /// Who has checked in.
    pub census: census::Shared,
    /// Who signs devices.
    pub(crate) enrolment: Enrolment,
    /// The policy devices are offered.
    pub(crate) policy: Current<Option<Offered>>,
    /// Asks the helper which seeds open.
    pub admission: Admission,
    /// Contributions for the driver.
    pub queue: mpsc::Sender<Arrival>,
}

/// The device-facing service.
pub struct CoordinatorService {
    board: Arc<Board>,
    selections: Selections,
    enrolment: Enrolment,
    accounts: Arc<dyn Accounts>,
    policy: Current<Option<Offered>>,
    fetches: Fetches,
    uploads: Uploads,
    now: fn() -> Timestamp,
}

impl CoordinatorService {
    /// Puts the parts together. When `drain` begins, who stands still is waited for no longer.
    pub(crate) fn new(parts: Parts, now: fn() -> Timestamp, drain: &CancellationToken) -> Self {
        let Parts {
            board,
            stores,
            census,
            enrolment,
            policy,
            admission,
            queue,
        } = parts;
        Self {
            fetches: Fetches::new(board.clone(), stores.objects.clone(), drain.clone()),
            uploads: Uploads::new(board.clone(), admission, queue, now, drain.clone()),
            selections: Selections {
                board: board.clone(),
                store: stores.task.clone(),
                census,
                now,
            },
            board,
            enrolment,
            policy,
            accounts: stores.accounts.clone(),
            now,
        }
    }

    /// The device that calls, with a certificate that no newer one has taken the place of.
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn caller<T>(&self, request: &Request<T>) -> Result<DeviceId, Status> {
        let (device, key) = identity::device_with_key(request)?;
        let admitted = self.enrolment.admit(device, &key);
        admitted.map_err(|error| status::enrol(&error))?;
        Ok(device)
    }

    /// The publisher's newest policy, for a device that goes by the one of this serial.
    fn later_policy(&self, serial: u32) -> Bytes {
        let policy = self.policy.get();
        let later = policy
            .as_ref()
            .as_ref()
            .filter(|newest| newest.serial > serial);
        later
            .map(|newest| newest.signed.clone())
            .unwrap_or_default()
    }

    fn roots(&self) -> Vec<v2::SignedRoot> {
        let told = |root: SignedRoot| v2::SignedRoot {
            certificate: Bytes::copy_from_slice(root.certificate()),
            signature: Bytes::copy_from_slice(&root.signature().0),
        };
        self.enrolment.roots().into_iter().map(told).collect()
    }

    fn answer(
        &self,
        device: DeviceId,
        outcome: v2::ContributionOutcome,
    ) -> Response<v2::ContributeResponse> {
        let retry_after_ms = self
            .board
            .retry_after_ms(device, (self.now)(), (false, None));
        Response::new(v2::ContributeResponse {
            outcome: outcome.into(),
            retry_after_ms,
        })
    }
}

#[tonic::async_trait]
impl Coordinator for CoordinatorService {
    async fn enrol(
        &self,
        request: Request<v2::EnrolRequest>,
    ) -> Result<Response<v2::EnrolResponse>, Status> {
        let request = request.into_inner();
        let token = [SINGLE_TOKEN, Token::LEN].contains(&request.token.len());
        if !token || request.signing_request.len() > REQUEST_BYTES_MAX {
            return Err(status::malformed(
                "token and signing_request",
                "32 or 104 bytes and at most 4096 bytes",
            ));
        }
        let (enrolment, now) = (self.enrolment.clone(), (self.now)());
        let work = move || enrolment.enrol(&request.token, &request.signing_request, now);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(issued)) => Ok(Response::new(v2::EnrolResponse {
                certificate_chain: issued.chain,
                renew_after_ms: issued.renew_after.0,
                valid_until_ms: issued.valid_until.0,
                roots: self.roots(),
            })),
            Ok(Err(error)) => Err(status::enrol(&error)),
            Err(_) => Err(status::internal("enrolment stopped")),
        }
    }

    async fn renew(
        &self,
        request: Request<v2::RenewRequest>,
    ) -> Result<Response<v2::RenewResponse>, Status> {
        let shown = identity::is_known(&request)
            .then(|| identity::device_with_key(&request))
            .transpose()?;
        let v2::RenewRequest {
            signing_request,
            old_certificate,
            old_proof,
        } = request.into_inner();
        if signing_request.len() > REQUEST_BYTES_MAX || old_certificate.len() > REQUEST_BYTES_MAX {
            let expected = "at most 4096 bytes each";
            return Err(status::malformed(
                "signing_request and old_certificate",
                expected,
            ));
        }
        let (enrolment, now) = (self.enrolment.clone(), (self.now)());
        let work = move || match shown {
            Some((device, key)) => enrolment.renew(device, &key, &signing_request, now),
            None => enrolment.renew_ended(&old_certificate, &old_proof, &signing_request, now),
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(issued)) => Ok(Response::new(v2::RenewResponse {
                certificate_chain: issued.chain,
                renew_after_ms: issued.renew_after.0,
                valid_until_ms: issued.valid_until.0,
                roots: self.roots(),
            })),
            Ok(Err(error)) => Err(status::enrol(&error)),
            Err(_) => Err(status::internal("renewal stopped")),
        }
    }

    async fn leave(
        &self,
        request: Request<v2::LeaveRequest>,
    ) -> Result<Response<v2::LeaveResponse>, Status> {
        let (device, key) = identity::device_with_key(&request)?;
        let enrolment = self.enrolment.clone();
        match tokio::task::spawn_blocking(move || enrolment.leave(device, &key)).await {
            Ok(Ok(())) => Ok(Response::new(v2::LeaveResponse {})),
            Ok(Err(error)) => Err(status::enrol(&error)),
            Err(_) => Err(status::internal("leaving stopped")),
        }
    }

    async fn check_in(
        &self,
        request: Request<v2::CheckInRequest>,
    ) -> Result<Response<v2::CheckInResponse>, Status> {
        let device = self.caller(&request)?;
        let now = (self.now)();
        self.board.arrived(now);
        let Some(published) = self.board.published() else {
            return Err(status::not_now());
        };
        let counted = self.accounts.spent(device).await;
        let counted = counted.map_err(|error| status::storage(&error))?;
        let receives = request.get_ref().receives.unwrap_or(false);
        let refusal = RefusalCode::read(request.get_ref().refusal.unwrap_or(0));
        let selection = if receives {
            None
        } else {
            self.selections.of(device, refusal).await?
        };
        let shows_lines = published.finished || receives;
        let retry_after_ms = match receives {
            true => self.board.refresh_after_ms(device, now),
            false => {
                let told = (published.finished, refusal);
                self.board.retry_after_ms(device, now, told)
            }
        };
        Ok(Response::new(v2::CheckInResponse {
            selection,
            retry_after_ms,
            model_hash: Bytes::copy_from_slice(&published.model.0),
            catalogue_hash: Bytes::copy_from_slice(&published.catalogue.0),
            finished: published.finished,
            rho_counted: Bytes::copy_from_slice(&counted.units().to_be_bytes()),
            model_logged: published
                .logged
                .filter(|_| shows_lines)
                .unwrap_or_default(),
            genesis_logged: published
                .genesis
                .filter(|_| shows_lines)
                .unwrap_or_default(),
            policy: self.later_policy(request.get_ref().policy_serial),
        }))
    }

    async fn consistency(
        &self,
        request: Request<v2::ConsistencyRequest>,
    ) -> Result<Response<v2::ConsistencyResponse>, Status> {
        self.caller(&request)?;
        let v2::ConsistencyRequest { old_size, new_size } = request.into_inner();
        let proof = self
            .board
            .consistency(old_size, new_size)
            .unwrap_or_default();
        let mut answer = v2::ConsistencyResponse {
            proof: hashes(&proof),
            ..v2::ConsistencyResponse::default()
        };
        if let Some(restored) = self.board.restored(new_size) {
            answer.restored = restored.line.into();
            answer.restored_seq = restored.seq;
            answer.restored_proof = hashes(&restored.proof);
        }
        Ok(Response::new(answer))
    }

    type FetchStream = FetchStream;

    async fn fetch(
        &self,
        request: Request<v2::FetchRequest>,
    ) -> Result<Response<FetchStream>, Status> {
        let device = self.caller(&request)?;
        let Ok(hash) = Digest::from_slice(&request.get_ref().hash) else {
            return Err(status::malformed("hash", "32 bytes"));
        };
        let hang_up = request.extensions().get::<HangUp>().cloned();
        Ok(Response::new(
            self.fetches.open(device, hash, hang_up).await?,
        ))
    }

    async fn contribute(
        &self,
        request: Request<Streaming<v2::ContributeRequest>>,
    ) -> Result<Response<v2::ContributeResponse>, Status> {
        let device = self.caller(&request)?;
        let outcome = self.uploads.take(device, request.into_inner()).await?;
        Ok(self.answer(device, outcome))
    }

    async fn round_status(
        &self,
        request: Request<v2::RoundStatusRequest>,
    ) -> Result<Response<v2::RoundStatusResponse>, Status> {
        self.caller(&request)?;
        let Some(published) = self.board.published() else {
            return Err(status::not_now());
        };
        let open = self.board.open();
        let ticket = open.as_ref().map(|round| round.ticket.content());
        Ok(Response::new(v2::RoundStatusResponse {
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

fn hashes(proof: &[Digest]) -> Vec<Bytes> {
    let bytes = proof.iter();
    bytes
        .map(|hash| Bytes::copy_from_slice(&hash.0))
        .collect()
}
