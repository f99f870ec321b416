//! The gRPC edge: check who asks, parse, call, map. Every call that touches the state runs off the
//! runtime's threads.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tacit_proto::v2::{
    AbandonRequest, AbandonResponse, AdmitRequest, AdmitResponse, AnswerHeader,
    CountersignHeadRequest, CountersignHeadResponse, CountersignRequest, CountersignResponse,
    GiveBackRequest, GiveBackResponse, LinesRequest, LinesResponse, ReleaseRequest,
    ReleaseResponse, RestoreRequest, SealedSeed, TermsRequest, TermsResponse, helper_server,
    release_response::Part,
};
use tacit_round::helper::{self, HelperRefusal, Terms};
use tacit_round::keys::{PublicKey, SignatureBytes};
use tacit_round::seal::SEALED_LEN;
use tacit_types::{COHORT_MAX, Commitment, ContributionId, Digest};
use tacit_wire::{Shutdown, identity};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{interval, timeout};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::countersign::{Countersigned, HeadAnswer, HeadProof};
use crate::error::{Failure, HelperError, StorageError};
use crate::helper::Helper;
use crate::messages::{parse_given, parse_line, said, signature};
use crate::release::{Answer, Ask};
use crate::restore;
use crate::status::reply;

/// Most seeds in one message.
const SEEDS_MAX: usize = 256;
/// Most sets held in memory at once, whatever their rounds: some 320 MiB each where cohorts are
/// largest.
const SETS_MAX: usize = 4;
/// Time between two looks for rounds whose latest deadline has passed.
const DEADLINES_EVERY: Duration = Duration::from_secs(1);
/// A set must have arrived within this time; summing it may take longer.
const COLLECT_DEADLINE: Duration = Duration::from_secs(120);

/// The service of one daemon.
#[derive(Clone)]
pub(crate) struct Service {
    helper: Arc<Helper>,
    /// Owns work that outlives a call its peer gave up on.
    pub(crate) work: TaskTracker,
    stop: Shutdown,
    /// One permit for each set that may be held.
    sets: Arc<Semaphore>,
    /// What stops the daemon, once there is something.
    pub(crate) fault: Arc<OnceLock<HelperError>>,
}

impl Service {
    /// Serves `helper`; a storage failure begins the drain of `stop`.
    pub(crate) fn new(helper: Helper, stop: Shutdown) -> Self {
        let sets = Arc::new(Semaphore::new(SETS_MAX));
        Self {
            helper: Arc::new(helper),
            work: TaskTracker::new(),
            stop,
            sets,
            fault: Arc::default(),
        }
    }

    /// Runs a call to its end, also when the caller goes away in the middle.
    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Helper) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let service = self.clone();
        let outcome = self.work.spawn_blocking(move || {
            let outcome = call(&service.helper);
            match &outcome {
                Err(Failure::Storage(error)) => service.fail(error),
                Err(Failure::OldCopy(problem)) => {
                    service.stop(HelperError::OperatorConfig(problem.clone()));
                }
                _ => {}
            }
            outcome
        });
        outcome.await.unwrap_or_else(|error| {
            let error = StorageError(format!("a defect left the state unsure: {error}"));
            self.fail(&error);
            Err(error.into())
        })
    }

    /// Looks once a second for rounds that are over by this helper's clock, until the daemon stops.
    pub(crate) async fn watch_deadlines(self) {
        let mut tick = interval(DEADLINES_EVERY);
        let ended = async {
            loop {
                tick.tick().await;
                // A storage failure has begun the drain.
                let _ = self.run(Helper::end_overdue).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.stop.drain.cancelled() => {}
        }
    }

    fn fail(&self, error: &StorageError) {
        tracing::error!(event = "storage_failed", %error);
        self.stop(HelperError::Storage(error.to_string()));
    }

    fn stop(&self, fault: HelperError) {
        let _ = self.fault.set(fault);
        self.stop.drain.cancel();
    }

    /// Waits until one more set may be held. The semaphore is never closed, so it only ever waits.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = self.sets.clone().acquire_owned().await;
        place.map_err(|_| Failure::Stopping)
    }

    async fn answer(&self, stream: Streaming<ReleaseRequest>) -> Result<Answer, Failure> {
        let place = self.place().await?;
        let collected = timeout(COLLECT_DEADLINE, self.collect(stream)).await;
        let ask = collected.unwrap_or(Err(Failure::Late))?;
        let open = self.helper.open().get(&ask.ticket).cloned();
        let turn = match open {
            Some(round) => Some(round.answering.clone().lock_owned().await),
            None => None,
        };
        let close = self.stop.close.clone();
        self.run(move |helper| {
            let _held = (place, turn);
            helper.answer(&ask, &close)
        })
        .await
    }

    /// Reads a set, refusing it as soon as it is larger than its ticket allows.
    async fn collect(&self, mut stream: Streaming<ReleaseRequest>) -> Result<Ask, Failure> {
        let first = next(&mut stream)
            .await?
            .ok_or(Failure::Malformed("the stream is empty"))?;
        let ticket = ticket_hash(&first.ticket_hash)?;
        let cohort_max = self
            .run(move |helper| helper.cohort_max(ticket))
            .await?;
        let mut ask = Ask {
            ticket,
            seeds: parse_set(first.seeds)?,
        };
        while let Some(part) = next(&mut stream).await? {
            if part.seeds.is_empty() || !part.ticket_hash.is_empty() {
                return Err(Failure::Malformed(
                    "a later message has seeds and no ticket_hash",
                ));
            }
            ask.seeds.extend(parse_set(part.seeds)?);
            if ask.seeds.len() > cohort_max {
                return Err(HelperRefusal::SetTooLarge.into());
            }
        }
        Ok(ask)
    }
}

#[tonic::async_trait]
impl helper_server::Helper for Service {
    async fn countersign(
        &self,
        request: Request<CountersignRequest>,
    ) -> Result<Response<CountersignResponse>, Status> {
        identity::coordinator(&request)?;
        let CountersignRequest {
            draft,
            draft_signature,
        } = request.into_inner();
        let signed = self
            .run(move |helper| helper.countersign(&draft, &draft_signature))
            .await;
        reply(signed.map(|answer| match answer {
            Countersigned::Signed(row) => CountersignResponse {
                ticket: row.ticket.into(),
                signature: signature(row.signature),
                ..CountersignResponse::default()
            },
            Countersigned::Refused(refusal, by) => CountersignResponse {
                refusal: refusal.into(),
                refusal_signature: signature(by),
                ..CountersignResponse::default()
            },
        }))
    }

    async fn countersign_head(
        &self,
        request: Request<CountersignHeadRequest>,
    ) -> Result<Response<CountersignHeadResponse>, Status> {
        identity::coordinator(&request)?;
        let CountersignHeadRequest {
            head,
            coordinator_signature,
            proof,
            old_size,
        } = request.into_inner();
        let answered = self.run(move |helper| {
            let by = coordinator_signature[..]
                .try_into()
                .map(SignatureBytes);
            let by = by.map_err(|_| Failure::Malformed("coordinator_signature is not 64 bytes"))?;
            let hashes = parse_proof(&proof)?;
            helper.countersign_head(&head, &by, &HeadProof { old_size, hashes })
        });
        reply(answered.await.map(|answer| match answer {
            HeadAnswer::Signed(by) => CountersignHeadResponse {
                signature: signature(by),
                newest_size: 0,
            },
            HeadAnswer::ProveFrom(newest_size) => CountersignHeadResponse {
                signature: Bytes::new(),
                newest_size,
            },
        }))
    }

    async fn admit(
        &self,
        request: Request<AdmitRequest>,
    ) -> Result<Response<AdmitResponse>, Status> {
        identity::coordinator(&request)?;
        let AdmitRequest {
            ticket_hash: ticket,
            seeds,
        } = request.into_inner();
        let opens = self.run(move |helper| {
            check_count(&seeds)?;
            let seeds: Vec<_> = seeds.into_iter().map(parse_seed).collect();
            helper.admit(ticket_hash(&ticket)?, &seeds)
        });
        reply(opens.await.map(|opens| AdmitResponse { opens }))
    }

    type ReleaseStream = tokio_stream::Iter<std::vec::IntoIter<Result<ReleaseResponse, Status>>>;

    async fn release(
        &self,
        request: Request<Streaming<ReleaseRequest>>,
    ) -> Result<Response<Self::ReleaseStream>, Status> {
        identity::coordinator(&request)?;
        reply(
            self.answer(request.into_inner())
                .await
                .map(|answer| tokio_stream::iter(parts(answer))),
        )
    }

    async fn abandon(
        &self,
        request: Request<AbandonRequest>,
    ) -> Result<Response<AbandonResponse>, Status> {
        identity::coordinator(&request)?;
        let AbandonRequest {
            ticket_hash: ticket,
            certify,
        } = request.into_inner();
        let abandoned = self.run(move |helper| helper.abandon(ticket_hash(&ticket)?, certify));
        reply(abandoned.await.map(|certified| match certified {
            Some((certificate, by)) => AbandonResponse {
                generation: certificate.generation,
                certificate: signature(by),
            },
            None => AbandonResponse::default(),
        }))
    }

    async fn restore(
        &self,
        request: Request<Streaming<RestoreRequest>>,
    ) -> Result<Response<CountersignHeadResponse>, Status> {
        identity::coordinator(&request)?;
        let restored = async {
            let _place = self.place().await?;
            let shown = timeout(COLLECT_DEADLINE, restore::Shown::read(request.into_inner()));
            let shown = shown.await.unwrap_or(Err(Failure::Late))?;
            self.run(move |helper| helper.restore(&shown)).await
        };
        reply(restored.await.map(|by| CountersignHeadResponse {
            signature: signature(by),
            newest_size: 0,
        }))
    }

    async fn lines(
        &self,
        request: Request<LinesRequest>,
    ) -> Result<Response<LinesResponse>, Status> {
        identity::coordinator(&request)?;
        let LinesRequest {
            ledger_id,
            from,
            newest,
        } = request.into_inner();
        let standing = self.run(move |helper| {
            let ledger = Digest::from_slice(&ledger_id)
                .map_err(|_| Failure::Malformed("ledger_id is not 32 bytes"))?;
            let newest = newest.as_ref().map(parse_line).transpose()?;
            said(helper.standing(ledger, from, newest.as_ref())?)
        });
        reply(standing.await)
    }

    async fn give_back(
        &self,
        request: Request<GiveBackRequest>,
    ) -> Result<Response<GiveBackResponse>, Status> {
        identity::coordinator(&request)?;
        let request = request.into_inner();
        let taken = self.run(move |helper| helper.take_back(&parse_given(&request)?));
        reply(taken.await.map(|()| GiveBackResponse {}))
    }

    async fn terms(
        &self,
        request: Request<TermsRequest>,
    ) -> Result<Response<TermsResponse>, Status> {
        identity::coordinator(&request)?;
        let Terms {
            honest_min,
            issuer,
            membership_required,
        } = self.helper.terms;
        Ok(Response::new(TermsResponse {
            identity_key: key(self.helper.signing.public()),
            cohort_max: COHORT_MAX,
            honest_min,
            issuer: issuer.map(key).unwrap_or_default(),
            membership_required,
        }))
    }
}

fn key(public: PublicKey) -> Bytes {
    Bytes::copy_from_slice(&public.0)
}

async fn next(stream: &mut Streaming<ReleaseRequest>) -> Result<Option<ReleaseRequest>, Failure> {
    stream
        .message()
        .await
        .map_err(|_| Failure::Malformed("the stream broke off or cannot be read"))
}

fn ticket_hash(bytes: &[u8]) -> Result<Digest, Failure> {
    Digest::from_slice(bytes).map_err(|_| Failure::Malformed("ticket_hash is not 32 bytes"))
}

/// A consistency proof has at most two hashes a level of a tree of 2^32 lines.
fn parse_proof(proof: &[Bytes]) -> Result<Vec<Digest>, Failure> {
    if proof.len() > 64 {
        return Err(Failure::Malformed("proof has more than 64 hashes"));
    }
    let hash = |bytes: &Bytes| {
        Digest::from_slice(bytes).map_err(|_| Failure::Malformed("a proof hash is not 32 bytes"))
    };
    proof.iter().map(hash).collect()
}

fn check_count(seeds: &[SealedSeed]) -> Result<(), Failure> {
    if seeds.len() > SEEDS_MAX {
        Err(Failure::Malformed("more than 256 seeds in one message"))
    } else {
        Ok(())
    }
}

/// `None` for a seed whose fields have the wrong lengths.
pub fn parse_seed(seed: SealedSeed) -> Option<helper::SealedSeed> {
    Some(helper::SealedSeed {
        contribution: ContributionId::from_slice(&seed.contribution_id).ok()?,
        sealed: (seed.sealed_seed.len() == SEALED_LEN).then(|| seed.sealed_seed.to_vec())?,
        commitment: Commitment::from_slice(&seed.commitment).ok()?,
    })
}

/// Seeds of a set; names the first that cannot open.
fn parse_set(seeds: Vec<SealedSeed>) -> Result<Vec<helper::SealedSeed>, Failure> {
    check_count(&seeds)?;
    let parse = |seed: SealedSeed| {
        let contribution = ContributionId::from_slice(&seed.contribution_id)
            .map_err(|_| Failure::Malformed("contribution_id is not 16 bytes"))?;
        parse_seed(seed).ok_or(HelperRefusal::BadSeed(contribution).into())
    };
    seeds.into_iter().map(parse).collect()
}

/// Header first, then the mask sum in chunks that share its memory.
fn parts(answer: Answer) -> Vec<Result<ReleaseResponse, Status>> {
    let header = AnswerHeader {
        line: answer.line.into(),
        signature: signature(answer.signature),
    };
    let chunks = tacit_proto::chunks(answer.mask_sum).map(Part::Chunk);
    let parts = std::iter::once(Part::Header(header)).chain(chunks);
    parts
        .map(|part| Ok(ReleaseResponse { part: Some(part) }))
        .collect()
}
