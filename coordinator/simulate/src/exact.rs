//! Exact mode: every device's real bytes, without a network or a disk.
//!
//! Each device reserves the price in a ledger of its own, and the function every installation sends
//! with clips, rounds, adds its noise share, masks and seals. A coordinator in memory adds the
//! masked bytes; a helper in memory opens the seals and adds the masks; the difference is the
//! opened sum. What is left out: signatures, durability, transport.
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
use tacit_privacy::ledger::spend;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::{DeviceBudget, Mechanism, MemoryLedger};
use tacit_round::contribute::{SealedUpdate, contribute};
use tacit_round::rehearsal::{Rehearsal, Sums};
use tacit_types::{Kind, RoundId, TaskId, Timestamp};

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

/// One open round.
struct Round<'a> {
    rehearsal: Rehearsal,
    model: &'a Model,
    budget: DeviceBudget,
    table: NoiseTable,
}

/// A round's sum, by both ways.
struct Total {
    opened: Vec<i32>,
    plain: Vec<i32>,
}

/// What some devices add up to: as a deployment adds them, and in the clear.
struct Part<'a> {
    sums: Sums<'a>,
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
        let task = TaskId::new("simulation").map_err(broken)?;
        Ok(Self {
            rehearsal: Rehearsal::new(
                task,
                RoundId(release + 1),
                kind,
                mechanism.clone(),
                plan.is_evaluated(),
                &mut UnwrapErr(SysRng),
            ),
            model,
            budget: DeviceBudget::lifetime(plan.rho_budget),
            table: NoiseTable::new(mechanism),
        })
    }

    /// All contributions, opened as a deployment opens them, and added up in the clear.
    fn sum(
        &self,
        interactions: &[Vec<Interaction>],
        present: &[u32],
        ledgers: &mut [MemoryLedger],
    ) -> Result<Total, SimulateError> {
        let parts = interactions
            .par_chunks(SHARE)
            .zip(ledgers.par_chunks_mut(SHARE))
            .enumerate();
        let parts: Vec<Part<'_>> = parts
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
        let opened = total.sums.open();
        let plain = total.plain.into_iter().map(i32::try_from);
        let plain: Vec<i32> = plain
            .collect::<Result<_, _>>()
            .map_err(|_| broken("a coordinate of the sum left 32 bits"))?;
        if opened == plain {
            Ok(Total { opened, plain })
        } else {
            Err(broken("the masks do not cancel in the sum"))
        }
    }

    fn nothing(&self) -> Part<'_> {
        let length = self.rehearsal.ticket().mechanism.length as usize;
        Part {
            sums: self.rehearsal.nothing(),
            plain: vec![0; length],
        }
    }

    /// One device, then the coordinator's and the helper's part of its contribution.
    fn add_device(
        &self,
        part: &mut Part<'_>,
        user: &[Interaction],
        ledger: &mut MemoryLedger,
    ) -> Result<(), SimulateError> {
        let sent = self.answer(user, ledger)?;
        let share = part.sums.add(
            sent.contribution(),
            sent.masked(),
            sent.commitment_key(),
            sent.sealed(),
        );
        part.plain
            .iter_mut()
            .zip(share.map_err(broken)?)
            .for_each(|(sum, value)| *sum += i64::from(value));
        Ok(())
    }

    /// What one device sends, as an installation makes it.
    fn answer(
        &self,
        user: &[Interaction],
        ledger: &mut MemoryLedger,
    ) -> Result<SealedUpdate, SimulateError> {
        let ticket = self.rehearsal.ticket();
        let Ok(permit) = spend(
            ledger,
            self.budget,
            &ticket.task,
            ticket.round,
            self.rehearsal.ticket_hash(),
            &ticket.mechanism,
            Timestamp(0),
        );
        let permit = permit.map_err(broken)?;
        let history_max = ticket.mechanism.history_max as usize;
        let vector = self
            .model
            .vector(ticket.kind, user, history_max, ticket.hold_out)
            .ok_or_else(|| broken("the model gives no vector of the release's kind"))?;
        contribute(ticket, permit, vector, &self.table, None).map_err(broken)
    }
}

impl Part<'_> {
    fn and(mut self, other: Self) -> Self {
        self.sums.merge(&other.sums);
        self.plain
            .iter_mut()
            .zip(other.plain)
            .for_each(|(sum, value)| *sum += value);
        self
    }
}
