//! What a device is asked for: one document per round, the same bytes for every device, signed by
//! both parties.

use serde::{Deserialize, Serialize};
use tacit_privacy::Mechanism;
use tacit_privacy::canonical::{self, NotCanonical};
use tacit_privacy::record::Countersigned;
pub use tacit_types::Kind;
use tacit_types::{Digest, RoundId, TaskId, Timestamp};

use crate::head::LoggedLine;
use crate::keys::{Context, PublicKey, SignatureBytes, SigningKey};

/// Version of the ticket format.
pub const SCHEMA: u32 = 2;

/// Largest accepted ticket in bytes.
pub const TICKET_BYTES_MAX: usize = 64 * 1024;

/// Longest word for a kind of release, in bytes.
const KIND_BYTES_MAX: usize = 32;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Secure-sum scheme, [`crate::seal::SCHEME_ID`].
    pub scheme_id: u32,
    /// Task.
    pub task: TaskId,
    /// Round.
    pub round: RoundId,
    /// What the vector means.
    pub kind: Kind,
    /// Model the vector is computed against.
    pub model_in_hash: Digest,
    /// The ledger line that published this model, and the proof that both parties signed for it.
    pub logged: LoggedLine,
    /// Public numbers of the mechanism; the device recomputes the price from them.
    pub mechanism: Mechanism,
    /// Assumed dishonest share f of devices, thousandths.
    pub dishonest_milli: u32,
    /// Assumed dropout share p of devices, thousandths.
    pub dropout_milli: u32,
    /// Delta the task's epsilon is stated at, in units of 1e-12.
    pub delta_pico: u64,
    /// Whether every sealed seed must carry a proof of membership ([`crate::member`]).
    pub membership: bool,
    /// Whether the vector leaves out the item its owner used last, so that this task's evaluation
    /// may ask for it. Written only where it is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold_out: bool,
    /// Rounds of this task before this one that nobody entered, so that they cost nothing: as many
    /// as its ledger has such lines, and not fewer than the helper has certified.
    pub free_rounds: u32,
    /// The round closes at this moment, unless its set is still too small.
    pub deadline: Timestamp,
    /// A set too small at the deadline may grow further ([`Ticket::last_call`]); at this moment the
    /// round is over, and the helper erases its key by its own clock. Nothing that is said later
    /// moves either.
    pub latest_deadline: Timestamp,
    /// The helper's sealing key of this round, hexadecimal; empty in the draft the coordinator
    /// makes.
    pub sealing_key: String,
}

/// A ticket's exact bytes with both signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTicket {
    /// Canonical JSON of a [`Ticket`].
    pub bytes: Vec<u8>,
    /// By the coordinator's ticket key.
    pub coordinator_signature: SignatureBytes,
    /// By the helper's identity key.
    pub helper_signature: SignatureBytes,
}

/// A countersigned ticket as the helper shows it beside its line, or gets it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countersignature {
    /// Exact bytes of the ticket.
    pub bytes: Vec<u8>,
    /// By the helper's identity key.
    pub helper_signature: SignatureBytes,
    /// By the coordinator's ticket key, over the draft it asked with.
    pub draft_signature: SignatureBytes,
}

/// A ticket that was read: its content beside the bytes and signatures it came as.
///
/// Made only from those bytes, so content, bytes and hash belong together and nobody has to read a
/// ticket twice. It is not believed yet: [`crate::policy::Policy::check`] verifies the signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedTicket {
    signed: SignedTicket,
    content: Ticket,
    hash: Digest,
}

/// A signed ticket as auditors get it: one canonical JSON object a file, named by the ticket's
/// hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketFile {
    /// Exact bytes of the ticket.
    pub ticket: String,
    /// By the coordinator's ticket key.
    pub coordinator_signature: SignatureBytes,
    /// By the helper's identity key.
    pub helper_signature: SignatureBytes,
}

impl From<&SignedTicket> for TicketFile {
    fn from(signed: &SignedTicket) -> Self {
        Self {
            // A ticket is JSON, so nothing is lost.
            ticket: String::from_utf8_lossy(&signed.bytes).into_owned(),
            coordinator_signature: signed.coordinator_signature,
            helper_signature: signed.helper_signature,
        }
    }
}

impl From<TicketFile> for SignedTicket {
    fn from(file: TicketFile) -> Self {
        let TicketFile {
            ticket,
            coordinator_signature,
            helper_signature,
        } = file;
        Self {
            bytes: ticket.into_bytes(),
            coordinator_signature,
            helper_signature,
        }
    }
}

impl Ticket {
    /// Canonical bytes.
    ///
    /// # Errors
    /// [`NotCanonical`] never for a ticket built from these types.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NotCanonical> {
        canonical::encode(self)
    }

    /// SHA-256 of the canonical bytes: the name of the round in every later message.
    pub fn hash(&self) -> Digest {
        let bytes = self.to_bytes();
        canonical::digest(&bytes.expect("a ticket holds neither fractions nor nulls"))
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`NotCanonical`] for anything else, including more than [`TICKET_BYTES_MAX`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotCanonical> {
        // Cutting at the limit would read a ticket of just that length with anything behind it.
        if bytes.len() > TICKET_BYTES_MAX {
            return Err(NotCanonical::TooLong {
                max: TICKET_BYTES_MAX,
            });
        }
        canonical::decode(bytes)
    }

    /// Whether these bytes are a ticket of a kind nobody knew when this was built. Nothing else in
    /// them is looked at: such a ticket may have fields of its own.
    pub fn is_of_unknown_kind(bytes: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Named {
            kind: String,
        }
        let bounded = &bytes[..bytes.len().min(TICKET_BYTES_MAX)];
        let word = |c: u8| c.is_ascii_lowercase() || c == b'_';
        serde_json::from_slice(bounded).is_ok_and(|Named { kind }| {
            (1..=KIND_BYTES_MAX).contains(&kind.len())
                && kind.bytes().all(word)
                && Kind::parse(&kind).is_none()
        })
    }

    /// What the coordinator asked for: this ticket without its sealing key.
    pub fn draft(&self) -> Self {
        Self {
            sealing_key: String::new(),
            ..self.clone()
        }
    }

    /// Whether this ticket is `draft` with a sealing key filled in and nothing else changed.
    pub fn completes(&self, draft: &Self) -> bool {
        draft.sealing_key.is_empty() && !self.sealing_key.is_empty() && self.draft() == *draft
    }

    /// The sealing key as bytes; `None` if it is not hexadecimal.
    pub fn sealing_key_bytes(&self) -> Option<Vec<u8>> {
        hex::decode(&self.sealing_key).ok()
    }

    /// When the last contribution is taken: three quarters of the way from the deadline to the
    /// latest one. The rest is for the helper's answer, which nobody can give once its key is gone.
    pub fn last_call(&self) -> Timestamp {
        let between = self.latest_deadline.millis_since(self.deadline);
        Timestamp(self.latest_deadline.0 - between / 4)
    }

    /// Smallest set the helper may sum.
    pub fn set_min(&self) -> u32 {
        self.mechanism.set_min(self.dishonest_milli)
    }
}

impl SignedTicket {
    /// Adds the coordinator's signature to a countersigned ticket.
    pub fn new(bytes: Vec<u8>, helper_signature: SignatureBytes, key: &SigningKey) -> Self {
        let coordinator_signature = key.sign(Context::Ticket, &bytes);
        Self {
            bytes,
            coordinator_signature,
            helper_signature,
        }
    }

    /// Signs the ticket that the helper shows beside one of its lines.
    ///
    /// `None` unless the ticket is the one of this line and its draft was signed with the same
    /// `key`: the helper gets no signature of a ticket that it was never asked for.
    pub fn of_own_draft(
        line: &Countersigned,
        shown: Countersignature,
        key: &SigningKey,
    ) -> Option<Self> {
        let ticket = Ticket::from_bytes(&shown.bytes).ok()?;
        let is_of_line = canonical::digest(&shown.bytes) == line.ticket_hash
            && (&ticket.task, ticket.round) == (&line.task, line.round)
            && ticket.mechanism.rho() == line.rho;
        let draft = ticket.draft().to_bytes().ok()?;
        let own = key.public();
        let is_asked_for = own.verifies(Context::Draft, &draft, &shown.draft_signature);
        let signed = || Self::new(shown.bytes, shown.helper_signature, key);
        (is_of_line && is_asked_for).then(signed)
    }

    /// SHA-256 of the ticket bytes: the name of the round in every later message.
    pub fn hash(&self) -> Digest {
        canonical::digest(&self.bytes)
    }

    /// Whether both signatures hold.
    pub fn verifies(&self, coordinator: &PublicKey, helper: &PublicKey) -> bool {
        coordinator.verifies(Context::Ticket, &self.bytes, &self.coordinator_signature)
            && helper.verifies(Context::Ticket, &self.bytes, &self.helper_signature)
    }
}

impl ParsedTicket {
    /// Reads a ticket.
    ///
    /// # Errors
    /// [`NotCanonical`] when the bytes are not a ticket in its one spelling.
    pub fn parse(signed: SignedTicket) -> Result<Self, NotCanonical> {
        Ok(Self {
            content: Ticket::from_bytes(&signed.bytes)?,
            hash: signed.hash(),
            signed,
        })
    }

    /// What it says.
    pub fn content(&self) -> &Ticket {
        &self.content
    }

    /// Its exact bytes and both signatures.
    pub fn signed(&self) -> &SignedTicket {
        &self.signed
    }

    /// SHA-256 of the bytes: the name of the round in every later message.
    pub fn hash(&self) -> Digest {
        self.hash
    }
}
