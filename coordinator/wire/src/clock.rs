//! The one place a daemon reads the time.

use tacit_types::Timestamp;

/// Milliseconds since the Unix epoch, from the system clock.
#[allow(
    clippy::disallowed_methods,
    reason = "the composition root hands this function down"
)]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
