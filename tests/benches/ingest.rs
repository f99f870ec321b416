//! Ingest of 474 KB contributions, end to end over loopback mutual TLS: receive, validate, admit at
//! the helper, add, deduplicate, checkpoint, acknowledge. Beside it, in the same run and in
//! alternating waves, a tonic server behind the same listener that reads the same messages and
//! throws them away. Targets: at least 0.60 of its rate with everything on two cores, and at most
//! 1.65 times its processor time, which says more on a busy machine.
//!
//! Not a criterion benchmark: a round takes each device once, so a wave cannot be repeated as often
//! as statistics would like. Connections are open before a wave begins, on both sides. Clients,
//! coordinator, helper and discarding server share this machine; processor time is told apart by
//! thread names, wall time is not. Contributions share 32 masked vectors, so that clients stay
//! small; each has an id and a sealed seed of its own.

#![allow(clippy::print_stdout, reason = "benchmarks say what they measured")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use tacit_proto::v2;
use tacit_proto::v2::contribute_request::Part;
use tacit_proto::v2::coordinator_client::CoordinatorClient;
use tacit_proto::v2::coordinator_server::{Coordinator, CoordinatorServer};
use tacit_round::commitment::{CommitmentKey, commit};
use tacit_round::keys::SigningKey;
use tacit_round::seal::{Binding, MaskSeed, SCHEME_ID, seal};
use tacit_round::ticket::Ticket;
use tacit_tests::bare::{BareDevice, CHECK_IN, Credentials};
use tacit_types::{ContributionId, Delta, DeviceId, Digest, Epsilon, TaskId};
use tacit_wire::clock::now;
use tacit_wire::current::Current;
use tacit_wire::listener::{ClientCertificate, CountCalls, Front, Limits, Listener, server_config};
use tacit_wire::pki::{Authority, create_authorities};
use tacit_wire::reload::Source;
use tacit_wire::{Peer, Shutdown, files};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};
use zeroize::Zeroizing;

/// Coordinates of a contribution: 3,706 items by 32 factors. Here the length of a catalogue, whose
/// counts are round 1.
const LENGTH: u32 = 118_592;
/// Uploads in flight, each on a connection of its own.
const IN_FLIGHT: usize = 64;
/// Devices of one wave, and how many waves each server takes.
const WAVE: usize = 256;
const WAVES: usize = 4;
const VECTORS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    // Under `cargo test --benches` one short wave shows that it still runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (wave, waves) = if measured {
        (WAVE, WAVES)
    } else {
        (IN_FLIGHT, 1)
    };
    let clients = runtime("clients")?;
    let servers = Servers::start(wave * waves)?;
    let totals = clients.block_on(drive(&servers, wave, waves))?;
    servers.stop()?;
    totals.print();
    Ok(())
}

/// Runs the waves, each server first in turn.
async fn drive(servers: &Servers, wave: usize, waves: usize) -> Result<Totals> {
    let mut totals = Totals::default();
    let first = servers.device(0)?;
    let (ticket, hash) = BareDevice::new(&servers.coordinator, &servers.root, Some(&first))?
        .ticket(Instant::now() + PATIENCE)
        .await?;
    ensure!(
        ticket.mechanism.length == LENGTH,
        "the first round asks for counts of the whole catalogue"
    );
    let vectors: Vec<Bytes> = (0..VECTORS).map(vector).collect();
    for turn in 0..waves {
        let devices = turn * wave..(turn + 1) * wave;
        let uploads = devices
            .clone()
            .map(|device| upload(&ticket, hash, device, &vectors[device % VECTORS]));
        let uploads: Arc<Vec<_>> = Arc::new(uploads.collect::<Result<_>>()?);
        let credentials = devices
            .map(|device| servers.device(device))
            .collect::<Result<Vec<_>>>()?;
        let mut order = [(&servers.coordinator, true), (&servers.discarding, false)];
        if turn % 2 == 1 {
            order.reverse();
        }
        for (address, ours) in order {
            let connected = connect(address, &servers.root, &credentials).await?;
            let before = Processor::read();
            let started = Instant::now();
            send(connected, &uploads).await?;
            totals.add(
                ours,
                uploads.len(),
                started.elapsed(),
                Processor::read().since(before),
            );
        }
    }
    Ok(totals)
}

/// One connection a device, before any clock runs.
async fn connect(
    address: &str,
    root: &str,
    devices: &[Credentials],
) -> Result<Vec<CoordinatorClient<Channel>>> {
    let mut connected = Vec::with_capacity(devices.len());
    for device in devices {
        let mut client = BareDevice::new(address, root, Some(device))?
            .connect()
            .await?;
        // A first call, so that both ends are past their settings frames.
        client.check_in(CHECK_IN).await?;
        connected.push(client);
    }
    Ok(connected)
}

/// Sends every upload on its device's connection, [`IN_FLIGHT`] at a time, until all are
/// acknowledged.
async fn send(
    clients: Vec<CoordinatorClient<Channel>>,
    uploads: &Arc<Vec<Vec<v2::ContributeRequest>>>,
) -> Result<()> {
    let mut lanes: Vec<Vec<(usize, CoordinatorClient<Channel>)>> =
        (0..IN_FLIGHT).map(|_| Vec::new()).collect();
    for (i, client) in clients.into_iter().enumerate() {
        lanes[i % IN_FLIGHT].push((i, client));
    }
    let mut sending = JoinSet::new();
    for lane in lanes {
        let uploads = uploads.clone();
        sending.spawn(async move {
            for (i, mut client) in lane {
                let answer = client
                    .contribute(tokio_stream::iter(uploads[i].clone()))
                    .await?
                    .into_inner();
                ensure!(
                    answer.outcome() == v2::ContributionOutcome::Accepted,
                    "{:?}",
                    answer.outcome()
                );
            }
            Ok(())
        });
    }
    sending.join_all().await.into_iter().collect()
}

fn vector(seed: usize) -> Bytes {
    let mut bytes = vec![0; 4 * LENGTH as usize];
    rand::Rng::fill_bytes(&mut ChaCha20Rng::seed_from_u64(seed as u64), &mut bytes);
    bytes.into()
}

/// The messages of one device's contribution; chunks share the vector's memory.
fn upload(
    ticket: &Ticket,
    hash: Digest,
    device: usize,
    masked: &Bytes,
) -> Result<Vec<v2::ContributeRequest>> {
    let mut rng = ChaCha20Rng::seed_from_u64(1_000_000 + device as u64);
    let contribution = ContributionId(device_id(device));
    let commitment_key = CommitmentKey::draw(&mut rng);
    let binding = Binding {
        task: &ticket.task,
        round: ticket.round,
        ticket: hash,
        length: LENGTH,
        contribution,
        commitment: commit(&commitment_key, masked),
    };
    let key = ticket
        .sealing_key_bytes()
        .context("the ticket has a sealing key")?;
    let header = v2::ContributionHeader {
        scheme_id: SCHEME_ID,
        ticket_hash: Bytes::copy_from_slice(&hash.0),
        contribution_id: Bytes::copy_from_slice(&contribution.0),
        sealed_seed: seal(&MaskSeed::draw(&mut rng), None, &key, &binding, &mut rng)?.into(),
        commitment: Bytes::copy_from_slice(&binding.commitment.0),
        commitment_key: Bytes::copy_from_slice(commitment_key.as_bytes()),
    };
    let chunks = tacit_proto::chunks(masked.clone()).map(Part::Chunk);
    let parts = std::iter::once(Part::Header(header)).chain(chunks);
    Ok(parts
        .map(|part| v2::ContributeRequest { part: Some(part) })
        .collect())
}

fn device_id(device: usize) -> [u8; 16] {
    (device as u128 + 1).to_le_bytes()
}

/// Coordinator, helper and discarding server, each on threads of its own name.
struct Servers {
    authority: Authority,
    root: String,
    coordinator: String,
    discarding: String,
    shutdown: Shutdown,
    running: Vec<(Runtime, JoinHandle<Result<()>>)>,
    _folder: TempDir,
}

impl Servers {
    /// Starts all three. The cohort is one larger than what will come, so that the round stays
    /// open.
    fn start(devices: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let made = create_authorities(now())?;
        let authority = Authority::from_pem(&made.issuing.chain, &made.issuing.key)?;
        let coordinator =
            authority.issue_server(Peer::Coordinator, &["localhost".into()], now())?;
        let helper = authority.issue_server(Peer::Helper, &["localhost".into()], now())?;
        for (name, text) in [
            ("root.crt", &made.root.chain),
            ("issuing.crt", &made.issuing.chain),
            ("issuing.key", &made.issuing.key),
            ("coordinator.crt", &coordinator.chain),
            ("coordinator.key", &coordinator.key),
            ("helper.crt", &helper.chain),
            ("helper.key", &helper.key),
            ("coordinator.sign", &"01".repeat(32)),
            ("helper.sign", &"02".repeat(32)),
        ] {
            files::write_new_secret(&path(name), text)?;
        }
        std::fs::write(path("tokens"), "")?;
        std::fs::write(path("catalogue"), "an item\n".repeat(LENGTH as usize))?;

        let shutdown = Shutdown::default();
        let mut running = Vec::new();
        let helper_config = tacit_helper::Config {
            listen: "127.0.0.1:0".into(),
            restored: false,
            listener: Front::default(),
            log: None,
            state: path("helper"),
            tls: tacit_helper::config::Tls {
                certificate: path("helper.crt"),
                key: path("helper.key"),
                root: path("root.crt"),
                revoked: None,
            },
            signing: tacit_helper::config::Signing {
                key: path("helper.sign"),
            },
            coordinator_key: signing_key(1).public(),
            honest_min: 2,
            membership: None,
        };
        let helper_at = run(
            &mut running,
            "helper",
            &shutdown,
            |shutdown, bound| async move {
                Ok(
                    tacit_helper::serve(helper_config, Source::fixed(), now, shutdown, bound)
                        .await?,
                )
            },
        )?;
        let config = tacit_server::Config {
            listen: "127.0.0.1:0".into(),
            restored: false,
            policy: None,
            log: None,
            listener: Front::default(),
            fleet: tacit_server::config::Fleet::default(),
            state: path("coordinator"),
            tls: tacit_server::config::Tls {
                certificate: path("coordinator.crt"),
                key: path("coordinator.key"),
                root: path("root.crt"),
                revoked: None,
            },
            helper: tacit_server::config::Helper {
                address: format!("https://{helper_at}"),
                server_name: "localhost".into(),
                identity_key: signing_key(2).public(),
            },
            signing: tacit_server::config::Signing {
                key: path("coordinator.sign"),
            },
            enrolment: tacit_server::config::Enrolment {
                certificate: path("issuing.crt"),
                key: path("issuing.key"),
                tokens: Some(path("tokens")),
                token_key: None,
                roots: None,
                retention_days: 30,
                state: None,
            },
            task: tacit_server::config::Task {
                model: tacit_model::family::Family::Spectral,
                scale: [1.0, 5.0],
                name: TaskId::new("bench")?,
                catalogue: path("catalogue"),
                epsilon: Epsilon::new(1.0)?,
                delta: Delta::new(1e-5)?,
                cohort: u32::try_from(devices + 1)?,
                dropout: 0.05,
                dishonest: 0.05,
                deadline_seconds: 3600,
                latest_deadline_seconds: None,
                history_max: 1024,
                helper_noise: false,
                membership: false,
                rounds: None,
                factors: None,
                clip_norm: None,
                start: None,
                evaluation: 0.0,
            },
        };
        let coordinator_at = run(
            &mut running,
            "coordinator",
            &shutdown,
            |shutdown, bound| async move {
                Ok(tacit_server::serve(config, Source::fixed(), now, shutdown, bound).await?)
            },
        )?;
        let (chain, key) = (
            files::read_certificates(&path("coordinator.crt"), now())?,
            files::read_key(&path("coordinator.key"))?,
        );
        let roots = files::read_certificates(&path("root.crt"), now())?;
        let optional = ClientCertificate::Optional;
        let tls = server_config(chain, key, &roots, optional, &Current::default())
            .map_err(anyhow::Error::msg)?;
        let discarding_at = run(
            &mut running,
            "discarding",
            &shutdown,
            |shutdown, bound| async move {
                let socket = TcpListener::bind("127.0.0.1:0").await?;
                bound(socket.local_addr()?);
                let service = CoordinatorServer::new(Discarding);
                let limits = Limits::of_this_process(&Front::default());
                let calls = CountCalls::new(&limits, shutdown.drain.clone());
                let connections = Listener::new(socket, tls, limits).incoming(shutdown.clone());
                let stop = shutdown.drain.clone().cancelled_owned();
                let server = Server::builder()
                    .layer(calls)
                    .max_concurrent_streams(16)
                    .add_service(service);
                Ok(server
                    .serve_with_incoming_shutdown(connections, stop)
                    .await?)
            },
        )?;
        Ok(Self {
            authority,
            root: made.root.chain,
            coordinator: format!("https://{coordinator_at}"),
            discarding: format!("https://{discarding_at}"),
            shutdown,
            running,
            _folder: folder,
        })
    }

    /// Key and certificate of a device, signed without an enrolment call.
    fn device(&self, device: usize) -> Result<Credentials> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let request = CertificateParams::default().serialize_request(&key)?;
        let chain =
            self.authority
                .issue_device(request.der(), DeviceId(device_id(device)), now())?;
        Ok(Credentials {
            chain,
            key: key.serialize_pem(),
        })
    }

    fn stop(self) -> Result<()> {
        self.shutdown.drain.cancel();
        self.running
            .into_iter()
            .try_for_each(|(runtime, task)| runtime.block_on(task)?)
    }
}

/// Starts a server on a runtime whose threads have its name, and waits until it listens.
fn run<F: Future<Output = Result<()>> + Send + 'static>(
    running: &mut Vec<(Runtime, JoinHandle<Result<()>>)>,
    name: &'static str,
    shutdown: &Shutdown,
    serve: impl FnOnce(Shutdown, Box<dyn FnOnce(SocketAddr) + Send>) -> F,
) -> Result<SocketAddr> {
    let runtime = runtime(name)?;
    let (bound, listening) = oneshot::channel();
    let on_bound = Box::new(move |address| {
        // Nobody waits any more only when starting failed elsewhere.
        let _ = bound.send(address);
    });
    let task = runtime.spawn(serve(shutdown.clone(), on_bound));
    let Ok(address) = runtime.block_on(listening) else {
        bail!("the {name} did not start: {:?}", runtime.block_on(task));
    };
    running.push((runtime, task));
    Ok(address)
}

fn runtime(name: &'static str) -> Result<Runtime> {
    Ok(Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .enable_all()
        .build()?)
}

fn signing_key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([byte; 32]))
}

/// Reads every message of an upload and keeps none.
struct Discarding;

#[tonic::async_trait]
impl Coordinator for Discarding {
    async fn enrol(
        &self,
        _: Request<v2::EnrolRequest>,
    ) -> Result<Response<v2::EnrolResponse>, Status> {
        Err(Status::unimplemented("enrol"))
    }

    async fn renew(
        &self,
        _: Request<v2::RenewRequest>,
    ) -> Result<Response<v2::RenewResponse>, Status> {
        Err(Status::unimplemented("nobody renews here"))
    }

    async fn leave(
        &self,
        _: Request<v2::LeaveRequest>,
    ) -> Result<Response<v2::LeaveResponse>, Status> {
        Err(Status::unimplemented("nobody leaves here"))
    }

    async fn check_in(
        &self,
        _: Request<v2::CheckInRequest>,
    ) -> Result<Response<v2::CheckInResponse>, Status> {
        Ok(Response::new(v2::CheckInResponse::default()))
    }

    async fn consistency(
        &self,
        _: Request<v2::ConsistencyRequest>,
    ) -> Result<Response<v2::ConsistencyResponse>, Status> {
        Ok(Response::new(v2::ConsistencyResponse::default()))
    }

    type FetchStream = tokio_stream::Empty<Result<v2::FetchResponse, Status>>;

    async fn fetch(
        &self,
        _: Request<v2::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn contribute(
        &self,
        request: Request<Streaming<v2::ContributeRequest>>,
    ) -> Result<Response<v2::ContributeResponse>, Status> {
        let mut stream = request.into_inner();
        while stream.message().await?.is_some() {}
        let outcome = v2::ContributionOutcome::Accepted.into();
        Ok(Response::new(v2::ContributeResponse {
            outcome,
            retry_after_ms: 0,
        }))
    }

    async fn round_status(
        &self,
        _: Request<v2::RoundStatusRequest>,
    ) -> Result<Response<v2::RoundStatusResponse>, Status> {
        Err(Status::unimplemented("round_status"))
    }
}

/// Processor time of this process, by thread name.
#[derive(Clone, Copy, Default)]
struct Processor {
    coordinator: Duration,
    helper: Duration,
    discarding: Duration,
}

impl Processor {
    /// Sums what the kernel accounts to each thread. A thread that ends in between is missed;
    /// runtimes keep theirs.
    fn read() -> Self {
        let mut sum = Self::default();
        let tasks = std::fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .flatten();
        for task in tasks {
            let read =
                |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let ran = read("schedstat")
                .split(' ')
                .next()
                .and_then(|ran| ran.parse().ok())
                .unwrap_or(0);
            let ran = Duration::from_nanos(ran);
            match read("comm").trim() {
                "coordinator" => sum.coordinator += ran,
                "helper" => sum.helper += ran,
                "discarding" => sum.discarding += ran,
                _ => {}
            }
        }
        sum
    }

    fn since(self, before: Self) -> Self {
        Self {
            coordinator: self.coordinator.saturating_sub(before.coordinator),
            helper: self.helper.saturating_sub(before.helper),
            discarding: self.discarding.saturating_sub(before.discarding),
        }
    }
}

/// What all waves took.
#[derive(Default)]
struct Totals {
    ours: (usize, Duration),
    theirs: (usize, Duration),
    processor: Processor,
}

impl Totals {
    fn add(&mut self, ours: bool, updates: usize, wall: Duration, processor: Processor) {
        let side = if ours {
            &mut self.ours
        } else {
            &mut self.theirs
        };
        side.0 += updates;
        side.1 += wall;
        if ours {
            self.processor.coordinator += processor.coordinator;
            self.processor.helper += processor.helper;
        } else {
            self.processor.discarding += processor.discarding;
        }
        let rate = updates as f64 / wall.as_secs_f64();
        println!(
            "  {:<12} {updates} updates in {wall:.2?}: {rate:.0}/s",
            if ours { "tacit" } else { "discarding" }
        );
    }

    fn print(&self) {
        let rate = |(updates, wall): (usize, Duration)| updates as f64 / wall.as_secs_f64();
        let each = |spent: Duration, updates: usize| 1e6 * spent.as_secs_f64() / updates as f64;
        let (ours, theirs) = (rate(self.ours), rate(self.theirs));
        let coordinator = each(self.processor.coordinator, self.ours.0);
        let helper = each(self.processor.helper, self.ours.0);
        let discarding = each(self.processor.discarding, self.theirs.0);
        println!(
            "ingest of 474 KB contributions, {IN_FLIGHT} in flight, clients on the same cores"
        );
        println!(
            "  wall:      tacit {ours:.0}/s, discarding {theirs:.0}/s, ratio {:.2} (target 0.60)",
            ours / theirs
        );
        println!(
            "  processor: coordinator {coordinator:.0} us, helper {helper:.0} us, discarding \
             {discarding:.0} us an update; coordinator to discarding {:.2} (target at most 1.65)",
            coordinator / discarding
        );
    }
}
