//! How long to wait before the next try, by the reason and how often it has been met.

use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::reason::Reason;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Wait before try number `tries` + 1 when `tries` have failed in a row for this reason: doubled
/// from try to try up to the reason's longest, then shortened by up to half by `jitter`, uniform in
/// [0, 1), so that devices cut off together do not come back together.
pub fn backoff(reason: Reason, tries: u32, jitter: f64) -> Duration {
    let (first, longest) = bounds(reason);
    let doubled = first.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    doubled.min(longest).mul_f64(1.0 - jitter / 2.0)
}

/// First and longest wait. What mends itself soon begins at a second; what a person has to mend
/// somewhere goes up to hours.
fn bounds(reason: Reason) -> (Duration, Duration) {
    let seconds = Duration::from_secs;
    match reason {
        Reason::StoreBusy | Reason::SystemShort => (seconds(1), MINUTE),
        Reason::Unreachable | Reason::NotNow => (seconds(1), 15 * MINUTE),
        Reason::Silent => (seconds(2), HOUR),
        // A round that is just closing looks like this, too.
        Reason::ClockAhead { .. } => (seconds(2), HOUR),
        Reason::ServerName
        | Reason::Untrusted
        | Reason::CertificateExpired { .. }
        | Reason::ClockBehind { .. }
        | Reason::OwnCertificate
        | Reason::Revoked => (seconds(30), 6 * HOUR),
    }
}

/// How often one reason has been met in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    met: Option<(Reason, u32)>,
}

impl Backoff {
    /// Notes a failed try; gives the wait before the next, at least `least`. A reason is said in
    /// the log when it is not the one before.
    pub fn later(&mut self, reason: Reason, detail: &str, least: Duration) -> Duration {
        let (wait, new) = self.met(reason, unit_random());
        let wait = wait.max(least);
        let seconds = wait.as_secs();
        if new {
            tracing::warn!(event = "waiting", %reason, detail, seconds);
        } else {
            tracing::debug!(event = "waiting", %reason, detail, seconds);
        }
        wait
    }

    /// Forgets what failed: a try succeeded.
    pub fn clear(&mut self) {
        self.met = None;
    }

    fn met(&mut self, reason: Reason, jitter: f64) -> (Duration, bool) {
        let before = self.met.filter(|(met, _)| met.same(reason));
        let tries = before.map_or(0, |(_, tries)| tries).saturating_add(1);
        self.met = Some((reason, tries));
        (backoff(reason, tries, jitter), before.is_none())
    }
}

/// Uniform in [0, 1), from the operating system: it depends on nothing this device knows.
fn unit_random() -> f64 {
    f64::from(SysRng.try_next_u32().unwrap_or(0)) / 2f64.powi(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HOSTILE 117: nobody hammers, and who was cut off together comes back spread over half of
    /// the wait.
    #[test]
    fn waits_double_up_to_hours_and_are_spread() {
        let ahead = Reason::ClockAhead { by_ms: 600_000 };
        let expired = Reason::CertificateExpired { by_ms: 1 };
        for (reason, tries, seconds) in [
            (Reason::Unreachable, 1, 1),
            (Reason::Unreachable, 4, 8),
            (Reason::Unreachable, 11, 900),
            (Reason::Unreachable, u32::MAX, 900),
            (Reason::NotNow, 2, 2),
            (Reason::StoreBusy, 100, 60),
            (Reason::Silent, 1, 2),
            (Reason::Silent, 30, 3600),
            (ahead, 1, 2),
            (ahead, 40, 3600),
            (Reason::ServerName, 1, 30),
            (Reason::Untrusted, 3, 120),
            (expired, 1000, 21_600),
            (Reason::ClockBehind { by_ms: 1 }, 2, 60),
            (Reason::OwnCertificate, 20, 21_600),
        ] {
            let whole = Duration::from_secs(seconds);
            assert_eq!(backoff(reason, tries, 0.0), whole, "{reason:?} {tries}");
            let half = backoff(reason, tries, 1.0);
            assert_eq!(half, whole / 2, "{reason:?} {tries}");
        }
    }

    #[test]
    fn a_reason_is_new_once_whatever_its_difference_and_a_success_forgets_it() {
        let mut backoff = Backoff::default();
        let expired = |by_ms| Reason::CertificateExpired { by_ms };
        let seconds = Duration::from_secs;
        assert_eq!(backoff.met(expired(1), 0.0), (seconds(30), true));
        assert_eq!(backoff.met(expired(2), 0.0), (seconds(60), false));
        assert_eq!(backoff.met(Reason::Silent, 0.0), (seconds(2), true));
        assert_eq!(backoff.met(expired(3), 0.0), (seconds(30), true));
        backoff.clear();
        assert_eq!(backoff.met(expired(3), 0.0), (seconds(30), true));
        let least = backoff.later(Reason::StoreBusy, "", seconds(5));
        assert_eq!(least, seconds(5));
    }
}
