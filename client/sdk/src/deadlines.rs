//! How long a device waits for what, so that no peer can hold it.

use std::time::Duration;

/// Limits of one step. The defaults are for production; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// A connection must stand, TLS included, within this time.
    pub connect: Duration,
    /// A call must be answered within this time; a contribution's includes sending it and waiting
    /// for an upload slot.
    pub call: Duration,
    /// An object must come on by 64 KiB, or end, within this time.
    pub progress: Duration,
    /// A peer with an open call is asked for a sign of life this often, and must give one in as
    /// long again.
    pub keepalive: Duration,
    /// All that a step does over the network must end within this time.
    pub step: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            call: seconds(120),
            progress: seconds(15),
            keepalive: seconds(10),
            step: seconds(1800),
        }
    }
}
