//! Round and ledger of one task, in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use tacit_privacy::{Rho, canonical};
use tacit_round::coordinator::Contribution;
use tacit_round::helper::SealedSeed;
use tacit_round::lease::Lease;
use tacit_round::ticket::{SignedTicket, TicketFile};
use tacit_server::ServerError;
use tacit_server::storage::{
    Answer, LedgerStore, NewContribution, Phase, Recorded, Resumed, RoundStore, SignedLine,
    StoredRound,
};
use tacit_types::{DeviceId, Digest, Timestamp};

use super::{Lossy, failed};

/// What [`tacit_server::storage::TaskStore`] keeps.
#[derive(Clone, Default)]
pub(super) struct Task {
    notes: BTreeMap<&'static str, String>,
    lines: BTreeMap<u64, Vec<u8>>,
    helper_lines: BTreeMap<u64, SignedLine>,
    heads: BTreeMap<u64, String>,
    tickets: BTreeMap<Digest, Vec<u8>>,
    spent: BTreeMap<DeviceId, Rho>,
    round: Option<StoredRound>,
    partial: Option<Vec<u8>>,
    contributions: BTreeMap<DeviceId, NewContribution>,
    leases: BTreeMap<(Digest, DeviceId), Lease>,
}

impl RoundStore for Lossy {
    fn round(&self) -> Answer<Option<StoredRound>> {
        self.call(|disk| Ok(disk.task.round.clone()))
    }

    fn open_round(&self, ticket: SignedTicket, opened: Timestamp) -> Answer<()> {
        self.call(|disk| disk.task.open_round(ticket, opened))
    }

    fn keep_lease(&self, ticket: Digest, device: DeviceId, lease: Lease) -> Answer<()> {
        self.call(move |disk| {
            disk.task.leases.insert((ticket, device), lease);
            Ok(())
        })
    }

    fn leases(&self, ticket: Digest) -> Answer<Vec<(DeviceId, Lease)>> {
        self.call(move |disk| {
            let of_ticket = disk
                .task
                .leases
                .iter()
                .filter(|(key, _)| key.0 == ticket);
            Ok(of_ticket.map(|(key, lease)| (key.1, *lease)).collect())
        })
    }

    fn checkpoint(&self, new: Vec<NewContribution>, sum: Vec<u8>) -> Answer<()> {
        self.call(|disk| {
            new.into_iter()
                .try_for_each(|one| disk.task.insert(one))?;
            disk.task.partial = Some(sum);
            Ok(())
        })
    }

    fn close_round(&self) -> Answer<()> {
        self.call(|disk| {
            disk.task.enter(Phase::Closing);
            Ok(())
        })
    }

    fn partial(&self) -> Answer<Option<Vec<u8>>> {
        self.call(|disk| Ok(disk.task.partial.clone()))
    }

    fn contributions(&self) -> Answer<Vec<(Contribution, SealedSeed)>> {
        self.call(|disk| {
            Ok(disk
                .task
                .contributions
                .values()
                .map(with_seed)
                .collect())
        })
    }

    fn end_round(&self) -> Answer<()> {
        self.call(|disk| {
            disk.task.end_round();
            Ok(())
        })
    }
}

impl LedgerStore for Lossy {
    fn lines(&self) -> Answer<Vec<Vec<u8>>> {
        self.call(|disk| Ok(disk.task.lines.values().cloned().collect()))
    }

    fn append_line(&self, seq: u64, line: Vec<u8>) -> Answer<()> {
        self.call(|disk| disk.task.append(seq, line))
    }

    fn record(&self, end: Recorded) -> Answer<()> {
        self.call(|disk| disk.task.record(end))
    }

    fn restore(&self, resumed: Resumed) -> Answer<()> {
        self.call(|disk| disk.task.restore(resumed))
    }

    fn helper_lines(&self) -> Answer<Vec<SignedLine>> {
        self.call(|disk| Ok(disk.task.helper_lines.values().cloned().collect()))
    }

    fn keep_helper_lines(&self, lines: Vec<SignedLine>, tickets: Vec<SignedTicket>) -> Answer<()> {
        self.call(|disk| {
            tickets
                .iter()
                .try_for_each(|ticket| disk.task.keep_ticket(ticket))?;
            lines
                .into_iter()
                .try_for_each(|line| disk.task.keep_helper_line(line))
        })
    }

    fn heads(&self) -> Answer<Vec<(u64, String)>> {
        self.call(|disk| Ok(disk.task.heads.clone().into_iter().collect()))
    }

    fn keep_head(&self, size: u64, json: String) -> Answer<()> {
        self.call(|disk| {
            disk.task.heads.insert(size, json);
            Ok(())
        })
    }

    fn ticket_file(&self, hash: Digest) -> Answer<Vec<u8>> {
        self.call(|disk| {
            let file = disk.task.tickets.get(&hash).cloned();
            file.ok_or_else(|| failed("no such ticket"))
        })
    }

    fn totals_of_round(&self) -> Answer<Vec<(DeviceId, Rho)>> {
        self.call(|disk| {
            let devices = disk.task.contributions.keys();
            let totals = devices.filter_map(|device| disk.task.spent.get_key_value(device));
            Ok(totals.map(|(device, rho)| (*device, *rho)).collect())
        })
    }

    fn totals(&self, after: Option<DeviceId>, limit: usize) -> Answer<Vec<(DeviceId, Rho)>> {
        self.call(|disk| {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let totals = disk.task.spent.range((from, Bound::Unbounded));
            let page = totals.take(limit);
            Ok(page.map(|(device, rho)| (*device, *rho)).collect())
        })
    }

    fn raise(&self, totals: Vec<(DeviceId, Rho)>) -> Answer<()> {
        self.call(|disk| {
            for (device, rho) in totals {
                let total = disk.task.spent.entry(device).or_default();
                *total = rho.max(*total);
            }
            Ok(())
        })
    }

    fn note(&self, key: &'static str) -> Answer<Option<String>> {
        self.call(|disk| Ok(disk.task.notes.get(key).cloned()))
    }

    fn keep_note(&self, key: &'static str, text: String) -> Answer<()> {
        self.call(|disk| {
            disk.task.notes.insert(key, text);
            Ok(())
        })
    }
}

impl Task {
    fn open_round(&mut self, ticket: SignedTicket, opened: Timestamp) -> Result<(), ServerError> {
        if self.round.is_some() {
            return Err(failed("a round is open"));
        }

        self.keep_ticket(&ticket)?;
        self.round = Some(StoredRound {
            phase: Phase::Open,
            ticket,
            opened,
        });
        Ok(())
    }

    fn keep_ticket(&mut self, ticket: &SignedTicket) -> Result<(), ServerError> {
        let file = canonical::encode(&TicketFile::from(ticket))?;
        self.tickets.insert(ticket.hash(), file);
        Ok(())
    }

    fn insert(&mut self, new: NewContribution) -> Result<(), ServerError> {
        let id = new.contribution.id;
        let mut known = self.contributions.values();
        let taken = known.any(|one| one.contribution.id == id);
        let device = new.contribution.device;
        if taken || self.contributions.contains_key(&device) {
            return Err(failed("a device or an id is there already"));
        }

        self.contributions.insert(device, new);
        Ok(())
    }

    fn enter(&mut self, phase: Phase) {
        if let Some(round) = &mut self.round {
            round.phase = phase;
        }
    }

    fn append(&mut self, seq: u64, line: Vec<u8>) -> Result<(), ServerError> {
        match self.lines.insert(seq, line) {
            None => Ok(()),
            Some(_) => Err(failed("the place of a line is taken")),
        }
    }

    fn record(&mut self, end: Recorded) -> Result<(), ServerError> {
        self.append(end.seq, end.line)?;
        self.count(end.rho);
        if let Some(line) = end.helper {
            self.keep_helper_line(line)?;
        }
        self.enter(Phase::Recorded);
        Ok(())
    }

    fn restore(&mut self, resumed: Resumed) -> Result<(), ServerError> {
        self.count(resumed.rho);
        for (seq, line) in resumed.lines {
            self.append(seq, line)?;
        }
        for ticket in &resumed.tickets {
            self.keep_ticket(ticket)?;
        }
        self.notes.remove(resumed.forget);
        self.end_round();
        Ok(())
    }

    fn count(&mut self, rho: Rho) {
        for device in self.contributions.keys() {
            let total = self.spent.entry(*device).or_default();
            *total = total.compose(rho);
        }
    }

    fn end_round(&mut self) {
        self.round = None;
        self.partial = None;
        self.contributions.clear();
        self.leases.clear();
    }

    fn keep_helper_line(&mut self, line: SignedLine) -> Result<(), ServerError> {
        let kept = self
            .helper_lines
            .entry(line.seq)
            .or_insert_with(|| line.clone());
        if kept.bytes == line.bytes {
            return Ok(());
        }
        let forked = "another line of its ledger is kept there: it was rolled back";
        Err(ServerError::HelperRefused(forked.into()))
    }
}

fn with_seed(one: &NewContribution) -> (Contribution, SealedSeed) {
    let seed = SealedSeed {
        contribution: one.contribution.id,
        sealed: one.sealed.clone(),
        commitment: one.contribution.commitment,
    };
    (one.contribution, seed)
}
