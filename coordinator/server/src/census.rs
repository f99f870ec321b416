//! Who has checked in lately, and why devices refused: counted in bounded memory, whatever the
//! number of devices.
//!
//! A sample of at most `KEPT_MAX` devices: those whose name, read as a number, lies below a
//! threshold that falls as the sample fills (adaptive sampling; Flajolet 1990, "On adaptive
//! sampling"). Names are drawn uniformly by the coordinator, so no device chooses to be in it. Up
//! to `KEPT_MAX` devices are counted exactly; of more, within some 2 %.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tacit_round::refusal::RefusalCode;
use tacit_types::{DeviceId, Timestamp};

/// Devices in the sample.
const KEPT_MAX: usize = 4096;
/// Counts below this are not shown: few devices are told apart by them.
const SHOWN_MIN: u64 = 20;

/// Least time after its check-in for which a device counts: it comes back in its own time.
const WINDOW_MIN_MS: u64 = 60_000;

/// A census that check-ins write and the driver reads.
pub type Shared = Arc<Mutex<Census>>;

/// The devices that checked in lately.
#[derive(Debug)]
pub struct Census {
    window_ms: u64,
    /// By the first half of the name.
    kept: BTreeMap<u64, Seen>,
    /// Only names below this are in the sample.
    below: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Timestamp,
    refusal: Option<RefusalCode>,
}

impl Census {
    /// Nobody yet; a device counts from its check-in for as long as a round waits, `deadline_ms`,
    /// and for a minute at least.
    pub fn new(deadline_ms: u64) -> Self {
        Self {
            window_ms: deadline_ms.max(WINDOW_MIN_MS),
            kept: BTreeMap::new(),
            below: u64::MAX,
        }
    }

    /// A device checked in, and said why it refused its last ticket.
    pub fn note(&mut self, device: DeviceId, refusal: Option<RefusalCode>, now: Timestamp) {
        let name = first_half(device);
        if name >= self.below {
            return;
        }
        self.kept.insert(name, Seen { at: now, refusal });
        if self.kept.len() > KEPT_MAX {
            self.thin_out(now);
        }
    }

    /// Devices that checked in lately.
    pub fn recent(&self, now: Timestamp) -> u64 {
        self.scaled(self.lately(now).count() as u64)
    }

    /// How many of them refused their last ticket, by the reason, where they are enough to be
    /// shown.
    pub fn refusals(&self, now: Timestamp) -> BTreeMap<RefusalCode, u64> {
        let mut counts = BTreeMap::new();
        for refusal in self.lately(now).filter_map(|seen| seen.refusal) {
            *counts.entry(refusal).or_insert(0) += 1;
        }
        counts
            .into_iter()
            .map(|(refusal, count)| (refusal, self.scaled(count)))
            .filter(|(_, count)| *count >= SHOWN_MIN)
            .collect()
    }

    fn lately(&self, now: Timestamp) -> impl Iterator<Item = &Seen> {
        let window = self.window_ms;
        self.kept
            .values()
            .filter(move |seen| now.millis_since(seen.at) < window)
    }

    /// What a count in the sample says of all devices.
    fn scaled(&self, count: u64) -> u64 {
        let whole = u128::from(count) << 64;
        u64::try_from(whole / (u128::from(self.below) + 1)).unwrap_or(u64::MAX)
    }

    /// Makes room: first of who has not been seen for long, then by a lower threshold.
    fn thin_out(&mut self, now: Timestamp) {
        let window = self.window_ms;
        self.kept
            .retain(|_, seen| now.millis_since(seen.at) < window);
        while self.kept.len() > KEPT_MAX
            && let Some((name, _)) = self.kept.pop_last()
        {
            self.below = name;
        }
    }
}

fn first_half(device: DeviceId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = device.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn seen(devices: usize, refusal: Option<RefusalCode>) -> Census {
        let mut rng = StdRng::seed_from_u64(1);
        let mut census = Census::new(60_000);
        for _ in 0..devices {
            let mut name = [0; DeviceId::LEN];
            rng.fill_bytes(&mut name);
            census.note(DeviceId(name), refusal, NOW);
            census.note(DeviceId(name), refusal, NOW);
        }
        census
    }

    #[test]
    fn few_are_counted_exactly_and_many_within_a_few_percent() {
        for few in [0, 1, 40, KEPT_MAX] {
            assert_eq!(seen(few, None).recent(NOW), few as u64);
        }
        let many = seen(200_000, None);
        assert!(many.kept.len() <= KEPT_MAX);
        let counted = many.recent(NOW);
        // 4,096 of 200,000: a standard error of 1.6 %, and five of them.
        assert!((184_000..=216_000).contains(&counted), "{counted}");
    }

    #[test]
    fn who_was_not_seen_lately_does_not_count() {
        let census = seen(40, None);
        assert_eq!(census.recent(NOW.plus_millis(59_999)), 40);
        assert_eq!(census.recent(NOW.plus_millis(60_000)), 0);
        assert_eq!(census.recent(Timestamp(0)), 40, "a clock that went back");
    }

    /// HOSTILE 144.
    #[test]
    fn a_refusal_is_shown_from_twenty_devices_on() {
        let shown = |devices| seen(devices, Some(RefusalCode::Budget)).refusals(NOW);
        assert_eq!(shown(19), BTreeMap::new());
        assert_eq!(shown(20), BTreeMap::from([(RefusalCode::Budget, 20)]));
        assert_eq!(seen(50, None).refusals(NOW), BTreeMap::new());
    }
}
