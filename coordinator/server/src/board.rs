//! What request handlers may know without asking the driver: the open ticket, the current model,
//! and when devices come back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use rand::TryRng;
use tacit_privacy::merkle;
use tacit_round::continuity::RestoredLine;
use tacit_round::coordinator::Contribution;
use tacit_round::refusal::RefusalCode;
use tacit_types::{DeviceId, Digest, Timestamp};

use crate::config::Fleet;
use crate::open_round::OpenRound;
use crate::pace::Pace;

/// A device that has nothing to do waits for at least this time.
const SHORTEST_MS: f64 = 200.0;
/// Between two rounds, for this part of what lay between the last two that opened, within bounds.
const SHARE_OF_ROUND: f64 = 0.05;
const LONGEST_BETWEEN_MS: f64 = 900_000.0;

/// What is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Newest model.
    pub model: Digest,
    /// Its line in the release ledger with place, proof and signed head, canonical JSON; `None`
    /// while it stands under no signed head.
    pub logged: Option<Bytes>,
    /// The same of the line the ledger began with.
    pub genesis: Option<Bytes>,
    /// Catalogue.
    pub catalogue: Digest,
    /// Number of the newest round that ended.
    pub round: u32,
    /// Rounds planned.
    pub rounds_planned: u32,
    /// Whether the task is complete.
    pub finished: bool,
}

/// The board. Written by the driver, read by handlers.
pub struct Board {
    cohort: u32,
    fleet: Fleet,
    pace: Mutex<Pace>,
    /// When the newest round opened, and what lay between it and the one before, in milliseconds;
    /// 0 where there is none.
    opened: AtomicU64,
    between: AtomicU64,
    open: RwLock<Option<Arc<OpenRound>>>,
    published: RwLock<Option<Published>>,
    received: AtomicU32,
    /// Leaf hashes of the release ledger, for proofs, and its newest line of a restore.
    ledger: RwLock<(Vec<Digest>, Option<Restored>)>,
    /// The set of the round that closed last: a device whose acknowledgement was lost still hears
    /// that it counts.
    counted: RwLock<(Option<Digest>, BTreeMap<DeviceId, Contribution>)>,
}

/// The newest line of a ledger that says it was restored.
pub struct Restored {
    /// Its place.
    pub seq: u64,
    /// Its exact bytes.
    pub line: Vec<u8>,
}

impl Board {
    /// An empty board of a task with this cohort.
    pub fn new(cohort: u32, fleet: Fleet) -> Self {
        Self {
            cohort,
            fleet,
            pace: Mutex::new(Pace::new(fleet.check_ins_per_hour)),
            opened: AtomicU64::new(0),
            between: AtomicU64::new(0),
            open: RwLock::new(None),
            published: RwLock::new(None),
            received: AtomicU32::new(0),
            ledger: RwLock::default(),
            counted: RwLock::default(),
        }
    }

    /// The open round.
    pub fn open(&self) -> Option<Arc<OpenRound>> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Offers a round, or nothing.
    pub fn set_open(&self, round: Option<OpenRound>, received: u32) {
        self.received.store(received, Ordering::Relaxed);
        if let Some(round) = &round {
            let before = self.opened.swap(round.opened.0, Ordering::Relaxed);
            let between = if before == 0 {
                0
            } else {
                round.opened.0.saturating_sub(before)
            };
            self.between.store(between, Ordering::Relaxed);
        }
        *self
            .open
            .write()
            .unwrap_or_else(PoisonError::into_inner) = round.map(Arc::new);
    }

    /// Remembers the fixed set of a round that closes.
    pub fn set_counted(&self, ticket: Digest, set: impl Iterator<Item = Contribution>) {
        let set = set.map(|one| (one.device, one)).collect();
        *self
            .counted
            .write()
            .unwrap_or_else(PoisonError::into_inner) = (Some(ticket), set);
    }

    /// Whether exactly this contribution is in the set of the round that closed last.
    pub fn is_counted(&self, ticket: Digest, contribution: &Contribution) -> bool {
        let counted = self
            .counted
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        counted.0 == Some(ticket) && counted.1.get(&contribution.device) == Some(contribution)
    }

    /// Takes over the ledger's leaf hashes, and the newest line that says it was restored.
    pub fn set_ledger(&self, leaves: &[Digest], restored: Option<Restored>) {
        *self
            .ledger
            .write()
            .unwrap_or_else(PoisonError::into_inner) = (leaves.to_owned(), restored);
    }

    /// The newest of the first `new_size` lines that says the ledger was restored, with its proof.
    pub fn restored(&self, new_size: u64) -> Option<RestoredLine> {
        let ledger = self
            .ledger
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let (leaves, restored) = &*ledger;
        let Restored { seq, line } = restored.as_ref()?;
        let under = leaves.get(..usize::try_from(new_size).ok()?)?;
        Some(RestoredLine {
            line: line.clone(),
            seq: *seq,
            proof: merkle::inclusion_proof(under, usize::try_from(*seq).ok()?)?,
        })
    }

    /// Proof that the ledger of `new_size` lines continues that of `old_size`; `None` when it has
    /// no such lines.
    pub fn consistency(&self, old_size: u64, new_size: u64) -> Option<Vec<Digest>> {
        let ledger = self
            .ledger
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let (old, new) = (
            usize::try_from(old_size).ok()?,
            usize::try_from(new_size).ok()?,
        );
        merkle::consistency_proof(ledger.0.get(..new)?, old)
    }

    /// What is published; `None` until recovery is done.
    pub fn published(&self) -> Option<Published> {
        self.published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Objects that devices are asked to fetch now, the model in force first; `None` until recovery
    /// is done.
    pub fn objects(&self) -> Option<Vec<Digest>> {
        let published = self.published()?;
        let asked = self.open();
        let asked = asked.map(|round| round.ticket.content().model_in_hash);
        let objects = [published.model, published.catalogue];
        Some(objects.into_iter().chain(asked).collect())
    }

    /// Announces what is published.
    pub fn set_published(&self, published: Published) {
        *self
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(published);
    }

    /// Durable contributions of the open round.
    pub fn received(&self) -> u32 {
        self.received.load(Ordering::Relaxed)
    }

    /// Notes durable contributions.
    pub fn set_received(&self, received: u32) {
        self.received.store(received, Ordering::Relaxed);
    }

    /// Devices a round takes.
    pub fn cohort(&self) -> u32 {
        self.cohort
    }

    /// Takes note of a check-in.
    pub fn arrived(&self, now: Timestamp) {
        self.pace().arrived(now);
    }

    /// When a device should come back, in milliseconds: when there may be something for it to do,
    /// and the fleet leaves room. Depends on public progress, on when devices come, and on why this
    /// one `refused` its last ticket, on nothing else.
    ///
    /// Only who is told with the same answer that the task has `finished` rests as long as that
    /// allows: anybody else would not know of it before.
    pub fn retry_after_ms(
        &self,
        device: DeviceId,
        now: Timestamp,
        (finished, refused): (bool, Option<RefusalCode>),
    ) -> u64 {
        let rest_ms = if finished {
            self.fleet.finished_ms()
        } else if refused.is_some_and(RefusalCode::lasts) {
            self.fleet.refused_ms().max(self.rest_ms(now))
        } else {
            self.rest_ms(now)
        };
        self.pace()
            .promise(device, now, rest_ms, unit_random())
    }

    /// When a device that only receives should come back, in milliseconds: as seldom as one whose
    /// task has ended.
    pub fn refresh_after_ms(&self, device: DeviceId, now: Timestamp) -> u64 {
        let rest_ms = self.fleet.finished_ms();
        self.pace()
            .promise(device, now, rest_ms, unit_random())
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the open round is expected to end, or the next one to open.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bounded, and finer than anybody waits"
    )]
    fn rest_ms(&self, now: Timestamp) -> u64 {
        let between = self.between.load(Ordering::Relaxed) as f64 * SHARE_OF_ROUND;
        let rest = if self.open().is_some() {
            SHORTEST_MS + self.expected_rest_ms(now)
        } else {
            between.clamp(SHORTEST_MS, LONGEST_BETWEEN_MS)
        };
        rest as u64
    }

    /// Time the open round still needs at its pace so far; at most as long again as it has been
    /// open, because an early estimate rests on few devices.
    fn expected_rest_ms(&self, now: Timestamp) -> f64 {
        let received = f64::from(self.received());
        match self.open() {
            Some(round) if received > 0.0 => {
                let rest = (f64::from(self.cohort) - received).max(0.0);
                let so_far = now.millis_since(round.opened) as f64;
                (so_far / received * rest).min(so_far)
            }
            _ => 0.0,
        }
    }
}

/// Uniform in [0, 1): spreads devices, protects nothing.
fn unit_random() -> f64 {
    f64::from(rand::rngs::SysRng.try_next_u32().unwrap_or(0)) / 2f64.powi(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HOSTILE 10: sizes a device may ask for, whatever the ledger has.
    #[test]
    fn a_proof_is_given_for_what_the_ledger_has_and_for_nothing_else() {
        let board = Board::new(4, Fleet::default());
        assert_eq!(board.consistency(0, 1), None, "before the ledger is known");
        let leaves: Vec<Digest> = (0..5u8).map(|line| merkle::leaf(&[line])).collect();
        board.set_ledger(&leaves, None);
        let proof = board.consistency(2, 5).unwrap();
        let head = |size: usize| (size as u64, merkle::root(&leaves[..size]));
        assert!(merkle::verify_consistency(head(2), head(5), &proof));
        assert_eq!(board.consistency(0, 5), Some(Vec::new()));
        for (old, new) in [(5, 2), (2, 6), (6, 6), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            assert_eq!(board.consistency(old, new), None, "{old} {new}");
        }
    }

    /// Who said that no round of this task will be answered is not asked every round.
    #[test]
    fn a_refusal_that_lasts_brings_a_device_back_in_hours_and_others_soon() {
        let fleet = Fleet::default();
        let board = Board::new(4, fleet);
        for (number, code) in (0..).zip(RefusalCode::ALL) {
            let device = DeviceId([number; 16]);
            let after_ms = board.retry_after_ms(device, Timestamp(0), (false, Some(code)));
            let hours = after_ms >= fleet.refused_ms();
            assert_eq!(hours, code.lasts(), "{code:?}: {after_ms} ms");
        }
    }

    /// A device whose update was the last is answered when the task may have ended meanwhile.
    #[test]
    fn who_was_not_told_that_the_task_has_finished_comes_back_soon_to_hear_it() {
        let fleet = Fleet::default();
        let board = Board::new(4, fleet);
        board.set_published(Published {
            model: Digest([1; 32]),
            logged: None,
            genesis: None,
            catalogue: Digest([2; 32]),
            round: 1,
            rounds_planned: 1,
            finished: true,
        });
        for (told, number) in [(true, 1), (false, 2)] {
            let device = DeviceId([number; 16]);
            let after_ms = board.retry_after_ms(device, Timestamp(0), (told, None));
            assert_eq!(after_ms >= fleet.finished_ms(), told, "{after_ms} ms");
        }
    }
}
