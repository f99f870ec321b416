//! Who may take part in an open round: selection before the spend.
//!
//! A device spends when it accepts a ticket, whether there is a place for it or not. So it gets the
//! ticket only together with a [`Lease`], and whoever gets none spends nothing. [`Leases`] is the
//! book of one round. It stays with the coordinator: no lease is in a ticket, in what a seed is
//! bound to, or anywhere the helper sees.
//!
//! More devices are selected than the cohort needs, because some will not answer
//! ([`places`]). Whoever was selected and answers is counted, also beyond the cohort: the ticket's
//! `cohort_max` covers every lease a round may ever grant, and the round stays open while
//! somebody's lease is valid.

use std::collections::{BTreeMap, BTreeSet};

use tacit_types::{DeviceId, Timestamp};

/// Least and most that is selected beyond the cohort, thousandths of it.
const OVER_SELECTION_MILLI: (u64, u64) = (100, 300);

/// Devices that may be selected at a time for `cohort` contributions when `dropout_milli`
/// thousandths of those selected stay away: cohort / (1 - p), from 10 to 30 % above the cohort.
pub fn places(cohort: u32, dropout_milli: u32) -> u32 {
    let (least, most) = OVER_SELECTION_MILLI;
    let away = u64::from(dropout_milli.min(999));
    let over = (1000 * away / (1000 - away)).clamp(least, most);
    let above = (u64::from(cohort) * over).div_ceil(1000);
    cohort.saturating_add(u32::try_from(above).unwrap_or(u32::MAX))
}

/// The right of one device to take part in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// When the device sends, however early it is done.
    pub send_at: Timestamp,
    /// Until when the round waits for the device. A contribution that comes later is still taken
    /// while the round is open.
    pub valid_until: Timestamp,
}

/// Numbers of one round's leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Contributions the round waits for until its deadline.
    pub cohort: u32,
    /// Contributions it waits for from then on.
    pub set_min: u32,
    /// Most devices that have answered or are waited for: [`places`].
    pub places: u32,
    /// Most devices ever selected: the ticket's `cohort_max`.
    pub granted_max: u32,
    /// Devices send from this time to twice this time after they were selected.
    pub spread_ms: u64,
    /// Time for which a device is waited for after it was to send.
    pub patience_ms: u64,
    /// The ticket's deadline.
    pub deadline: Timestamp,
    /// When the ticket's last contribution is taken.
    pub last_call: Timestamp,
}

/// What a device that asks is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// It is selected now. Make the lease durable before it is said.
    Granted(Lease),
    /// It was selected before.
    Held(Lease),
    /// It is not selected.
    Not,
}

/// What became of one lease.
#[derive(Clone, Copy, Debug)]
struct Held {
    lease: Lease,
    /// Its contribution is durable, or it said that it will send none.
    settled: bool,
}

/// The leases of one round.
#[derive(Debug)]
pub struct Leases {
    terms: Terms,
    held: BTreeMap<DeviceId, Held>,
    /// Who is waited for, by the end of the lease.
    awaited: BTreeSet<(Timestamp, DeviceId)>,
    answered: u32,
    closed: bool,
}

impl Lease {
    /// Until when the device may spend on it: the rest of its time is for the way.
    pub fn spend_until(&self) -> Timestamp {
        let patience = self.valid_until.millis_since(self.send_at);
        self.send_at.plus_millis(patience / 2)
    }
}

impl Terms {
    /// Contributions after which nobody else is selected, and the end of a lease granted now. After
    /// the deadline only what the set lacks is still looked for, until the last call.
    fn at(&self, now: Timestamp) -> (u32, Timestamp) {
        if now < self.deadline {
            (self.cohort, self.deadline)
        } else {
            (self.set_min, self.last_call)
        }
    }
}

impl Leases {
    /// A round that has selected nobody.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            held: BTreeMap::new(),
            awaited: BTreeSet::new(),
            answered: 0,
            closed: false,
        }
    }

    /// The round as it stood when the process stopped: leases that were durable, and the devices
    /// whose contributions were. Everybody else who was selected is waited for again.
    pub fn resume(
        terms: Terms,
        durable: impl IntoIterator<Item = (DeviceId, Lease)>,
        answered: impl IntoIterator<Item = DeviceId>,
    ) -> Self {
        let mut leases = Self::new(terms);
        for (device, lease) in durable {
            leases.hold(device, lease);
        }
        for device in answered {
            leases.answered(device);
        }
        leases
    }

    /// Selects a device, if there is a place. Asking again gives the same lease; one that has ended
    /// unanswered is renewed while there is a place for it. `draw` is uniform and decides when the
    /// device sends.
    pub fn ask(&mut self, device: DeviceId, now: Timestamp, draw: u32) -> Selection {
        if self.closed {
            return Selection::Not;
        }
        let known = self.held.get(&device).copied();
        match known {
            Some(known) if known.settled => return Selection::Not,
            Some(known) if now < known.lease.valid_until => return Selection::Held(known.lease),
            Some(_) => {}
            None if self.held.len() >= self.terms.granted_max as usize => return Selection::Not,
            None => {}
        }
        let lease = self.lease(now, draw);
        if lease.send_at >= lease.valid_until || !self.has_place(now) {
            return Selection::Not;
        }
        self.hold(device, lease);
        Selection::Granted(lease)
    }

    /// Whether this device was ever selected.
    pub fn is_held(&self, device: DeviceId) -> bool {
        self.held.contains_key(&device)
    }

    /// A device's contribution is durable.
    pub fn answered(&mut self, device: DeviceId) {
        if self.settle(device) {
            self.answered = self.answered.saturating_add(1);
        }
    }

    /// A device said that it will not take part: it is no longer waited for, and its place goes to
    /// another.
    pub fn declined(&mut self, device: DeviceId) {
        self.settle(device);
    }

    /// The round takes nothing more: nobody is selected any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Share of the devices selected that did not answer, thousandths, leaving out those that
    /// declined.
    pub fn dropout_milli(&self) -> Option<u32> {
        let declined = self.held.values().filter(|held| held.settled).count() as u64;
        let declined = declined.saturating_sub(self.answered.into());
        let asked = (self.held.len() as u64).saturating_sub(declined);
        let away = asked.saturating_sub(self.answered.into());
        (1000 * away)
            .checked_div(asked)
            .map(|milli| u32::try_from(milli).unwrap_or(1000))
    }

    /// Devices that were ever selected.
    pub fn granted(&self) -> usize {
        self.held.len()
    }

    /// Devices whose lease is valid and that have not answered.
    pub fn awaited(&mut self, now: Timestamp) -> usize {
        while let Some(first) = self.awaited.first().copied()
            && first.0 <= now
        {
            self.awaited.remove(&first);
        }
        self.awaited.len()
    }

    fn has_place(&mut self, now: Timestamp) -> bool {
        let (wanted, _) = self.terms.at(now);
        let taken = self.answered as usize + self.awaited(now);
        self.answered < wanted && taken < self.terms.places as usize
    }

    fn lease(&self, now: Timestamp, draw: u32) -> Lease {
        let Terms {
            spread_ms,
            patience_ms,
            ..
        } = self.terms;
        let (_, ends) = self.terms.at(now);
        // spread * draw / 2^32, without a fraction.
        let drawn = (u128::from(spread_ms) * u128::from(draw)) >> 32;
        let wait = spread_ms.saturating_add(u64::try_from(drawn).unwrap_or(u64::MAX));
        let send_at = now.plus_millis(wait);
        let valid_until = send_at.plus_millis(patience_ms).min(ends);
        Lease {
            send_at,
            valid_until,
        }
    }

    fn hold(&mut self, device: DeviceId, lease: Lease) {
        let held = Held {
            lease,
            settled: false,
        };
        if let Some(before) = self.held.insert(device, held) {
            self.awaited
                .remove(&(before.lease.valid_until, device));
        }
        self.awaited.insert((lease.valid_until, device));
    }

    /// Waits for this device no longer; false when it was not waited for.
    fn settle(&mut self, device: DeviceId) -> bool {
        let Some(held) = self.held.get_mut(&device).filter(|held| !held.settled) else {
            return false;
        };
        held.settled = true;
        self.awaited.remove(&(held.lease.valid_until, device));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000);

    fn terms(cohort: u32) -> Terms {
        Terms {
            cohort,
            places: places(cohort, 50),
            granted_max: 2 * cohort,
            spread_ms: 100,
            patience_ms: 1000,
            set_min: cohort.min(3),
            deadline: START.plus_millis(60_000),
            last_call: START.plus_millis(90_000),
        }
    }

    fn device(name: u32) -> DeviceId {
        let mut id = [0; DeviceId::LEN];
        id[..4].copy_from_slice(&name.to_be_bytes());
        DeviceId(id)
    }

    fn granted(selection: Selection) -> Lease {
        match selection {
            Selection::Granted(lease) => lease,
            other => panic!("{other:?}"),
        }
    }

    /// Devices 0 to `count` ask at once; gives how many are selected.
    fn ask_all(leases: &mut Leases, devices: std::ops::Range<u32>, now: Timestamp) -> usize {
        let asked = devices.map(|name| leases.ask(device(name), now, 0));
        asked
            .filter(|told| matches!(told, Selection::Granted(_)))
            .count()
    }

    #[test]
    fn more_are_selected_where_more_stay_away_from_10_to_30_percent() {
        for (dropout_milli, expected) in [(0, 110), (50, 110), (130, 115), (200, 125), (999, 130)] {
            assert_eq!(places(100, dropout_milli), expected, "{dropout_milli}");
        }
        assert_eq!((places(1, 0), places(u32::MAX, 0)), (2, u32::MAX));
    }

    #[test]
    fn asking_again_gives_the_same_lease_and_takes_no_second_place() {
        let mut leases = Leases::new(terms(4));
        let first = granted(leases.ask(device(1), START, u32::MAX));
        let again = leases.ask(device(1), START.plus_millis(500), 0);
        assert_eq!(again, Selection::Held(first));
        assert_eq!((leases.granted(), leases.awaited(START)), (1, 1));
    }

    #[test]
    fn a_device_sends_between_one_and_two_spreads_after_it_was_selected() {
        for (draw, after) in [(0, 100), (1 << 31, 150), (u32::MAX, 199)] {
            let lease = granted(Leases::new(terms(4)).ask(device(1), START, draw));
            assert_eq!(lease.send_at, START.plus_millis(after));
            assert_eq!(lease.valid_until, lease.send_at.plus_millis(1000));
        }
    }

    #[test]
    fn places_of_who_stays_away_go_to_others_until_every_lease_is_granted() {
        let mut leases = Leases::new(terms(40));
        let mut now = START;
        assert_eq!(ask_all(&mut leases, 0..300, now), 44);
        assert_eq!(ask_all(&mut leases, 0..300, now), 0, "all places are taken");
        now = now.plus_millis(1100);
        assert_eq!(leases.awaited(now), 0, "nobody answered in time");
        assert_eq!(ask_all(&mut leases, 100..300, now), 36, "80 in all");
        now = now.plus_millis(1100);
        assert_eq!(
            ask_all(&mut leases, 100..300, now),
            36,
            "renewed, nobody new"
        );
        assert_eq!(leases.granted(), 80);
    }

    #[test]
    fn whoever_declined_or_answered_is_not_selected_again() {
        let mut leases = Leases::new(terms(1));
        assert_eq!(ask_all(&mut leases, 0..3, START), 2);
        leases.declined(device(0));
        leases.declined(device(0));
        assert_eq!(leases.ask(device(0), START, 0), Selection::Not);
        assert_eq!(leases.awaited(START), 1);
        leases.answered(device(1));
        leases.answered(device(1));
        assert_eq!(leases.answered, 1);
        assert_eq!(ask_all(&mut leases, 0..9, START), 0, "the cohort is in");
        assert!(leases.is_held(device(0)) && !leases.is_held(device(7)));
    }

    #[test]
    fn nobody_is_selected_to_send_after_a_deadline() {
        let mut leases = Leases::new(terms(4));
        for (late, ends) in [(59_900, terms(4).deadline), (89_900, terms(4).last_call)] {
            let late = START.plus_millis(late);
            assert_eq!(leases.ask(device(1), late, 0), Selection::Not);
            let in_time = Timestamp(late.0 - 900);
            let lease = granted(leases.ask(device(1), in_time, 0));
            assert_eq!(lease.valid_until, ends);
            assert!(lease.send_at < lease.spend_until() && lease.spend_until() < ends);
        }
    }

    #[test]
    fn after_the_deadline_only_what_the_set_lacks_is_selected() {
        let mut leases = Leases::new(terms(4));
        assert_eq!(ask_all(&mut leases, 0..2, START), 2);
        let late = terms(4).deadline;
        leases.answered(device(0));
        leases.answered(device(1));
        assert_eq!(ask_all(&mut leases, 2..3, late), 1, "the set lacks one");
        leases.answered(device(2));
        assert_eq!(ask_all(&mut leases, 3..9, late), 0, "it lacks none");
    }

    /// HOSTILE 140.
    #[test]
    fn a_restart_waits_for_whoever_was_selected_and_did_not_answer() {
        let mut before = Leases::new(terms(4));
        let durable: Vec<_> = (0..5)
            .map(|name| (device(name), granted(before.ask(device(name), START, 7))))
            .collect();
        let mut after = Leases::resume(terms(4), durable.clone(), [device(0), device(9)]);
        assert_eq!(
            (after.granted(), after.awaited(START), after.answered),
            (5, 4, 1)
        );
        for (name, lease) in &durable[1..] {
            assert_eq!(after.ask(*name, START, 0), Selection::Held(*lease));
        }
        assert_eq!(after.ask(device(6), START, 0), Selection::Not);
    }
}
