//! Contributions arrive; each device counts once, whatever the network repeats or reorders.

use std::collections::{BTreeMap, BTreeSet};

use tacit_types::{ContributionId, DeviceId, Timestamp};

use crate::coordinator::{Contribution, Coordinator, Effect, Input};
use crate::phase::closing::Closing;
use crate::ticket::Ticket;

/// What becomes of a contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New: add its bytes to the sum now; acknowledged once durable.
    Fold,
    /// The same bytes again: not added; acknowledged once the first is durable.
    Duplicate,
    /// Same device or id, different bytes: refused and counted as misbehaviour.
    Conflict,
    /// The round is full or over.
    Late,
}

/// State of the phase.
#[derive(Debug)]
pub struct Reporting {
    /// Contributions that are waited for.
    cohort: u32,
    /// Contributions that are taken.
    cohort_max: u32,
    set_min: u32,
    deadline: Timestamp,
    last_call: Timestamp,
    by_device: BTreeMap<DeviceId, Contribution>,
    /// Every id folded, to keep ids unique across devices.
    ids: BTreeSet<ContributionId>,
    durable: BTreeSet<ContributionId>,
}

impl Reporting {
    /// Opens the phase of a countersigned ticket that waits for `cohort` contributions.
    pub fn new(ticket: &Ticket, cohort: u32) -> Self {
        let cohort_max = ticket.mechanism.cohort_max;
        Self {
            cohort: cohort.min(cohort_max),
            cohort_max,
            set_min: ticket.set_min(),
            deadline: ticket.deadline,
            last_call: ticket.last_call(),
            by_device: BTreeMap::new(),
            ids: BTreeSet::new(),
            durable: BTreeSet::new(),
        }
    }

    /// Resumes with the contributions that were durable when the process stopped.
    pub fn resume(
        ticket: &Ticket,
        cohort: u32,
        durable: impl IntoIterator<Item = Contribution>,
    ) -> Self {
        let mut phase = Self::new(ticket, cohort);
        for contribution in durable {
            phase
                .by_device
                .insert(contribution.device, contribution);
            phase.ids.insert(contribution.id);
            phase.durable.insert(contribution.id);
        }
        phase
    }

    pub(crate) fn handle(mut self, input: Input, now: Timestamp) -> (Coordinator, Option<Effect>) {
        match input {
            Input::Arrived(contribution) => {
                let verdict = self.decide(contribution, now);
                let decide = Effect::Decide(contribution.id, verdict);
                (Coordinator::Reporting(self), Some(decide))
            }
            Input::Durable(ids) => {
                let known: Vec<_> = ids
                    .into_iter()
                    .filter(|id| self.ids.contains(id))
                    .collect();
                self.durable.extend(&known);
                (
                    Coordinator::Reporting(self),
                    Some(Effect::Acknowledge(known)),
                )
            }
            Input::Tick { awaited } => self.maybe_close(awaited, now),
            Input::HelperRefused(reason) => {
                Coordinator::abandon(format!("the helper gave the round up: {reason}"))
            }
            _ => (Coordinator::Reporting(self), None),
        }
    }

    /// Dedup and accounting in one step: a replay on two connections at once cannot be folded
    /// twice.
    fn decide(&mut self, contribution: Contribution, now: Timestamp) -> Verdict {
        match self.by_device.get(&contribution.device) {
            Some(known) if *known == contribution => return Verdict::Duplicate,
            Some(_) => return Verdict::Conflict,
            None if self.ids.contains(&contribution.id) => return Verdict::Conflict,
            None => {}
        }
        let full = self.by_device.len() >= self.cohort_max as usize;
        if full || now >= self.last_call {
            return Verdict::Late;
        }
        self.by_device
            .insert(contribution.device, contribution);
        self.ids.insert(contribution.id);
        Verdict::Fold
    }

    /// Closes when the whole cohort is durable and nobody else is waited for, or at the deadline,
    /// never early at the minimum, and never while something is folded that is not durable yet: the
    /// sum in hand must be the sum of the set.
    fn maybe_close(self, awaited: usize, now: Timestamp) -> (Coordinator, Option<Effect>) {
        let settled = self.durable.len() == self.ids.len();
        if !settled || !self.is_due(awaited, now) {
            return (Coordinator::Reporting(self), None);
        }
        if self.durable.len() < self.set_min as usize {
            let reason = format!(
                "{} contributions at the last call, at least {} needed",
                self.durable.len(),
                self.set_min
            );
            return Coordinator::abandon(reason);
        }
        Closing::start(self.durable.into_iter().collect())
    }

    /// Whether the round is over. After the deadline a set that was too small is waited for until
    /// it is large enough, and at most until the last call.
    fn is_due(&self, awaited: usize, now: Timestamp) -> bool {
        if now >= self.last_call {
            return true;
        }
        let wanted = if now < self.deadline {
            self.cohort
        } else {
            self.set_min
        };
        awaited == 0 && self.durable.len() >= wanted as usize
    }
}
