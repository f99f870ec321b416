//! One round of a whole federation in one thread: devices, a coordinator with a lossy disk, a
//! helper, and a bad network.
//!
//! What a party keeps over a crash is in its `disk`; everything else is gone. Recovery is immediate
//! and uses only what the machines offer for it. Each step asserts what must hold at that moment.

mod coordinator;
mod devices;
mod helper;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tacit_round::continuity::Continuity;
use tacit_round::coordinator::{Answer, Contribution, Coordinator, Input as CoordinatorInput};
use tacit_round::device::{
    Device, Effect as DeviceEffect, Input as DeviceInput, Offer, Outcome, Status,
};
use tacit_round::helper::{HelperRound, SealedSeed};
use tacit_round::keys::SignatureBytes;
use tacit_round::lease::{Lease, Leases};
use tacit_round::mask::PartialSum;
use tacit_round::policy::{LogMark, Policy};
use tacit_round::ticket::{SignedTicket, Ticket};
use tacit_types::{Commitment, ContributionId, DeviceId, Digest, Timestamp};

use crate::deployment::{LAST_CALL, LENGTH, START, coordinator_key, mechanism, policy};

/// Numbers of one federation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) devices: u32,
    /// Contributions the round waits for; twice as many devices may ever be selected.
    pub(crate) cohort: u32,
    pub(crate) n_min: u32,
    pub(crate) dishonest_milli: u32,
}

/// What happens next. Numbers choose among the messages in flight or the devices, modulo how many
/// there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// A message arrives; any one of them, so this also reorders and delays.
    Deliver(u16),
    /// A message is lost; its sender finds the connection broken.
    Drop(u16),
    /// A message arrives twice, the second time later or on another connection.
    Duplicate(u16),
    /// A server takes a message, makes durable what it must, and dies before anything it would say
    /// leaves.
    DeliverThenCrash(u16),
    /// A device runs one effect.
    Work(u16),
    /// A device dies inside an effect: a spend is durable by then, bytes and statuses are not.
    WorkThenCrash(u16),
    /// A device that waits tries again.
    Retry(u16),
    /// The coordinator writes its checkpoint and acknowledges.
    Checkpoint,
    /// The coordinator writes its checkpoint and dies before it acknowledges.
    CheckpointThenCrash,
    /// The coordinator repeats what it waits for.
    AskAgain,
    CrashCoordinator,
    CrashHelper,
    CrashDevice(u16),
    /// A hostile owner of a device's certificate sends other bytes: a new id, its own id again, or
    /// another device's id.
    Conflict(u16, u16),
    /// Milliseconds pass; nobody is told.
    Pass(u64),
    /// The coordinator looks at the clock.
    Tick,
}

impl Op {
    /// Whether devices stay honest and alive and the deadline stays away.
    pub(crate) fn spares_devices(&self) -> bool {
        !matches!(
            self,
            Self::WorkThenCrash(_) | Self::CrashDevice(_) | Self::Conflict(..) | Self::Pass(_)
        )
    }
}

/// One contribution's final bytes.
struct Upload {
    contribution: Contribution,
    ticket: Digest,
    sealed: SealedSeed,
    masked: Vec<u8>,
}

#[derive(Clone)]
enum Message {
    Draft(Box<Ticket>),
    Countersigned(Vec<u8>, SignatureBytes),
    Offer(usize, SignedTicket),
    Upload(usize, Arc<Upload>),
    Reply(usize, Reply),
    Ask(Digest, Vec<SealedSeed>),
    Answered(Answer, PartialSum),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reply {
    Acknowledged,
    TooLate,
    Refused,
}

struct DeviceNode {
    id: DeviceId,
    machine: Device,
    /// The effect the machine asked for, until it has run.
    todo: Option<DeviceEffect>,
    /// Disk: the device ledger's status, the newest ledger mark and the spool.
    status: Option<Status>,
    mark: LogMark,
    spool: Option<Arc<Upload>>,
    // What the test watches.
    draws: u32,
    sent: Option<Arc<Upload>>,
    acknowledged: bool,
    told_no: bool,
    unsure_spend: bool,
}

#[derive(Default)]
struct CoordinatorDisk {
    draft: Option<Ticket>,
    ticket: Option<SignedTicket>,
    leases: BTreeMap<DeviceId, Lease>,
    contributions: BTreeMap<ContributionId, (Contribution, SealedSeed)>,
    sum: Option<PartialSum>,
    closing: bool,
    /// The ledger line: the set and the opened sum.
    line: Option<(Vec<ContributionId>, Vec<i32>)>,
    abandoned: Option<String>,
    published: bool,
}

struct CoordinatorNode {
    disk: CoordinatorDisk,
    machine: Option<Coordinator>,
    leases: Option<Leases>,
    sum: PartialSum,
    fresh: Vec<(Contribution, SealedSeed)>,
    waiting: Vec<(ContributionId, usize)>,
    mask_sum: Option<PartialSum>,
}

struct HelperNode {
    live: Option<HelperRound>,
    // Disk.
    key: Option<Vec<u8>>,
    draft: Option<Vec<u8>>,
    ticket: Option<(Vec<u8>, SignatureBytes)>,
    answer: Option<(Answer, PartialSum)>,
    used: BTreeSet<Digest>,
}

/// The federation.
pub(crate) struct World {
    shape: Shape,
    now: Timestamp,
    rng: ChaCha20Rng,
    policy: Policy,
    network: Vec<Message>,
    devices: Vec<DeviceNode>,
    coordinator: CoordinatorNode,
    helper: HelperNode,
    /// Plain vector of every contribution ever made, hostile ones too.
    plain: BTreeMap<(ContributionId, Commitment), Vec<u32>>,
    folds: usize,
}

impl World {
    pub(crate) fn new(shape: Shape) -> Self {
        let devices = (0..shape.devices).map(|i| DeviceNode {
            id: DeviceId([u8::try_from(i + 1).unwrap(); 16]),
            machine: Device::Idle,
            todo: None,
            status: None,
            mark: LogMark::default(),
            spool: None,
            draws: 0,
            sent: None,
            acknowledged: false,
            told_no: false,
            unsure_spend: false,
        });
        let mut world = Self {
            shape,
            now: START,
            rng: ChaCha20Rng::seed_from_u64(u64::from(shape.devices)),
            policy: policy(),
            network: Vec::new(),
            devices: devices.collect(),
            coordinator: CoordinatorNode {
                disk: CoordinatorDisk::default(),
                machine: None,
                leases: None,
                sum: PartialSum::new(LENGTH),
                fresh: Vec::new(),
                waiting: Vec::new(),
                mask_sum: None,
            },
            helper: HelperNode {
                live: None,
                key: None,
                draft: None,
                ticket: None,
                answer: None,
                used: BTreeSet::new(),
            },
            plain: BTreeMap::new(),
            folds: 0,
        };
        world.start_coordinator();
        world
    }

    pub(crate) fn apply(&mut self, op: Op) {
        match op {
            Op::Deliver(which) => {
                if let Some(message) = self.take(which) {
                    self.deliver(message);
                }
            }
            Op::Drop(which) => {
                if let Some(Message::Upload(device, _) | Message::Reply(device, _)) =
                    self.take(which)
                {
                    self.feed(device, DeviceInput::Unreachable);
                }
            }
            Op::Duplicate(which) => {
                if !self.network.is_empty() {
                    let copy = self.network[usize::from(which) % self.network.len()].clone();
                    self.network.push(copy);
                }
            }
            Op::DeliverThenCrash(which) => self.deliver_then_crash(which),
            Op::Work(which) => self.work(self.device(which), false),
            Op::WorkThenCrash(which) => self.work(self.device(which), true),
            Op::Retry(which) => self.retry(self.device(which)),
            Op::Checkpoint => self.checkpoint(),
            Op::CheckpointThenCrash => {
                let said = self.network.len();
                self.checkpoint();
                self.network.truncate(said);
                self.start_coordinator();
            }
            Op::AskAgain => self.ask_again(),
            Op::CrashCoordinator => self.start_coordinator(),
            Op::CrashHelper => self.start_helper(),
            Op::CrashDevice(which) => self.restart_device(self.device(which)),
            Op::Conflict(which, how) => self.conflict(self.device(which), how),
            Op::Pass(ms) => self.now = self.now.plus_millis(ms),
            Op::Tick => {
                let tick = self.tick();
                self.feed_coordinator(tick);
            }
        }
    }

    /// Runs everything to its end with a network that now works, until nothing moves; then lets the
    /// last call pass.
    pub(crate) fn settle(&mut self) {
        for late in [false, true] {
            if late {
                self.now = self.now.max(LAST_CALL);
            }
            for turn in 0.. {
                assert!(turn < 100, "the federation does not come to rest");
                while !self.network.is_empty() {
                    let message = self.network.remove(0);
                    self.deliver(message);
                }
                (0..self.devices.len()).for_each(|device| self.retry(device));
                for device in 0..self.devices.len() {
                    while self.devices[device].todo.is_some() {
                        self.work(device, false);
                    }
                }
                let saved = self.coordinator.fresh.is_empty();
                self.checkpoint();
                self.apply(Op::Tick);
                self.ask_again();
                let rest = self.ended()
                    || (!late
                        && matches!(self.coordinator.machine, Some(Coordinator::Reporting(_))));
                let quiet = self
                    .network
                    .iter()
                    .all(|message| matches!(message, Message::Upload(..)));
                if saved
                    && rest
                    && quiet
                    && (!late || self.devices.iter().all(DeviceNode::rests))
                    && turn > 2
                {
                    break;
                }
            }
        }
    }

    /// Compares the ends. Steps were compared on the way.
    pub(crate) fn check(&self) {
        let disk = &self.coordinator.disk;
        assert!(self.ended() && self.devices.iter().all(DeviceNode::rests));
        assert!(disk.leases.len() <= self.cohort_max() as usize);
        assert!(
            disk.published == disk.line.is_some()
                && disk.line.is_some() != disk.abandoned.is_some()
        );
        let set_min = self.set_min();
        match &disk.line {
            Some((set, opened)) => {
                assert!(set.len() >= set_min && set.len() <= self.cohort_max() as usize);
                let counted: BTreeSet<_> = set
                    .iter()
                    .map(|id| disk.contributions[id].0.device)
                    .collect();
                assert_eq!(counted.len(), set.len(), "a device is in the sum twice");
                let truth = (0..LENGTH as usize).map(|i| {
                    let column = set
                        .iter()
                        .map(|id| self.plain[&(*id, disk.contributions[id].0.commitment)][i]);
                    column
                        .map(|value| i64::from(value.cast_signed()))
                        .sum::<i64>()
                });
                assert!(
                    opened.iter().map(|value| i64::from(*value)).eq(truth),
                    "the opened sum is not the true one"
                );
                for device in self
                    .devices
                    .iter()
                    .filter(|device| device.acknowledged)
                {
                    let sent = device.sent.as_ref().unwrap().contribution;
                    let counted = set
                        .iter()
                        .filter(|id| disk.contributions[*id].0 == sent)
                        .count();
                    assert_eq!(
                        counted, 1,
                        "an acknowledged device is not in the sum exactly once"
                    );
                }
            }
            None => {
                assert!(
                    disk.contributions.len() < set_min,
                    "a round that could be released was abandoned"
                );
                assert!(self.helper.answer.is_none());
            }
        }
        for device in &self.devices {
            assert!(device.draws <= 1, "noise was drawn twice");
            assert!(
                device.status.is_none() || disk.leases.contains_key(&device.id),
                "a device that was not selected has spent"
            );
            match device.machine {
                Device::Done(Outcome::Acknowledged) => {
                    assert_eq!(device.status, Some(Status::Acknowledged))
                }
                Device::Done(Outcome::TooLate | Outcome::Forfeited) => {
                    assert_eq!(device.status, Some(Status::Forfeited));
                    assert!(
                        device.told_no || device.unsure_spend,
                        "durable bytes were given up without a refusal"
                    );
                }
                Device::Done(Outcome::TicketRefused(_)) | Device::Idle => {
                    assert!(device.status.is_none() && device.sent.is_none())
                }
                ref other => panic!("a device ended as {other:?}"),
            }
            assert!(
                !device.unsure_spend
                    || (device.sent.is_none() && device.status == Some(Status::Forfeited))
            );
        }
    }

    pub(crate) fn released(&self) -> Option<&[ContributionId]> {
        self.coordinator
            .disk
            .line
            .as_ref()
            .map(|(set, _)| set.as_slice())
    }

    pub(crate) fn spenders(&self) -> usize {
        let spent = self
            .devices
            .iter()
            .filter(|device| device.status.is_some());
        spent.count()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.coordinator.machine, Some(Coordinator::Reporting(_)))
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.devices
            .iter()
            .filter(|device| device.acknowledged)
            .count()
    }

    pub(crate) fn helper_answers(&self) -> usize {
        usize::from(self.helper.answer.is_some())
    }

    pub(crate) fn folds(&self) -> usize {
        self.folds
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.network.len()
    }

    /// Calmly to the point where every device's upload is in flight, in order, and nothing else is.
    pub(crate) fn until_uploads(&mut self) {
        while let Some(at) = self
            .network
            .iter()
            .position(|message| !matches!(message, Message::Upload(..)))
        {
            let message = self.network.remove(at);
            self.deliver(message);
            (0..self.devices.len()).for_each(|device| {
                while self.devices[device].todo.is_some() {
                    self.work(device, false);
                }
            });
        }
        assert_eq!(self.network.len(), self.devices.len());
    }

    /// Calmly to the point where the helper is asked, and nothing else is in flight.
    pub(crate) fn until_asked(&mut self) {
        self.until_uploads();
        while !self.network.is_empty() {
            self.apply(Op::Deliver(0));
        }
        self.checkpoint();
        self.network
            .retain(|message| matches!(message, Message::Ask(..)));
        assert_eq!(self.network.len(), 1);
    }

    /// Delivers the first upload in flight.
    pub(crate) fn deliver_upload(&mut self) {
        let at = self
            .network
            .iter()
            .position(|message| matches!(message, Message::Upload(..)))
            .unwrap();
        let message = self.network.remove(at);
        self.deliver(message);
    }

    /// Devices that may ever be selected.
    fn cohort_max(&self) -> u32 {
        2 * self.shape.cohort
    }

    fn set_min(&self) -> usize {
        mechanism(self.cohort_max(), self.shape.n_min).set_min(self.shape.dishonest_milli) as usize
    }

    fn ended(&self) -> bool {
        matches!(
            self.coordinator.machine,
            Some(Coordinator::Closed | Coordinator::Abandoned(_))
        )
    }

    fn device(&self, which: u16) -> usize {
        usize::from(which) % self.devices.len()
    }

    fn take(&mut self, which: u16) -> Option<Message> {
        let at = usize::from(which).checked_rem(self.network.len())?;
        Some(self.network.remove(at))
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Draft(draft) => self.countersign(&draft),
            Message::Countersigned(bytes, signature) => {
                let signed = SignedTicket::new(bytes, signature, &coordinator_key());
                self.feed_coordinator(CoordinatorInput::Countersigned(signed));
            }
            Message::Offer(device, ticket) => {
                let seen = self.devices[device].mark;
                let offer = Offer {
                    ticket: Device::read(ticket, &self.policy).unwrap(),
                    seen,
                    shown: Continuity::default(),
                };
                self.feed(device, DeviceInput::Offered(Box::new(offer)));
            }
            Message::Upload(device, upload) => self.arrive(device, &upload),
            Message::Reply(device, reply) => self.reply(device, reply),
            Message::Ask(ticket, seeds) => self.answer(ticket, &seeds),
            Message::Answered(answer, mask_sum) => {
                self.coordinator.mask_sum = Some(mask_sum);
                self.feed_coordinator(CoordinatorInput::Answered(answer));
            }
        }
    }

    fn deliver_then_crash(&mut self, which: u16) {
        let Some(message) = self.take(which) else {
            return;
        };
        let said = self.network.len();
        let to_helper = matches!(message, Message::Draft(_) | Message::Ask(..));
        let to_coordinator = matches!(
            message,
            Message::Countersigned(..) | Message::Upload(..) | Message::Answered(..)
        );
        self.deliver(message);
        if to_helper || to_coordinator {
            self.network.truncate(said);
        }
        if to_helper {
            self.start_helper();
        }
        if to_coordinator {
            self.start_coordinator();
        }
    }
}
