//! Exact mode: every device's real bytes, without a network or a disk.
//!
//! Each device reserves the price in a ledger of its own, and the SDK's own `contribute` clips,
//! rounds, adds its noise share, masks and seals. A coordinator in memory adds the masked bytes; a
//! helper in memory opens the seals and adds the masks; the difference is the opened sum. What is
//! left out: signatures, durability, transport.
//!
//! # What it shows, and what it cannot
//! Rounding, noise and masks come from the operating system, on purpose: a device has no other
//! source and no seed can be put in. So two exact runs differ, as two runs over the wire do. Where
//! the operating system itself answers both alike, which the workspace's test `exact` arranges, the
//! last model is that of a run over the wire to the last bit. In every run every release is
//! checked: the opened sum is the plain 64-bit integer sum of the updates, so masks cancel and
//! nothing wrapped; and the server's step makes the same model from either.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rayon::prelude::*;
use tacit_model::family::Owner;
use tacit_model::family::rating::Ratings;
use tacit_model::history::interaction::Interaction;
use tacit_model::history::preference::History;
use tacit_model::release::Step;
use tacit_model::{Features, Model};
use tacit_plan::{Plan, apply, opened_sum};
use tacit_privacy::canonical::digest;
use tacit_privacy::ledger::spend;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::record::TreeHead;
use tacit_privacy::{DeviceBudget, Mechanism, MemoryLedger};
use tacit_round::contribute::contribute;
use tacit_round::head::{LoggedLine, SignedHead};
use tacit_round::keys::SignatureBytes;
use tacit_round::mask::PartialSum;
use tacit_round::seal::{Binding, OpeningKey, SCHEME_ID};
use tacit_round::ticket::{Kind, SCHEMA, Ticket};
use tacit_sdk::contribute::gradient;
use tacit_types::{Digest, RoundId, TaskId, Timestamp};

use crate::error::SimulateError;
use crate::release::present;
use crate::train::{Release, Run};

/// How the noise is made, for the record.
pub const MODE: &str = "exact: every device's real bytes; each opened sum was checked to be the \
                        plain sum of its updates";

/// Devices that share an accumulator.
const SHARE: usize = 64;

/// Runs a plan with one real device per list of interactions. `seed` decides who drops out,
/// and nothing else.
///
/// # Errors
/// [`SimulateError::Plan`] when a release has no sound mechanism; [`SimulateError::Broken`] when a
/// check fails.
pub fn train(
    interactions: &[Vec<Interaction>],
    plan: &Plan,
    seed: u64,
) -> Result<Run, SimulateError> {
    train_from(plan.genesis(), interactions, plan, seed)
}

/// [`train`] for a catalogue that says something about its items.
///
/// # Errors
/// As [`train`].
pub fn train_featured(
    interactions: &[Vec<Interaction>],
    features: &Features,
    plan: &Plan,
    seed: u64,
) -> Result<Run, SimulateError> {
    releases(plan.genesis(), interactions, Some(features), plan, seed)
}

/// [`train`] from a given model.
///
/// # Errors
/// As [`train`].
pub fn train_from(
    genesis: Model,
    interactions: &[Vec<Interaction>],
    plan: &Plan,
    seed: u64,
) -> Result<Run, SimulateError> {
    releases(genesis, interactions, None, plan, seed)
}

/// All releases of a plan.
fn releases(
    genesis: Model,
    interactions: &[Vec<Interaction>],
    features: Option<&Features>,
    plan: &Plan,
    seed: u64,
) -> Result<Run, SimulateError> {
    let mut run = Run::start(genesis);
    let mut ledgers: Vec<MemoryLedger> = interactions
        .iter()
        .map(|_| MemoryLedger::default())
        .collect();
    for (release, &(kind, rho)) in (0u32..).zip(&plan.releases) {
        let mechanism = plan.mechanism(kind, rho, &run.model)?;
        let present = present(interactions.len(), plan, seed, release);
        let round = Round::open(kind, &mechanism, &run.model, plan, release)?;
        let values = round.sum(interactions, &present, &mut ledgers)?;
        let contributors = u32::try_from(present.len()).unwrap_or(u32::MAX);
        let step = Step {
            features,
            ..plan.step(release as usize, seed)
        };
        let summed = |values: &[i32]| opened_sum(kind, &mechanism, contributors, values);
        let opened = summed(&values.opened);
        let model = apply(&run.model, &opened, &step)?;
        let replayed = apply(&run.model, &summed(&values.plain), &step)?;
        if model.to_bytes() != replayed.to_bytes() {
            return Err(broken("the server's step does not replay"));
        }
        if let Some(private) = opened.evaluation() {
            let cap = plan.history_max as usize;
            let known = |user: &Vec<Interaction>| {
                (
                    History::new(user, plan.items, cap),
                    model.ratings(user, cap),
                )
            };
            let known: Vec<(History, Ratings)> = interactions.iter().map(known).collect();
            let owners: Vec<Owner<'_>> = known
                .iter()
                .map(|(history, ratings)| Owner { history, ratings })
                .collect();
            run.evaluated(&owners, private, &model);
        }
        run.model = model;
        run.releases.push(Release {
            kind: kind.as_str(),
            mechanism,
            contributors,
        });
    }
    Ok(run)
}

fn broken(what: impl ToString) -> SimulateError {
    SimulateError::Broken(what.to_string())
}

/// One open round: its ticket, and the helper's key that opens its seals.
struct Round<'a> {
    ticket: Ticket,
    ticket_hash: Digest,
    key: OpeningKey,
    model: &'a Model,
    budget: DeviceBudget,
    table: NoiseTable,
}

/// A round's sum, by both ways.
struct Sums {
    opened: Vec<i32>,
    plain: Vec<i32>,
}

/// What some devices add up to.
struct Part {
    masked: PartialSum,
    masks: PartialSum,
    plain: Vec<i64>,
}

impl<'a> Round<'a> {
    fn open(
        kind: Kind,
        mechanism: &Mechanism,
        model: &'a Model,
        plan: &Plan,
        release: u32,
    ) -> Result<Self, SimulateError> {
        let key = OpeningKey::draw(&mut UnwrapErr(SysRng));
        let nothing = SignatureBytes([0; 64]);
        let head = TreeHead {
            ledger_id: Digest([0; 32]),
            generation: 1,
            size: 1,
            root: Digest([0; 32]),
        };
        let head = SignedHead {
            head,
            coordinator_signature: nothing,
            helper_signature: nothing,
        };
        let ticket = Ticket {
            schema: SCHEMA,
            scheme_id: SCHEME_ID,
            task: TaskId::new("simulation").map_err(broken)?,
            round: RoundId(release + 1),
            kind,
            model_in_hash: digest(&model.to_bytes()),
            logged: LoggedLine {
                line: String::new(),
                seq: 0,
                proof: Vec::new(),
                head,
            },
            mechanism: mechanism.clone(),
            dishonest_milli: plan.dishonest_milli,
            dropout_milli: plan.dropout_milli,
            delta_pico: plan.delta_pico,
            membership: false,
            hold_out: plan.is_evaluated(),
            deadline: Timestamp(0),
            sealing_key: key
                .sealing_key()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        };
        let ticket_hash = digest(&ticket.to_bytes().map_err(broken)?);
        let budget = DeviceBudget::lifetime(plan.rho_budget);
        Ok(Self {
            ticket,
            ticket_hash,
            key,
            model,
            budget,
            table: NoiseTable::new(mechanism),
        })
    }

    /// All contributions, opened as a deployment opens them, and added up in the clear.
    fn sum(
        &self,
        interactions: &[Vec<Interaction>],
        present: &[u32],
        ledgers: &mut [MemoryLedger],
    ) -> Result<Sums, SimulateError> {
        let parts = interactions
            .par_chunks(SHARE)
            .zip(ledgers.par_chunks_mut(SHARE))
            .enumerate();
        let parts: Vec<Part> = parts
            .map(|(chunk, (users, ledgers))| {
                let mut part = self.nothing();
                for (place, (user, ledger)) in users.iter().zip(ledgers).enumerate() {
                    let number = u32::try_from(chunk * SHARE + place).unwrap_or(u32::MAX);
                    if present.binary_search(&number).is_ok() {
                        self.add_device(&mut part, user, ledger)?;
                    }
                }
                Ok(part)
            })
            .collect::<Result<_, SimulateError>>()?;
        let total = parts.into_iter().fold(self.nothing(), Part::and);
        let opened = total
            .masked
            .unmask(&total.masks)
            .ok_or_else(|| broken("masks of another length"))?;
        let plain: Result<Vec<i32>, _> = total
            .plain
            .iter()
            .map(|&value| i32::try_from(value))
            .collect();
        let plain = plain.map_err(|_| broken("a coordinate of the sum left 32 bits"))?;
        if opened == plain {
            Ok(Sums { opened, plain })
        } else {
            Err(broken("the masks do not cancel in the sum"))
        }
    }

    fn nothing(&self) -> Part {
        let length = self.ticket.mechanism.length;
        let (masked, masks) = (PartialSum::new(length), PartialSum::new(length));
        Part {
            masked,
            masks,
            plain: vec![0; length as usize],
        }
    }

    /// One device, then the coordinator's and the helper's part of its contribution.
    fn add_device(
        &self,
        part: &mut Part,
        user: &[Interaction],
        ledger: &mut MemoryLedger,
    ) -> Result<(), SimulateError> {
        let ticket = &self.ticket;
        let (task, mechanism, now) = (&ticket.task, &ticket.mechanism, Timestamp(0));
        let Ok(asked) = spend(
            ledger,
            self.budget,
            task,
            ticket.round,
            self.ticket_hash,
            mechanism,
            now,
        );
        let permit = asked.map_err(broken)?;
        let vector = gradient(ticket, self.model, user);
        let sent = contribute(ticket, permit, vector, &self.table, None).map_err(broken)?;
        let binding = Binding {
            task: &ticket.task,
            round: ticket.round,
            ticket: self.ticket_hash,
            length: ticket.mechanism.length,
            contribution: sent.contribution(),
            digest: sent.digest(),
        };
        let (seed, _) = self.key.open(sent.sealed(), &binding).map_err(broken)?;
        let (mut own, mut mask) = (self.nothing().masked, self.nothing().masks);
        mask.add_mask(&seed, &ticket.task, ticket.round, sent.contribution());
        if !(own.add(sent.masked())
            && part.masked.add(sent.masked())
            && part.masks.add(&mask.to_bytes()))
        {
            return Err(broken("a contribution of another length"));
        }
        let update = own
            .unmask(&mask)
            .ok_or_else(|| broken("a mask of another length"))?;
        part.plain
            .iter_mut()
            .zip(update)
            .for_each(|(sum, value)| *sum += i64::from(value));
        Ok(())
    }
}

impl Part {
    fn and(mut self, other: Self) -> Self {
        // Both come from one round, so lengths agree.
        let (masked, masks) = (other.masked.to_bytes(), other.masks.to_bytes());
        assert!(
            self.masked.add(&masked) && self.masks.add(&masks),
            "parts of one round have one length"
        );
        self.plain
            .iter_mut()
            .zip(other.plain)
            .for_each(|(sum, value)| *sum += value);
        self
    }
}
