//! Ranks every user's held-out items under each model. Runs beside the federation, on data the demo
//! itself handed out.

use serde::Serialize;
use tacit_data::Dataset;
use tacit_model::family::Family;
use tacit_model::family::weighted::WeightedTerms;
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::history::recency::HALF_LIFE;
use tacit_model::{History, Model};
use tacit_plan::Plan;
use tacit_simulate::central::trained_ials;
use tacit_simulate::quality::Figures;
use tacit_simulate::rated::RatedPopulation;
use tacit_simulate::{Population, neural, rating, reference, weighted};

use crate::failure::Failure;

/// Figures of one model; `None` where the data has no such figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) model: &'static str,
    pub(super) hr_at_10: Option<f64>,
    pub(super) ndcg_at_10: Option<f64>,
    pub(super) recall_at_20: Option<f64>,
    pub(super) hr_at_10_sampled: Option<f64>,
    pub(super) ndcg_at_10_sampled: Option<f64>,
    pub(super) rmse: Option<f64>,
}

impl Row {
    fn new(model: &'static str, figures: &Figures) -> Self {
        Self {
            model,
            hr_at_10: figures.hr_at_10,
            ndcg_at_10: figures.ndcg_at_10,
            recall_at_20: figures.recall_at_20,
            hr_at_10_sampled: figures.hr_at_10_sampled,
            ndcg_at_10_sampled: figures.ndcg_at_10_sampled,
            rmse: None,
        }
    }

    fn rated(model: &'static str, rmse: f64) -> Self {
        Self {
            rmse: Some(rmse),
            ..Self::new(model, &Figures::default())
        }
    }
}

/// One row per model that predicts ratings.
pub(super) fn rated(population: &RatedPopulation, federated: &Model) -> Result<Vec<Row>, Failure> {
    let factors = u32::try_from(federated.factor_count())?.max(1);
    Ok(vec![
        Row::rated("own_mean", rating::own_mean(population)),
        Row::rated("federated", rating::rmse(population, federated)),
        Row::rated(
            "noise_free",
            rating::rmse(population, &rating::without_noise(population, factors)?),
        ),
        Row::rated("central_als", rating::central(population)),
    ])
}

/// The model of this family without noise.
fn noise_free(
    population: &Population,
    histories: &[History],
    plan: &Plan,
    federated: &Model,
) -> Result<Model, Failure> {
    let features = Some(&population.features);
    if plan.model == Family::Neural {
        return Ok(neural::without_noise(
            histories,
            &population.features,
            plan.factors,
            plan.rounds,
        )?);
    }
    if plan.model != Family::Weighted {
        return Ok(reference::without_noise(
            histories,
            plan.items,
            features,
            plan.factors,
            plan.rounds,
        )?);
    }
    let factors = u32::try_from(federated.factor_count())?.max(2);
    let terms = WeightedTerms::default().unclipped(plan.history_max);
    Ok(weighted::without_noise(
        histories,
        plan.items,
        factors,
        weighted::ROUNDS_WITHOUT_NOISE,
        terms,
    )?)
}

/// One row per model that ranks.
pub(super) fn rows(
    data: &Dataset,
    plan: &Plan,
    federated: &Model,
    seed: u64,
) -> Result<Vec<Row>, Failure> {
    let population = Population::new(data.clone());
    let histories = population.capped(u32::try_from(HISTORY_CAP)?);
    // Every device of the demo answered, so the list beside it is bought by all of them too.
    let all_answered = Plan {
        dropout_milli: 0,
        ..plan.clone()
    };
    let popularity = reference::private_popularity(&population, &histories, &all_answered, seed)?;
    let noise_free = noise_free(&population, &histories, plan, federated)?;
    // Columns of public features are not learned: central iALS gets as many factors as the task
    // trains.
    let factors = match plan.model {
        Family::Spectral | Family::Neural => plan.recipe.factors,
        _ => u32::try_from(federated.factor_count())?,
    };
    // A random share is no future, so recency says nothing about it.
    let half_life = (!population.reading.random_split).then_some(HALF_LIFE);
    let featured =
        reference::counts_with_features(&population, &histories, &all_answered, half_life, seed)?;
    let central = trained_ials(&population, factors, half_life, seed);
    let ranked = |model: &Model| reference::ranked_with(&population, model, half_life);
    let rows = [
        ("random", Some(reference::random(&population, seed))),
        ("popularity", Some(popularity)),
        ("counts_features", featured),
        ("federated", Some(ranked(federated))),
        ("noise_free", Some(ranked(&noise_free))),
        ("central_ials", Some(central.ials)),
        ("central_ials_recent", central.ials_recent),
    ];
    let row = |(model, figures): (&'static str, Option<Figures>)| Some(Row::new(model, &figures?));
    Ok(rows.into_iter().filter_map(row).collect())
}
