//! How a daemon ends: politely, then hard.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// After the drain begins, connections still open are closed hard when this has passed.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(25);

/// How a daemon is asked to stop: first politely, then hard.
#[derive(Clone, Default)]
pub struct Shutdown {
    /// Stop accepting and finish what is in flight.
    pub drain: CancellationToken,
    /// Close every connection now.
    pub close: CancellationToken,
}

impl Shutdown {
    /// Starts the drain and closes hard once its deadline has passed.
    pub async fn begin(&self) {
        self.drain.cancel();
        self.drained().await;
    }

    /// Waits for the drain to begin and then for its deadline, and closes hard what is left.
    pub async fn drained(&self) {
        self.drain.cancelled().await;
        tokio::select! {
            () = self.close.cancelled() => {}
            () = sleep(DRAIN_DEADLINE) => self.close.cancel(),
        }
    }
}
