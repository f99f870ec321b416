//! Largest sizes a published model may have, whatever its family.

/// Largest catalogue, in items.
pub const CATALOGUE_MAX: u32 = 1 << 22;
/// Largest factor matrix, in numbers; the length of a factor gradient.
pub const FACTORS_MAX: usize = 1 << 22;
