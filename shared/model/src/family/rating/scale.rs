//! The scale of ratings.

/// The public scale of the ratings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Least rating.
    pub low: f64,
    /// Largest rating, above the least.
    pub high: f64,
}

impl Scale {
    /// A scale between finite ends at least a hundredth apart and at most a million from 0; `None`
    /// for any other.
    pub fn new(low: f64, high: f64) -> Option<Self> {
        let bounded = low.abs() <= 1e6 && high.abs() <= 1e6;
        (bounded && high - low >= 0.01).then_some(Self { low, high })
    }

    /// One to five stars.
    pub const STARS: Self = Self {
        low: 1.0,
        high: 5.0,
    };

    /// mu, the middle.
    pub fn midpoint(self) -> f64 {
        f64::midpoint(self.low, self.high)
    }

    /// One star of five: ratings differ from their owner's mean by about this much.
    pub fn unit(self) -> f64 {
        (self.high - self.low) / 4.0
    }

    /// The nearest rating on the scale.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "rounded to storage precision"
    )]
    pub fn clamp(self, rating: f32) -> f32 {
        rating.clamp(self.low as f32, self.high as f32)
    }

    pub(crate) fn nearest(self, rating: f64) -> f64 {
        rating.clamp(self.low, self.high)
    }
}
