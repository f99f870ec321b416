//! Short histories: MovieLens-1M thinned to a few random items a user, where each history says
//! little and agrees little with others. Next to what counts and features alone are worth there,
//! and to fixed levels of trust in taste.

use std::fmt::Write;
use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use tacit_data::{Dataset, LoadOptions, Split};
use tacit_model::history::fusion::{Rules, fuse};
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::rank::profile::Profile;
use tacit_model::rank::ranker::{Precision, Ranker};
use tacit_model::{Interaction, InteractionKind, Model};
use tacit_simulate::quality::{Figures, judge};
use tacit_simulate::train::train_featured;
use tacit_simulate::{Family, Population, reference};
use tacit_types::{Epsilon, ItemId};

use crate::target::verdict;
use crate::{FIFTH, ML_1M, setting};

/// Random items that a user keeps, of which a fifth, at least one, is held out.
const KEPT: [usize; 3] = [6, 12, 25];
/// Seeds of noise, rounding and dropouts.
const SEEDS: [u64; 3] = [0, 1, 2];
/// Seed of the thinning. Constants were chosen on other draws.
const THINNED_BY: u64 = 1;
/// Levels of trust to compare with: items at which taste counts half.
const LEVELS: [f32; 3] = [2.0, 8.0, 30.0];
/// Share of a yardstick that may be lost.
const TOLERANCE: f64 = 0.03;

/// The tables.
pub(crate) fn measure(data: &Path) -> anyhow::Result<String> {
    let mut out = format!(
        "\nMovieLens-1M's training file, each user thinned to n random items, a fifth of them, at \
         least one, held out. NDCG@10 over the whole catalogue, mean of {} seeds. *Fixed trust*: \
         the best of the same models at 2, 8 and 30 items, picked on the test, so a bar no rule \
         can know. A row is met if the private model is not below the better of popularity and of \
         counts with features by more than 3 % or one standard error of the paired difference, \
         nor below the best fixed trust by more than either.\n\n\
         | n | features | epsilon | popularity | counts, features | fixed trust | private | s.e. \
         | |\n|---|---|---|---|---|---|---|---|---|\n",
        SEEDS.len()
    );
    for kept in KEPT {
        for featured in [true, false] {
            let population = Population::new(thinned(data, kept)?);
            let population = match featured {
                true => population,
                false => population.without_features(),
            };
            for epsilon in FIFTH {
                let found = Found::of(&population, Epsilon::new(epsilon)?)?;
                let features = if featured { "yes" } else { "no" };
                writeln!(out, "| {kept} | {features} | {epsilon} {}", found.cells())?;
                eprint!(".");
            }
        }
    }
    Ok(out)
}

fn thinned(data: &Path, kept: usize) -> anyhow::Result<Dataset> {
    let options = LoadOptions {
        split: Split::Nothing,
        ..LoadOptions::default()
    };
    let mut data = tacit_data::load(&data.join(ML_1M), &options)?;
    data.negatives = None;
    let mut rng = ChaCha20Rng::seed_from_u64(THINNED_BY);
    for (user, test) in data.users.iter_mut().zip(&mut data.test) {
        user.shuffle(&mut rng);
        user.truncate(kept);
        // What is held out at random is no next item, for the devices' own evaluation neither.
        for one in user.iter_mut() {
            one.timestamp = None;
        }
        let held_out: Vec<Interaction> = user.drain(..(user.len() / 5).max(1)).collect();
        *test = held_out.iter().map(|one| one.item).collect();
    }
    Ok(data)
}

/// The ranking of devices that trust taste by half from `level` items on.
fn trusted(population: &Population, model: &Model, level: f32) -> Figures {
    let mut ranker = Ranker::of(model, Precision::Full);
    ranker.set_taste_prior(level);
    let rules = Rules::default();
    judge(population, |user| {
        let history = &population.histories[user];
        let used: Vec<Interaction> = history
            .items()
            .iter()
            .map(|&item| once(item))
            .collect();
        let weights = fuse(&used, ranker.catalogue_len(), HISTORY_CAP, &rules).weights;
        ranker.scores(&Profile::of(&weights, &ranker))
    })
}

/// An item used at no known time.
fn once(item: ItemId) -> Interaction {
    Interaction {
        item,
        timestamp: None,
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    }
}

/// One population at one budget, all seeds.
#[derive(Default)]
struct Found {
    popular: Vec<Figures>,
    featured: Vec<Figures>,
    /// By level of trust.
    fixed: [Vec<Figures>; 3],
    own: Vec<Figures>,
}

impl Found {
    fn of(population: &Population, epsilon: Epsilon) -> anyhow::Result<Self> {
        let setting = setting(epsilon)?;
        let plan = setting.plan(Family::Spectral, population.users(), population.items)?;
        let histories = population.capped(setting.history_max);
        let mut found = Self::default();
        for seed in SEEDS {
            let list = reference::private_popularity(population, &histories, &plan, seed)?;
            found.popular.push(list);
            let featured =
                reference::counts_with_features(population, &histories, &plan, None, seed)?;
            found.featured.extend(featured);

            let run = train_featured(&histories, &population.features, &plan, seed)?;
            let ranked = reference::ranked_with(population, &run.model, None);
            found.own.push(ranked);
            for (level, figures) in LEVELS.into_iter().zip(&mut found.fixed) {
                figures.push(trusted(population, &run.model, level));
            }
        }
        Ok(found)
    }

    /// The rest of a row.
    fn cells(&self) -> String {
        let popular = Mean::of(&self.popular);
        let featured = Some(Mean::of(&self.featured)).filter(|_| !self.featured.is_empty());
        let own = Mean::of(&self.own);
        let best = |means: Vec<Mean>| {
            let by_ndcg = |a: &Mean, b: &Mean| a.ndcg.total_cmp(&b.ndcg);
            means.into_iter().max_by(by_ndcg).unwrap_or_default()
        };
        let fixed = best(self.fixed.iter().map(|runs| Mean::of(runs)).collect());
        let featured_cell = featured
            .as_ref()
            .map_or("-".into(), |mean| format!("{:.4}", mean.ndcg));
        let list = format!("{:.4}", popular.ndcg);
        let yardstick = best(featured.into_iter().chain([popular]).collect());
        let error = own.error_against(&yardstick);
        let met = own.reaches(&yardstick) && own.reaches(&fixed);
        format!(
            "| {list} | {featured_cell} | {:.4} | {:.4} | {error:.4} | {} |",
            fixed.ndcg,
            own.ndcg,
            verdict(met, "within 3 % or one s.e.")
        )
    }
}

/// NDCG@10 over seeds, with that of each user.
#[derive(Clone, Default)]
struct Mean {
    ndcg: f64,
    users: Vec<f64>,
}

impl Mean {
    fn of(runs: &[Figures]) -> Self {
        let count = runs.len().max(1) as f64;
        let tested = runs.first().map_or(0, |run| run.per_user.len());
        let user = |user: usize| {
            let all = runs.iter().map(|run| f64::from(run.per_user[user][1]));
            all.sum::<f64>() / count
        };
        let users: Vec<f64> = (0..tested).map(user).collect();
        Self {
            ndcg: users.iter().sum::<f64>() / tested.max(1) as f64,
            users,
        }
    }

    /// Standard error of the mean difference, user by user.
    fn error_against(&self, other: &Self) -> f64 {
        let pairs = self.users.iter().zip(&other.users);
        let differences: Vec<f64> = pairs.map(|(a, b)| a - b).collect();
        let count = differences.len().max(2) as f64;
        let mean = differences.iter().sum::<f64>() / count;
        let squares: f64 = differences
            .iter()
            .map(|one| (one - mean).powi(2))
            .sum();
        (squares / (count - 1.0) / count).sqrt()
    }

    fn reaches(&self, other: &Self) -> bool {
        let spare = (TOLERANCE * other.ndcg).max(self.error_against(other));
        self.ndcg >= other.ndcg - spare
    }
}
