//! The raw vector a device computes from its owner's behaviour, before any protection.

use std::fmt;

/// One device's unprotected statistic for one release: dense, in the coordinates the ticket
/// announces.
///
/// Raw by definition, so it has no `Serialize`, no `Clone`, and prints as its length only. The
/// single way onward is `tacit_privacy::clip`, which consumes it.
///
/// Compiles only without serialisation:
/// ```compile_fail
/// fn sendable<T: serde::Serialize>(_: T) {}
/// sendable(tacit_types::ItemGradient::new(vec![0.0]));
/// ```
pub struct ItemGradient(Vec<f32>);

impl ItemGradient {
    /// Wraps the coordinates as computed, finite or not: clipping decides what becomes of them.
    pub fn new(coordinates: Vec<f32>) -> Self {
        Self(coordinates)
    }

    /// Number of coordinates.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no coordinates.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives the coordinates up to the clipping step.
    pub fn into_coordinates(self) -> Vec<f32> {
        self.0
    }
}

impl fmt::Debug for ItemGradient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ItemGradient(N={})", self.0.len())
    }
}
