//! How much less older items count.

use tacit_types::ItemId;

use crate::history::preference::History;

/// Half-life of timed histories unless the application sets another, in items used since. How it
/// was chosen: `tests/quality/TUNING.md`, "Half-life".
pub const HALF_LIFE: f32 = 10.0;

/// Share of a weight that is left after `age` further items.
pub(crate) fn decay(half_life: f32, age: usize) -> f64 {
    if half_life > 0.0 {
        (-(age as f64) / f64::from(half_life)).exp2()
    } else {
        1.0
    }
}

/// The items, latest first, each with `2^(-age / half-life)`; with 1 where the history is untimed
/// or the half-life not above 0.
pub(crate) fn decayed(
    history: &History,
    half_life: Option<f32>,
) -> impl Iterator<Item = (ItemId, f64)> {
    let half_life = half_life.filter(|half_life| history.is_timed() && *half_life > 0.0);
    let share = move |age: usize| {
        half_life.map_or(1.0, |half_life| {
            (-(age as f64) / f64::from(half_life)).exp2()
        })
    };
    history
        .items()
        .iter()
        .rev()
        .enumerate()
        .map(move |(age, item)| (*item, share(age)))
}
