//! When each device comes back, so that a fleet of any size checks in at a flat rate.
//!
//! [`Pace`] keeps a calendar of the returns it has promised, one count a second. A device is given
//! the first second, from when there may be something for it to do, that still has room: a thousand
//! devices that return at once are a thousand promises, spread as far as the rate wants it. The
//! size of the fleet is nowhere estimated; it shows in how far the calendar is filled. What nobody
//! was told to do (new devices, a coordinator that lost its calendar with its process, phones that
//! were off) is measured, and leaves so much less room.
//!
//! Memory does not grow with the fleet. Who was promised what is remembered of those that came
//! lately, at places found by their names: a device that comes again before it was told to has its
//! promise moved, not a second one. Nothing here depends on what a device did or sent.

use tacit_types::{DeviceId, Timestamp};

/// Seconds a promise may lie ahead, about 36 hours: as far as devices believe it.
const AHEAD: u64 = 1 << 17;
/// Seconds of a block, which is passed over at once when it is full.
const BLOCK: u64 = 64;
/// Devices whose promises are remembered, 2 MiB.
const PLACES: usize = 1 << 18;
/// Returns nobody was told to make count over about so many seconds.
const MEASURED_SECONDS: f64 = 60.0;
/// A clock that is set back further than this begins a new calendar.
const SET_BACK_SECONDS: u64 = 60;
/// Share of the rate that is promised whatever else comes.
const LEAST_SHARE: f64 = 0.25;

/// The calendar.
pub(crate) struct Pace {
    /// Check-ins a second, at most.
    rate: f64,
    /// Promised returns of each second from `now` on, a ring.
    calendar: Box<[u32]>,
    /// Promised returns of each block of seconds.
    blocks: Box<[u32]>,
    /// The second it is.
    now: u64,
    /// Promises of devices that came lately.
    lately: Box<[Kept]>,
    /// Returns a second that nobody was told to make, in the long run.
    untold: f64,
    /// Check-ins of this second.
    arrived: u32,
}

/// A device's promise.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// A part of the device's name.
    device: u32,
    /// Since 1970; 0 for none.
    second: u32,
}

impl Pace {
    /// For at most `an_hour` check-ins an hour.
    pub(crate) fn new(an_hour: u32) -> Self {
        let seconds = usize::try_from(AHEAD).unwrap_or(usize::MAX);
        Self {
            rate: f64::from(an_hour) / 3600.0,
            calendar: vec![0; seconds].into(),
            blocks: vec![0; block(AHEAD - 1) + 1].into(),
            now: 0,
            lately: vec![Kept::default(); PLACES].into(),
            untold: 0.0,
            arrived: 0,
        }
    }

    /// Takes note that a device has come.
    pub(crate) fn arrived(&mut self, now: Timestamp) {
        self.advance(now);
        self.arrived += 1;
    }

    /// Milliseconds after which a device is to return that has nothing to do for `rest_ms`.
    /// `chance`, uniform in [0, 1), decides where within its second.
    pub(crate) fn promise(
        &mut self,
        device: DeviceId,
        now: Timestamp,
        rest_ms: u64,
        chance: f64,
    ) -> u64 {
        self.advance(now);
        self.take_back(device);

        let rest_ms = rest_ms.min((AHEAD - 2) * 1000);
        let earliest = (now.0 + rest_ms) / 1000;
        let second = self.first_with_room(earliest.max(self.now));
        self.calendar[ring(second)] += 1;
        self.blocks[block(second)] += 1;
        self.keep(device, second);

        // Where nobody else is in the way, soon after there may be something to do.
        let soon = now.0 + rest_ms;
        let begins = second * 1000;
        let within = if begins > soon {
            1000
        } else {
            (begins + 1000 - soon).min(200 + rest_ms / 4)
        };
        let at = begins.max(soon) + portion(within, chance);
        at - now.0
    }

    /// The first second from `earliest` on with room; the last of all when none has any.
    fn first_with_room(&self, earliest: u64) -> u64 {
        let room = self.room();
        let room_of_block = room * BLOCK as f64;
        let last = self.now + AHEAD - 1;
        let mut second = earliest.min(last);
        while second < last {
            let begins = second.is_multiple_of(BLOCK);
            let promised = self.calendar[ring(second)];
            let of_block = self.blocks[block(second)];
            if begins && f64::from(of_block) >= room_of_block {
                second += BLOCK;
            } else if f64::from(promised) >= room {
                second += 1;
            } else {
                return second;
            }
        }
        last
    }

    /// Returns that may be promised for one second.
    fn room(&self) -> f64 {
        let least = LEAST_SHARE * self.rate;
        let left = self.rate - self.untold;
        left.clamp(least, self.rate)
    }

    /// Forgets the promise a device has for later than this second.
    fn take_back(&mut self, device: DeviceId) {
        let (place, name) = place(device);
        let kept = self.lately[place];
        let second = u64::from(kept.second);
        let count = &mut self.calendar[ring(second)];
        if kept.device == name && second > self.now && *count > 0 {
            *count -= 1;
            self.blocks[block(second)] -= 1;
        }
    }

    fn keep(&mut self, device: DeviceId, second: u64) {
        let (place, device) = place(device);
        let second = u32::try_from(second).unwrap_or(0);
        self.lately[place] = Kept { device, second };
    }

    /// Goes to the second of `now`. A clock that was set back a little stands still; one that was
    /// set back far, or forward by more than the calendar holds, empties it.
    fn advance(&mut self, now: Timestamp) {
        let second = now.0 / 1000;
        if second + SET_BACK_SECONDS < self.now {
            self.calendar.fill(0);
            self.blocks.fill(0);
            self.lately.fill(Kept::default());
            self.now = second;
        }
        if second <= self.now {
            return;
        }
        let passed = second - self.now;
        let due = f64::from(self.calendar[ring(self.now)]);
        let arrived = std::mem::take(&mut self.arrived);
        let excess = f64::from(arrived) - due;
        for gone in 0..passed.min(AHEAD) {
            let gone = self.now + gone;
            let count = std::mem::take(&mut self.calendar[ring(gone)]);
            self.blocks[block(gone)] -= count;
        }
        self.now = second;

        // Nobody came in the other seconds that passed. What was promised for them and missed is
        // made up for when it comes late.
        let kept = 1.0 - 1.0 / MEASURED_SECONDS;
        let first = self.untold * kept + excess / MEASURED_SECONDS;
        #[allow(clippy::cast_precision_loss, reason = "bounded by the calendar")]
        let others = (passed.min(AHEAD) - 1) as f64;
        self.untold = first * kept.powf(others);
    }
}

/// Where a second stands in the calendar.
fn ring(second: u64) -> usize {
    usize::try_from(second % AHEAD).expect("less than the calendar's length")
}

/// Where the block of a second stands.
fn block(second: u64) -> usize {
    ring(second) / usize::try_from(BLOCK).expect("a small number")
}

/// Where a device's promise stands, and the part of its name that tells it from others there. Names
/// are random, so any parts will do.
fn place(device: DeviceId) -> (usize, u32) {
    let [a, b, c, d, e, f, g, h, ..] = device.0;
    let place = u32::from_le_bytes([a, b, c, d]) as usize % PLACES;
    (place, u32::from_le_bytes([e, f, g, h]))
}

/// A part of some milliseconds.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a chance of at most a second"
)]
fn portion(milliseconds: u64, chance: f64) -> u64 {
    (milliseconds as f64 * chance) as u64
}

#[cfg(test)]
mod tests;
