//! Ranks every user's held-out items under each model. Runs beside the federation, on data the demo itself handed out.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use serde::Serialize;
use tacit_data::Dataset;
use tacit_model::baseline::{IalsConfig, ials};
use tacit_model::metric::Ranking;
use tacit_model::preference::{HISTORY_CAP, History};
use tacit_model::recipe::Recipe;
use tacit_model::score::{HALF_LIFE, popularity_scores, scores};
use tacit_model::spectral::{SpectralModel, device, server};
use tacit_privacy::noise::rejection;
use tacit_round::ticket::Kind;
use tacit_server::job::Job;
use tacit_types::{ItemGradient, ItemId};

/// Figures of one model; `None` where the data has no such figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) model: &'static str,
    pub(super) hr_at_10: Option<f64>,
    pub(super) ndcg_at_10: Option<f64>,
    pub(super) recall_at_20: Option<f64>,
    pub(super) hr_at_10_sampled: Option<f64>,
    pub(super) ndcg_at_10_sampled: Option<f64>,
}

/// One row per model.
pub(super) fn rows(data: &Dataset, job: &Job, federated: &SpectralModel, seed: u64) -> Vec<Row> {
    let test = Test::new(data);
    let popularity = popularity_scores(&private_popularity(&test, job, seed));
    let noise_free = noise_free(&test, job);
    let factors = federated.factor_count().max(1).min(data.items.len());
    let central = ials(&test.histories, test.items, &IalsConfig::new(factors, seed));
    vec![
        test.row("random", |user| random_scores(test.items, seed ^ (user as u64) << 20)),
        test.row("popularity", |_| popularity.clone()),
        test.row("federated", |user| scores(&test.histories[user], federated, Some(HALF_LIFE))),
        test.row("noise_free", |user| scores(&test.histories[user], &noise_free, Some(HALF_LIFE))),
        test.row("central_ials", |user| central.scores(&test.histories[user])),
    ]
}

struct Test<'a> {
    data: &'a Dataset,
    items: u32,
    histories: Vec<History>,
}

impl<'a> Test<'a> {
    fn new(data: &'a Dataset) -> Self {
        let items = u32::try_from(data.items.len()).unwrap_or(u32::MAX);
        let histories = data.users.iter().map(|user| History::new(user, items, HISTORY_CAP)).collect();
        Self { data, items, histories }
    }

    fn row(&self, model: &'static str, scores: impl Fn(usize) -> Vec<f32> + Sync) -> Row {
        let measured: Vec<_> = (0..self.histories.len())
            .into_par_iter()
            .filter(|&user| !self.data.test[user].is_empty())
            .map(|user| self.measure(user, &scores(user)))
            .collect();
        let full: Vec<Ranking> = measured.iter().map(|(full, _)| *full).collect();
        let sampled: Vec<Ranking> = measured.iter().filter_map(|(_, sampled)| *sampled).collect();
        let full = (!full.is_empty()).then(|| Ranking::mean(&full));
        let sampled = (!sampled.is_empty()).then(|| Ranking::mean(&sampled));
        Row {
            model,
            hr_at_10: full.map(|mean| mean.hr_at_10),
            ndcg_at_10: full.map(|mean| mean.ndcg_at_10),
            recall_at_20: full.map(|mean| mean.recall_at_20),
            hr_at_10_sampled: sampled.map(|mean| mean.hr_at_10),
            ndcg_at_10_sampled: sampled.map(|mean| mean.ndcg_at_10),
        }
    }

    /// Full ranking over everything not interacted with, and the published negatives where there are any.
    fn measure(&self, user: usize, scores: &[f32]) -> (Ranking, Option<Ranking>) {
        let held_out = &self.data.test[user];
        let seen: Vec<ItemId> = self.data.users[user].iter().map(|one| one.item).collect();
        let full = Ranking::full(scores, &seen, held_out);
        let negatives = self.data.negatives.as_ref().map(|all| &all[user]).filter(|own| !own.is_empty());
        let sampled = negatives.map(|negatives| Ranking::sampled(scores, held_out[0], negatives));
        (full, sampled)
    }
}

fn random_scores(items: u32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..items).map(|_| (rng.next_u32() >> 8) as f32).collect()
}

/// The popularity list the whole budget would buy: counts with the noise of one release at the full price, drawn from the
/// public sampler. A comparison, not a release: it never leaves this process.
fn private_popularity(test: &Test<'_>, job: &Job, seed: u64) -> SpectralModel {
    let recipe = Recipe::counts_only();
    let mut sum = summed(test, |history| device::counts(history, test.items));
    let genesis = SpectralModel::genesis(test.items);
    let Ok(mechanism) = job.mechanism(Kind::Counts, job.rho_budget, &genesis) else {
        return server::apply_counts(&sum, 0.0, &recipe);
    };
    let contributors = u64::try_from(test.histories.len()).unwrap_or(0);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    for value in &mut sum {
        let noise = rejection::sample(mechanism.sigma2 * contributors, mechanism.n_min, &mut rng);
        *value += f64::from(noise) / f64::from(mechanism.steps);
    }
    let noise_std = mechanism.sum_noise_std(u32::try_from(contributors).unwrap_or(u32::MAX));
    server::apply_counts(&sum, noise_std, &recipe)
}

/// The same model family without noise, with the recipe the planner picks for an infinite budget.
fn noise_free(test: &Test<'_>, job: &Job) -> SpectralModel {
    let Some(mut recipe) = Recipe::for_signal(f64::INFINITY, test.items) else {
        return SpectralModel::genesis(test.items);
    };
    recipe.rounds = job.rounds.unwrap_or(recipe.rounds);
    recipe.factors = job.factors.unwrap_or(recipe.factors).min(test.items);
    let counts = summed(test, |history| device::counts(history, test.items));
    let mut model = server::apply_counts(&counts, 0.0, &recipe);
    if recipe.head > 0 {
        let gram = summed(test, |history| device::head_gram(history, &model));
        model = server::apply_head_gram(&model, &gram, 0.0, &recipe);
    } else {
        model = server::random_init(&model, &recipe, 0);
    }
    for round in 0..recipe.rounds {
        let gradient = summed(test, |history| device::gradient(history, &model));
        model = server::apply_gradient(&model, &gradient, &recipe, round == 0);
    }
    model
}

/// Sum over users in a fixed order whatever the number of threads.
fn summed(test: &Test<'_>, vector: impl Fn(&History) -> ItemGradient + Sync) -> Vec<f64> {
    let add = |mut sum: Vec<f64>, history: &History| {
        let values = vector(history).into_coordinates();
        sum.resize(values.len(), 0.0);
        sum.iter_mut().zip(&values).for_each(|(total, value)| *total += f64::from(*value));
        sum
    };
    let parts: Vec<Vec<f64>> = test.histories.par_chunks(512).map(|chunk| chunk.iter().fold(Vec::new(), add)).collect();
    parts
        .into_iter()
        .reduce(|mut sum, part| {
            sum.iter_mut().zip(&part).for_each(|(total, value)| *total += value);
            sum
        })
        .unwrap_or_default()
}
