//! A deployment in a temporary folder, a running helper, and devices reduced to their seeds and
//! masked vectors.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use tacit_helper::config::{Config, Signing, Tls};
use tacit_helper::{HelperError, serve};
use tacit_privacy::record::TreeHead;
use tacit_privacy::{Mechanism, Tier, canonical};
use tacit_proto::v2::helper_client::HelperClient;
use tacit_proto::v2::{self, release_response::Part};
use tacit_round::commitment::{CommitmentKey, commit};
use tacit_round::head::{LoggedLine, SignedHead};
use tacit_round::helper::DraftRefused;
use tacit_round::keys::{Context, SignatureBytes, SigningKey};
use tacit_round::mask::{PartialSum, add_mask};
use tacit_round::member::Member;
use tacit_round::seal::{Binding, MaskSeed, seal};
use tacit_round::ticket::{Kind, SCHEMA, Ticket};
use tacit_types::{ContributionId, DeviceId, Digest, RoundId, TaskId, Timestamp};
use tacit_wire::clock::now;
use tacit_wire::dial::{Dialer, client_config, endpoint};
use tacit_wire::files::write_new_secret;
use tacit_wire::listener::Front;
use tacit_wire::pki::{Authority, create_authorities};
use tacit_wire::reload::Source;
use tacit_wire::{Peer, Shutdown};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use zeroize::Zeroizing;

/// Long enough for a mask sum of several chunks.
pub(crate) const LENGTH: u32 = 40_000;
const HELPER_SEED: [u8; 32] = [2; 32];

pub(crate) fn coordinator_key() -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([1; 32]))
}

pub(crate) fn helper_key() -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new(HELPER_SEED))
}

/// Files of one deployment.
pub(crate) struct Deployment {
    folder: tempfile::TempDir,
    authority: Authority,
    root: String,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = create_authorities(now()).unwrap();
        let authority = Authority::from_pem(&made.issuing.chain, &made.issuing.key).unwrap();
        let helper = authority
            .issue_server(Peer::Helper, &["localhost".into()], now())
            .unwrap();
        let write =
            |name: &str, text: &str| write_new_secret(&folder.path().join(name), text).unwrap();
        write("root.crt", &made.root.chain);
        write("helper.crt", &helper.chain);
        write("helper.key", &helper.key);
        write("signing.key", &hex::encode(HELPER_SEED));
        Self {
            folder,
            authority,
            root: made.root.chain,
        }
    }

    pub(crate) fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn config(&self) -> Config {
        let file = |name: &str| self.folder.path().join(name);
        Config {
            listen: "127.0.0.1:0".into(),
            restored: false,
            log: None,
            listener: Front::default(),
            state: self.state(),
            tls: Tls {
                certificate: file("helper.crt"),
                key: file("helper.key"),
                root: file("root.crt"),
                revoked: None,
            },
            signing: Signing {
                key: file("signing.key"),
            },
            coordinator_key: coordinator_key().public(),
            honest_min: 2,
            membership: None,
        }
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(self.config()).await
    }

    pub(crate) async fn start_with(&self, config: Config) -> Running {
        let (bound, address) = tokio::sync::oneshot::channel();
        let shutdown = Shutdown::default();
        let task = tokio::spawn(serve(
            config,
            Source::fixed(),
            now,
            shutdown.clone(),
            move |address| {
                bound.send(address).unwrap();
            },
        ));
        match address.await {
            Ok(address) => Running {
                address,
                shutdown,
                task,
            },
            Err(_) => panic!("the helper did not start: {:?}", task.await),
        }
    }

    /// A connection with the coordinator's certificate.
    pub(crate) async fn coordinator(&self, helper: &Running) -> HelperClient<Channel> {
        HelperClient::new(self.coordinator_channel(helper).await)
    }

    pub(crate) async fn coordinator_channel(&self, helper: &Running) -> Channel {
        let credentials = self
            .authority
            .issue_server(Peer::Coordinator, &["localhost".into()], now())
            .unwrap();
        self.connect(helper, &credentials.chain, &credentials.key)
            .await
    }

    /// A client with an enrolled device's certificate, which is turned away when it connects.
    pub(crate) fn device(&self, helper: &Running) -> HelperClient<Channel> {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let request = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let chain = self
            .authority
            .issue_device(request.der(), DeviceId([7; 16]), now())
            .unwrap();
        let endpoint = address(helper);
        let dialer = self.dialer(&chain, &key.serialize_pem());
        HelperClient::new(endpoint.connect_with_connector_lazy(dialer))
    }

    async fn connect(&self, helper: &Running, chain: &str, key: &str) -> Channel {
        let endpoint = address(helper);
        let dialer = self.dialer(chain, key);
        endpoint.connect_with_connector(dialer).await.unwrap()
    }

    fn dialer(&self, chain: &str, key: &str) -> Dialer {
        let tls = client_config(&self.root, Some((chain, key))).unwrap();
        Dialer::new(tls, "localhost").unwrap()
    }

    pub(crate) fn key_files(&self) -> usize {
        std::fs::read_dir(self.state().join("keys"))
            .unwrap()
            .count()
    }
}

fn address(helper: &Running) -> Endpoint {
    endpoint(&format!("https://{}", helper.address)).unwrap()
}

/// A running helper.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<Result<(), HelperError>>,
}

impl Running {
    /// Drains and waits until the daemon has returned.
    pub(crate) async fn stop(self) {
        self.shutdown.drain.cancel();
        self.ended().await.unwrap();
    }

    /// Waits until the daemon returns by itself.
    pub(crate) async fn ended(self) -> Result<(), HelperError> {
        timeout(Duration::from_secs(20), self.task)
            .await
            .expect("the drain ends")
            .unwrap()
    }
}

pub(crate) fn task() -> TaskId {
    TaskId::new("films").unwrap()
}

/// A draft of round `round`: at least 4 contributions, at most 8.
pub(crate) fn draft(round: u32) -> Ticket {
    let nothing = SignatureBytes([0; 64]);
    let head = TreeHead {
        ledger_id: Digest([1; 32]),
        generation: 1,
        size: 1,
        root: Digest([2; 32]),
        helper_size: 0,
        helper_last_hash: Digest([0; 32]),
    };
    let head = SignedHead {
        head,
        coordinator_signature: nothing,
        helper_signature: nothing,
    };
    Ticket {
        schema: SCHEMA,
        scheme_id: tacit_round::seal::SCHEME_ID,
        task: task(),
        round: RoundId(round),
        kind: Kind::Counts,
        model_in_hash: Digest([3; 32]),
        logged: LoggedLine {
            line: "line".into(),
            seq: 0,
            proof: vec![],
            head,
        },
        mechanism: Mechanism {
            tier: Tier::Helper,
            length: LENGTH,
            row_width: 32,
            row_cap_milli: 1000,
            history_max: 10,
            nnz_max: 320,
            steps: 512,
            sigma2: 1 << 18,
            n_min: 3,
            cohort_max: 8,
            helper_noise: false,
        },
        dishonest_milli: 100,
        dropout_milli: 50,
        delta_pico: 1,
        membership: false,
        hold_out: false,
        free_rounds: 0,
        deadline: Timestamp(1_900_000_000_000),
        latest_deadline: Timestamp(1_900_000_100_000),
        sealing_key: String::new(),
    }
}

/// A countersigned round.
pub(crate) struct Round {
    pub(crate) ticket: Ticket,
    pub(crate) hash: Digest,
}

pub(crate) async fn countersign(
    client: &mut HelperClient<Channel>,
    draft: &Ticket,
) -> Result<Round, Status> {
    let answer = client
        .countersign(asking(draft.to_bytes().unwrap()))
        .await?
        .into_inner();
    if !answer.refusal.is_empty() {
        return Err(Status::invalid_argument(refusal(draft, &answer).reason));
    }
    let ticket = answer.ticket;
    Ok(Round {
        ticket: Ticket::from_bytes(&ticket).unwrap(),
        hash: canonical::digest(&ticket),
    })
}

/// The coordinator's question for a draft, or for other bytes.
pub(crate) fn asking(draft: Vec<u8>) -> v2::CountersignRequest {
    let by = coordinator_key().sign(Context::Draft, &draft);
    v2::CountersignRequest {
        draft: draft.into(),
        draft_signature: by.0.to_vec().into(),
    }
}

/// What the helper signed of a draft it refused.
pub(crate) fn refusal(draft: &Ticket, answer: &v2::CountersignResponse) -> DraftRefused {
    let by = SignatureBytes(answer.refusal_signature[..].try_into().unwrap());
    let helper = helper_key().public();
    assert!(helper.verifies(Context::Refusal, &answer.refusal, &by));
    let refused: DraftRefused = canonical::decode(&answer.refusal).unwrap();
    assert_eq!(refused.draft, canonical::digest(&draft.to_bytes().unwrap()));
    refused
}

/// One device's contribution.
#[derive(Clone)]
pub(crate) struct Update {
    pub(crate) plain: Vec<i32>,
    pub(crate) masked: Vec<u8>,
    pub(crate) sealed: v2::SealedSeed,
}

/// Contribution `name` to `round` under the mask seed that `seed` draws.
pub(crate) fn contribute(round: &Round, name: u8, seed: u64) -> Update {
    let plain = (0..LENGTH.cast_signed())
        .map(|i| (i % 97) * i32::from(name) - 1000)
        .collect();
    update_of(round, name, plain, seed)
}

/// Contribution `name` of these numbers to `round` under the mask seed that `seed` draws.
pub(crate) fn update_of(round: &Round, name: u8, plain: Vec<i32>, seed: u64) -> Update {
    sealed_by(round, name, plain, seed, None)
}

/// The same from a device with a membership.
pub(crate) fn sealed_by(
    round: &Round,
    name: u8,
    plain: Vec<i32>,
    seed: u64,
    member: Option<&Member>,
) -> Update {
    let mask_seed = MaskSeed::draw(&mut StdRng::seed_from_u64(seed));
    let contribution = ContributionId([name; 16]);
    let mut values: Vec<u32> = plain
        .iter()
        .map(|value| value.cast_unsigned())
        .collect();
    add_mask(
        &mut values,
        &mask_seed,
        &round.ticket.task,
        round.ticket.round,
        contribution,
    );
    let masked: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let commitment = commit(&CommitmentKey::from_slice(&[name; 32]).unwrap(), &masked);
    let binding = Binding {
        task: &round.ticket.task,
        round: round.ticket.round,
        ticket: round.hash,
        length: round.ticket.mechanism.sent_length(),
        contribution,
        commitment,
    };
    let key = round.ticket.sealing_key_bytes().unwrap();
    let sealed = seal(
        &mask_seed,
        member,
        &key,
        &binding,
        &mut StdRng::seed_from_u64(seed + 1_000_000),
    )
    .unwrap();
    let sealed = v2::SealedSeed {
        contribution_id: contribution.0.to_vec().into(),
        sealed_seed: sealed.into(),
        commitment: commitment.0.to_vec().into(),
    };
    Update {
        plain,
        masked,
        sealed,
    }
}

/// Contributions 1 to `count`, with seeds of this round only.
pub(crate) fn cohort(round: &Round, count: u8) -> Vec<Update> {
    let base = u64::from(round.ticket.round.0) * 100;
    (1..=count)
        .map(|name| contribute(round, name, base + u64::from(name)))
        .collect()
}

pub(crate) fn seeds(updates: &[Update]) -> Vec<v2::SealedSeed> {
    updates
        .iter()
        .map(|update| update.sealed.clone())
        .collect()
}

/// What the helper answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) line: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) mask_sum: Vec<u8>,
}

/// Asks for a set, three seeds a message.
pub(crate) async fn release(
    client: &mut HelperClient<Channel>,
    round: &Round,
    seeds: Vec<v2::SealedSeed>,
) -> Result<Answer, Status> {
    let mut parts: Vec<v2::ReleaseRequest> = seeds
        .chunks(3)
        .map(|seeds| v2::ReleaseRequest {
            ticket_hash: Default::default(),
            seeds: seeds.to_vec(),
        })
        .collect();
    parts[0].ticket_hash = round.hash.0.to_vec().into();
    let mut stream = client
        .release(tokio_stream::iter(parts))
        .await?
        .into_inner();
    let Some(Part::Header(header)) = stream.message().await?.unwrap().part else {
        panic!("the header comes first")
    };
    let mut mask_sum = Vec::new();
    while let Some(message) = stream.message().await? {
        let Some(Part::Chunk(chunk)) = message.part else {
            panic!("chunks follow the header")
        };
        assert!(chunk.len() <= 65_536);
        mask_sum.extend_from_slice(&chunk);
    }
    Ok(Answer {
        line: header.line.into(),
        signature: header.signature.into(),
        mask_sum,
    })
}

/// Whether taking the answered mask sum off the masked sum leaves the true sum.
pub(crate) fn unmasks(updates: &[Update], answer: &Answer) -> bool {
    let mut sum = PartialSum::new(LENGTH);
    assert!(updates.iter().all(|update| sum.add(&update.masked)));
    let truth: Vec<i32> = (0..LENGTH as usize)
        .map(|i| updates.iter().map(|update| update.plain[i]).sum())
        .collect();
    sum.unmask(&PartialSum::from_bytes(&answer.mask_sum).unwrap()) == Some(truth)
}

pub(crate) async fn admit(
    client: &mut HelperClient<Channel>,
    round: &Round,
    seeds: Vec<v2::SealedSeed>,
) -> Result<Vec<bool>, Status> {
    let request = v2::AdmitRequest {
        ticket_hash: round.hash.0.to_vec().into(),
        seeds,
    };
    Ok(client.admit(request).await?.into_inner().opens)
}

/// The call was refused with this code, in these words.
pub(crate) fn refused_with<T: std::fmt::Debug>(
    outcome: Result<T, Status>,
    code: Code,
    words: &str,
) {
    let status = outcome.unwrap_err();
    assert!(
        status.code() == code && status.message().contains(words),
        "{status}"
    );
}

/// Files of a folder, for tests that look for what must not be there.
pub(crate) fn bytes_of(folder: &Path) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}
