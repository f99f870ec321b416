//! A coordinator that offers one valid ticket for ever, unless its [`Script`] says otherwise,
//! accepts everything, and keeps every byte a device sends.
//!
//! Both signing keys and the helper's opening key are its own, so that the SDK runs its whole path
//! against it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tacit_model::Model;
use tacit_model::family::rating::Scale;
use tacit_model::family::spectral::SpectralModel;
use tacit_plan::{PlanRequest, plan};
use tacit_privacy::canonical::{self, digest};
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::record::{Charge, Event, Genesis, Keeper, Line, Release, SCHEMA, TreeHead};
use tacit_privacy::{Mechanism, Rho, Tier, merkle};
use tacit_proto::v2;
use tacit_proto::v2::check_in_response::Selection;
use tacit_proto::v2::coordinator_server::{Coordinator, CoordinatorServer};
use tacit_round::head::{self, LoggedLine, SignedHead};
use tacit_round::keys::{Context, SigningKey};
use tacit_round::policy::Policy;
use tacit_round::seal::{OpeningKey, SCHEME_ID};
use tacit_round::signed_policy::SignedPolicy;
use tacit_round::ticket::{self, Kind, SignedTicket, Ticket};
use tacit_sdk::Deployment;
use tacit_types::{Delta, DeviceId, Digest, Epsilon, RoundId, TaskId, Timestamp};
use tacit_wire::current::Current;
use tacit_wire::listener::{self, ClientCertificate, CountCalls, Limits, Listener};
use tacit_wire::pki::{Authority, create_authorities};
use tacit_wire::{Peer, Shutdown, clock, files, identity};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use zeroize::Zeroizing;

/// Everything one device sent, call by call.
pub type Calls = Vec<Call>;

/// One call as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Name and value of every header the application sees, in order.
    pub headers: Vec<String>,
    /// What was said.
    pub said: Said,
}

/// Content of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A check-in.
    CheckIn(v2::CheckInRequest),
    /// A request for an object.
    Fetch(v2::FetchRequest),
    /// A contribution, message by message.
    Contribute(Vec<v2::ContributeRequest>),
}

/// One valid round.
pub struct Round {
    /// The ticket.
    pub ticket: Ticket,
    /// Its signed bytes.
    pub signed: SignedTicket,
    /// The model devices start from.
    pub model: Model,
    /// A policy that allows it.
    pub policy: Policy,
}

impl Round {
    /// A counts round over a catalogue of `items`.
    ///
    /// # Errors
    /// When the numbers make no sound mechanism.
    pub fn counts(items: u32) -> Result<Self> {
        Self::of(Kind::Counts, SpectralModel::genesis(items).into())
    }

    /// A round of this kind that starts from `model`.
    ///
    /// # Errors
    /// When the numbers make no sound mechanism.
    pub fn of(kind: Kind, model: Model) -> Result<Self> {
        let plan = plan(&PlanRequest {
            model: model.family(),
            scale: Scale::STARS,
            cohort: 300,
            items: model.catalogue_len(),
            epsilon: Epsilon::new(50.0)?,
            delta: Delta::new(1e-5)?,
            dropout: 0.05,
            dishonest: 0.05,
            history_max: 1024,
            helper_noise: false,
            rounds: None,
            factors: None,
            clip_norm: None,
            carried: None,
            evaluation: 0.0,
            participation: None,
        })?;
        let rho = plan.releases[0].1;
        let model_in_hash = digest(&model.to_bytes());
        let ticket = Ticket {
            schema: ticket::SCHEMA,
            scheme_id: SCHEME_ID,
            task: TaskId::new("test")?,
            round: RoundId(1),
            kind,
            model_in_hash,
            logged: logged(&[model_in_hash])?,
            mechanism: plan.mechanism(kind, rho, &model)?,
            dishonest_milli: plan.dishonest_milli,
            dropout_milli: plan.dropout_milli,
            delta_pico: plan.delta_pico,
            membership: false,
            hold_out: false,
            free_rounds: 0,
            deadline: clock::now().plus_millis(1_800_000),
            latest_deadline: clock::now().plus_millis(3_600_000),
            sealing_key: hex::encode(OpeningKey::draw(&mut UnwrapErr(SysRng)).sealing_key()),
        };
        let (coordinator, helper) = (coordinator_key().public(), helper_key().public());
        let policy = Policy {
            honest_min: 2,
            ..Policy::new(coordinator, helper, plan.rho_budget, plan.cohort)
        };
        Ok(Self {
            signed: sign(&ticket)?,
            ticket,
            model,
            policy,
        })
    }

    /// The same round, its model published by a line that says what all releases cost up to it.
    ///
    /// # Errors
    /// When the ticket has no canonical form any more.
    pub fn after(self, rho_total: Rho) -> Result<Self> {
        let ticket = Ticket {
            logged: last_of(vec![released(self.ticket.model_in_hash, 0, rho_total)?])?,
            ..self.ticket
        };
        Ok(Self {
            signed: sign(&ticket)?,
            ticket,
            ..self
        })
    }
}

/// Signs a ticket for both parties, whatever it says.
///
/// # Errors
/// When it has no canonical form.
pub fn sign(ticket: &Ticket) -> Result<SignedTicket> {
    let bytes = ticket.to_bytes()?;
    let countersignature = helper_key().sign(Context::Ticket, &bytes);
    Ok(SignedTicket::new(
        bytes,
        countersignature,
        &coordinator_key(),
    ))
}

/// The key that signs for the coordinator.
pub fn coordinator_key() -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([1; 32]))
}

/// The key that signs for the helper.
pub fn helper_key() -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([2; 32]))
}

/// What an app with this policy ships with, signed by a publisher of the tests.
///
/// # Errors
/// When the policy has no canonical form.
pub fn deployment(coordinator: &str, root: &str, policy: &Policy) -> Result<Deployment> {
    let publisher = SigningKey::from_seed(&Zeroizing::new([3; 32]));
    let signed = SignedPolicy::new(policy, &publisher)?;
    Ok(Deployment::new(
        coordinator,
        "localhost",
        root,
        &signed,
        &publisher.public(),
    )?)
}

/// The last line of a ledger whose lines publish these models one after the other, with its head
/// signed by both.
///
/// # Errors
/// When there is no line.
pub fn logged(models: &[Digest]) -> Result<LoggedLine> {
    let lines = models
        .iter()
        .zip(0u64..)
        .map(|(model, seq)| line(*model, seq))
        .collect::<Result<Vec<_>>>()?;
    last_of(lines)
}

/// The last of these lines, under a head signed by both.
fn last_of(lines: Vec<String>) -> Result<LoggedLine> {
    let leaves: Vec<Digest> = lines
        .iter()
        .map(|line| merkle::leaf(line.as_bytes()))
        .collect();
    let last = lines
        .len()
        .checked_sub(1)
        .context("a ledger has a line")?;
    let (ledger_id, size) = (Digest([5; 32]), lines.len() as u64);
    let head = TreeHead {
        ledger_id,
        generation: 1,
        size,
        root: merkle::root(&leaves),
        helper_size: 0,
        helper_last_hash: Digest([0; 32]),
    };
    let signed = SignedHead {
        coordinator_signature: head::sign(&head, &coordinator_key())?,
        helper_signature: head::sign(&head, &helper_key())?,
        head,
    };
    let proof = merkle::inclusion_proof(&leaves, last).context("every leaf has a proof")?;
    Ok(LoggedLine {
        line: lines[last].clone(),
        seq: size - 1,
        proof,
        head: signed,
    })
}

/// Proof that the ledger of these models continues that of the first `old` of them.
///
/// # Errors
/// When `old` is more than there are models.
pub fn consistency(models: &[Digest], old: usize) -> Result<Vec<Digest>> {
    let leaf = |(model, seq): (&Digest, u64)| Ok(merkle::leaf(line(*model, seq)?.as_bytes()));
    let leaves = models
        .iter()
        .zip(0u64..)
        .map(leaf)
        .collect::<Result<Vec<_>>>()?;
    merkle::consistency_proof(&leaves, old).context("the old ledger is not shorter")
}

/// The line a ledger began with that names this catalogue, with its head signed by both.
///
/// # Errors
/// Never for these values.
pub fn genesis(catalogue: &[u8]) -> Result<LoggedLine> {
    let genesis = Event::Genesis(Genesis {
        task: TaskId::new("test")?,
        model_out_hash: Digest([3; 32]),
        catalogue_hash: digest(catalogue),
        rho_budget: Rho::MAX,
    });
    last_of(vec![in_ledger(genesis, 0)?])
}

/// A catalogue of so many items.
pub fn catalogue(items: u32) -> String {
    (0..items)
        .map(|item| format!("film-{item}\tFilm {item}\tkind {}\n", item % 3))
        .collect()
}

fn line(model: Digest, seq: u64) -> Result<String> {
    released(model, seq, Rho::MAX)
}

/// The line of a release that made `model`.
fn released(model: Digest, seq: u64, rho_total: Rho) -> Result<String> {
    let nothing = Digest([0; 32]);
    let release = Release {
        charge: charge(model, rho_total)?,
        contributors: 10,
        set_digest: nothing,
        sum_digest: nothing,
        helper_line_hash: nothing,
        model_out_hash: model,
    };
    in_ledger(Event::Release(Box::new(release)), seq)
}

/// A line of the ledger that every ticket of the stand-in stands in.
fn in_ledger(event: Event, seq: u64) -> Result<String> {
    let line = Line {
        schema: SCHEMA,
        ledger_id: Digest([5; 32]),
        generation: 1,
        seq,
        prev_hash: Digest([0; 32]),
        keeper: Keeper::Coordinator,
        time_bucket: 0,
        event,
    };
    Ok(String::from_utf8(line.to_bytes()?)?)
}

/// The price of a release of factors; devices look at nothing in it but the total.
fn charge(model: Digest, rho_total: Rho) -> Result<Charge> {
    let mechanism = Mechanism {
        tier: Tier::Helper,
        length: 1,
        row_width: 1,
        row_cap_milli: 1000,
        history_max: 1,
        nnz_max: 1,
        steps: 100,
        sigma2: 1 << 20,
        n_min: 2,
        cohort_max: 10,
        helper_noise: false,
    };
    Ok(Charge {
        task: TaskId::new("test")?,
        round: RoundId(1),
        kind: Kind::FactorGradient.as_str().into(),
        ticket_hash: Digest([0; 32]),
        model_in_hash: model,
        squared_sensitivity: mechanism.squared_sensitivity(),
        total_variation: release_total_variation(&mechanism),
        rho: mechanism.rho(),
        rho_total,
        mechanism,
        dishonest_milli: 50,
        dropout_milli: 50,
        participation_index: 1,
        separation: 0,
        sampler: Charge::SAMPLER.into(),
        rng: Charge::RNG.into(),
        table_hash: Digest([0; 32]),
        build_hash: Digest([0; 32]),
        unit: Charge::UNIT.into(),
        adjacency: Charge::ADJACENCY.into(),
    })
}

/// What the stand-in says, until it is told otherwise.
#[derive(Clone)]
pub struct Script {
    /// Ticket leased at check-in.
    pub ticket: Option<v2::SignedTicket>,
    /// When its lease says to send, milliseconds after the check-in.
    pub send_after_ms: u64,
    /// For how long its lease may be spent on.
    pub valid_ms: u64,
    /// Newest model, and whether the task ends with it.
    pub model: Digest,
    /// Whether the task has ended.
    pub finished: bool,
    /// Where the newest model stands in the ledger, said once the task has ended.
    pub logged: Bytes,
    /// Where the line stands that names the catalogue.
    pub genesis: Bytes,
    /// What it says the device was counted for.
    pub counted: Rho,
    /// Consistency proof it gives.
    pub proof: Vec<Digest>,
    /// Certificate chain it gives instead of a good one.
    pub certificate: Option<String>,
    /// When it signs certificates, instead of now.
    pub certified: Option<Timestamp>,
    /// What it gives for a hash, which need not be what the hash names.
    pub objects: BTreeMap<Digest, Bytes>,
    /// What becomes of requests for objects.
    pub fetch: Answer,
    /// What becomes of contributions.
    pub contribute: Answer,
}

/// What becomes of a call once it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is answered.
    Give,
    /// It fails as if the coordinator were away.
    Lose,
    /// It is never answered while this stands.
    Withhold,
}

impl Script {
    /// Offers a round for ever.
    pub fn offer(round: &Round) -> Self {
        let model = round.ticket.model_in_hash;
        let catalogue = catalogue(round.model.catalogue_len());
        let named = genesis(catalogue.as_bytes());
        let named = named.and_then(|line| Ok(canonical::encode(&line)?));
        let objects = [
            (model, round.model.to_bytes().into()),
            (digest(catalogue.as_bytes()), catalogue.into()),
        ];
        Self {
            ticket: Some(to_proto(&round.signed)),
            send_after_ms: 0,
            valid_ms: 3_600_000,
            model,
            finished: false,
            logged: Bytes::new(),
            genesis: named.unwrap_or_default().into(),
            counted: Rho::ZERO,
            proof: Vec::new(),
            certificate: None,
            certified: None,
            objects: BTreeMap::from(objects),
            fetch: Answer::Give,
            contribute: Answer::Give,
        }
    }
}

/// A ticket as it is offered.
pub fn to_proto(signed: &SignedTicket) -> v2::SignedTicket {
    v2::SignedTicket {
        ticket: signed.bytes.clone().into(),
        coordinator_signature: Bytes::copy_from_slice(&signed.coordinator_signature.0),
        helper_signature: Bytes::copy_from_slice(&signed.helper_signature.0),
    }
}

/// The running stand-in.
pub struct StandIn {
    /// What devices are told about it.
    pub deployment: Arc<Deployment>,
    script: watch::Sender<Script>,
    recorded: Arc<Mutex<BTreeMap<DeviceId, Calls>>>,
    shutdown: Shutdown,
}

impl StandIn {
    /// Serves `round` on a free port until dropped.
    ///
    /// # Errors
    /// When certificates cannot be made or the port not bound.
    pub async fn start(round: &Round) -> Result<Self> {
        Self::certified(round, clock::now()).await
    }

    /// As [`Self::start`], with authorities and a server's certificate made at `then`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn certified(round: &Round, then: Timestamp) -> Result<Self> {
        let authorities = create_authorities(then)?;
        let authority = Authority::from_pem(&authorities.issuing.chain, &authorities.issuing.key)?;
        let own = authority.issue_server(Peer::Coordinator, &["localhost".to_owned()], then)?;
        let folder = tempfile::tempdir()?;
        for (name, text) in [
            ("crt", &own.chain),
            ("key", &own.key),
            ("root", &authorities.root.chain),
        ] {
            files::write_new_secret(&folder.path().join(name), text)?;
        }
        let chain = files::read_certificates(&folder.path().join("crt"), then)?;
        let roots = files::read_certificates(&folder.path().join("root"), then)?;
        let key = files::read_key(&folder.path().join("key"))?;
        let optional = ClientCertificate::Optional;
        let tls = listener::server_config(chain, key, &roots, optional, &Current::default())
            .map_err(anyhow::Error::msg)?;
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("https://{}", socket.local_addr()?);
        let deployment = deployment(&address, &authorities.root.chain, &round.policy)?;
        let recorded = Arc::new(Mutex::new(BTreeMap::new()));
        let shutdown = Shutdown::default();
        let script = watch::Sender::new(Script::offer(round));
        let service = Service {
            authority,
            enrolled: AtomicU32::new(0),
            script: script.subscribe(),
            recorded: recorded.clone(),
        };
        let limits = Limits::of(1 << 14, 4096);
        let calls = CountCalls::new(&limits, shutdown.drain.clone());
        let incoming = Listener::new(socket, tls, limits).incoming(shutdown.clone());
        tokio::spawn(
            Server::builder()
                .layer(calls)
                .add_service(CoordinatorServer::new(service))
                .serve_with_incoming(incoming),
        );
        Ok(Self {
            deployment: Arc::new(deployment),
            script,
            recorded,
            shutdown,
        })
    }

    /// Changes what it says from now on; what is withheld is answered once its answer is
    /// [`Answer::Give`].
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        self.script.send_modify(change);
    }

    /// What each device sent, in the order in which they enrolled.
    pub fn recorded(&self) -> Vec<Calls> {
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shutdown.drain.cancel();
        self.shutdown.close.cancel();
    }
}

struct Service {
    authority: Authority,
    enrolled: AtomicU32,
    script: watch::Receiver<Script>,
    recorded: Arc<Mutex<BTreeMap<DeviceId, Calls>>>,
}

impl Service {
    fn script(&self) -> Script {
        self.script.borrow().clone()
    }

    /// Lets a recorded call through, or fails it, or waits until it may be answered.
    async fn admit(&self, answer: fn(&Script) -> Answer) -> Result<(), Status> {
        let mut script = self.script.clone();
        let decided = script
            .wait_for(|script| answer(script) != Answer::Withhold)
            .await;
        match decided.map(|script| answer(&script)) {
            Ok(Answer::Give) => Ok(()),
            _ => Err(Status::unavailable("away")),
        }
    }

    fn record(&self, device: DeviceId, headers: &MetadataMap, said: Said) {
        let headers = headers.clone().into_headers();
        let headers = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        let mut recorded = self
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        recorded
            .entry(device)
            .or_default()
            .push(Call { headers, said });
    }
}

#[tonic::async_trait]
impl Coordinator for Service {
    async fn enrol(
        &self,
        request: Request<v2::EnrolRequest>,
    ) -> Result<Response<v2::EnrolResponse>, Status> {
        let mut id = [0; DeviceId::LEN];
        id[..4].copy_from_slice(
            &self
                .enrolled
                .fetch_add(1, Ordering::Relaxed)
                .to_be_bytes(),
        );
        let then = self.script().certified.unwrap_or_else(clock::now);
        let request = &request.get_ref().signing_request;
        let chain = self
            .authority
            .issue_device(request, DeviceId(id), then);
        let chain = chain.map_err(|error| Status::internal(error.to_string()))?;
        let certificate_chain = self.script().certificate.unwrap_or(chain);
        Ok(Response::new(v2::EnrolResponse {
            certificate_chain,
            renew_after_ms: u64::MAX,
            valid_until_ms: u64::MAX,
            roots: Vec::new(),
        }))
    }

    async fn renew(
        &self,
        request: Request<v2::RenewRequest>,
    ) -> Result<Response<v2::RenewResponse>, Status> {
        let shown = identity::device(&request).ok();
        let request = request.into_inner();
        let old = Peer::from_certificate(&request.old_certificate);
        let ((Some(device), _) | (None, Some(Peer::Device(device)))) = (shown, old) else {
            return Err(Status::permission_denied("nobody's certificate"));
        };
        let chain = self
            .authority
            .issue_device(&request.signing_request, device, clock::now())
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(v2::RenewResponse {
            certificate_chain: chain,
            renew_after_ms: u64::MAX,
            valid_until_ms: u64::MAX,
            roots: Vec::new(),
        }))
    }

    async fn leave(
        &self,
        _: Request<v2::LeaveRequest>,
    ) -> Result<Response<v2::LeaveResponse>, Status> {
        Err(Status::unimplemented("nobody leaves here"))
    }

    async fn check_in(
        &self,
        request: Request<v2::CheckInRequest>,
    ) -> Result<Response<v2::CheckInResponse>, Status> {
        self.record(
            identity::device(&request)?,
            request.metadata(),
            Said::CheckIn(*request.get_ref()),
        );
        let script = self.script();
        Ok(Response::new(v2::CheckInResponse {
            selection: script.ticket.map(|ticket| {
                Selection::Lease(v2::Lease {
                    ticket: Some(ticket),
                    send_after_ms: script.send_after_ms,
                    valid_ms: script.valid_ms,
                })
            }),
            retry_after_ms: 200,
            model_hash: Bytes::copy_from_slice(&script.model.0),
            catalogue_hash: Bytes::copy_from_slice(&[6; 32]),
            finished: script.finished,
            rho_counted: Bytes::copy_from_slice(&script.counted.units().to_be_bytes()),
            model_logged: script.logged,
            genesis_logged: script.genesis,
            policy: Bytes::new(),
        }))
    }

    async fn consistency(
        &self,
        _: Request<v2::ConsistencyRequest>,
    ) -> Result<Response<v2::ConsistencyResponse>, Status> {
        let proof = self
            .script()
            .proof
            .iter()
            .map(|hash| Bytes::copy_from_slice(&hash.0))
            .collect();
        Ok(Response::new(v2::ConsistencyResponse {
            proof,
            ..Default::default()
        }))
    }

    type FetchStream = Pin<Box<dyn Stream<Item = Result<v2::FetchResponse, Status>> + Send>>;

    async fn fetch(
        &self,
        request: Request<v2::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        self.record(
            identity::device(&request)?,
            request.metadata(),
            Said::Fetch(request.get_ref().clone()),
        );
        self.admit(|script| script.fetch).await?;
        let hash = Digest::from_slice(&request.get_ref().hash)
            .map_err(|_| Status::invalid_argument("hash"))?;
        let object = self
            .script()
            .objects
            .remove(&hash)
            .ok_or_else(|| Status::not_found("no such object"))?;
        let chunks = tacit_proto::chunks(object);
        let parts = chunks.map(|chunk| Ok(v2::FetchResponse { chunk }));
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn contribute(
        &self,
        request: Request<Streaming<v2::ContributeRequest>>,
    ) -> Result<Response<v2::ContributeResponse>, Status> {
        let (device, headers) = (identity::device(&request)?, request.metadata().clone());
        let messages = request
            .into_inner()
            .collect::<Result<Vec<_>, Status>>()
            .await?;
        self.record(device, &headers, Said::Contribute(messages));
        self.admit(|script| script.contribute).await?;
        let outcome = v2::ContributionOutcome::Accepted.into();
        Ok(Response::new(v2::ContributeResponse {
            outcome,
            retry_after_ms: 200,
        }))
    }

    async fn round_status(
        &self,
        _: Request<v2::RoundStatusRequest>,
    ) -> Result<Response<v2::RoundStatusResponse>, Status> {
        Err(Status::unimplemented("devices do not ask"))
    }
}
