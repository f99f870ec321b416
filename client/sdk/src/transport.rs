//! The tonic client: what a device says to the coordinator, and nothing else.

use std::time::Duration;

use bytes::Bytes;
use tacit_privacy::Rho;
use tacit_proto::v2::check_in_response::Selection;
use tacit_proto::v2::contribute_request::Part;
use tacit_proto::v2::coordinator_client::CoordinatorClient;
use tacit_proto::{OBJECT_BYTES_MAX, v2};
use tacit_round::continuity::{Continuity, RestoredLine};
use tacit_round::keys::SignatureBytes;
use tacit_round::root::SignedRoot;
use tacit_round::seal::SCHEME_ID;
use tacit_round::ticket::SignedTicket;
use tacit_types::{Digest, Timestamp};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Code, Status};

use crate::connector::Ended;
use crate::credentials::Issued;
use crate::deadlines::Deadlines;
use crate::deployment::{Deployment, Identity};
use crate::error::SdkError;
use crate::http2::Http2;
use crate::reason::{Reason, Unenrolled};
use crate::store::Spooled;

/// Bytes by which an object must come on within [`Deadlines::progress`].
const PROGRESS_BYTES: usize = tacit_proto::CHUNK_BYTES;
/// Hashes of a consistency proof: at most two a level of a tree of 2^32 lines.
const PROOF_MAX: usize = 64;
/// Protocol version spoken.
const PROTOCOL: u32 = 2;
/// Longest time a lease is believed to name: no ticket lives as long.
const LEASE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A connection for one action.
pub(crate) struct Connection {
    client: CoordinatorClient<Http2>,
    progress: Duration,
    ended: Ended,
}

/// A lease, as an answer to a check-in has it.
pub(crate) struct Lease {
    /// The ticket; not believed yet.
    pub(crate) ticket: SignedTicket,
    /// When to send, from the answer on.
    pub(crate) send_after: Duration,
    /// Until when it may be spent on, by a clock that nobody sets.
    pub(crate) spend_until: Instant,
}

/// Answer to a check-in.
pub(crate) struct CheckIn {
    /// `None` when there is no place for this device in the open round, or no open round.
    pub(crate) lease: Option<Lease>,
    /// Whether a round is open that has no place for this device.
    pub(crate) not_selected: bool,
    pub(crate) retry_after: Duration,
    pub(crate) model: Digest,
    pub(crate) finished: bool,
    /// Where that model stands in the ledger, once finished or for a device that receives; not
    /// believed yet.
    pub(crate) logged: Bytes,
    /// With it: where the line stands that names the catalogue; not believed yet.
    pub(crate) genesis_logged: Bytes,
    /// What this device was counted for, by the coordinator's book.
    pub(crate) counted: Rho,
    /// A policy that may be later than the one in force; not believed yet.
    pub(crate) policy: Bytes,
}

/// What the coordinator said to a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Accepted,
    TooLate,
    Refused,
}

impl Connection {
    pub(crate) async fn open(
        deployment: &Deployment,
        own: Option<Identity>,
        deadlines: &Deadlines,
    ) -> Result<Self, SdkError> {
        let ended = Ended::default();
        let connector = deployment.connector(own, deadlines, ended.clone())?;
        let address = deployment.address()?;
        let connected = Http2::connect(connector, address.clone(), deadlines).await;
        let connection = connected.map_err(|error| {
            let detail = format!("{}: {}", deployment.coordinator, with_causes(&*error));
            let reason = ended.reason();
            SdkError::retry(
                reason.unwrap_or_else(|| Reason::of_connection(&*error)),
                detail,
            )
        })?;

        Ok(Self {
            client: CoordinatorClient::with_origin(connection, address),
            progress: deadlines.progress,
            ended,
        })
    }

    /// Asks what there is to do, or only what is published if it `receives`; says by which policy
    /// this device goes, and why the last ticket was refused.
    pub(crate) async fn check_in(
        &mut self,
        policy_serial: u32,
        refusal: u32,
        receives: bool,
    ) -> Result<CheckIn, SdkError> {
        let request = v2::CheckInRequest {
            protocol: PROTOCOL,
            policy_serial,
            refusal: Some(refusal),
            receives: Some(receives),
        };
        // A lease counts from before it was asked for: the way here is not the device's time.
        let asked = Instant::now();
        let answer = self
            .client
            .check_in(request)
            .await
            .map_err(failed(&self.ended))?;
        let answer = answer.into_inner();
        let lease = |selection| read_lease(selection, asked);
        let not_selected = matches!(answer.selection, Some(Selection::NotSelected(_)));
        Ok(CheckIn {
            not_selected,
            lease: answer.selection.and_then(lease),
            retry_after: come_back(answer.retry_after_ms),
            model: Digest::from_slice(&answer.model_hash).map_err(malformed)?,
            finished: answer.finished,
            logged: answer.model_logged,
            genesis_logged: answer.genesis_logged,
            counted: read_rho(&answer.rho_counted)?,
            policy: answer.policy,
        })
    }

    /// Fetches the proof that the signed ledger of `new_size` lines continues the one of
    /// `old_size`.
    pub(crate) async fn consistency(
        &mut self,
        old_size: u64,
        new_size: u64,
    ) -> Result<Continuity, SdkError> {
        let request = v2::ConsistencyRequest { old_size, new_size };
        let answer = self
            .client
            .consistency(request)
            .await
            .map_err(failed(&self.ended))?
            .into_inner();
        let restored = match answer.restored.is_empty() {
            true => None,
            false => Some(RestoredLine {
                line: answer.restored.to_vec(),
                seq: answer.restored_seq,
                proof: hashes(&answer.restored_proof)?,
            }),
        };
        Ok(Continuity {
            proof: hashes(&answer.proof)?,
            restored,
        })
    }

    /// Fetches an object; `None` when what came is not the object of this hash.
    pub(crate) async fn fetch(&mut self, hash: Digest) -> Result<Option<Vec<u8>>, SdkError> {
        let request = v2::FetchRequest {
            hash: Bytes::copy_from_slice(&hash.0),
        };

        let mut stream = self
            .client
            .fetch(request)
            .await
            .map_err(failed(&self.ended))?
            .into_inner();
        let mut object = Vec::new();
        let (mut until, mut enough) = (Instant::now() + self.progress, PROGRESS_BYTES);
        loop {
            let part = timeout_at(until, stream.message()).await;
            let Some(part) = part
                .map_err(|_| stalled())?
                .map_err(failed(&self.ended))?
            else {
                break;
            };
            if object.len() + part.chunk.len() > OBJECT_BYTES_MAX {
                return Ok(None);
            }
            object.extend_from_slice(&part.chunk);
            if object.len() >= enough {
                (until, enough) = (
                    Instant::now() + self.progress,
                    object.len() + PROGRESS_BYTES,
                );
            }
        }

        Ok((tacit_privacy::canonical::digest(&object) == hash).then_some(object))
    }

    /// Sends spooled bytes: one header, then the chunks.
    pub(crate) async fn contribute(
        &mut self,
        spooled: &Spooled,
    ) -> Result<(Sent, Duration), SdkError> {
        let header = v2::ContributionHeader {
            scheme_id: SCHEME_ID,
            ticket_hash: Bytes::copy_from_slice(&spooled.ticket().0),
            contribution_id: Bytes::copy_from_slice(&spooled.contribution().0),
            sealed_seed: Bytes::copy_from_slice(spooled.sealed()),
            commitment: Bytes::copy_from_slice(&spooled.commitment().0),
            commitment_key: Bytes::copy_from_slice(spooled.commitment_key().as_bytes()),
        };

        let masked = Bytes::copy_from_slice(spooled.masked());
        let chunks = tacit_proto::chunks(masked).map(Part::Chunk);
        let parts: Vec<_> = std::iter::once(Part::Header(header))
            .chain(chunks)
            .collect();
        let stream = tokio_stream::iter(
            parts
                .into_iter()
                .map(|part| v2::ContributeRequest { part: Some(part) }),
        );

        let answer = self
            .client
            .contribute(stream)
            .await
            .map_err(failed(&self.ended))?
            .into_inner();
        let sent = match answer.outcome() {
            v2::ContributionOutcome::Accepted => Sent::Accepted,
            v2::ContributionOutcome::TooLate => Sent::TooLate,
            v2::ContributionOutcome::Refused => Sent::Refused,
            v2::ContributionOutcome::Unspecified => {
                return Err(malformed("the outcome of a contribution"));
            }
        };

        Ok((sent, come_back(answer.retry_after_ms)))
    }
}

/// Trades a token and a request for a certificate chain, without a client certificate.
pub(crate) async fn enrol(
    deployment: &Deployment,
    deadlines: &Deadlines,
    token: &[u8],
    request: Vec<u8>,
) -> Result<Issued, SdkError> {
    let mut connection = Connection::open(deployment, None, deadlines).await?;
    let request = v2::EnrolRequest {
        token: Bytes::copy_from_slice(token),
        signing_request: request.into(),
    };

    let answer = timeout(deadlines.call, connection.client.enrol(request)).await;
    let answer = answer
        .map_err(|_| stalled())?
        .map_err(failed(&connection.ended))?;
    let v2::EnrolResponse {
        certificate_chain: chain,
        renew_after_ms,
        valid_until_ms,
        roots,
    } = answer.into_inner();

    Ok(Issued {
        chain,
        renew_after: Timestamp(renew_after_ms),
        valid_until: Timestamp(valid_until_ms),
        roots: read_roots(&roots),
    })
}

/// How a device says which certificate it has.
pub(crate) enum Old {
    /// It is valid, and the connection shows it.
    Shown(Identity),
    /// It has ended.
    Proved(Proof),
}

/// A certificate that has ended, and the proof that its key is here.
pub(crate) struct Proof {
    /// DER.
    pub(crate) certificate: Vec<u8>,
    /// Ed25519, over what [`tacit_round::keys::Context::Renew`] says.
    pub(crate) signature: Vec<u8>,
}

/// Trades a certificate for the next: the one that is shown, or the one that is proved.
pub(crate) async fn renew(
    deployment: &Deployment,
    deadlines: &Deadlines,
    request: Vec<u8>,
    old: Old,
) -> Result<Issued, SdkError> {
    let has_ended = matches!(old, Old::Proved(_));
    let (shown, old_certificate, old_proof) = match old {
        Old::Shown(identity) => (Some(identity), Bytes::new(), Bytes::new()),
        Old::Proved(proof) => (None, proof.certificate.into(), proof.signature.into()),
    };

    let mut connection = Connection::open(deployment, shown, deadlines).await?;
    let request = v2::RenewRequest {
        signing_request: request.into(),
        old_certificate,
        old_proof,
    };

    let answer = timeout(deadlines.call, connection.client.renew(request)).await;
    let answer = answer.map_err(|_| stalled())?;
    let answer = answer.map_err(|status| match status.code() {
        Code::PermissionDenied if has_ended => SdkError::NotEnrolled(Unenrolled::Ended),
        _ => failed(&connection.ended)(status),
    })?;
    let v2::RenewResponse {
        certificate_chain: chain,
        renew_after_ms,
        valid_until_ms,
        roots,
    } = answer.into_inner();

    Ok(Issued {
        chain,
        renew_after: Timestamp(renew_after_ms),
        valid_until: Timestamp(valid_until_ms),
        roots: read_roots(&roots),
    })
}

/// Roots as the coordinator tells of them; what cannot be one is left out.
fn read_roots(roots: &[v2::SignedRoot]) -> Vec<SignedRoot> {
    let read = |root: &v2::SignedRoot| SignedRoot::new(root.certificate.to_vec(), &root.signature);
    roots.iter().filter_map(read).collect()
}

/// Ends this installation's account.
pub(crate) async fn leave(
    deployment: &Deployment,
    deadlines: &Deadlines,
    own: Identity,
) -> Result<(), SdkError> {
    let mut connection = Connection::open(deployment, Some(own), deadlines).await?;
    let left = timeout(deadlines.call, connection.client.leave(v2::LeaveRequest {})).await;
    let left = left.map_err(|_| stalled())?;
    left.map(drop).map_err(failed(&connection.ended))
}

/// The error of a peer that does not go on.
fn stalled() -> SdkError {
    SdkError::retry(Reason::Silent, "it did not go on in time")
}

/// Reads a lease as the coordinator sends it in answer to what was `asked` then; `None` for none.
fn read_lease(selection: Selection, asked: Instant) -> Option<Lease> {
    let Selection::Lease(lease) = selection else {
        return None;
    };
    let valid = Duration::from_millis(lease.valid_ms).min(LEASE_MAX);
    Some(Lease {
        ticket: read_ticket(lease.ticket?),
        send_after: Duration::from_millis(lease.send_after_ms).min(LEASE_MAX),
        spend_until: asked + valid,
    })
}

/// Reads a ticket as the coordinator sends it; nothing is verified yet.
pub fn read_ticket(ticket: v2::SignedTicket) -> SignedTicket {
    // Anything that is no signature reads as one that never holds, so that the policy refuses the
    // ticket.
    let signature = |bytes: &[u8]| SignatureBytes(bytes.try_into().unwrap_or([0; 64]));
    SignedTicket {
        coordinator_signature: signature(&ticket.coordinator_signature),
        helper_signature: signature(&ticket.helper_signature),
        bytes: ticket.ticket.to_vec(),
    }
}

/// When the coordinator wants a device back, as far as it is believed: within a day and a half.
fn come_back(after_ms: u64) -> Duration {
    Duration::from_millis(after_ms.clamp(50, 129_600_000))
}

/// 16 big-endian bytes; nothing stands for zero.
fn read_rho(bytes: &[u8]) -> Result<Rho, SdkError> {
    if bytes.is_empty() {
        return Ok(Rho::ZERO);
    }
    bytes
        .try_into()
        .map(|units| Rho::saturating_from_units(u128::from_be_bytes(units)))
        .map_err(malformed)
}

fn hashes(proof: &[Bytes]) -> Result<Vec<Digest>, SdkError> {
    let bounded = proof.iter().take(PROOF_MAX + 1);
    let hashes = bounded.map(|hash| Digest::from_slice(hash));
    hashes.collect::<Result<_, _>>().map_err(malformed)
}

fn malformed(error: impl ToString) -> SdkError {
    let detail = format!("unreadable answer: {}", error.to_string());
    SdkError::retry(Reason::NotNow, detail)
}

/// The one place a gRPC status becomes an error an app can act on.
fn failed(ended: &Ended) -> impl FnOnce(Status) -> SdkError {
    move |status| match status.code() {
        Code::PermissionDenied
        | Code::Unauthenticated
        | Code::InvalidArgument
        | Code::Unimplemented => {
            SdkError::Stop(format!("the coordinator refused: {}", status.message()))
        }
        _ => {
            let detail = format!("{}: {}", status.code(), with_causes(&status));
            let reason = ended.reason();
            SdkError::retry(reason.unwrap_or_else(|| Reason::of_status(&status)), detail)
        }
    }
}

/// An error with its causes, which is where TLS says which certificate is wrong.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
