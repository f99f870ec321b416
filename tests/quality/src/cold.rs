//! New owners: devices that were not there when the model was trained, after their first few
//! interactions.

use std::fmt::Write;
use std::path::Path;

use tacit_data::{Dataset, LoadOptions, Split};
use tacit_model::History;
use tacit_model::family::spectral::score::popularity_scores;
use tacit_model::family::{Model, Owner};
use tacit_model::history::interaction::Interaction;
use tacit_model::history::recency::HALF_LIFE;
use tacit_model::measure::metric::Ranking;
use tacit_simulate::outcome::Spread;
use tacit_simulate::train::{train, train_featured};
use tacit_simulate::{Family, Population};
use tacit_types::{Epsilon, ItemId};

use crate::target::verdict;
use crate::{ML_1M, SEEDS, setting};

/// Budget of the devices that trained.
const EPSILON: f64 = 8.0;
/// Interactions a new owner has.
const KNOWN: [usize; 5] = [0, 1, 3, 5, 10];
/// The most of them; what comes later is what a list is judged by.
const MOST: usize = KNOWN[KNOWN.len() - 1];
/// Interactions from which on the owner's own list must beat popularity.
const MUST_WIN_FROM: usize = 3;

/// The table, on the half of the users who did not train.
pub(crate) fn measure(data: &Path) -> anyhow::Result<String> {
    let options = LoadOptions {
        split: Split::Nothing,
        ..LoadOptions::default()
    };
    let data = tacit_data::load(&data.join(ML_1M), &options)?;
    let (trained, new) = halves(data);
    let setting = setting(Epsilon::new(EPSILON)?)?;
    let plan = setting.plan(Family::Spectral, trained.users(), trained.items)?;
    let histories = trained.capped(setting.history_max);
    let mut figures = Vec::new();
    for seed in SEEDS {
        let plain = train(&histories, &plan, seed)?.model;
        let featured = train_featured(&histories, &trained.features, &plan, seed)?.model;
        figures.push(KNOWN.map(|known| judged(&new, known, [&plain, &featured])));
        eprint!(".");
    }
    write_table(&trained, new.len(), &figures)
}

/// Users with even numbers, to train; the timed interactions of the others in order, each item
/// once, where there are enough.
fn halves(mut data: Dataset) -> (Population, Vec<Vec<Interaction>>) {
    let users = std::mem::take(&mut data.users);
    let (trained, new): (Vec<_>, Vec<_>) = users
        .into_iter()
        .enumerate()
        .partition(|(number, _)| number % 2 == 0);
    data.users = trained.into_iter().map(|(_, user)| user).collect();
    data.test = vec![Vec::new(); data.users.len()];
    data.negatives = None;
    let in_order = |(_, mut user): (usize, Vec<Interaction>)| {
        user.retain(|one| one.timestamp.is_some());
        user.sort_by_key(|one| one.timestamp);
        user
    };
    let new = new
        .into_iter()
        .map(in_order)
        .filter(|user| user.len() > MOST)
        .collect();
    (Population::new(data), new)
}

/// NDCG@10 over the whole catalogue for everything from the eleventh interaction on, the same
/// whatever is known: by the owner's own list of each model, and last by popularity.
fn judged(new: &[Vec<Interaction>], known: usize, models: [&Model; 2]) -> [f64; 3] {
    let popular = popularity_scores(models[0].counts());
    let judge = |user: &Vec<Interaction>| {
        let used = History::new(&user[..known], models[0].catalogue_len(), known);
        let later: Vec<ItemId> = user[MOST..].iter().map(|one| one.item).collect();
        let [plain, featured] =
            models.map(|model| model.scores(&Owner::from(&used), Some(HALF_LIFE)));
        [&plain, &featured, &popular].map(|scores| Ranking::full(scores, used.items(), &later))
    };
    let judged: Vec<[Ranking; 3]> = new.iter().map(judge).collect();
    [0, 1, 2].map(|which| {
        let rankings: Vec<Ranking> = judged.iter().map(|all| all[which]).collect();
        Ranking::mean(&rankings).ndcg_at_10
    })
}

fn write_table(
    trained: &Population,
    new: usize,
    figures: &[[[f64; 3]; KNOWN.len()]],
) -> anyhow::Result<String> {
    let mut out = format!(
        "\nMovieLens-1M, times known. Users with even numbers train ({} devices, epsilon \
         {EPSILON}); the {new} others with times are new owners. NDCG@10 over the whole catalogue \
         for all that they used after their tenth interaction. (The very next item is no fair \
         test here: people rated what a page of the site listed, in its order.) Features: genres, \
         year and decade. How far taste is trusted was chosen with other data and these \
         figures in sight.\n\n\
         | known interactions | private popularity | own list, no features | own list, features | \
         |\n|---|---|---|---|---|\n",
        trained.users(),
    );
    for (place, known) in KNOWN.into_iter().enumerate() {
        let [plain, featured, popular] = [0, 1, 2]
            .map(|which| Spread::of(figures.iter().map(|run| run[place][which]).collect()));
        let judged = if known >= MUST_WIN_FROM {
            verdict(
                plain.mean.min(featured.mean) > popular.mean,
                "both more than popularity",
            )
        } else {
            String::new()
        };
        writeln!(
            out,
            "| {known} | {popular} | {plain} | {featured} | {judged} |"
        )?;
    }
    Ok(out)
}
