//! Log lines that a stranger can cause, at a bounded rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// At most one line in this time.
const EVERY: Duration = Duration::from_secs(10);

/// Counts events; the first is said at once, later ones together.
#[derive(Default)]
pub(super) struct Rate(Mutex<State>);

#[derive(Default)]
struct State {
    said: Option<Instant>,
    unsaid: u64,
}

impl Rate {
    /// Counts one event. How many to speak of, when it is time to speak.
    pub(super) fn count(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.unsaid += 1;
        if state.said.is_some_and(|said| now < said + EVERY) {
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HOSTILE 20.
    #[test]
    fn the_first_event_is_said_at_once_and_the_others_are_counted() {
        let (rate, start) = (Rate::default(), Instant::now());
        assert_eq!(rate.count(start), Some(1));
        for event in 0..500 {
            assert_eq!(rate.count(start + Duration::from_millis(event)), None);
        }
        assert_eq!(rate.count(start + EVERY), Some(501));
        assert_eq!(rate.count(start + EVERY), None);
    }
}
