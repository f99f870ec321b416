//! Erases, once a day, what is kept about enrolments for a while only.

use std::time::Duration;

use tacit_types::Timestamp;
use tacit_wire::Shutdown;
use tokio::time::sleep;

use crate::enrolment::Enrolment;

const EVERY: Duration = Duration::from_secs(24 * 3600);
/// After a failure: another process may have been writing.
const AGAIN: Duration = Duration::from_secs(600);

/// Sweeps at once and then daily, until the drain.
pub(crate) async fn keep(
    enrolment: Enrolment,
    days: u32,
    now: fn() -> Timestamp,
    shutdown: Shutdown,
) {
    loop {
        let (book, at) = (enrolment.clone(), now());
        let swept = tokio::task::spawn_blocking(move || book.sweep(days, at)).await;
        let pause = match swept {
            Ok(Ok(rows)) => {
                tracing::info!(event = "enrolments_swept", rows);
                EVERY
            }
            Ok(Err(error)) => {
                tracing::warn!(event = "enrolments_not_swept", %error);
                AGAIN
            }
            // The runtime stops.
            Err(_) => return,
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = shutdown.drain.cancelled() => return,
        }
    }
}
