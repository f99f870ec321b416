//! The one place that reads a clock: processor time of this process, for figures per CPU-second.

use rustix::time::{ClockId, clock_gettime};

/// Seconds of processor time all threads of this process have used.
pub(crate) fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 * 1e-9
}
