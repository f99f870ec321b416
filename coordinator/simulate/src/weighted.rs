//! A job of weighted squares: half of the budget for a spectral job to start from, half for rounds of item-factor gradients.
//!
//! Its gradient is no kind of the protocol; it goes through the same rounding, accounting and noise.

use tacit_accounting::{Crowd, Shape, mechanism_for};
use tacit_model::preference::History;
use tacit_model::recipe::Recipe;
use tacit_model::weighted::device::sparse_gradient;
use tacit_model::weighted::server::{apply_gradient, warm_start};
use tacit_model::weighted::{WeightedModel, WeightedTerms};
use tacit_privacy::{Rho, convert};
use tacit_server::ServerError;
use tacit_server::job::Job;
use tacit_types::Epsilon;

use crate::error::SimulateError;
use crate::job::{self, Setting};
use crate::release::{Opening, everybody, noiseless, present};
use crate::train::{Run, spectral, train, train_without_noise};

/// Name of the release in records.
const KIND: &str = "weighted_gradient";
/// Share of the budget for the spectral job that gives the first factors.
const START_SHARE: f64 = 0.5;
/// Rounds without noise, enough to reach central implicit ALS.
pub const ROUNDS_WITHOUT_NOISE: u32 = 6;
/// Signals from which on more rounds are affordable, and how many; else one.
const ROUNDS: [(f64, u32); 2] = [(1000.0, 5), (300.0, 3)];

/// What is released, and at what price.
pub struct WeightedJob {
    /// The spectral job.
    start: Job,
    /// Rounds of item-factor gradients.
    rounds: u32,
    /// Price of each.
    rho: Rho,
    terms: WeightedTerms,
}

/// Splits the budget of a planned job.
///
/// Below the planner's floor the whole budget goes to counts, and devices rank by popularity.
///
/// # Errors
/// [`SimulateError::Job`] when the spectral half alone makes no job.
pub fn plan(whole: &Job, setting: &Setting) -> Result<WeightedJob, SimulateError> {
    let terms = WeightedTerms::default();
    if whole.fallback {
        return Ok(WeightedJob { start: whole.clone(), rounds: 0, rho: Rho::ZERO, terms });
    }
    let half = convert::epsilon(whole.rho_budget.share(START_SHARE), 0, setting.delta);
    let epsilon = Epsilon::new(half).map_err(|error| SimulateError::Input(format!("--epsilon: {error}")))?;
    // The popularity axis is one of the factors here.
    let factors = setting.factors.map(|factors| factors.saturating_sub(1).max(1));
    let start = job::plan(whole.cohort, whole.items, &Setting { epsilon, factors, rounds: None, ..setting.clone() })?;
    let planned = ROUNDS.iter().find(|(signal, _)| whole.signal >= *signal).map_or(1, |(_, rounds)| *rounds);
    let rounds = setting.rounds.unwrap_or(planned).max(1);
    Ok(WeightedJob { rho: whole.rho_budget.share((1.0 - START_SHARE) / f64::from(rounds)), start, rounds, terms })
}

/// Runs a planned job on `histories`, one per device; projections as in [`mod@crate::train`].
///
/// # Errors
/// [`SimulateError::Job`] when a release has no sound mechanism.
pub fn train_weighted(
    histories: &[History],
    job: &WeightedJob,
    seed: u64,
) -> Result<Run<WeightedModel>, SimulateError> {
    let start = train(histories, &job.start, seed)?;
    let model = warm_start(spectral(&start.model)?, job.terms.clone());
    let mut run = start.map(|_| model);
    let crowd = Crowd { cohort: job.start.cohort, n_min: job.start.n_min, helper_noise: job.start.helper_noise };
    for _ in 0..job.rounds {
        let release = run.next_release();
        let shape = shape(&run.model, job.start.history_max);
        let mechanism = mechanism_for(job.rho, &shape, &crowd).map_err(|error| ServerError::of_plan(&error))?;
        let opening =
            Opening { users: histories.len(), cohort: job.start.cohort, mechanism: &mechanism, seed, release };
        let present = present(histories.len(), &job.start, seed, release);
        let opened = opening.open(&present, |user| sparse_gradient(&histories[user as usize], &run.model));
        let noise_std = mechanism.sum_noise_std(opened.contributors);
        run.model = apply_gradient(&run.model, &opened.sum(&mechanism), opened.contributors, noise_std);
        run.record(KIND, mechanism, opened.contributors, opened.spent);
    }
    Ok(run)
}

/// The same without noise, on the finest grid, from the spectral recipe for an unlimited signal: (items, `factors`).
///
/// # Errors
/// As [`train_without_noise`].
///
/// # Panics
/// When `factors` is below 2.
pub fn without_noise(
    histories: &[History],
    items: u32,
    factors: u32,
    rounds: u32,
    terms: WeightedTerms,
) -> Result<WeightedModel, SimulateError> {
    assert!(factors > 1, "one factor is popularity");
    let recipe = Recipe::for_signal(f64::INFINITY, items).expect("an unlimited signal trains factors");
    let recipe = Recipe { factors: (factors - 1).min(items), ..recipe };
    let mut model = warm_start(spectral(&train_without_noise(histories, items, &recipe, 0)?)?, terms);
    for release in 0..rounds {
        let mechanism = noiseless(&shape(&model, u32::MAX), histories.len());
        let opening = Opening { users: histories.len(), cohort: 0, mechanism: &mechanism, seed: 0, release };
        let opened =
            opening.open(&everybody(histories.len()), |user| sparse_gradient(&histories[user as usize], &model));
        model = apply_gradient(&model, &opened.sum(&mechanism), opened.contributors, 0.0);
    }
    Ok(model)
}

/// Item rows a device used, and the d rows of its (d, d) matrix.
fn shape(model: &WeightedModel, history_max: u32) -> Shape {
    let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let (items, d) = (count(model.catalogue_len()), count(model.factor_count()));
    let used = history_max.min(items).saturating_add(d).saturating_mul(d);
    Shape { length: count(model.gradient_len()), row_width: d, nnz_max: used, history_max }
}
