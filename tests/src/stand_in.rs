//! A coordinator that offers one valid ticket for ever, accepts everything, and keeps every byte a device sends.
//!
//! Both signing keys and the helper's opening key are its own, so that the SDK runs its whole path against it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tacit_model::spectral::SpectralModel;
use tacit_privacy::canonical::digest;
use tacit_privacy::merkle;
use tacit_privacy::record::{Event, Genesis, Keeper, Line, SCHEMA, TreeHead};
use tacit_proto::v1;
use tacit_proto::v1::coordinator_server::{Coordinator, CoordinatorServer};
use tacit_round::head::{self, LoggedLine, SignedHead};
use tacit_round::keys::{Context, SigningKey};
use tacit_round::policy::Policy;
use tacit_round::seal::{OpeningKey, SCHEME_ID};
use tacit_round::ticket::{self, Kind, SignedTicket, Ticket};
use tacit_sdk::Deployment;
use tacit_server::config::Task;
use tacit_server::job::Job;
use tacit_types::{Delta, DeviceId, Digest, Epsilon, RoundId, TaskId};
use tacit_wire::listener::{self, ClientCertificate, Listener};
use tacit_wire::pki::{Authority, create_authorities};
use tacit_wire::{Peer, Shutdown, clock, files, identity};
use tokio::net::TcpListener;
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
    CheckIn(v1::CheckInRequest),
    /// A request for an object.
    Fetch(v1::FetchRequest),
    /// A contribution, message by message.
    Contribute(Vec<v1::ContributeRequest>),
}

/// One valid round, with all its secrets.
pub struct Round {
    /// The ticket.
    pub ticket: Ticket,
    /// Its signed bytes.
    pub signed: SignedTicket,
    /// The model devices start from.
    pub model: SpectralModel,
    /// A policy that allows it.
    pub policy: Policy,
}

impl Round {
    /// A counts round over a catalogue of `items`.
    ///
    /// # Errors
    /// When the numbers make no sound mechanism.
    pub fn counts(items: u32) -> Result<Self> {
        let task = Task {
            name: TaskId::new("test")?,
            catalogue: "catalogue.txt".into(),
            epsilon: Epsilon::new(50.0)?,
            delta: Delta::new(1e-5)?,
            cohort: 300,
            dropout: 0.05,
            dishonest: 0.05,
            deadline_seconds: 3600,
            history_max: 1024,
            helper_noise: false,
            membership: false,
            rounds: None,
            factors: None,
        };
        let (coordinator, helper) = (signing_key(1), signing_key(2));
        let job = Job::plan(&task, items)?;
        let model = SpectralModel::genesis(items);
        let (kind, rho) = job.releases[0];
        ensure!(kind == Kind::Counts, "counts come first");
        let model_in_hash = digest(&model.to_bytes());
        let ticket = Ticket {
            schema: ticket::SCHEMA,
            scheme_id: SCHEME_ID,
            task: task.name.clone(),
            round: RoundId(1),
            kind,
            model_in_hash,
            logged: logged(&task.name, model_in_hash, &job, &coordinator, &helper)?,
            mechanism: job.mechanism(kind, rho, &model)?,
            dishonest_milli: job.dishonest_milli,
            dropout_milli: job.dropout_milli,
            delta_pico: job.delta_pico,
            membership: false,
            deadline: clock::now().plus_millis(3_600_000),
            sealing_key: hex::encode(OpeningKey::draw(&mut UnwrapErr(SysRng)).sealing_key()),
        };
        let bytes = ticket.to_bytes()?;
        let countersignature = helper.sign(Context::Ticket, &bytes);
        let signed = SignedTicket::new(bytes, countersignature, &coordinator);
        let (coordinator, helper) = (coordinator.public(), helper.public());
        let policy = Policy { n_min_min: 2, ..Policy::new(coordinator, helper, job.rho_budget, task.cohort) };
        Ok(Self { ticket, signed, model, policy })
    }
}

fn signing_key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([byte; 32]))
}

/// A ledger of one line, which publishes the model, with its head signed by both.
fn logged(
    task: &TaskId,
    model: Digest,
    job: &Job,
    coordinator: &SigningKey,
    helper: &SigningKey,
) -> Result<LoggedLine> {
    let line = Line {
        schema: SCHEMA,
        ledger_id: Digest([5; 32]),
        generation: 1,
        seq: 0,
        prev_hash: Digest([0; 32]),
        keeper: Keeper::Coordinator,
        time_bucket: 0,
        event: Event::Genesis(Genesis {
            task: task.clone(),
            model_out_hash: model,
            catalogue_hash: Digest([6; 32]),
            rho_budget: job.rho_budget,
        }),
    };
    let line = String::from_utf8(line.to_bytes()?)?;
    let leaves = [merkle::leaf(line.as_bytes())];
    let head = TreeHead { ledger_id: Digest([5; 32]), generation: 1, size: 1, root: merkle::root(&leaves) };
    let signed = SignedHead {
        coordinator_signature: head::sign(&head, coordinator)?,
        helper_signature: head::sign(&head, helper)?,
        head,
    };
    let proof = merkle::inclusion_proof(&leaves, 0).context("a tree of one leaf has a proof")?;
    Ok(LoggedLine { line, seq: 0, proof, head: signed })
}

/// The running stand-in.
pub struct StandIn {
    /// What devices are told about it.
    pub deployment: Arc<Deployment>,
    recorded: Arc<Mutex<BTreeMap<DeviceId, Calls>>>,
    shutdown: Shutdown,
}

impl StandIn {
    /// Serves `round` on a free port until dropped.
    ///
    /// # Errors
    /// When certificates cannot be made or the port not bound.
    pub async fn start(round: &Round) -> Result<Self> {
        let authorities = create_authorities(clock::now())?;
        let authority = Authority::from_pem(&authorities.issuing.chain, &authorities.issuing.key)?;
        let own = authority.issue_server(Peer::Coordinator, &["localhost".to_owned()], clock::now())?;
        let folder = tempfile::tempdir()?;
        for (name, text) in [("crt", &own.chain), ("key", &own.key), ("root", &authorities.root.chain)] {
            files::write_new_secret(&folder.path().join(name), text)?;
        }
        let chain = files::read_certificates(&folder.path().join("crt"), clock::now())?;
        let roots = files::read_certificates(&folder.path().join("root"), clock::now())?;
        let key = files::read_key(&folder.path().join("key"))?;
        let tls =
            listener::server_config(chain, key, &roots, ClientCertificate::Optional).map_err(anyhow::Error::msg)?;
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let deployment = Deployment {
            coordinator: format!("https://{}", socket.local_addr()?),
            server_name: "localhost".into(),
            root_certificate: authorities.root.chain,
            policy: round.policy.clone(),
        };
        let recorded = Arc::new(Mutex::new(BTreeMap::new()));
        let shutdown = Shutdown::default();
        let service = Service {
            authority,
            enrolled: AtomicU32::new(0),
            ticket: v1::SignedTicket {
                ticket: round.signed.bytes.clone().into(),
                coordinator_signature: Bytes::copy_from_slice(&round.signed.coordinator_signature.0),
                helper_signature: Bytes::copy_from_slice(&round.signed.helper_signature.0),
            },
            model_hash: round.ticket.model_in_hash,
            model: round.model.to_bytes().into(),
            recorded: recorded.clone(),
        };
        let incoming = Listener::new(socket, tls).incoming(shutdown.clone());
        tokio::spawn(Server::builder().add_service(CoordinatorServer::new(service)).serve_with_incoming(incoming));
        Ok(Self { deployment: Arc::new(deployment), recorded, shutdown })
    }

    /// What each device sent, in the order in which they enrolled.
    pub fn recorded(&self) -> Vec<Calls> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
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
    ticket: v1::SignedTicket,
    model_hash: Digest,
    model: Bytes,
    recorded: Arc<Mutex<BTreeMap<DeviceId, Calls>>>,
}

impl Service {
    fn record(&self, device: DeviceId, headers: &MetadataMap, said: Said) {
        let headers = headers.clone().into_headers();
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.entry(device).or_default().push(Call { headers, said });
    }
}

#[tonic::async_trait]
impl Coordinator for Service {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let mut id = [0; DeviceId::LEN];
        id[..4].copy_from_slice(&self.enrolled.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let chain = self.authority.issue_device(&request.get_ref().signing_request, DeviceId(id), clock::now());
        let certificate_chain = chain.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(v1::EnrolResponse { certificate_chain }))
    }

    async fn check_in(&self, request: Request<v1::CheckInRequest>) -> Result<Response<v1::CheckInResponse>, Status> {
        self.record(identity::device(&request)?, request.metadata(), Said::CheckIn(*request.get_ref()));
        Ok(Response::new(v1::CheckInResponse {
            ticket: Some(self.ticket.clone()),
            retry_after_ms: 200,
            model_hash: Bytes::copy_from_slice(&self.model_hash.0),
            catalogue_hash: Bytes::copy_from_slice(&[6; 32]),
            finished: false,
            rho_counted: Bytes::new(),
        }))
    }

    async fn consistency(
        &self,
        _: Request<v1::ConsistencyRequest>,
    ) -> Result<Response<v1::ConsistencyResponse>, Status> {
        Err(Status::unimplemented("its ledger has one line for ever"))
    }

    type FetchStream = Pin<Box<dyn Stream<Item = Result<v1::FetchResponse, Status>> + Send>>;

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        self.record(identity::device(&request)?, request.metadata(), Said::Fetch(request.get_ref().clone()));
        let chunks: Vec<_> = self.model.chunks(65_536).map(Bytes::copy_from_slice).collect();
        let parts = chunks.into_iter().map(|chunk| Ok(v1::FetchResponse { chunk }));
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn contribute(
        &self,
        request: Request<Streaming<v1::ContributeRequest>>,
    ) -> Result<Response<v1::ContributeResponse>, Status> {
        let (device, headers) = (identity::device(&request)?, request.metadata().clone());
        let messages = request.into_inner().collect::<Result<Vec<_>, Status>>().await?;
        self.record(device, &headers, Said::Contribute(messages));
        let outcome = v1::ContributionOutcome::Accepted.into();
        Ok(Response::new(v1::ContributeResponse { outcome, retry_after_ms: 200 }))
    }

    async fn round_status(
        &self,
        _: Request<v1::RoundStatusRequest>,
    ) -> Result<Response<v1::RoundStatusResponse>, Status> {
        Err(Status::unimplemented("devices do not ask"))
    }
}
