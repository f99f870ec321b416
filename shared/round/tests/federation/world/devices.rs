//! The devices of a [`World`]: each runs one effect at a time, so that it may die between any two.

use std::sync::Arc;

use rand::{Rng, RngExt};
use tacit_round::commitment::{CommitmentKey, commit};
use tacit_round::coordinator::Contribution;
use tacit_round::device::{Device, Effect, Input, Status};
use tacit_round::helper::SealedSeed;
use tacit_round::mask::add_mask;
use tacit_round::seal::{Binding, MaskSeed, seal};
use tacit_round::ticket::Ticket;
use tacit_types::{ContributionId, DeviceId, RoundId};

use super::{DeviceNode, Message, Reply, Upload, World};
use crate::deployment::{LENGTH, digest, task};

impl DeviceNode {
    pub(super) fn done(&self) -> bool {
        matches!(self.machine, Device::Done(_)) && self.todo.is_none()
    }

    /// Whether the round is over for it, or never began.
    pub(super) fn rests(&self) -> bool {
        self.done() || (matches!(self.machine, Device::Idle) && self.todo.is_none())
    }
}

impl World {
    /// Hands an input to a device's machine. While an effect has not run, nothing else may come
    /// first: what the network says meanwhile is lost.
    pub(super) fn feed(&mut self, device: usize, input: Input) {
        let node = &mut self.devices[device];
        if node.todo.is_some() {
            return;
        }
        let machine = std::mem::replace(&mut node.machine, Device::Idle);
        (node.machine, node.todo) = machine.handle(input, &self.policy, self.now);
    }

    /// Runs one effect of a device; with `dies`, only as far as a spend.
    pub(super) fn work(&mut self, device: usize, dies: bool) {
        let Some(effect) = self.devices[device].todo.take() else {
            return;
        };
        match effect {
            Effect::Judge(_) if !dies => self.feed(device, Input::Plausible),
            Effect::Reserve(accepted) => {
                let node = &mut self.devices[device];
                assert_eq!(node.status, None, "a round was reserved twice");
                (node.status, node.mark) = (Some(Status::Reserved), accepted.mark);
                node.unsure_spend = dies;
                if !dies {
                    self.feed(device, Input::Reserved);
                }
            }
            Effect::Contribute(accepted) => {
                let id = ContributionId(self.rng.random());
                let ticket = accepted.ticket.content();
                let upload = self.contribution(self.devices[device].id, id, ticket);
                let node = &mut self.devices[device];
                assert_eq!(
                    node.status,
                    Some(Status::Reserved),
                    "bytes were made before the spend was durable"
                );
                node.draws += 1;
                node.unsure_spend = dies;
                if !dies {
                    (node.status, node.spool) = (Some(Status::Spooled), Some(Arc::new(upload)));
                    self.feed(device, Input::Spooled);
                }
            }
            Effect::Send(..) if !dies => self.send(device),
            Effect::Finish(_, _, status) if !dies => {
                let node = &mut self.devices[device];
                (node.status, node.spool) = (Some(status), None);
            }
            Effect::Remember(..) => panic!("no spend is refused here"),
            Effect::Judge(_) | Effect::Send(..) | Effect::Finish(..) => {}
        }
        if dies {
            self.restart_device(device);
        }
    }

    /// Sends the spool: the first time and every time the same bytes.
    pub(super) fn send(&mut self, device: usize) {
        let node = &mut self.devices[device];
        assert_eq!(
            node.status,
            Some(Status::Spooled),
            "bytes left before they were durable"
        );
        let upload = node.spool.clone().unwrap();
        let first = node.sent.get_or_insert_with(|| upload.clone());
        assert!(
            first.masked == upload.masked && first.sealed == upload.sealed,
            "a retry sent other bytes"
        );
        self.network.push(Message::Upload(device, upload));
    }

    /// A device whose pause is over: checks in when idle, sends again when unanswered.
    pub(super) fn retry(&mut self, device: usize) {
        match self.devices[device].machine {
            Device::Idle => self.check_in(device),
            Device::Sending(..) if self.devices[device].todo.is_none() => {
                self.feed(device, Input::Unreachable);
                assert_eq!(self.devices[device].todo, None, "it comes back later");
                self.send(device);
            }
            _ => {}
        }
    }

    pub(super) fn restart_device(&mut self, device: usize) {
        let node = &mut self.devices[device];
        node.unsure_spend |= node.status == Some(Status::Reserved);
        (node.machine, node.todo) = match node.status {
            Some(status) => Device::restore(task(), RoundId(3), status),
            None => (Device::Idle, None),
        };
    }

    pub(super) fn reply(&mut self, device: usize, reply: Reply) {
        let node = &self.devices[device];
        let sending = matches!(node.machine, Device::Sending(..)) && node.todo.is_none();
        match reply {
            Reply::Acknowledged => {
                self.devices[device].acknowledged |= sending;
                self.feed(device, Input::Acknowledged);
            }
            Reply::TooLate | Reply::Refused => {
                self.devices[device].told_no |= sending;
                self.feed(device, Input::TooLate);
            }
        }
    }

    /// A bare client's contribution: a plain vector, its mask, and the sealed seed.
    pub(super) fn contribution(
        &mut self,
        device: DeviceId,
        id: ContributionId,
        ticket: &Ticket,
    ) -> Upload {
        let plain: Vec<u32> = (0..LENGTH)
            .map(|_| self.rng.next_u32() % 2_000_001)
            .collect();
        let plain: Vec<u32> = plain
            .into_iter()
            .map(|value| value.wrapping_sub(1_000_000))
            .collect();
        let seed = MaskSeed::draw(&mut self.rng);
        let mut values = plain.clone();
        add_mask(&mut values, &seed, &ticket.task, ticket.round, id);
        let masked: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let commitment = commit(&CommitmentKey::draw(&mut self.rng), &masked);
        let ticket_hash = digest(&ticket.to_bytes().unwrap());
        let binding = Binding {
            task: &ticket.task,
            round: ticket.round,
            ticket: ticket_hash,
            length: LENGTH,
            contribution: id,
            commitment,
        };
        let sealed = seal(
            &seed,
            None,
            &ticket.sealing_key_bytes().unwrap(),
            &binding,
            &mut self.rng,
        )
        .unwrap();
        self.plain.insert((id, commitment), plain);
        Upload {
            contribution: Contribution {
                device,
                id,
                commitment,
            },
            ticket: ticket_hash,
            sealed: SealedSeed {
                contribution: id,
                sealed,
                commitment,
            },
            masked,
        }
    }

    /// Other bytes under a device's certificate, sealed as they should be.
    pub(super) fn conflict(&mut self, device: usize, how: u16) {
        let Some(ticket) = self.coordinator.disk.ticket.as_ref() else {
            return;
        };
        let ticket = Ticket::from_bytes(&ticket.bytes).unwrap();
        let other = usize::from(how / 3) % self.devices.len();
        let id_of = |device: &DeviceNode| {
            device
                .sent
                .as_ref()
                .map(|upload| upload.contribution.id)
        };
        let id = match how % 3 {
            0 => None,
            1 => id_of(&self.devices[device]),
            _ => id_of(&self.devices[other]),
        };
        let id = id.unwrap_or_else(|| ContributionId(self.rng.random()));
        let upload = self.contribution(self.devices[device].id, id, &ticket);
        // Nobody waits for the answer: what it says is checked where it is decided.
        self.arrive(usize::MAX, &upload);
    }
}
