//! The coordinator of a [`World`]: it decides by the machine, folds bytes, and keeps what a
//! checkpoint wrote.

use rand::RngExt;
use tacit_round::coordinator::{
    Answer, Closing, Contribution, Coordinator, Effect, Input, Reporting, Verdict,
};
use tacit_round::lease::{Leases, Selection, Terms, places};
use tacit_round::mask::{PartialSum, set_digest};
use tacit_round::ticket::Ticket;
use tacit_types::ContributionId;

use super::{Message, Reply, Shape, Upload, World};
use crate::deployment::{DEADLINE, LAST_CALL, LENGTH, draft, mechanism};

impl World {
    /// Starts on what the disk holds, as after a crash. Connections break: devices will send again.
    pub(super) fn start_coordinator(&mut self) {
        let (cohort_max, terms) = (self.cohort_max(), self.terms());
        let coordinator = &mut self.coordinator;
        (coordinator.fresh, coordinator.waiting, coordinator.mask_sum) = (vec![], vec![], None);
        coordinator.sum = coordinator
            .disk
            .sum
            .clone()
            .unwrap_or_else(|| PartialSum::new(LENGTH));
        let disk = &mut coordinator.disk;
        let durable: Vec<Contribution> = disk
            .contributions
            .values()
            .map(|(one, _)| *one)
            .collect();
        let answered = durable.iter().map(|one| one.device);
        coordinator.leases = Some(Leases::resume(terms, disk.leases.clone(), answered));
        let (machine, effect) = match (&disk.line, &disk.abandoned, &disk.ticket) {
            (Some(_), ..) => {
                disk.published = true;
                (Coordinator::Closed, None)
            }
            (None, Some(reason), _) => (Coordinator::Abandoned(reason.clone()), None),
            (None, None, Some(_)) if disk.closing => {
                Closing::start(durable.iter().map(|one| one.id).collect())
            }
            (None, None, Some(signed)) => {
                let ticket = Ticket::from_bytes(&signed.bytes).unwrap();
                let reporting = Reporting::resume(&ticket, self.shape.cohort, durable);
                (Coordinator::Reporting(reporting), None)
            }
            (None, None, None) => {
                // The draft is durable before it is asked for: another one for this round would be
                // refused.
                let Shape {
                    cohort,
                    n_min,
                    dishonest_milli,
                    ..
                } = self.shape;
                let draft = disk
                    .draft
                    .get_or_insert_with(|| draft(mechanism(cohort_max, n_min), dishonest_milli));
                Coordinator::configure(draft.clone(), cohort)
            }
        };
        coordinator.machine = Some(machine);
        self.drive(effect);
    }

    fn terms(&self) -> Terms {
        let Shape { cohort, .. } = self.shape;
        Terms {
            cohort,
            set_min: u32::try_from(self.set_min()).unwrap(),
            places: places(cohort, 50),
            granted_max: self.cohort_max(),
            spread_ms: 10,
            patience_ms: 500,
            deadline: DEADLINE,
            last_call: LAST_CALL,
        }
    }

    fn leases(&mut self) -> &mut Leases {
        self.coordinator.leases.as_mut().unwrap()
    }

    /// What the machine hears as time passes.
    pub(super) fn tick(&mut self) -> Input {
        let now = self.now;
        Input::Tick {
            awaited: self.leases().awaited(now),
        }
    }

    /// A device asks what there is to do. Its lease is durable before it hears of it.
    pub(super) fn check_in(&mut self, device: usize) {
        let Some(ticket) = self.coordinator.disk.ticket.clone() else {
            return;
        };
        let (id, now, draw) = (self.devices[device].id, self.now, self.rng.random());
        match self.leases().ask(id, now, draw) {
            Selection::Granted(lease) | Selection::Held(lease) => {
                self.coordinator.disk.leases.insert(id, lease);
                self.network.push(Message::Offer(device, ticket));
            }
            Selection::Not => {}
        }
    }

    pub(super) fn feed_coordinator(&mut self, input: Input) {
        let effect = self.handle(input);
        self.drive(effect);
    }

    fn handle(&mut self, input: Input) -> Option<Effect> {
        let machine = self.coordinator.machine.take().unwrap();
        let (machine, effect) = machine.handle(input, self.now);
        self.coordinator.machine = Some(machine);
        effect
    }

    /// Runs an effect and what follows from it, until the machine waits for the network.
    fn drive(&mut self, mut effect: Option<Effect>) {
        while let Some(running) = effect {
            let input = self.perform(running);
            effect = input.and_then(|input| self.handle(input));
        }
    }

    /// Runs one effect; what it leads to is the machine's next input. Answers to a question come
    /// over the network.
    fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::AskCountersign(draft) => self.network.push(Message::Draft(draft)),
            Effect::Open(ticket) => {
                self.coordinator.disk.ticket = Some(ticket.signed().clone());
                (0..self.devices.len()).for_each(|device| self.check_in(device));
            }
            Effect::Decide(..) => {}
            Effect::Acknowledge(ids) => {
                self.acknowledge(&ids);
                return Some(self.tick());
            }
            Effect::AskHelper(set) => {
                let disk = &mut self.coordinator.disk;
                disk.closing = true;
                assert!(
                    set.iter().eq(disk.contributions.keys()),
                    "the set is not what is durable"
                );
                self.fence();
                self.ask_again();
            }
            Effect::Record(answer) => {
                self.record(answer);
                return Some(Input::Recorded);
            }
            Effect::RecordAbandoned(reason) => {
                let disk = &mut self.coordinator.disk;
                assert!(disk.line.is_none() && disk.abandoned.is_none());
                disk.abandoned = Some(reason);
                self.fence();
            }
            Effect::Publish => {
                let disk = &mut self.coordinator.disk;
                assert!(
                    disk.line.is_some(),
                    "published before the ledger line was durable"
                );
                disk.published = true;
            }
        }
        None
    }

    /// An upload is complete: the helper says whether its seed opens, the machine whether it
    /// counts.
    pub(super) fn arrive(&mut self, from: usize, upload: &Upload) {
        let open = self
            .coordinator
            .disk
            .ticket
            .as_ref()
            .filter(|ticket| ticket.hash() == upload.ticket);
        let reporting = matches!(self.coordinator.machine, Some(Coordinator::Reporting(_)));
        if open.is_none() || !reporting {
            return self.say(from, Reply::TooLate);
        }
        assert!(
            self.helper
                .live
                .as_ref()
                .unwrap()
                .look(&upload.sealed)
                .is_ok(),
            "a sound seed does not open"
        );
        let one = upload.contribution;
        if !self.leases().is_held(one.device) {
            return self.say(from, Reply::Refused);
        }
        let decided = self.handle(Input::Arrived(one));
        let Some(Effect::Decide(id, verdict)) = decided else {
            panic!("no verdict: {decided:?}")
        };
        assert_eq!((id, verdict), (one.id, self.expected(one)));
        match verdict {
            Verdict::Fold => {
                assert!(self.coordinator.sum.add(&upload.masked));
                self.folds += 1;
                self.coordinator
                    .fresh
                    .push((one, upload.sealed.clone()));
                self.coordinator.waiting.push((one.id, from));
            }
            Verdict::Duplicate
                if self
                    .coordinator
                    .disk
                    .contributions
                    .contains_key(&one.id) =>
            {
                self.say(from, Reply::Acknowledged)
            }
            Verdict::Duplicate => self.coordinator.waiting.push((one.id, from)),
            Verdict::Conflict => self.say(from, Reply::Refused),
            Verdict::Late => self.say(from, Reply::TooLate),
        }
    }

    /// The verdict, decided again from what lies on the disk and in memory.
    pub(super) fn expected(&self, one: Contribution) -> Verdict {
        let durable = self
            .coordinator
            .disk
            .contributions
            .values()
            .map(|(known, _)| *known);
        let known: Vec<_> = durable
            .chain(self.coordinator.fresh.iter().map(|(known, _)| *known))
            .collect();
        if known.contains(&one) {
            Verdict::Duplicate
        } else if known
            .iter()
            .any(|known| known.device == one.device || known.id == one.id)
        {
            Verdict::Conflict
        } else if known.len() >= self.cohort_max() as usize || self.now >= LAST_CALL {
            Verdict::Late
        } else {
            Verdict::Fold
        }
    }

    /// New contributions and the sum that holds them become durable in one step.
    pub(super) fn checkpoint(&mut self) {
        let reporting = matches!(self.coordinator.machine, Some(Coordinator::Reporting(_)));
        if self.coordinator.fresh.is_empty() || !reporting {
            return;
        }
        let coordinator = &mut self.coordinator;
        let fresh = std::mem::take(&mut coordinator.fresh);
        let ids: Vec<_> = fresh.iter().map(|(one, _)| one.id).collect();
        let devices: Vec<_> = fresh.iter().map(|(one, _)| one.device).collect();
        coordinator.disk.contributions.extend(
            fresh
                .into_iter()
                .map(|(one, sealed)| (one.id, (one, sealed))),
        );
        coordinator.disk.sum = Some(coordinator.sum.clone());
        for device in devices {
            self.leases().answered(device);
        }
        self.feed_coordinator(Input::Durable(ids));
    }

    pub(super) fn acknowledge(&mut self, ids: &[ContributionId]) {
        let durable = &self.coordinator.disk.contributions;
        assert!(
            ids.iter().all(|id| durable.contains_key(id)),
            "acknowledged before it was durable"
        );
        let waiting = std::mem::take(&mut self.coordinator.waiting);
        let (ready, waiting): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|(id, _)| ids.contains(id));
        self.coordinator.waiting = waiting;
        ready
            .into_iter()
            .for_each(|(_, device)| self.say(device, Reply::Acknowledged));
    }

    /// The round is closed: what is not on the disk by now does not count.
    pub(super) fn fence(&mut self) {
        self.leases().close();
        self.coordinator.fresh.clear();
        for (_, device) in std::mem::take(&mut self.coordinator.waiting) {
            self.say(device, Reply::TooLate);
        }
    }

    /// Says something to a device; a hostile client does not listen.
    pub(super) fn say(&mut self, device: usize, reply: Reply) {
        if device != usize::MAX {
            self.network.push(Message::Reply(device, reply));
        }
    }

    pub(super) fn ask_again(&mut self) {
        let disk = &self.coordinator.disk;
        match (&self.coordinator.machine, &disk.ticket) {
            (Some(Coordinator::Configuration(_)), _) => {
                self.network.extend(
                    disk.draft
                        .clone()
                        .map(|draft| Message::Draft(Box::new(draft))),
                );
            }
            (Some(Coordinator::Reporting(_)), _) if !disk.closing => {}
            (_, Some(ticket)) if disk.closing && disk.line.is_none() => {
                let seeds = disk
                    .contributions
                    .values()
                    .map(|(_, seed)| seed.clone())
                    .collect();
                self.network.push(Message::Ask(ticket.hash(), seeds));
            }
            _ => {}
        }
    }

    /// Opens the checkpointed sum: what was folded after the checkpoint is not in the set.
    pub(super) fn record(&mut self, answer: Answer) {
        let mask_sum = self.coordinator.mask_sum.take().unwrap();
        let disk = &mut self.coordinator.disk;
        assert!(disk.line.is_none(), "a round was recorded twice");
        let set: Vec<_> = disk.contributions.keys().copied().collect();
        assert_eq!(
            (answer.set_digest, answer.contributors as usize),
            (set_digest(set.clone()), set.len())
        );
        disk.line = Some((set, disk.sum.as_ref().unwrap().unmask(&mask_sum).unwrap()));
    }
}
