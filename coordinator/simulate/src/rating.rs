//! Jobs that predict ratings: one release for biases and counts, then the spectral subspace of what was rated.
//!
//! The rating release is no kind of the protocol; it goes through the same rounding, accounting and noise.

use serde::Serialize;
use tacit_accounting::{Crowd, Shape, mechanism_for};
use tacit_model::model::Step;
use tacit_model::rating::central::rating_als;
use tacit_model::rating::device::{predictions, sparse_biases};
use tacit_model::rating::server::{Opened, assemble, open_biases};
use tacit_model::rating::{RatingModel, Scale};
use tacit_model::recipe::Recipe;
use tacit_model::spectral::{SpectralModel, server};
use tacit_privacy::{Mechanism, Rho, convert};
use tacit_round::ticket::Kind;
use tacit_server::ServerError;
use tacit_server::job::Job;

use crate::error::SimulateError;
use crate::job::{self, Setting};
use crate::outcome::Spread;
use crate::rated::RatedPopulation;
use crate::release::{Opening, everybody, noiseless, present};
use crate::train::{Run, Throughput, spectral, train_without_noise};

/// Name of the release in records.
const KIND: &str = "rating_bias";
/// Share of the budget for biases where factors are trained too.
const BIAS_SHARE: f64 = 0.5;
/// Share for the head Gram of what the biases leave over.
const HEAD_SHARE: f64 = 0.35;
/// Signal below which everything goes to the biases: on MovieLens-1M's first 2,999 users (tenths 5 to 7) factors cost .006 RMSE
/// at q 25 and .003 at 31; on MovieLens-100K they gain .006 at 31.
const SIGNAL_MIN: f64 = 28.0;
/// Factors unless asked otherwise; users with few ratings cannot be fitted to more.
const FACTORS: u32 = 16;
/// Most head items.
const HEAD_MAX: u32 = 500;
/// Factors of the central reference.
const CENTRAL_FACTORS: usize = 16;

/// A planned rating job.
pub struct RatingJob {
    /// Public numbers, with the releases after the first.
    job: Job,
    /// Price of the first.
    bias_rho: Rho,
}

/// Splits the budget of a planned job.
pub fn plan(whole: Job, factors: Option<u32>) -> RatingJob {
    if whole.fallback || whole.signal < SIGNAL_MIN {
        return biases_alone(whole);
    }
    let recipe = recipe(&whole.recipe, factors.unwrap_or(FACTORS).min(whole.items));
    let rest = 1.0 - BIAS_SHARE;
    let head_share = if recipe.head > 0 { HEAD_SHARE } else { 0.0 };
    let head = (recipe.head > 0).then(|| (Kind::HeadGram, whole.rho_budget.share(rest * head_share)));
    let round = (Kind::FactorGradient, whole.rho_budget.share(rest * (1.0 - head_share)));
    let releases = head.into_iter().chain([round]).collect();
    RatingJob { bias_rho: whole.rho_budget.share(BIAS_SHARE), job: Job { recipe, releases, ..whole } }
}

/// Everything for the biases.
fn biases_alone(whole: Job) -> RatingJob {
    let bias_rho = whole.rho_budget;
    RatingJob { bias_rho, job: Job { recipe: Recipe::counts_only(), releases: Vec::new(), ..whole } }
}

/// One round after a head Gram, every item in it: ratings of rare items are predicted too.
fn recipe(planned: &Recipe, factors: u32) -> Recipe {
    Recipe {
        factors,
        rounds: 1,
        coverage: 1.0,
        weight_exponent: 0.1,
        head: planned.head.min(HEAD_MAX),
        ..planned.clone()
    }
}

/// Runs a planned job.
///
/// # Errors
/// [`SimulateError::Job`] when a release has no sound mechanism.
pub fn train_rating(
    population: &RatedPopulation,
    planned: &RatingJob,
    seed: u64,
) -> Result<Run<RatingModel>, SimulateError> {
    let job = &planned.job;
    let crowd = Crowd { cohort: job.cohort, n_min: job.n_min, helper_noise: job.helper_noise };
    let mechanism = mechanism_for(planned.bias_rho, &shape(job.items, job.history_max), &crowd)
        .map_err(|error| ServerError::of_plan(&error))?;
    let users = population.ratings.len();
    let opening = Opening { users, cohort: job.cohort, mechanism: &mechanism, seed, release: 0 };
    let (opened, contributors) = open(population, &opening, &present(users, job, seed, 0), &job.recipe);
    let start = if job.recipe.head == 0 && job.recipe.rounds > 0 {
        server::random_init(&opened.counted, &job.recipe, seed)
    } else {
        opened.counted
    };
    let mut run = Run { model: start.into(), releases: Vec::new(), throughput: Throughput::default() };
    run.record(KIND, mechanism, contributors, Throughput::default());
    for &release in &job.releases {
        run.release(&population.histories, job, release, &Step { recipe: &job.recipe, first: true, seed })?;
    }
    let model = assembled(population, opened.biases, spectral(&run.model)?);
    Ok(run.map(|_| model))
}

/// The same without noise, on the finest grid.
///
/// # Errors
/// As [`train_without_noise`].
pub fn without_noise(population: &RatedPopulation, factors: u32) -> Result<RatingModel, SimulateError> {
    let planned = Recipe::for_signal(f64::INFINITY, population.items).expect("an unlimited signal trains factors");
    let recipe = recipe(&planned, factors.min(population.items));
    let users = population.ratings.len();
    let mechanism = noiseless(&shape(population.items, u32::MAX), users);
    let opening = Opening { users, cohort: 0, mechanism: &mechanism, seed: 0, release: 0 };
    let (opened, _) = open(population, &opening, &everybody(users), &recipe);
    let trained = train_without_noise(&population.histories, population.items, &recipe, 0)?;
    Ok(assembled(population, opened.biases, spectral(&trained)?))
}

fn assembled(population: &RatedPopulation, biases: Vec<f32>, trained: &SpectralModel) -> RatingModel {
    assemble(biases, trained, population.features.view(), population.scale)
}

/// Biases and counts, and who was in them.
fn open(population: &RatedPopulation, opening: &Opening<'_>, present: &[u32], recipe: &Recipe) -> (Opened, u32) {
    let scale = population.scale;
    let opened = opening.open(present, |user| sparse_biases(&population.ratings[user as usize], scale));
    let mechanism: &Mechanism = opening.mechanism;
    let noise_std = mechanism.sum_noise_std(opened.contributors);
    let features = population.features.view();
    let sum = opened.sum(mechanism);
    (open_biases(&sum, noise_std, opened.contributors, features, recipe, scale), opened.contributors)
}

/// Two numbers per item.
fn shape(items: u32, history_max: u32) -> Shape {
    let rated = history_max.min(items).saturating_mul(2);
    Shape { length: items.saturating_mul(2), row_width: 2, nnz_max: rated, history_max }
}

/// RMSE of each model at each budget; run `k` holds out fold `k` and has seed `k`.
#[derive(Clone, Debug, Serialize)]
pub struct RatingOutcome {
    /// Name of the data.
    pub data: String,
    /// Users, each one device.
    pub users: usize,
    /// Items in the catalogue.
    pub items: u32,
    /// Public categories.
    pub features: usize,
    /// Held-out ratings, all folds.
    pub tested: usize,
    /// Whom the guarantee would be for, and against whom.
    pub statement: &'static str,
    /// Delta every epsilon is stated at.
    pub delta: f64,
    /// Folds held out, and seeds.
    pub seeds: Vec<u64>,
    /// Models that need no budget: `own_mean` (nothing sent), `noise_free` and `central_als`.
    pub references: Vec<RatingRow>,
    /// One entry per budget.
    pub points: Vec<RatingPoint>,
}

/// One budget.
#[derive(Clone, Debug, Serialize)]
pub struct RatingPoint {
    /// Epsilon asked for.
    pub epsilon_asked: f64,
    /// Epsilon of what was released, at most that.
    pub epsilon: f64,
    /// Signal-to-noise ratio q.
    pub signal: f64,
    /// `private_biases` (all of the budget) and `federated`.
    pub rows: Vec<RatingRow>,
}

/// One model.
#[derive(Clone, Debug, Serialize)]
pub struct RatingRow {
    /// Its name.
    pub model: &'static str,
    /// RMSE over folds and seeds.
    pub rmse: Spread,
}

/// How people read a model's name.
pub fn label(model: &'static str) -> &'static str {
    match model {
        "own_mean" => "own mean, nothing sent",
        "noise_free" => "same model, no noise",
        "central_als" => "central ALS, no privacy",
        "private_biases" => "biases and categories, all of epsilon",
        "federated" => "private federated (simulated)",
        other => other,
    }
}

/// The table a person reads.
pub fn text(outcome: &RatingOutcome) -> String {
    let mut out = format!(
        "\n{} users, {} items, {} public categories, delta {:e}: RMSE of {} held-out ratings\n",
        outcome.users, outcome.items, outcome.features, outcome.delta, outcome.tested
    );
    let line = |epsilon: Option<f64>, row: &RatingRow| {
        let epsilon = epsilon.map_or_else(|| "-".to_owned(), |epsilon| format!("{epsilon:.3}"));
        format!("{:<40}{epsilon:>9}{:>9.4} +- {:.4}\n", label(row.model), row.rmse.mean, row.rmse.std)
    };
    out.extend(outcome.references.iter().map(|row| line(None, row)));
    for point in &outcome.points {
        out.extend(point.rows.iter().map(|row| line(Some(point.epsilon), row)));
    }
    let note = "Seeded noise: a simulation protects nobody. The rating release is no part of the protocol yet.";
    out + &format!("Epsilon: {}; {}.\n{note}\n", outcome.statement, convert::CONVERSION)
}

/// Measures every budget on the folds `seeds`, each with the seed of its number.
///
/// # Errors
/// [`SimulateError`] when a budget makes no job.
pub fn run(
    data: &tacit_data::Dataset,
    base: &Setting,
    epsilons: &[tacit_types::Epsilon],
    seeds: &[u64],
    done: &dyn Fn(),
) -> Result<RatingOutcome, SimulateError> {
    let folds: Vec<RatedPopulation> =
        seeds.iter().map(|&fold| RatedPopulation::new(data, fold, base.history_max, Scale::STARS)).collect();
    let users = u32::try_from(data.users.len()).unwrap_or(u32::MAX);
    let items = folds.first().map_or(0, |fold| fold.items);
    let mut points = Vec::new();
    for &epsilon in epsilons {
        let setting = Setting { epsilon, ..base.clone() };
        let whole = job::plan(users, items, &setting)?;
        points.push(point(&folds, seeds, &whole, &setting, done)?);
    }
    let factors = base.factors.unwrap_or(FACTORS);
    let exact = folds.iter().map(|fold| Ok(rmse(fold, &without_noise(fold, factors)?)));
    let exact: Vec<f64> = exact.collect::<Result<_, SimulateError>>()?;
    let of = |model: &dyn Fn(&RatedPopulation) -> f64| Spread::of(folds.iter().map(model).collect());
    Ok(RatingOutcome {
        data: data.name.clone(),
        users: data.users.len(),
        items,
        features: folds.first().map_or(0, |fold| fold.features.ncols()),
        tested: folds.iter().map(RatedPopulation::tested).sum(),
        statement: crate::sweep::STATEMENT,
        delta: base.delta.get(),
        seeds: seeds.to_vec(),
        references: vec![
            RatingRow { model: "own_mean", rmse: of(&own_mean) },
            RatingRow { model: "noise_free", rmse: Spread::of(exact) },
            RatingRow { model: "central_als", rmse: of(&central) },
        ],
        points,
    })
}

fn point(
    folds: &[RatedPopulation],
    seeds: &[u64],
    whole: &Job,
    setting: &Setting,
    done: &dyn Fn(),
) -> Result<RatingPoint, SimulateError> {
    let (mut alone, mut personal, mut epsilon) = (Vec::new(), Vec::new(), 0.0f64);
    for (fold, &seed) in folds.iter().zip(seeds) {
        alone.push(rmse(fold, &train_rating(fold, &biases_alone(whole.clone()), seed)?.model));
        let run = train_rating(fold, &plan(whole.clone(), setting.factors), seed)?;
        epsilon = epsilon.max(convert::epsilon(run.rho(), run.total_variation(), setting.delta));
        personal.push(rmse(fold, &run.model));
        done();
    }
    let row = |model, runs| RatingRow { model, rmse: Spread::of(runs) };
    Ok(RatingPoint {
        epsilon_asked: setting.epsilon.get(),
        epsilon,
        signal: whole.signal,
        rows: vec![row("private_biases", alone), row("federated", personal)],
    })
}

fn rmse(fold: &RatedPopulation, model: &RatingModel) -> f64 {
    fold.rmse(|user| predictions(&fold.ratings[user], model))
}

/// Each user's own mean, shrunk to the middle of the scale: nothing is sent.
fn own_mean(fold: &RatedPopulation) -> f64 {
    let middle = fold.scale.midpoint();
    fold.rmse(|user| {
        let given = fold.ratings[user].given();
        let sum: f64 = given.iter().map(|(_, rating)| rating - middle).sum();
        #[allow(clippy::cast_possible_truncation, reason = "a mean of ratings")]
        let mean = (middle + sum / (given.len() as f64 + 1.0)) as f32;
        vec![mean; fold.items as usize]
    })
}

/// Alternating least squares on all ratings in one place.
fn central(fold: &RatedPopulation) -> f64 {
    let model = rating_als(&fold.ratings, fold.items, fold.scale, CENTRAL_FACTORS, 1);
    fold.rmse(|user| model.predictions(user))
}
