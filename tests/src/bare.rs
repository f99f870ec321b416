//! A device without the SDK: its own key and certificate, and masked vectors of any numbers the
//! test likes, no noise.

use std::time::Duration;

use anyhow::{Context, Error, Result};
use bytes::Bytes;
use rand::TryRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use tacit_privacy::canonical::digest;
use tacit_proto::v2;
use tacit_proto::v2::check_in_response::Selection;
use tacit_proto::v2::contribute_request::Part;
use tacit_proto::v2::coordinator_client::CoordinatorClient;
use tacit_round::commitment::{CommitmentKey, commit};
use tacit_round::mask::add_mask;
use tacit_round::seal::{Binding, MaskSeed, SCHEME_ID, seal};
use tacit_round::ticket::Ticket;
use tacit_types::{ContributionId, DeviceId, Digest};
use tacit_wire::clock;
use tacit_wire::dial::{Dialer, client_config, endpoint};
use tacit_wire::pki::Authority;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::deployment::Deployment;

/// One call ends within this time.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// A check-in of a device that has refused nothing.
pub const CHECK_IN: v2::CheckInRequest = v2::CheckInRequest {
    protocol: 2,
    policy_serial: 0,
    refusal: Some(0),
    receives: Some(false),
};
/// Pause before a call is repeated.
const RETRY: Duration = Duration::from_millis(50);

/// Key and certificate chain of a peer, PEM.
#[derive(Clone)]
pub struct Credentials {
    /// Leaf first.
    pub chain: String,
    /// PKCS#8.
    pub key: String,
}

/// A device that says what the test tells it to.
#[derive(Clone)]
pub struct BareDevice {
    endpoint: Endpoint,
    dialer: Dialer,
}

/// Final bytes of one contribution.
#[derive(Clone)]
pub struct Contribution {
    /// First message.
    pub header: v2::ContributionHeader,
    /// Masked ring elements.
    pub masked: Bytes,
}

impl BareDevice {
    /// A peer with these credentials, or with none.
    ///
    /// # Errors
    /// When an address or certificate cannot be read.
    pub fn new(address: &str, root: &str, credentials: Option<&Credentials>) -> Result<Self> {
        let own = credentials.map(|own| (&own.chain[..], &own.key[..]));
        let tls = client_config(root, own).map_err(Error::msg)?;
        let dialer = Dialer::new(tls, "localhost").map_err(Error::msg)?;
        let endpoint = endpoint(address).map_err(Error::msg)?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(2))
            .timeout(CALL_DEADLINE);
        Ok(Self { endpoint, dialer })
    }

    /// The same device, giving each answer room for `bytes`; with 0 it takes none.
    #[must_use]
    pub fn with_window(self, bytes: u32) -> Self {
        let endpoint = self.endpoint.initial_stream_window_size(bytes);
        Self { endpoint, ..self }
    }

    /// Enrols with one of the deployment's tokens, repeating until it is answered.
    ///
    /// # Errors
    /// When the deadline passes first, naming the last refusal.
    pub async fn enrol(deployment: &Deployment, token: &[u8], deadline: Instant) -> Result<Self> {
        let (address, root) = (
            deployment.coordinator_address(),
            deployment.pki("root.crt")?,
        );
        let credentials = enrol(&address, &root, token, deadline).await?;
        Self::new(&address, &root, Some(&credentials))
    }

    /// A new connection.
    ///
    /// # Errors
    /// `UNAVAILABLE` when there is none to be had.
    pub async fn connect(&self) -> Result<CoordinatorClient<Channel>, Status> {
        let channel = self
            .endpoint
            .connect_with_connector(self.dialer.clone())
            .await
            .map_err(|error| Status::unavailable(format!("{error:?}")))?;
        Ok(CoordinatorClient::new(channel))
    }

    /// One check-in on a new connection.
    ///
    /// # Errors
    /// What the coordinator or the network says.
    pub async fn check_in(&self) -> Result<v2::CheckInResponse, Status> {
        Ok(self
            .connect()
            .await?
            .check_in(CHECK_IN)
            .await?
            .into_inner())
    }

    /// Checks in until it has a lease; gives the ticket of the round and the ticket's hash.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub async fn ticket(&self, deadline: Instant) -> Result<(Ticket, Digest)> {
        let signed = repeat(deadline, || async {
            let answer = self.check_in().await?;
            ticket_of(answer).ok_or_else(|| Status::unavailable("no round is open"))
        });
        let signed = signed.await.context("waiting for a ticket")?;
        Ok((Ticket::from_bytes(&signed.ticket)?, digest(&signed.ticket)))
    }

    /// Checks in until the task is finished.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub async fn wait_until_finished(&self, deadline: Instant) -> Result<()> {
        let finished = repeat(deadline, || async {
            if self.check_in().await?.finished {
                Ok(())
            } else {
                Err(Status::unavailable("the task goes on"))
            }
        });
        finished
            .await
            .context("waiting for the end of the task")
    }

    /// Sends a contribution once, on a new connection.
    ///
    /// # Errors
    /// What the coordinator or the network says.
    pub async fn send(
        &self,
        contribution: &Contribution,
    ) -> Result<v2::ContributionOutcome, Status> {
        let parts = contribution.parts();
        let answer = self
            .connect()
            .await?
            .contribute(tokio_stream::iter(parts))
            .await?;
        Ok(answer.into_inner().outcome())
    }

    /// Sends the same bytes until the coordinator answers.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub async fn send_until_answered(
        &self,
        contribution: &Contribution,
        deadline: Instant,
    ) -> Result<v2::ContributionOutcome> {
        repeat(deadline, || self.send(contribution))
            .await
            .context("sending a contribution")
    }
}

/// The ticket of the lease a check-in was answered with.
pub fn ticket_of(answer: v2::CheckInResponse) -> Option<v2::SignedTicket> {
    match answer.selection {
        Some(Selection::Lease(lease)) => lease.ticket,
        Some(Selection::NotSelected(_)) | None => None,
    }
}

impl Contribution {
    /// Masks `values` and the zeros that follow a short vector, and seals the mask's seed for this
    /// ticket.
    ///
    /// # Errors
    /// When the system has no randomness or the ticket's key is not one.
    pub fn new(ticket: &Ticket, ticket_hash: Digest, mut values: Vec<u32>) -> Result<Self> {
        let mut id = [0; ContributionId::LEN];
        SysRng.try_fill_bytes(&mut id)?;
        let contribution = ContributionId(id);
        let mut rng = UnwrapErr(SysRng);
        values.resize(ticket.mechanism.sent_length() as usize, 0);
        let seed = MaskSeed::draw(&mut rng);
        let commitment_key = CommitmentKey::draw(&mut rng);
        add_mask(&mut values, &seed, &ticket.task, ticket.round, contribution);
        let masked: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let binding = Binding {
            task: &ticket.task,
            round: ticket.round,
            ticket: ticket_hash,
            length: ticket.mechanism.sent_length(),
            contribution,
            commitment: commit(&commitment_key, &masked),
        };
        let key = ticket
            .sealing_key_bytes()
            .context("the ticket has no sealing key")?;
        let header = v2::ContributionHeader {
            scheme_id: SCHEME_ID,
            ticket_hash: Bytes::copy_from_slice(&ticket_hash.0),
            contribution_id: Bytes::copy_from_slice(&contribution.0),
            sealed_seed: seal(&seed, None, &key, &binding, &mut rng)?.into(),
            commitment: Bytes::copy_from_slice(&binding.commitment.0),
            commitment_key: Bytes::copy_from_slice(commitment_key.as_bytes()),
        };
        Ok(Self {
            header,
            masked: masked.into(),
        })
    }

    /// The messages it is sent in.
    pub fn parts(&self) -> Vec<v2::ContributeRequest> {
        let chunks = tacit_proto::chunks(self.masked.clone()).map(Part::Chunk);
        let parts = std::iter::once(Part::Header(self.header.clone())).chain(chunks);
        parts
            .map(|part| v2::ContributeRequest { part: Some(part) })
            .collect()
    }
}

/// Credentials of `count` enrolled devices, signed with the deployment's issuing key and without a
/// call: what enrolment would have given them.
///
/// # Errors
/// When the issuing key cannot be read or a key not be made.
pub fn enrolled(deployment: &Deployment, count: u16) -> Result<Vec<Credentials>> {
    let (chain, key) = (
        deployment.pki("issuing.crt")?,
        deployment.pki("issuing.key")?,
    );
    let issuing = Authority::from_pem(&chain, &key)?;
    let enrol = |number: u16| {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let request = CertificateParams::default().serialize_request(&key)?;
        let mut device = [0; DeviceId::LEN];
        device[..2].copy_from_slice(&number.to_le_bytes());
        let chain = issuing.issue_device(request.der(), DeviceId(device), clock::now())?;
        let key = key.serialize_pem();
        Ok(Credentials { chain, key })
    };
    (0..count).map(enrol).collect()
}

/// Makes a key and has it signed for a token; the same request is repeated until it is answered.
async fn enrol(address: &str, root: &str, token: &[u8], deadline: Instant) -> Result<Credentials> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let request = v2::EnrolRequest {
        token: Bytes::copy_from_slice(token),
        signing_request: CertificateParams::default()
            .serialize_request(&key)?
            .der()
            .to_vec()
            .into(),
    };
    let stranger = BareDevice::new(address, root, None)?;
    let answer = repeat(deadline, || async {
        stranger.connect().await?.enrol(request.clone()).await
    });
    let chain = answer
        .await
        .context("enrolling")?
        .into_inner()
        .certificate_chain;
    Ok(Credentials {
        chain,
        key: key.serialize_pem(),
    })
}

/// Repeats a call until it succeeds or the deadline passes, and then gives its last error.
///
/// # Errors
/// The last status.
pub async fn repeat<T, F: Future<Output = Result<T, Status>>>(
    deadline: Instant,
    call: impl Fn() -> F,
) -> Result<T> {
    loop {
        let called = timeout(CALL_DEADLINE, call()).await;
        match called.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))) {
            Ok(value) => return Ok(value),
            Err(status) if Instant::now() >= deadline => return Err(status.into()),
            Err(_) => sleep(RETRY).await,
        }
    }
}
