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
    /// The round is full.
    Late,
}

/// State of the phase.
#[derive(Debug)]
pub struct Reporting {
    cohort: u32,
    set_min: u32,
    deadline: Timestamp,
    by_device: BTreeMap<DeviceId, Contribution>,
    /// Every id folded, to keep ids unique across devices.
    ids: BTreeSet<ContributionId>,
    durable: BTreeSet<ContributionId>,
}

impl Reporting {
    /// Opens the phase of a countersigned ticket.
    pub fn new(ticket: &Ticket) -> Self {
        Self {
            cohort: ticket.mechanism.cohort_max,
            set_min: ticket.set_min(),
            deadline: ticket.deadline,
            by_device: BTreeMap::new(),
            ids: BTreeSet::new(),
            durable: BTreeSet::new(),
        }
    }

    /// Resumes with the contributions that were durable when the process stopped.
    pub fn resume(ticket: &Ticket, durable: impl IntoIterator<Item = Contribution>) -> Self {
        let mut phase = Self::new(ticket);
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
            Input::Tick => self.maybe_close(now),
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
        if self.by_device.len() >= self.cohort as usize || now >= self.deadline {
            return Verdict::Late;
        }
        self.by_device.insert(contribution.device, contribution);
        self.ids.insert(contribution.id);
        Verdict::Fold
    }

    /// Closes when the whole cohort is durable or at the deadline, never early at the minimum, and
    /// never while something is folded that is not durable yet: the sum in hand must be the sum of
    /// the set.
    fn maybe_close(self, now: Timestamp) -> (Coordinator, Option<Effect>) {
        let full = self.durable.len() >= self.cohort as usize;
        let settled = self.durable.len() == self.ids.len();
        if !settled || (!full && now < self.deadline) {
            return (Coordinator::Reporting(self), None);
        }
        if self.durable.len() < self.set_min as usize {
            let reason = format!(
                "{} contributions at the deadline, at least {} needed",
                self.durable.len(),
                self.set_min
            );
            return Coordinator::abandon(reason);
        }
        Closing::start(self.durable.into_iter().collect())
    }
}
