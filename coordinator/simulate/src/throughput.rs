//! How fast devices were simulated.

/// Devices simulated, and the processor time their factor gradients took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throughput {
    /// Factor gradients computed, rounded and added.
    pub devices: u64,
    /// Processor seconds of all threads.
    pub cpu_seconds: f64,
}

impl Throughput {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            devices: self.devices + other.devices,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
        }
    }

    /// Devices per processor second; `None` before any.
    pub fn rate(&self) -> Option<f64> {
        (self.devices > 0 && self.cpu_seconds > 0.0).then(|| self.devices as f64 / self.cpu_seconds)
    }
}
