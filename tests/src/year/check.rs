//! What must hold at the end of the year, read from the real stores and exports.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags};
use tacit_model::Model;
use tacit_privacy::record::{Empty, Event, Line, Release};
use tacit_privacy::{Rho, canonical};
use tacit_round::device::Status;
use tacit_round::policy::Policy;
use tacit_round::signed_policy::SignedPolicy;
use tacit_types::{DeviceId, Digest, TaskId};

use super::fleet::Fleet;
use super::row::Row;
use super::world::World;
use crate::deployment::Deployment;
use crate::kept_model;

/// Memory and files may grow by this factor over the months compared, and by a little more.
const GROWTH: f64 = 1.25;
const MEMORY_SLACK: u64 = 8 << 20;
/// A round that was abandoned leaves files too.
const FILES_SLACK: u64 = 8;
/// What is kept of a contribution for good: its seed's fingerprint, its share of ledger lines.
const CONTRIBUTION_BYTES: u64 = 1024;

impl World {
    /// Everything.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub(super) fn check(&self) -> Result<()> {
        let rounds = self.verified_rounds()?;
        let counted = self.counted()?;
        let mut total = Rho::ZERO;
        for fleet in &self.fleets {
            for device in fleet.devices() {
                let of_device = check_budget(fleet, device, &rounds, &counted);
                let name = format!("fleet {}, device {device}", fleet.number());
                total = total.compose(of_device.context(name)?);
            }
        }

        let sums = rounds.values().map(Round::price_of_all);
        let sums = sums.fold(Rho::ZERO, Rho::compose);
        ensure!(
            total == sums,
            "devices were counted for {total}, and rounds have {sums}"
        );
        self.check_models()?;
        self.check_growth()
    }

    /// Every round that any ledger charges, after both verifiers have read the ledgers.
    fn verified_rounds(&self) -> Result<BTreeMap<RoundName, Round>> {
        let mut rounds = BTreeMap::new();
        for task in &self.tasks {
            let ledger = self.state_of(task).join("ledger");
            self.verify_twice(&ledger)
                .with_context(|| task.clone())?;
            for line in lines(&ledger)? {
                if let Some((name, round)) = Round::of(&line) {
                    let again = rounds.insert(name, round);
                    ensure!(again.is_none(), "{task}: a round is charged twice");
                }
            }
        }
        Ok(rounds)
    }

    fn verify_twice(&self, ledger: &Path) -> Result<()> {
        let folder = ledger.to_str().context("a path that is no text")?;
        self.deployment.succeed(&["audit", "verify", folder])?;
        let script = "../coordinator/audit/python/verify.py";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let second = Command::new("python3")
            .arg(script)
            .arg(ledger)
            .output()?;
        let said = String::from_utf8_lossy(&second.stderr);
        ensure!(second.status.success(), "verify.py: {said}");
        Ok(())
    }

    /// What the coordinators of all tasks have counted each identity for.
    fn counted(&self) -> Result<BTreeMap<DeviceId, Rho>> {
        let file = self.deployment.path("enrolled/accounts.sqlite");
        let accounts = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut query = accounts.prepare("SELECT device, rho FROM counted")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut counted = BTreeMap::<DeviceId, Rho>::new();
        for row in rows {
            let (device, rho) = row?;
            let of_device = counted.entry(DeviceId(device)).or_default();
            *of_device = of_device.compose(Rho::saturating_from_units(u128::from_be_bytes(rho)));
        }
        Ok(counted)
    }

    /// Every living device serves the last model, which has learned something.
    fn check_models(&self) -> Result<()> {
        let task = self.tasks.last().context("no task")?;
        let lines = lines(&self.state_of(task).join("ledger"))?;
        let released = lines.iter().rev().find_map(released);
        let newest = released
            .context("the last task released nothing")?
            .model_out_hash;
        for folder in self.fleets.iter().flat_map(Fleet::living) {
            serves(&folder, task, newest).with_context(|| folder.display().to_string())?;
        }
        Ok(())
    }

    /// Memory and files of the month compared against the last one's.
    fn check_growth(&self) -> Result<()> {
        let early = self.rows.get(self.size.compared as usize - 1);
        let (early, late) = (early.context("no such month")?, self.rows.last());
        let late = late.context("no month")?;
        for (early, late) in early.memory.iter().zip(late.memory) {
            let allowed = grown(*early) + MEMORY_SLACK;
            ensure!(late <= allowed, "memory: {early} bytes, {late} at the end");
        }
        check_files(&self.rows, early, late)
    }
}

/// The number of files stays. Their sizes grow with the catalogue, and with what must be kept of
/// each contribution for good.
fn check_files(rows: &[Row], early: &Row, late: &Row) -> Result<()> {
    let between = rows.iter().filter(|row| row.month > early.month);
    let paid: usize = between.map(|row| row.paid).sum();
    let kept = CONTRIBUTION_BYTES * paid as u64;
    for (early, late) in early.files.iter().zip(late.files) {
        let (count, bytes) = (early.count + FILES_SLACK, grown(early.bytes) + kept);
        ensure!(
            late.count <= count && late.bytes <= bytes,
            "files: {early:?}, {late:?} at the end, and {count} of {bytes} bytes are allowed"
        );
    }
    Ok(())
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bound on sizes"
)]
fn grown(size: u64) -> u64 {
    (size as f64 * GROWTH) as u64
}

/// Task and number.
type RoundName = (TaskId, u32);

/// What a ledger says of a round.
struct Round {
    ticket: Digest,
    rho: Rho,
    contributors: u32,
}

impl Round {
    /// The round a line charges, if it charges one.
    fn of(line: &Line) -> Option<(RoundName, Self)> {
        let (charge, contributors) = match &line.event {
            Event::Release(release) => (&release.charge, release.contributors),
            Event::Abandoned(abandoned) => (&abandoned.charge, abandoned.contributors),
            Event::Empty(empty) => return Some(Self::of_empty(empty)),
            _ => return None,
        };
        let round = Self {
            ticket: charge.ticket_hash,
            rho: charge.rho,
            contributors,
        };
        Some(((charge.task.clone(), charge.round.0), round))
    }

    /// One that cost the task nothing, and each device that had spent for it what it states.
    fn of_empty(empty: &Empty) -> (RoundName, Self) {
        let round = Self {
            ticket: empty.ticket_hash,
            rho: empty.ticket_rho,
            contributors: 0,
        };
        ((empty.task.clone(), empty.round.0), round)
    }

    /// Its price, for every device in its sum.
    fn price_of_all(&self) -> Rho {
        let contributors = u128::from(self.contributors);
        Rho::saturating_from_units(self.rho.units() * contributors)
    }
}

fn released(line: &Line) -> Option<&Release> {
    match &line.event {
        Event::Release(release) => Some(release),
        _ => None,
    }
}

fn lines(ledger: &Path) -> Result<Vec<Line>> {
    let text = fs::read_to_string(ledger.join("ledger.jsonl"))?;
    let lines = text
        .lines()
        .map(|line| Line::from_bytes(line.as_bytes()));
    Ok(lines.collect::<Result<_, _>>()?)
}

/// A device has spent what its rounds cost, neither more nor less, and was counted for what it
/// knows to have arrived. Gives what it was counted for.
fn check_budget(
    fleet: &Fleet,
    device: u32,
    rounds: &BTreeMap<RoundName, Round>,
    counted: &BTreeMap<DeviceId, Rho>,
) -> Result<Rho> {
    let identities = fleet.identities(device).iter();
    let counted = identities.filter_map(|identity| counted.get(identity));
    let counted = counted.copied().fold(Rho::ZERO, Rho::compose);
    let Some(store) = fleet.store(device)? else {
        ensure!(counted == Rho::ZERO, "counted without a store");
        return Ok(counted);
    };

    let (mut sum, mut acknowledged) = (Rho::ZERO, Rho::ZERO);
    for (line, status) in store.ledger()? {
        let round = rounds.get(&(line.task.clone(), line.round.0));
        let round =
            round.with_context(|| format!("no ledger has {} {:?}", line.task, line.round))?;
        ensure!(
            (line.ticket, line.rho) == (round.ticket, round.rho),
            "{} {:?}: paid another price",
            line.task,
            line.round
        );
        sum = sum.compose(line.rho);
        if status == Status::Acknowledged {
            acknowledged = acknowledged.compose(line.rho);
        }
    }

    let spent = store.spent()?;
    ensure!(spent == sum, "spent {spent}, and its rounds cost {sum}");
    ensure!(
        acknowledged <= counted && counted <= spent,
        "acknowledged for {acknowledged}, counted for {counted}, spent {spent}"
    );
    Ok(counted)
}

/// An installation's recommendations come from this model, and it has factors.
fn serves(folder: &Path, task: &str, newest: Digest) -> Result<()> {
    let serving = fs::read_to_string(folder.join("models/serving"))?;
    let named = serving.split_whitespace().next();
    ensure!(named == Some(task), "serves the model of {serving}");
    let bytes = fs::read(kept_model(folder, task))?;
    ensure!(canonical::digest(&bytes) == newest, "not the newest model");
    let model = Model::from_bytes(&bytes)?;
    ensure!(model.factor_count() > 0, "a model that learned nothing");
    Ok(())
}

/// What a device may spend in its life.
pub(super) fn lifetime(deployment: &Deployment) -> Result<Rho> {
    let signed: SignedPolicy = serde_json::from_str(&deployment.pki("policy.json")?)?;
    let policy = canonical::decode::<Policy>(signed.policy.as_bytes())?;
    Ok(policy.rho_lifetime)
}
