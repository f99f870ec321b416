//! A fleet of a million phones, simulated with the calendar of the coordinator.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// The hour in which every simulation begins.
const BEGIN: u64 = 1_800_000_000_000;
const AN_HOUR: u32 = 360_000;
const A_SECOND: u64 = 100;

/// Phones that come back when they are told to.
struct Fleet {
    pace: Pace,
    /// When each comes next, in milliseconds, the earliest first.
    coming: BinaryHeap<Reverse<(u64, u32)>>,
    /// Check-ins of each second since the begin.
    seen: Vec<u64>,
    random: SmallRng,
}

impl Fleet {
    /// Phones of which the first check-ins are spread over some seconds.
    fn new(phones: u32, over_seconds: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(7);
        let first = |phone| {
            let at = BEGIN + random.random_range(0..over_seconds * 1000);
            Reverse((at, phone))
        };
        Self {
            coming: (0..phones).map(first).collect(),
            pace: Pace::new(AN_HOUR),
            seen: Vec::new(),
            random,
        }
    }

    /// Lets time pass until so many seconds after the begin.
    fn run(&mut self, until_seconds: u64, rest_ms: u64) {
        let until = BEGIN + until_seconds * 1000;
        while let Some(&Reverse((at, phone))) = self.coming.peek() {
            if at >= until {
                break;
            }
            self.coming.pop();
            let next = at + self.check_in(at, phone, rest_ms);
            self.coming.push(Reverse((next, phone)));
        }
        self.seen.resize(index(until_seconds), 0);
    }

    fn check_in(&mut self, at: u64, phone: u32, rest_ms: u64) -> u64 {
        let second = index((at - BEGIN) / 1000);
        self.seen.resize(self.seen.len().max(second + 1), 0);
        self.seen[second] += 1;
        let (device, now) = (name(phone), Timestamp(at));
        self.pace.arrived(now);
        let chance = self.random.random();
        self.pace.promise(device, now, rest_ms, chance)
    }

    /// Most and mean check-ins a second, over ten seconds each, from one second to another.
    fn rates(&self, from: usize, to: usize) -> (f64, f64) {
        let tens = self.seen[from..to].chunks(10);
        let rates = tens.map(|ten| ten.iter().sum::<u64>() as f64 / ten.len() as f64);
        let rates: Vec<f64> = rates.collect();
        let most = rates.iter().copied().fold(0.0, f64::max);
        (most, rates.iter().sum::<f64>() / rates.len() as f64)
    }
}

fn index(second: u64) -> usize {
    usize::try_from(second).unwrap()
}

/// Spread as the first bytes of random names are.
fn name(phone: u32) -> DeviceId {
    let mut bytes = [0; DeviceId::LEN];
    let spread = u64::from(phone).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bytes[..8].copy_from_slice(&spread.rotate_left(32).to_le_bytes());
    DeviceId(bytes)
}

#[test]
fn a_million_phones_check_in_at_a_flat_rate() {
    // They came within half an hour, five times as fast as is wanted: an update of the app.
    let mut fleet = Fleet::new(1_000_000, 1800);
    fleet.run(8 * 3600, 0);

    // Once each has been told when to return, every ten seconds have what is wanted and no more.
    let (most, mean) = fleet.rates(2 * 3600, 8 * 3600);
    let target = A_SECOND as f64;
    assert!(most <= 1.1 * target, "{most} a second");
    assert!(mean >= 0.8 * target, "{mean} a second");
    println!("check-ins a second of 1,000,000 phones: {mean:.1} in the mean, {most:.1} at most");
}

#[test]
fn a_calendar_that_was_lost_is_made_up_for() {
    let mut fleet = Fleet::new(200_000, 2000);
    fleet.run(7200, 0);
    // The coordinator is killed; its phones return as they were told to.
    fleet.pace = Pace::new(AN_HOUR);
    fleet.run(5 * 3600, 0);

    let (most, _) = fleet.rates(7200, 7200 + 300);
    assert!(most <= 2.0 * A_SECOND as f64, "{most} a second at first");
    let (most, mean) = fleet.rates(3 * 3600, 5 * 3600);
    assert!(most <= 1.2 * A_SECOND as f64, "{most} a second later");
    assert!(mean >= 0.8 * A_SECOND as f64, "{mean} a second later");
}

#[test]
fn a_thousand_that_return_at_once_do_so_once() {
    let mut fleet = Fleet::new(1000, 1);
    fleet.run(600, 60_000);
    let crowded = fleet.seen[1..].iter().max();
    assert!(crowded.is_some_and(|most| *most <= A_SECOND), "{crowded:?}");
    assert_eq!(fleet.seen[0], 1000);
}

#[test]
fn few_phones_return_when_there_is_something_to_do() {
    let mut pace = Pace::new(AN_HOUR);
    let now = Timestamp(BEGIN + 300);
    for phone in 0..20 {
        pace.arrived(now);
        let after = pace.promise(name(phone), now, 200, 0.5);
        assert!((200..1000).contains(&after), "{after}");
    }
}

/// A device that checks in all the time has one promise, and takes nobody's room.
#[test]
fn who_asks_again_and_again_has_one_promise() {
    let mut pace = Pace::new(AN_HOUR);
    for again in 0..100_000 {
        let now = Timestamp(BEGIN + again);
        pace.arrived(now);
        pace.promise(name(1), now, 0, 0.0);
    }

    let now = Timestamp(BEGIN + 101_000);
    pace.arrived(now);
    let promised: u32 = pace.calendar.iter().sum();
    assert!(promised <= 1, "{promised}");
    let after = pace.promise(name(2), now, 0, 0.0);
    assert!(after < 2000, "{after}");
}

#[test]
fn a_clock_may_be_set() {
    let mut pace = Pace::new(AN_HOUR);
    let (now, day) = (Timestamp(BEGIN), 86_400_000);
    pace.promise(name(1), now, day, 0.0);
    let back = Timestamp(BEGIN - 400 * day);
    let after = pace.promise(name(2), back, 5000, 0.0);
    assert!((5000..7000).contains(&after), "{after}");
    let far = Timestamp(BEGIN + 4000 * day);
    pace.arrived(far);
    assert_eq!(pace.calendar.iter().sum::<u32>(), 0);
    assert!(pace.promise(name(1), far, u64::MAX, 0.9) <= AHEAD * 1000);
}
