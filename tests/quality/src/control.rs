//! A counter that learns nothing and must score chance.
//!
//! Evaluations leak when a held-out item leaves a trace in what was counted for training: then
//! counting alone finds it. The counter scores an item by how often its user's training
//! interactions name it, with ties broken by chance.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_model::history::preference::History;
use tacit_simulate::Population;
use tacit_simulate::quality::{Figures, judge};

/// Hit ratio of chance against 99 negatives.
pub(crate) const CHANCE: f64 = 0.1;

/// The counter's figures.
pub(crate) fn counter(population: &Population) -> Figures {
    judge(population, |user| {
        let mut rng = ChaCha20Rng::seed_from_u64(user as u64);
        let mut scores: Vec<f32> = (0..population.items)
            .map(|_| (rng.next_u32() >> 8) as f32 / 16_777_216.0)
            .collect();
        let everything = History::new(&population.interactions[user], population.items, usize::MAX);
        everything
            .items()
            .iter()
            .for_each(|item| scores[item.0 as usize] += 1.0);
        scores
    })
}

/// Whether the figures are chance: within 4 standard errors, a false alarm in about 16,000.
pub(crate) fn is_chance(figures: &Figures) -> bool {
    let error = (CHANCE * (1.0 - CHANCE) / figures.tested.max(1) as f64).sqrt();
    figures
        .hr_at_10_sampled
        .is_some_and(|ratio| (ratio - CHANCE).abs() < 4.0 * error)
}
