//! The recipe of a task of this family.

use crate::family::recipe::{Recipe, factors_max};

/// Most directions of the hidden layer that are trained, r.
pub const DIRECTIONS: u32 = 128;

/// Factors of a network unless asked otherwise.
const FACTORS: u32 = 32;
/// Rounds unless asked otherwise.
const ROUNDS: u32 = 2;
/// Share for the counts: the layer is short and needs little.
const COUNTS_SHARE: f64 = 0.3;

/// The recipe of a task of this family, the same at every signal. How it was chosen:
/// `tests/quality/TUNING.md`, "Network".
pub fn recipe(catalogue_len: u32) -> Recipe {
    let widest = directions(catalogue_len).min(factors_max(catalogue_len));
    Recipe {
        rounds: ROUNDS,
        factors: FACTORS.min(widest),
        weight_exponent: 0.1,
        carry: 0.5,
        counts_share: COUNTS_SHARE,
        ..Recipe::counts_only()
    }
}

/// r, at most: a basis of a catalogue has no more directions than items.
pub fn directions(catalogue_len: u32) -> u32 {
    DIRECTIONS.min(catalogue_len)
}
