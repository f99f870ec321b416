//! Client of the helper: asks for countersignatures, admission and the mask sum, and checks every
//! signature.

use std::time::Duration;

use bytes::Bytes;
use tacit_privacy::canonical;
use tacit_privacy::record::{Answered, Event, Keeper, Line, TreeHead};
use tacit_proto::v2;
use tacit_proto::v2::helper_client::HelperClient as Grpc;
use tacit_proto::v2::release_response::Part;
use tacit_round::helper::{DraftRefused, SealedSeed};
use tacit_round::keys::{Context, PublicKey, SignatureBytes};
use tacit_round::nobody_entered::NobodyEntered;
use tacit_types::Digest;
use tacit_wire::current::Current;
use tacit_wire::dial::{Dialer, client_config, endpoint};
use tacit_wire::files;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::admission::SEEDS_MAX;
use crate::config::Config;
use crate::error::ServerError;

const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// How long a check waits for the helper's terms.
const TERMS_DEADLINE: Duration = Duration::from_secs(15);

/// The helper as the coordinator sees it.
#[derive(Clone)]
pub struct HelperClient {
    grpc: Current<Grpc<Channel>>,
    address: String,
    identity_key: PublicKey,
}

/// What the helper said of a head.
pub enum HeadAnswer {
    /// Its signature.
    Signed(SignatureBytes),
    /// Lines under the head it signed before: the proof must start there.
    ProveFrom(u64),
}

/// What the helper said of a draft.
pub enum Countersigned {
    /// The ticket's bytes and its signature.
    Ticket(Vec<u8>, SignatureBytes),
    /// Why it refuses, under its signature: it keeps nothing of the draft.
    Refused(String),
}

/// A checked answer to a release.
pub struct HelperAnswer {
    /// Exact bytes of the helper's ledger line.
    pub line: Vec<u8>,
    /// Its position in the helper's ledger.
    pub seq: u64,
    /// Signature over the line.
    pub signature: SignatureBytes,
    /// What the line says.
    pub answered: Answered,
    /// Mask sum, little-endian u32.
    pub mask_sum: Vec<u8>,
}

impl HelperClient {
    /// A client that connects when first used.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the file or key.
    pub fn new(config: &Config) -> Result<Self, ServerError> {
        let endpoint = endpoint(&config.helper.address)
            .map_err(|problem| misconfigured("helper.address", &problem))?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20));
        let dialer = Self::dialer(config)?;
        let channel = endpoint.connect_with_connector_lazy(dialer);
        let grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self {
            grpc: grpc.into(),
            address: config.helper.address.clone(),
            identity_key: config.helper.identity_key,
        })
    }

    /// Connects with the coordinator's certificate to the helper's name.
    fn dialer(config: &Config) -> Result<Dialer, ServerError> {
        let root = files::read_text(&config.tls.root)?;
        let chain = files::read_text(&config.tls.certificate)?;
        let key = files::read_secret(&config.tls.key)?;
        let tls = client_config(&root, Some((&chain, &key)));
        let tls = tls.map_err(|problem| misconfigured("tls", &problem))?;
        Dialer::new(tls, &config.helper.server_name)
            .map_err(|problem| misconfigured("helper.server_name", &problem))
    }

    /// Takes over the connection of another client of the same helper: calls begin on it from now
    /// on, with its certificate.
    pub fn replace(&self, other: &Self) {
        self.grpc.set(other.grpc());
    }

    pub(crate) fn grpc(&self) -> Grpc<Channel> {
        Grpc::clone(&self.grpc.get())
    }

    /// Where the helper is looked for.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The helper's public identity key.
    pub fn identity_key(&self) -> PublicKey {
        self.identity_key
    }

    /// Asks what the helper asks of a ticket.
    ///
    /// # Errors
    /// As [`Self::countersign`], within 15 seconds.
    pub async fn terms(&self) -> Result<v2::TermsResponse, ServerError> {
        let mut grpc = self.grpc();
        let asked = timeout(TERMS_DEADLINE, grpc.terms(v2::TermsRequest {}));
        let late = |_| ServerError::HelperUnavailable("no answer in time".into());
        let answer = asked.await.map_err(late)?;
        Ok(answer.map_err(from_status)?.into_inner())
    }

    /// Asks for the sealing key and countersignature of a draft.
    ///
    /// # Errors
    /// [`ServerError::HelperUnavailable`] or [`ServerError::HelperRefused`].
    pub async fn countersign(
        &self,
        draft: Vec<u8>,
        by: SignatureBytes,
    ) -> Result<Countersigned, ServerError> {
        let asked = canonical::digest(&draft);
        let request = v2::CountersignRequest {
            draft: draft.into(),
            draft_signature: copy(&by.0),
        };
        let answer = self
            .grpc()
            .countersign(request)
            .await
            .map_err(from_status)?
            .into_inner();
        if answer.refusal.is_empty() {
            let signature = self.checked(Context::Ticket, &answer.ticket, &answer.signature)?;
            return Ok(Countersigned::Ticket(answer.ticket.to_vec(), signature));
        }
        let (said, by) = (&answer.refusal, &answer.refusal_signature);
        self.checked(Context::Refusal, said, by)?;
        let said = canonical::decode::<DraftRefused>(said);
        let said = said.map_err(|error| refused(&error.to_string()))?;
        if said.draft == asked {
            Ok(Countersigned::Refused(said.reason))
        } else {
            Err(refused("its refusal is of another draft"))
        }
    }

    /// Asks for the countersignature of a ledger head with a proof that it continues the ledger of
    /// `old_size` lines.
    ///
    /// # Errors
    /// As [`Self::countersign`].
    pub async fn countersign_head(
        &self,
        head: &TreeHead,
        coordinator: &SignatureBytes,
        old_size: u64,
        proof: &[Digest],
    ) -> Result<HeadAnswer, ServerError> {
        let bytes = canonical::encode(head)?;
        let request = v2::CountersignHeadRequest {
            head: bytes.clone().into(),
            coordinator_signature: copy(&coordinator.0),
            proof: proof.iter().map(|hash| copy(&hash.0)).collect(),
            old_size,
        };
        let answer = self
            .grpc()
            .countersign_head(request)
            .await
            .map_err(from_status)?
            .into_inner();
        if answer.signature.is_empty() && answer.newest_size != old_size {
            return Ok(HeadAnswer::ProveFrom(answer.newest_size));
        }
        self.checked(Context::Head, &bytes, &answer.signature)
            .map(HeadAnswer::Signed)
    }

    /// Asks which of these seeds open, at most [`SEEDS_MAX`]; one answer for each, in order.
    ///
    /// # Errors
    /// As [`Self::countersign`].
    pub async fn admit(
        &self,
        ticket: Digest,
        seeds: &[SealedSeed],
    ) -> Result<Vec<bool>, ServerError> {
        let seeds = seeds.iter().map(to_proto).collect();
        let request = v2::AdmitRequest {
            ticket_hash: copy(&ticket.0),
            seeds,
        };
        Ok(self
            .grpc()
            .admit(request)
            .await
            .map_err(from_status)?
            .into_inner()
            .opens)
    }

    /// Asks for the mask sum of exactly this set.
    ///
    /// # Errors
    /// As [`Self::countersign`]; a signature or digest that does not hold counts as a refusal.
    pub async fn release(
        &self,
        ticket: Digest,
        seeds: &[SealedSeed],
    ) -> Result<HelperAnswer, ServerError> {
        let message = |ticket_hash, part: &[SealedSeed]| v2::ReleaseRequest {
            ticket_hash,
            seeds: part.iter().map(to_proto).collect(),
        };
        let messages: Vec<_> = std::iter::once(message(copy(&ticket.0), &[]))
            .chain(
                seeds
                    .chunks(SEEDS_MAX)
                    .map(|part| message(Bytes::new(), part)),
            )
            .collect();
        let stream = tokio_stream::iter(messages);
        let mut answer = self
            .grpc()
            .release(stream)
            .await
            .map_err(from_status)?
            .into_inner();
        let (mut header, mut mask_sum) = (None, Vec::new());
        while let Some(message) = answer.message().await.map_err(from_status)? {
            match message.part {
                Some(Part::Header(part)) => header = Some(part),
                Some(Part::Chunk(part)) => mask_sum.extend_from_slice(&part),
                None => {}
            }
        }
        let header = header.ok_or_else(|| refused("an answer without a header"))?;
        self.check_answer(ticket, header, mask_sum)
    }

    /// Tells the helper to end a round and erase its key.
    ///
    /// # Errors
    /// As [`Self::countersign`].
    pub async fn abandon(&self, ticket: Digest) -> Result<(), ServerError> {
        self.end(ticket, false).await.map(drop)
    }

    /// As [`Self::abandon`], and asks for its certificate that nobody entered the round; `None`
    /// when it does not certify that.
    ///
    /// # Errors
    /// As [`Self::countersign`].
    pub async fn certify_empty(
        &self,
        ticket: Digest,
    ) -> Result<Option<(NobodyEntered, SignatureBytes)>, ServerError> {
        let answer = self.end(ticket, true).await?;
        if answer.certificate.is_empty() {
            return Ok(None);
        }
        let certificate = NobodyEntered {
            ticket_hash: ticket,
            generation: answer.generation,
        };
        let signature = signature(&answer.certificate)?;
        if certificate.verifies(&self.identity_key, &signature) {
            Ok(Some((certificate, signature)))
        } else {
            Err(refused("its certificate does not hold for this round"))
        }
    }

    async fn end(&self, ticket: Digest, certify: bool) -> Result<v2::AbandonResponse, ServerError> {
        let request = v2::AbandonRequest {
            ticket_hash: copy(&ticket.0),
            certify,
        };
        let answer = self.grpc().abandon(request).await;
        Ok(answer.map_err(from_status)?.into_inner())
    }

    fn check_answer(
        &self,
        ticket: Digest,
        header: v2::AnswerHeader,
        mask_sum: Vec<u8>,
    ) -> Result<HelperAnswer, ServerError> {
        let signature = self.checked(Context::Line, &header.line, &header.signature)?;
        let line = Line::from_bytes(&header.line);
        let line = line.map_err(|error| refused(&error.to_string()))?;
        match line.event {
            Event::Answered(answered)
                if line.keeper == Keeper::Helper
                    && answered.ticket_hash == ticket
                    && answered.mask_digest == canonical::digest(&mask_sum) =>
            {
                Ok(HelperAnswer {
                    line: header.line.to_vec(),
                    seq: line.seq,
                    signature,
                    answered,
                    mask_sum,
                })
            }
            _ => Err(refused("its line does not fit its answer")),
        }
    }

    pub(crate) fn checked(
        &self,
        context: Context,
        message: &[u8],
        signed: &[u8],
    ) -> Result<SignatureBytes, ServerError> {
        let signature = signature(signed)?;
        if self
            .identity_key
            .verifies(context, message, &signature)
        {
            Ok(signature)
        } else {
            Err(refused("its signature is not of helper.identity_key"))
        }
    }
}

pub(crate) fn signature(bytes: &[u8]) -> Result<SignatureBytes, ServerError> {
    bytes
        .try_into()
        .map(SignatureBytes)
        .map_err(|_| refused("a signature of the wrong length"))
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn to_proto(seed: &SealedSeed) -> v2::SealedSeed {
    v2::SealedSeed {
        contribution_id: copy(&seed.contribution.0),
        sealed_seed: copy(&seed.sealed),
        commitment: copy(&seed.commitment.0),
    }
}

fn misconfigured(field: &str, problem: &str) -> ServerError {
    ServerError::OperatorConfig(format!("{field}: {problem}"))
}

pub(crate) fn refused(what: &str) -> ServerError {
    ServerError::HelperRefused(what.to_owned())
}

/// What the helper says for good against what passes.
pub(crate) fn from_status(status: Status) -> ServerError {
    match status.code() {
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OutOfRange => ServerError::HelperRefused(status.message().to_owned()),
        _ => ServerError::HelperUnavailable(status.to_string()),
    }
}
