//! References of every result that need no central recommender: a random ranking, what the whole
//! budget buys of counts, alone and with public features, and the same without noise.

use rand::Rng;
use tacit_model::Features;
use tacit_model::family::recipe::Recipe;
use tacit_model::family::spectral::score::popularity_scores;
use tacit_model::family::{Family, Model, Owner};
use tacit_model::history::preference::History;
use tacit_plan::Plan;
use tacit_round::ticket::Kind;

use crate::error::SimulateError;
use crate::population::Population;
use crate::quality::{Figures, judge};
use crate::streams::{Purpose, stream};
use crate::train::{train, train_featured, train_without_noise};

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
    let run = train(histories, &counts_only(plan), seed)?;
    let list = popularity_scores(run.model.counts());
    Ok(judge(population, |_| list.clone()))
}

/// Item counts at the task's full price, and the public features; devices rank with `half_life`, as
/// they would with the task's model. What a task has to beat that trains factors; `None` where the
/// catalogue says nothing of its items.
///
/// # Errors
/// As [`private_popularity`].
pub fn counts_with_features(
    population: &Population,
    histories: &[History],
    plan: &Plan,
    half_life: Option<f32>,
    seed: u64,
) -> Result<Option<Figures>, SimulateError> {
    if !population.features.tell_apart() {
        return Ok(None);
    }
    let counts_only = counts_only(plan);
    let run = train_featured(histories, &population.features, &counts_only, seed)?;
    Ok(Some(ranked_with(population, &run.model, half_life)))
}

/// The plan that spends everything on counts: a signal below the planner's floor makes one.
fn counts_only(plan: &Plan) -> Plan {
    Plan {
        model: Family::Spectral,
        releases: vec![(Kind::Counts, plan.rho_budget)],
        recipe: Recipe::counts_only(),
        signal: 0.0,
        fallback: true,
        ..plan.clone()
    }
}

/// The same family without noise: the recipe the planner picks for an unlimited budget, with the
/// operator's own choices put in. No bound on what a task can reach: a recipe for little noise has
/// come out below one for some.
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
