//! What a device agrees to, pinned when the app is installed and signed by its publisher; and the
//! check of a ticket against it.

use serde::{Deserialize, Serialize};
use tacit_privacy::canonical::NotCanonical;
use tacit_privacy::record::{self, Event, Genesis, Keeper, Line};
use tacit_privacy::{DeviceBudget, MechanismError, Rho, Tier};
use tacit_types::{Digest, TaskId, Timestamp};

pub use crate::continuity::LogMark;
use crate::continuity::{Broken, Continuity};
pub use crate::factors::{FactorBounds, FactorFault};
use crate::head::LoggedLine;
use crate::keys::PublicKey;
use crate::seal::{SCHEME_ID, is_sealing_key};
use crate::ticket::{self, ParsedTicket, Ticket};

/// Version of the policy's format.
pub const SCHEMA: u32 = 2;

/// Rounds of a task that may cost nothing, where no policy says otherwise.
pub const FREE_ROUNDS_MAX: u32 = 32;

/// The bounds a device never leaves, whatever a coordinator asks. The clipping norm is 1 in every
/// mechanism, so there is no bound for it. Its file has words for the bounds: `largest_..`,
/// `smallest_..`, `.._required`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which of a publisher's policies it is: a device takes a later one, and never an earlier one.
    pub serial: u32,
    /// Key that may sign the next policy too, when the publisher changes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher_next: Option<PublicKey>,
    /// Key that signs tickets and tree heads for the coordinator.
    pub coordinator_key: PublicKey,
    /// Key that countersigns them for the helper.
    pub helper_key: PublicKey,
    /// Most that one release may cost.
    #[serde(rename = "largest_rho_per_release")]
    pub rho_release_max: Rho,
    /// Most that all releases of this installation together may cost.
    #[serde(rename = "largest_rho_per_lifetime")]
    pub rho_lifetime: Rho,
    /// Most that the releases of one window may cost.
    #[serde(rename = "largest_rho_per_window")]
    pub rho_window: Rho,
    /// Length of a window in hours.
    pub window_hours: u32,
    /// Participation limit: most releases of one task.
    #[serde(rename = "largest_releases_per_task")]
    pub releases_max: u32,
    /// Minimum separation: rounds of one task from one participation to the next.
    #[serde(rename = "smallest_separation")]
    pub separation_min: u32,
    /// Largest delta a task may state its epsilon at, in units of 1e-12.
    #[serde(rename = "largest_delta_pico")]
    pub delta_pico_max: u64,
    /// Fewest honest surviving noise shares a ticket may assume: below it too few devices hide each
    /// other.
    #[serde(rename = "smallest_n_min")]
    pub honest_min: u32,
    /// Most it may assume: the more are assumed, the less noise this device adds itself.
    #[serde(rename = "largest_n_min")]
    pub honest_max: u32,
    /// Smallest share of dishonest devices a ticket may assume, thousandths: the fewer are assumed,
    /// the smaller a set may be.
    #[serde(rename = "smallest_dishonest_milli")]
    pub dishonest_milli_min: u32,
    /// Whether tickets without helper noise are refused.
    #[serde(rename = "helper_noise_required")]
    pub helper_noise: bool,
    /// Whether tickets that let in devices without a membership are refused.
    #[serde(rename = "membership_required")]
    pub membership: bool,
    /// Largest history cap a ticket may ask for.
    #[serde(rename = "largest_history")]
    pub history_max: u32,
    /// Latest round number this installation takes part in.
    #[serde(rename = "largest_round")]
    pub rounds_max: u32,
    /// Most rounds of a task that may have cost nothing, because nobody entered them: a device that
    /// had spent for one is not given it back.
    #[serde(rename = "largest_free_rounds")]
    pub free_rounds_max: u32,
    /// Longest time until a ticket's deadline, hours.
    #[serde(rename = "largest_deadline_hours")]
    pub deadline_hours_max: u32,
    /// Longest time until a ticket's latest deadline, hours: until then an unsent contribution
    /// stays on disk.
    #[serde(rename = "largest_latest_deadline_hours")]
    pub latest_deadline_hours_max: u32,
    /// What a published model may look like.
    pub factors: FactorBounds,
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
    /// It asks for a kind of release this device does not know: the round is skipped.
    #[error("the ticket asks for a kind of release this device does not know")]
    UnknownKind,
    /// Another format or secure-sum scheme.
    #[error("the ticket is of a version this device does not speak")]
    Version,
    /// Past its latest deadline.
    #[error("the ticket's latest deadline has passed")]
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
    /// The ledger is not a continuation of the one this device has seen.
    #[error(
        "the ticket's ledger is not a continuation of the one this device has seen: it has forked"
    )]
    Forked,
    /// The ticket asks for a membership this device does not have.
    #[error(
        "the ticket is for members of the helper's organisation only, and this device has no \
         membership"
    )]
    NotMember,
    /// The model it names is implausible.
    #[error("the ticket's model is refused: {0}")]
    Factors(#[from] FactorFault),
}

impl Policy {
    /// A policy for cohorts of about `cohort` devices that spends at most `rho`, in one window
    /// without end; every other bound is a default that suits any task.
    pub fn new(coordinator_key: PublicKey, helper_key: PublicKey, rho: Rho, cohort: u32) -> Self {
        Self {
            schema: SCHEMA,
            serial: 1,
            publisher_next: None,
            coordinator_key,
            helper_key,
            rho_release_max: rho,
            rho_lifetime: rho,
            rho_window: rho,
            window_hours: u32::MAX,
            releases_max: 1000,
            separation_min: 1,
            delta_pico_max: 10_000_000,
            honest_min: (cohort / 2).max(2),
            honest_max: cohort,
            dishonest_milli_min: 10,
            helper_noise: false,
            membership: false,
            history_max: 4096,
            rounds_max: 1000,
            free_rounds_max: FREE_ROUNDS_MAX,
            // A day more than any coordinator waits: clocks differ.
            deadline_hours_max: 192,
            latest_deadline_hours_max: 384,
            factors: FactorBounds {
                norm_max_milli: 1050,
                concentration_max_milli: 990,
                drift_max_milli: 950,
            },
        }
    }

    /// The budget this policy gives the device ledger.
    pub fn budget(&self) -> DeviceBudget {
        DeviceBudget {
            rho_release_max: self.rho_release_max,
            rho_lifetime: self.rho_lifetime,
            rho_window: self.rho_window,
            window_hours: self.window_hours,
            releases_max: self.releases_max,
            separation_min: self.separation_min,
        }
    }

    /// Checks a ticket, signatures first, and gives the ledger mark to remember. `shown` is what
    /// the coordinator shows for it: that the ledger under the ticket's head goes on from `seen`.
    ///
    /// # Errors
    /// [`TicketRefusal`]; the first reason found.
    pub fn check(
        &self,
        parsed: &ParsedTicket,
        seen: LogMark,
        shown: &Continuity,
        now: Timestamp,
    ) -> Result<LogMark, TicketRefusal> {
        let signed = parsed.signed();
        if !signed.verifies(&self.coordinator_key, &self.helper_key) {
            return Err(TicketRefusal::Signature);
        }
        let ticket = parsed.content();
        if ticket.schema != ticket::SCHEMA || ticket.scheme_id != SCHEME_ID {
            return Err(TicketRefusal::Version);
        }
        if now >= ticket.latest_deadline {
            return Err(TicketRefusal::Expired);
        }
        self.check_numbers(ticket, now)?;
        let (mark, task) = self.check_model(&ticket.logged, ticket.model_in_hash, seen, shown)?;
        if task == ticket.task {
            Ok(mark)
        } else {
            Err(TicketRefusal::Unlogged)
        }
    }

    /// Checks that both parties signed for this model, in the ledger this device knows and not
    /// before what it has seen of it; gives the ledger mark to remember, and the task it is a model
    /// of.
    ///
    /// # Errors
    /// [`TicketRefusal::Unlogged`], [`TicketRefusal::RolledBack`] or [`TicketRefusal::Forked`].
    pub fn check_model(
        &self,
        logged: &LoggedLine,
        model: Digest,
        seen: LogMark,
        shown: &Continuity,
    ) -> Result<(LogMark, TaskId), TicketRefusal> {
        let (mark, task) = self.check_logged(logged, model)?;
        Ok((mark.after(seen, shown)?, task))
    }

    /// Checks that both parties signed for the line a ledger began with; gives the ledger's name
    /// and what the line says.
    ///
    /// # Errors
    /// [`TicketRefusal::Unlogged`].
    pub fn check_genesis(&self, logged: &LoggedLine) -> Result<(Digest, Genesis), TicketRefusal> {
        let line = Line::from_bytes(logged.line.as_bytes()).map_err(|_| TicketRefusal::Unlogged)?;
        let Event::Genesis(genesis) = line.event else {
            return Err(TicketRefusal::Unlogged);
        };
        let (mark, _) = self.check_logged(logged, genesis.model_out_hash)?;
        match mark.model_seq {
            0 => Ok((mark.ledger_id, genesis)),
            _ => Err(TicketRefusal::Unlogged),
        }
    }

    fn check_numbers(&self, ticket: &Ticket, now: Timestamp) -> Result<(), TicketRefusal> {
        let mechanism = &ticket.mechanism;
        mechanism.check()?;
        let within = |end: Timestamp, hours: u32| {
            let wait_ms = end.0.saturating_sub(now.0);
            wait_ms <= 3_600_000 * u64::from(hours)
        };
        let bounds = [
            ("tier", mechanism.tier == Tier::Helper),
            (
                "n_min",
                (self.honest_min..=self.honest_max).contains(&mechanism.n_min),
            ),
            ("helper_noise", mechanism.helper_noise || !self.helper_noise),
            ("membership", ticket.membership || !self.membership),
            (
                "delta_pico",
                (1..=self.delta_pico_max).contains(&ticket.delta_pico),
            ),
            ("history_max", mechanism.history_max <= self.history_max),
            ("deadline", within(ticket.deadline, self.deadline_hours_max)),
            (
                "latest_deadline",
                ticket.deadline < ticket.latest_deadline
                    && within(ticket.latest_deadline, self.latest_deadline_hours_max),
            ),
            ("round", (1..=self.rounds_max).contains(&ticket.round.0)),
            ("free_rounds", ticket.free_rounds <= self.free_rounds_max),
            (
                "dishonest_milli",
                (self.dishonest_milli_min..1000).contains(&ticket.dishonest_milli),
            ),
            ("dropout_milli", ticket.dropout_milli < 1000),
            (
                "sealing_key",
                ticket
                    .sealing_key_bytes()
                    .is_some_and(|key| is_sealing_key(&key)),
            ),
            ("cohort_max", ticket.set_min() <= mechanism.cohort_max),
            ("rho", mechanism.rho() <= self.rho_release_max),
        ];
        match bounds.iter().find(|(_, holds)| !holds) {
            Some((field, _)) => Err(TicketRefusal::OutsidePolicy(field)),
            None => Ok(()),
        }
    }

    fn check_logged(
        &self,
        logged: &LoggedLine,
        model: Digest,
    ) -> Result<(LogMark, TaskId), TicketRefusal> {
        if !logged.verifies(&self.coordinator_key, &self.helper_key) {
            return Err(TicketRefusal::Unlogged);
        }
        let line = Line::from_bytes(logged.line.as_bytes()).map_err(|_| TicketRefusal::Unlogged)?;
        let head = &logged.head.head;
        let ours = line.schema == record::SCHEMA && line.keeper == Keeper::Coordinator;
        let known = ours && line.ledger_id == head.ledger_id && line.seq == logged.seq;
        match published_for(&line) {
            Some((task, logged)) if known && logged == model => {
                let charge = line.charge();
                let mark = LogMark {
                    ledger_id: head.ledger_id,
                    generation: head.generation,
                    size: head.size,
                    root: head.root,
                    model_seq: line.seq,
                    model,
                    rho_total: charge.map_or(Rho::ZERO, |charge| charge.rho_total),
                };
                Ok((mark, task.clone()))
            }
            _ => Err(TicketRefusal::Unlogged),
        }
    }
}

impl From<Broken> for TicketRefusal {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::GoesBack => Self::RolledBack,
            Broken::Forks => Self::Forked,
        }
    }
}

/// The model a line published, if it published one.
pub fn published(line: &Line) -> Option<Digest> {
    published_for(line).map(|(_, model)| model)
}

/// The model a line published, and the task it is of.
pub fn published_for(line: &Line) -> Option<(&TaskId, Digest)> {
    match &line.event {
        Event::Genesis(genesis) => Some((&genesis.task, genesis.model_out_hash)),
        Event::Release(release) => Some((&release.charge.task, release.model_out_hash)),
        Event::Abandoned(_)
        | Event::Empty(_)
        | Event::Restarted {}
        | Event::Restored(_)
        | Event::Countersigned(_)
        | Event::Answered(_) => None,
    }
}
