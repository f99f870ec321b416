//! Tasks that predict ratings, measured: one release for biases and counts, then the spectral
//! subspace of what was rated.

use serde::Serialize;
use tacit_model::Model;
use tacit_model::family::Family;
use tacit_model::family::rating::Scale;
use tacit_model::family::rating::central::rating_als;
use tacit_model::family::recipe::Recipe;
use tacit_plan::Plan;
use tacit_privacy::convert;
use tacit_round::ticket::Kind;

use crate::error::SimulateError;
use crate::outcome::Spread;
use crate::rated::RatedPopulation;
use crate::setting::Setting;
use crate::table::write_reading;
use crate::train::{Free, Run, train_owners};

/// Factors unless asked otherwise; users with few ratings cannot be fitted to more.
const FACTORS: u32 = 16;
/// Most head items.
const HEAD_MAX: u32 = 500;
/// Factors of the central reference.
const CENTRAL_FACTORS: usize = 16;
/// What is held out.
const SPLIT: &str = "a random tenth of each user's ratings";

/// Plans a setting, or biases alone at the same price.
fn planned(
    users: u32,
    items: u32,
    setting: &Setting,
    biases_alone: bool,
) -> Result<Plan, SimulateError> {
    let plan = setting.plan(Family::Rating, users, items)?;
    Ok(if biases_alone {
        Plan {
            releases: vec![(Kind::RatingBias, plan.rho_budget)],
            recipe: Recipe::counts_only(),
            ..plan
        }
    } else {
        plan
    })
}

/// Runs a plan.
///
/// # Errors
/// [`SimulateError::Plan`] when a release has no sound mechanism.
pub fn train_rating(
    population: &RatedPopulation,
    plan: &Plan,
    seed: u64,
) -> Result<Run, SimulateError> {
    train_owners(&population.owners(), population.genesis(), plan, seed)
}

/// The same without noise, on the finest grid.
///
/// # Errors
/// As [`train_rating`].
pub fn without_noise(population: &RatedPopulation, factors: u32) -> Result<Model, SimulateError> {
    let planned = Recipe::for_signal(f64::INFINITY, population.items)
        .expect("an unlimited signal trains factors");
    let head = planned.head.min(HEAD_MAX);
    let factors = factors.min(population.items);
    let recipe = Recipe {
        factors,
        rounds: 1,
        coverage: 1.0,
        weight_exponent: 0.1,
        head,
        ..planned
    };
    let kinds = [Kind::RatingBias]
        .into_iter()
        .chain((head > 0).then_some(Kind::HeadGram))
        .chain([Kind::FactorGradient]);
    Free {
        owners: &population.owners(),
        features: None,
        recipe: &recipe,
        seed: 0,
    }
    .train(population.genesis(), kinds)
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
    /// What was held out.
    pub split: &'static str,
    /// Least and largest rating; predictions never leave it.
    pub scale: [f64; 2],
    /// How the data was read.
    pub reading: tacit_data::Reading,
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
        "\n{} users, {} items, {} public categories, delta {:e}: RMSE of {} held-out ratings, \
         scale {} to {}\n",
        outcome.users,
        outcome.items,
        outcome.features,
        outcome.delta,
        outcome.tested,
        outcome.scale[0],
        outcome.scale[1]
    );
    let line = |epsilon: Option<f64>, row: &RatingRow| {
        let epsilon = epsilon.map_or_else(|| "-".to_owned(), convert::shown);
        format!(
            "{:<40}{epsilon:>9}{:>9.4} +- {:.4}\n",
            label(row.model),
            row.rmse.mean,
            row.rmse.std
        )
    };
    out.extend(outcome.references.iter().map(|row| line(None, row)));
    for point in &outcome.points {
        out.extend(
            point
                .rows
                .iter()
                .map(|row| line(Some(point.epsilon), row)),
        );
    }
    out += &format!(
        "Held out: {}.\nEpsilon: {}; {}.\nSeeded noise: a simulation protects nobody.\n",
        outcome.split,
        outcome.statement,
        convert::CONVERSION
    );
    // Writing to a String cannot fail.
    let _ = write_reading(&mut out, &outcome.reading);
    out
}

/// What ratings are measured on.
pub struct Rated<'a> {
    /// Ratings, nothing held out.
    pub data: &'a tacit_data::Dataset,
    /// Scale of the ratings; predictions never leave it.
    pub scale: Scale,
    /// Budgets.
    pub epsilons: &'a [tacit_types::Epsilon],
    /// Folds that are held out, each with the seed of its number.
    pub seeds: &'a [u64],
}

/// Measures every budget on every fold.
///
/// # Errors
/// [`SimulateError`] when a budget makes no plan, or no rating is held out.
pub fn run(
    rated: &Rated<'_>,
    base: &Setting,
    done: &dyn Fn(),
) -> Result<RatingOutcome, SimulateError> {
    let &Rated {
        data,
        scale,
        epsilons,
        seeds,
    } = rated;
    let folds: Vec<RatedPopulation> = seeds
        .iter()
        .map(|&fold| RatedPopulation::new(data, fold, base.history_max, scale))
        .collect();
    if folds.iter().any(|fold| fold.tested() == 0) {
        let problem = "too few ratings to hold any out: a tenth of them is none";
        return Err(SimulateError::Input(problem.to_owned()));
    }
    let users = u32::try_from(data.users.len()).unwrap_or(u32::MAX);
    let items = folds.first().map_or(0, |fold| fold.items);
    let mut points = Vec::new();
    for &epsilon in epsilons {
        let setting = Setting {
            epsilon,
            ..base.clone()
        };
        let [alone, whole] =
            [true, false].map(|biases_alone| planned(users, items, &setting, biases_alone));
        points.push(point(&folds, seeds, (&alone?, &whole?), &setting, done)?);
    }
    let factors = base.factors.unwrap_or(FACTORS);
    let exact = folds
        .iter()
        .map(|fold| Ok(rmse(fold, &without_noise(fold, factors)?)));
    let exact: Vec<f64> = exact.collect::<Result<_, SimulateError>>()?;
    let of =
        |model: &dyn Fn(&RatedPopulation) -> f64| Spread::of(folds.iter().map(model).collect());
    Ok(RatingOutcome {
        data: data.name.clone(),
        users: data.users.len(),
        items,
        features: folds.first().map_or(0, |fold| fold.features.ncols()),
        tested: folds.iter().map(RatedPopulation::tested).sum(),
        statement: crate::sweep::STATEMENT,
        delta: base.delta.get(),
        seeds: seeds.to_vec(),
        split: SPLIT,
        scale: [scale.low, scale.high],
        reading: data.reading.clone(),
        references: vec![
            RatingRow {
                model: "own_mean",
                rmse: of(&own_mean),
            },
            RatingRow {
                model: "noise_free",
                rmse: Spread::of(exact),
            },
            RatingRow {
                model: "central_als",
                rmse: of(&central),
            },
        ],
        points,
    })
}

fn point(
    folds: &[RatedPopulation],
    seeds: &[u64],
    (biases_alone, whole): (&Plan, &Plan),
    setting: &Setting,
    done: &dyn Fn(),
) -> Result<RatingPoint, SimulateError> {
    let (mut alone, mut personal, mut epsilon) = (Vec::new(), Vec::new(), 0.0f64);
    for (fold, &seed) in folds.iter().zip(seeds) {
        alone.push(rmse(fold, &train_rating(fold, biases_alone, seed)?.model));
        let run = train_rating(fold, whole, seed)?;
        epsilon = epsilon.max(convert::epsilon(
            run.rho(),
            run.total_variation(),
            setting.delta,
        ));
        personal.push(rmse(fold, &run.model));
        done();
    }
    let row = |model, runs| RatingRow {
        model,
        rmse: Spread::of(runs),
    };
    Ok(RatingPoint {
        epsilon_asked: setting.epsilon.get(),
        epsilon,
        signal: whole.signal,
        rows: vec![row("private_biases", alone), row("federated", personal)],
    })
}

/// Root mean squared error of a model on what is held out.
pub fn rmse(fold: &RatedPopulation, model: &Model) -> f64 {
    let owners = fold.owners();
    fold.rmse(|user| model.scores(&owners[user], None))
}

/// RMSE of each user's own mean, shrunk to the middle of the scale: nothing is sent.
pub fn own_mean(fold: &RatedPopulation) -> f64 {
    let middle = fold.scale.midpoint();
    fold.rmse(|user| {
        let given = fold.ratings[user].given();
        let sum: f64 = given.iter().map(|(_, rating)| rating - middle).sum();
        #[allow(clippy::cast_possible_truncation, reason = "a mean of ratings")]
        let mean = (middle + sum / (given.len() as f64 + 1.0)) as f32;
        vec![mean; fold.items as usize]
    })
}

/// RMSE of alternating least squares on all ratings in one place.
pub fn central(fold: &RatedPopulation) -> f64 {
    let model = rating_als(&fold.ratings, fold.items, fold.scale, CENTRAL_FACTORS, 1);
    fold.rmse(|user| model.predictions(user))
}
