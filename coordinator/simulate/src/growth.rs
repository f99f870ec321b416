//! An incremental spectral job: the catalogue grew, and one round with carry starts from last job's basis.

use rand::seq::SliceRandom;
use tacit_data::Dataset;
use tacit_model::Model;
use tacit_model::interaction::Interaction;
use tacit_model::model::{Owner, Step};
use tacit_model::preference::History;
use tacit_model::recipe::Recipe;
use tacit_model::spectral::growth::carried_over;
use tacit_round::ticket::Kind;
use tacit_server::job::Job;
use tacit_types::ItemId;

use crate::error::SimulateError;
use crate::streams::{Purpose, stream};
use crate::train::{Run, spectral};

/// Share of the update's budget for the counts of the grown catalogue; the round gets the rest.
const COUNTS_SHARE: f64 = 0.05;

/// Renumbers a data set so that random items come last, as if a catalogue had grown by them.
#[must_use]
pub fn renumbered(mut data: Dataset, seed: u64) -> Dataset {
    let mut order: Vec<usize> = (0..data.items.len()).collect();
    order.shuffle(&mut stream(seed, Purpose::Growth, 0, 0));
    let mut place = vec![ItemId(0); order.len()];
    (0u32..).zip(&order).for_each(|(new, &old)| place[old] = ItemId(new));
    let moved = |item: &mut ItemId| *item = place[item.0 as usize];
    data.items = order.iter().map(|&old| data.items[old].clone()).collect();
    data.users.iter_mut().flatten().for_each(|one| moved(&mut one.item));
    data.test.iter_mut().flatten().for_each(moved);
    data.negatives.iter_mut().flatten().flatten().for_each(moved);
    data
}

/// What devices knew when the catalogue had `items` items.
pub fn earlier(interactions: &[Vec<Interaction>], items: u32, history_max: u32) -> Vec<History> {
    interactions.iter().map(|own| History::new(own, items, history_max as usize)).collect()
}

/// Updates `previous` at the price and with the crowd of `whole`, a job planned for the grown catalogue: counts, then one
/// round with carry. Falls back to the counts alone where that job does.
///
/// # Errors
/// [`SimulateError::Job`] when a release has no sound mechanism.
pub fn update(previous: &Model, histories: &[History], whole: &Job, seed: u64) -> Result<Run, SimulateError> {
    let fallback = whole.fallback || previous.factor_count() == 0;
    let counts_share = if fallback { 1.0 } else { COUNTS_SHARE };
    let recipe = Recipe { head: 0, rounds: 0, ..whole.recipe.clone() };
    let job = Job { recipe, ..whole.clone() };
    // Every round carries on from the previous basis.
    let step = Step { recipe: &job.recipe, first: false, next: None, features: None, seed, in_doubt: false };
    let owners: Vec<Owner<'_>> = histories.iter().map(Owner::from).collect();
    let mut run = Run::start(job.genesis());
    run.release(&owners, &job, (Kind::Counts, whole.rho_budget.share(counts_share)), &step)?;
    if !fallback {
        run.model = carried_over(spectral(previous)?, spectral(&run.model)?).into();
        let round = (Kind::FactorGradient, whole.rho_budget.share(1.0 - COUNTS_SHARE));
        run.release(&owners, &job, round, &step)?;
    }
    Ok(run)
}
