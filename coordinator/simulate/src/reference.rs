//! References of every result: a random ranking, the private popularity list the whole budget would
//! buy, the same model without noise, and a central recommender that saw everything.

use rand::Rng;
use tacit_model::Features;
use tacit_model::family::recipe::Recipe;
use tacit_model::family::spectral::score::popularity_scores;
use tacit_model::family::{Family, Model, Owner};
use tacit_model::history::preference::History;
use tacit_model::measure::baseline::{IalsConfig, ials};
use tacit_plan::Plan;
use tacit_round::ticket::Kind;

use crate::error::SimulateError;
use crate::population::Population;
use crate::quality::{Figures, judge};
use crate::streams::{Purpose, stream};
use crate::train::{train, train_without_noise};

/// Quality of devices that rank with `model`; `half_life` as in [`Model::scores`].
pub fn ranked_with(population: &Population, model: &Model, half_life: Option<f32>) -> Figures {
    judge(population, |user| {
        model.scores(&Owner::from(&population.histories[user]), half_life)
    })
}

/// A random order for each user.
pub fn random(population: &Population, seed: u64) -> Figures {
    judge(population, |user| {
        let mut rng = stream(seed, Purpose::Ranking, 0, user as u64);
        (0..population.items)
            .map(|_| (rng.next_u32() >> 8) as f32)
            .collect()
    })
}

/// One list for everybody: item counts with the noise of one release at the task's full price, no
/// factors.
///
/// # Errors
/// [`SimulateError::Plan`] when that release has no sound mechanism.
pub fn private_popularity(
    population: &Population,
    histories: &[History],
    plan: &Plan,
    seed: u64,
) -> Result<Figures, SimulateError> {
    // A signal below the planner's floor is what makes a plan of counts alone.
    let counts_only = Plan {
        model: Family::Spectral,
        releases: vec![(Kind::Counts, plan.rho_budget)],
        signal: 0.0,
        fallback: true,
        ..plan.clone()
    };
    let list = popularity_scores(train(histories, &counts_only, seed)?.model.counts());
    Ok(judge(population, |_| list.clone()))
}

/// The same family without noise: the recipe the planner picks for an unlimited budget, with the
/// operator's own choices put in.
///
/// # Errors
/// As [`train_without_noise`].
pub fn without_noise(
    histories: &[History],
    items: u32,
    features: Option<&Features>,
    factors: Option<u32>,
    rounds: Option<u32>,
) -> Result<Model, SimulateError> {
    let mut recipe =
        Recipe::for_signal(f64::INFINITY, items).expect("an unlimited signal trains factors");
    recipe.rounds = rounds.unwrap_or(recipe.rounds);
    recipe.factors = factors.unwrap_or(recipe.factors).min(items);
    train_without_noise(histories, items, features, &recipe, 0)
}

/// Implicit ALS at `factors` factors, trained centrally on everything.
pub fn central_ials(population: &Population, factors: u32, seed: u64) -> Figures {
    let factors = (factors.clamp(1, population.items.max(1))) as usize;
    let model = ials(
        &population.histories,
        population.items,
        &IalsConfig::new(factors, seed),
    );
    judge(population, |user| model.scores(&population.histories[user]))
}
