//! What the person who watches a demo is told: a line for every closed round, and between them how
//! far the run is, drawn on a terminal and in plain lines elsewhere.

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use tacit_privacy::convert::{epsilon, shown};
use tacit_privacy::record::{Charge, Event, Line};
use tacit_types::{Delta, Kind, Timestamp};
use tacit_wire::clock;

use super::world::World;
use crate::say;

/// Least time between two plain lines, milliseconds.
const PLAIN_EVERY: u64 = 10_000;

/// How far the run is. Devices say how many of their updates were acknowledged, the ledger says how
/// many of them closed rounds have summed; the difference has arrived in the open round.
pub(super) struct Progress {
    rounds: u64,
    cohort: u64,
    /// Ledger lines told.
    told: usize,
    rounds_closed: u64,
    /// Acknowledged updates of closed rounds.
    closed: u64,
    /// Acknowledged updates of all rounds, by this and earlier processes of the devices.
    acknowledged: u64,
    earlier: u64,
    bar: ProgressBar,
    plain_at: Timestamp,
}

impl Progress {
    /// Of a run of `rounds` rounds of `cohort` devices.
    pub(super) fn new(rounds: usize, cohort: u32) -> Self {
        let (rounds, cohort) = (rounds as u64, u64::from(cohort));
        let bar = ProgressBar::new(rounds * cohort);
        let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self {
            rounds,
            cohort,
            told: 0,
            rounds_closed: 0,
            closed: 0,
            acknowledged: 0,
            earlier: 0,
            bar,
            plain_at: clock::now(),
        }
    }

    /// Takes what the devices' process says it has had acknowledged so far.
    pub(super) fn acknowledged(&mut self, so_far: u64) {
        self.acknowledged = self.earlier + so_far;
    }

    /// The devices' next process counts from zero again.
    pub(super) fn devices_restart(&mut self) {
        self.earlier = self.acknowledged;
    }

    /// Says a line above what is drawn.
    pub(super) fn note(&self, line: impl std::fmt::Display) {
        self.bar.suspend(|| say::note(line));
    }

    /// Tells what is new.
    pub(super) fn tell(&mut self, world: &World) {
        let ledger =
            std::fs::read_to_string(world.ledger().join("ledger.jsonl")).unwrap_or_default();
        for line in ledger.lines().skip(self.told) {
            self.told += 1;
            if let Ok(line) = Line::from_bytes(line.as_bytes()) {
                self.round_closed(&line);
            }
        }
        let position = self.rounds_closed * self.cohort + self.arrived();
        self.bar
            .set_position(position.min(self.rounds * self.cohort));
        self.bar.set_message(self.standing());
        if self.bar.is_hidden() && clock::now().millis_since(self.plain_at) >= PLAIN_EVERY {
            self.plain_at = clock::now();
            self.note(self.standing());
        }
    }

    fn round_closed(&mut self, line: &Line) {
        let said = match &line.event {
            Event::Release(release) => {
                self.rounds_closed += 1;
                self.closed += u64::from(release.contributors);
                format!("{} devices summed", release.contributors)
            }
            Event::Abandoned(abandoned) => {
                self.closed = self.acknowledged;
                format!("abandoned: {}", abandoned.reason)
            }
            _ => return,
        };
        self.plain_at = clock::now();
        if let Some(charge) = line.charge() {
            self.note(format_args!(
                "round {}: {:<25} {said}, epsilon so far {}",
                charge.round,
                Kind::parse(&charge.kind).map_or("Unknown kind", Kind::title),
                shown(spent(charge))
            ));
        }
    }

    /// Updates that have arrived in the open round.
    fn arrived(&self) -> u64 {
        self.acknowledged
            .saturating_sub(self.closed)
            .min(self.cohort)
    }

    /// Where the run stands, in one line.
    fn standing(&self) -> String {
        if self.rounds_closed >= self.rounds {
            return "all rounds are closed, devices fetch the model".into();
        }
        let left = match self.bar.eta() {
            left if left.as_secs() == 0 => String::new(),
            left => format!(", {} left", HumanDuration(left)),
        };
        format!(
            "round {} of {}: {} of {} devices{left}",
            self.rounds_closed + 1,
            self.rounds,
            self.arrived(),
            self.cohort
        )
    }
}

fn spent(charge: &Charge) -> f64 {
    Delta::new(super::DELTA).map_or(0.0, |delta| epsilon(charge.rho_total, 0, delta))
}
