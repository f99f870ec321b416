//! Time-ordered replay: a profile that stays as it was against one that follows its owner.

use std::fmt::Write;
use std::path::Path;

use tacit_data::{LoadOptions, Split};
use tacit_model::Model;
use tacit_model::history::fusion::{Rule, Rules};
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::measure::metric::Ranking;
use tacit_model::rank::profile::OnlineProfile;
use tacit_model::rank::ranker::{Precision, Ranker};
use tacit_simulate::outcome::Spread;
use tacit_simulate::reference;
use tacit_simulate::train::train;
use tacit_simulate::{Family, Population};
use tacit_types::{Epsilon, ItemId};

use crate::target::verdict;
use crate::{ML_100K, SEEDS, setting};

/// Budget of the noisy runs.
const EPSILON: f64 = 8.0;
/// Part of each history that is replayed: the last of this number of parts.
const REPLAYED: usize = 5;
/// Half-lives in interactions; 0 for none.
const HALF_LIVES: [f32; 2] = [0.0, 10.0];
/// Least lift of a profile that follows with recency over one that stays without: no noise, and at
/// [`EPSILON`].
pub(crate) const LIFT: [f64; 2] = [0.60, 0.35];

/// HR@10 of the next item, by half-life: with the profile as it was, and with one that follows.
type Hits = [[f64; 2]; HALF_LIVES.len()];

/// The table.
pub(crate) fn measure(data: &Path) -> anyhow::Result<String> {
    let owners = owners(&data.join(ML_100K))?;
    let exact = [replayed(&owners, &without_noise(&owners)?)];
    let mut noisy = Vec::new();
    for seed in SEEDS {
        noisy.push(replayed(&owners, &noisy_model(&owners, seed)?));
        eprint!(".");
    }
    let mut out = String::from(
        "\nMovieLens-100K, the last fifth of each history replayed in order of time: HR@10 over \
         the whole catalogue for the next item, all items met so far left out. The model was \
         trained on what came before and stays.\n\n\
         | noise | half-life | profile stays | profile follows | lift over stays, no recency | \
         |\n|---|---|---|---|---|---|\n",
    );
    for (name, runs, least) in [
        ("none", &exact[..], LIFT[0]),
        ("epsilon 8", &noisy[..], LIFT[1]),
    ] {
        for (place, half_life) in HALF_LIVES.into_iter().enumerate() {
            let [stays, follows] =
                [0, 1].map(|which| Spread::of(runs.iter().map(|run| run[place][which]).collect()));
            let lift = Spread::of(runs.iter().map(|run| lift(run, place)).collect());
            let judged = if half_life > 0.0 {
                verdict(
                    lift.mean >= least,
                    &format!("at least {:.0} %", 100.0 * least),
                )
            } else {
                String::new()
            };
            let half_life = if half_life > 0.0 {
                half_life.to_string()
            } else {
                "none".into()
            };
            writeln!(
                out,
                "| {name} | {half_life} | {stays} | {follows} | {:.0} % | {judged} |",
                100.0 * lift.mean
            )?;
        }
    }
    Ok(out)
}

/// What following with this half-life adds to a profile that stays and knows no recency.
fn lift(hits: &Hits, place: usize) -> f64 {
    hits[place][1] / hits[0][0] - 1.0
}

/// Histories in order of time.
fn owners(ml_100k: &Path) -> anyhow::Result<Population> {
    let options = LoadOptions {
        split: Split::Nothing,
        ..LoadOptions::default()
    };
    let mut data = tacit_data::load(ml_100k, &options)?;
    data.users
        .iter_mut()
        .for_each(|owner| owner.sort_by_key(|one| one.timestamp));
    Ok(Population::new(data))
}

/// What came before the replayed part.
fn before(owners: &Population) -> Vec<tacit_model::History> {
    let known = |owner: &Vec<Interaction>| {
        tacit_model::History::new(&owner[..start(owner)], owners.items, HISTORY_CAP)
    };
    owners.interactions.iter().map(known).collect()
}

fn start(owner: &[Interaction]) -> usize {
    owner.len() - owner.len() / REPLAYED
}

fn without_noise(owners: &Population) -> anyhow::Result<Model> {
    Ok(reference::without_noise(
        &before(owners),
        owners.items,
        None,
        None,
        None,
    )?)
}

fn noisy_model(owners: &Population, seed: u64) -> anyhow::Result<Model> {
    let setting = setting(Epsilon::new(EPSILON)?)?;
    let plan = setting.plan(Family::Spectral, owners.users(), owners.items)?;
    Ok(train(&before(owners), &plan, seed)?.model)
}

fn replayed(owners: &Population, model: &Model) -> Hits {
    let ranker = Ranker::of(model, Precision::Full);
    HALF_LIVES.map(|half_life| {
        let rules = Rules::default().with(
            InteractionKind::Rating,
            Rule {
                confidence: 1.0,
                half_life,
            },
        );
        let (mut stays, mut follows) = (Vec::new(), Vec::new());
        for owner in &owners.interactions {
            replay(owner, &ranker, &rules, [&mut stays, &mut follows]);
        }
        [stays, follows].map(|rankings| Ranking::mean(&rankings).hr_at_10)
    })
}

fn replay(
    owner: &[Interaction],
    ranker: &Ranker,
    rules: &Rules,
    [stays, follows]: [&mut Vec<Ranking>; 2],
) {
    let mut profile =
        OnlineProfile::new(&owner[..start(owner)], rules.clone(), HISTORY_CAP, ranker);
    let as_it_was = ranker.scores(profile.profile());
    for at in start(owner)..owner.len() {
        let (met, next): (Vec<ItemId>, _) = (
            owner[..at].iter().map(|one| one.item).collect(),
            [owner[at].item],
        );
        stays.push(Ranking::full(&as_it_was, &met, &next));
        follows.push(Ranking::full(
            &ranker.scores(profile.profile()),
            &met,
            &next,
        ));
        profile.record(&owner[..=at], ranker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One seed of the table.
    #[test]
    fn a_profile_that_follows_is_worth_more_than_the_noise_costs() {
        let Some(data) = crate::data_or_skip(ML_100K) else {
            return;
        };
        let owners = owners(&data.join(ML_100K)).unwrap();
        let exact = replayed(&owners, &without_noise(&owners).unwrap());
        let noisy = replayed(&owners, &noisy_model(&owners, 0).unwrap());
        assert!(
            lift(&exact, 1) >= LIFT[0] && lift(&noisy, 1) >= LIFT[1],
            "{exact:?} {noisy:?}"
        );
    }
}
