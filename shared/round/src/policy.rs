//! What a device agrees to, pinned when the app is installed and signed by its publisher; and the check of a ticket
//! against it.

use serde::{Deserialize, Serialize};
use tacit_privacy::canonical::{self, NotCanonical};
use tacit_privacy::record::{Event, Line};
use tacit_privacy::{DeviceBudget, MechanismError, Rho, Tier};
use tacit_types::{Digest, Timestamp};

use crate::keys::{Context, PublicKey, SignatureBytes, SigningKey};
use crate::seal::{SCHEME_ID, SEALING_KEY_LEN};
use crate::ticket::{SCHEMA, SignedTicket, Ticket};

/// The bounds a device never leaves, whatever a coordinator asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Key that signs tickets and tree heads for the coordinator.
    pub coordinator_key: PublicKey,
    /// Key that countersigns them for the helper.
    pub helper_key: PublicKey,
    /// Most that one release may cost.
    pub rho_release_max: Rho,
    /// Most that all releases of this installation together may cost.
    pub rho_lifetime: Rho,
    /// Fewest honest surviving noise shares a ticket may assume: below it too few devices hide each other.
    pub n_min_min: u32,
    /// Most it may assume: the more are assumed, the less noise this device adds itself.
    pub n_min_max: u32,
    /// Largest history cap a ticket may ask for.
    pub history_max: u32,
    /// Latest round number this installation takes part in.
    pub rounds_max: u32,
}

/// A policy's exact bytes with the publisher's signature, as shipped with an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPolicy {
    /// Canonical JSON of a [`Policy`].
    pub policy: String,
    /// By the publisher's key, with [`Context::Policy`].
    pub signature: SignatureBytes,
}

/// Newest point of the release ledger this device has seen; tickets may not go back behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMark {
    /// Generation of the ledger.
    pub generation: u32,
    /// Number of lines under the newest head.
    pub size: u64,
    /// Position of the line that published the newest model seen.
    pub model_seq: u64,
}

/// Why a ticket is refused. Nothing is spent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketRefusal {
    /// The bytes are not a ticket.
    #[error("the ticket cannot be read: {0}")]
    Unreadable(#[from] NotCanonical),
    /// A signature is missing or foreign.
    #[error("the ticket is not signed by both the coordinator and the helper this app trusts")]
    Signature,
    /// Another format or secure-sum scheme.
    #[error("the ticket is of a version this device does not speak")]
    Version,
    /// Past its deadline.
    #[error("the ticket's deadline has passed")]
    Expired,
    /// A number outside the policy; names the field.
    #[error("the ticket's {0} is outside this device's policy")]
    OutsidePolicy(&'static str),
    /// The numbers are not a sound mechanism.
    #[error("the ticket's mechanism is not sound: {0}")]
    Mechanism(#[from] MechanismError),
    /// The model is not in the ledger both parties signed.
    #[error("the ticket's model is not in the signed release ledger")]
    Unlogged,
    /// The ledger or the model is older than what this device has seen.
    #[error("the ticket goes back behind the newest release this device has seen")]
    RolledBack,
}

impl SignedPolicy {
    /// Signs a policy.
    ///
    /// # Errors
    /// [`NotCanonical`] never for a policy built from these types.
    pub fn new(policy: &Policy, publisher: &SigningKey) -> Result<Self, NotCanonical> {
        let policy = canonical::encode(policy)?;
        let signature = publisher.sign(Context::Policy, &policy);
        Ok(Self { policy: String::from_utf8_lossy(&policy).into_owned(), signature })
    }

    /// The policy, if the publisher signed it.
    ///
    /// # Errors
    /// [`NotCanonical`] when the signature does not hold or the text is not a policy.
    pub fn open(&self, publisher: &PublicKey) -> Result<Policy, NotCanonical> {
        if publisher.verifies(Context::Policy, self.policy.as_bytes(), &self.signature) {
            canonical::decode(self.policy.as_bytes())
        } else {
            canonical::decode(b"the policy is not signed by the publisher")
        }
    }
}

impl Policy {
    /// The budget this policy gives the device ledger.
    pub fn budget(&self) -> DeviceBudget {
        DeviceBudget { rho_release_max: self.rho_release_max, rho_lifetime: self.rho_lifetime }
    }

    /// Checks a ticket, giving its content and the ledger mark to remember.
    ///
    /// # Errors
    /// [`TicketRefusal`]; the first reason found.
    pub fn check(
        &self,
        signed: &SignedTicket,
        seen: LogMark,
        now: Timestamp,
    ) -> Result<(Ticket, LogMark), TicketRefusal> {
        if !signed.verifies(&self.coordinator_key, &self.helper_key) {
            return Err(TicketRefusal::Signature);
        }
        let ticket = Ticket::from_bytes(&signed.bytes)?;
        if ticket.schema != SCHEMA || ticket.scheme_id != SCHEME_ID {
            return Err(TicketRefusal::Version);
        }
        if now >= ticket.deadline {
            return Err(TicketRefusal::Expired);
        }
        self.check_numbers(&ticket)?;
        let mark = self.check_logged(&ticket, seen)?;
        Ok((ticket, mark))
    }

    fn check_numbers(&self, ticket: &Ticket) -> Result<(), TicketRefusal> {
        let mechanism = &ticket.mechanism;
        mechanism.check()?;
        let bounds = [
            ("tier", mechanism.tier == Tier::Helper),
            ("n_min", (self.n_min_min..=self.n_min_max).contains(&mechanism.n_min)),
            ("history_max", mechanism.history_max <= self.history_max),
            ("round", (1..=self.rounds_max).contains(&ticket.round.0)),
            ("dishonest_milli", ticket.dishonest_milli < 1000),
            ("sealing_key", ticket.sealing_key_bytes().is_some_and(|key| key.len() == SEALING_KEY_LEN)),
            ("cohort_max", ticket.set_min() <= mechanism.cohort_max),
            ("rho", mechanism.rho() <= self.rho_release_max),
        ];
        match bounds.iter().find(|(_, holds)| !holds) {
            Some((field, _)) => Err(TicketRefusal::OutsidePolicy(field)),
            None => Ok(()),
        }
    }

    fn check_logged(&self, ticket: &Ticket, seen: LogMark) -> Result<LogMark, TicketRefusal> {
        let logged = &ticket.logged;
        if !logged.verifies(&self.coordinator_key, &self.helper_key) {
            return Err(TicketRefusal::Unlogged);
        }
        let line = Line::from_bytes(logged.line.as_bytes()).map_err(|_| TicketRefusal::Unlogged)?;
        if line.seq != logged.seq || published(&line) != Some(ticket.model_in_hash) {
            return Err(TicketRefusal::Unlogged);
        }
        let head = &logged.head.head;
        let mark = LogMark { generation: head.generation, size: head.size, model_seq: line.seq };
        let goes_back = mark.generation < seen.generation || mark.size < seen.size || mark.model_seq < seen.model_seq;
        if goes_back { Err(TicketRefusal::RolledBack) } else { Ok(mark) }
    }
}

/// The model a line published, if it published one.
pub fn published(line: &Line) -> Option<Digest> {
    match &line.event {
        Event::Genesis(genesis) => Some(genesis.model_out_hash),
        Event::Release(release) => Some(release.model_out_hash),
        Event::Abandoned(_) | Event::Restarted {} | Event::Answered(_) => None,
    }
}
