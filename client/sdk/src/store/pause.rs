//! When a contribution is sent: not as soon as it is ready, which would tell how long it took.

use std::time::Duration;

use tacit_types::Timestamp;

/// A wait that began at one moment of the wall clock, since it has to outlive the process. It is
/// never longer than it was set: a clock that was put back ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    since: Timestamp,
    wait_ms: u64,
}

impl Pause {
    /// No wait.
    pub const NONE: Self = Self {
        since: Timestamp(0),
        wait_ms: 0,
    };

    /// A wait of whole milliseconds that begins now.
    pub fn new(now: Timestamp, wait: Duration) -> Self {
        Self {
            since: now,
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// What is left of it.
    pub fn left(self, now: Timestamp) -> Duration {
        let Some(passed) = now.0.checked_sub(self.since.0) else {
            return Duration::ZERO;
        };
        Duration::from_millis(self.wait_ms.saturating_sub(passed))
    }

    /// As the store keeps it: when it began, and how long it is.
    pub(super) fn stored(self) -> (i64, i64) {
        let kept = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        (kept(self.since.0), kept(self.wait_ms))
    }

    /// What [`Self::stored`] gave. A negative number cannot be written, and reads as no wait.
    pub(super) fn read((since, wait): (i64, i64)) -> Self {
        Self {
            since: Timestamp(u64::try_from(since).unwrap_or(0)),
            wait_ms: u64::try_from(wait).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_in_time_whatever_the_clock_does() {
        let pause = Pause::new(Timestamp(1_000), Duration::from_millis(500));
        for (now, left) in [
            (1_000, 500),
            (1_400, 100),
            (1_500, 0),
            (9_000, 0),
            (999, 0),
            (0, 0),
        ] {
            assert_eq!(pause.left(Timestamp(now)).as_millis(), left, "{now}");
        }
        assert_eq!(Pause::read(pause.stored()), pause);
        assert_eq!(Pause::read((-1, -1)), Pause::NONE);
        assert_eq!(Pause::NONE.left(Timestamp(0)), Duration::ZERO);
    }
}
