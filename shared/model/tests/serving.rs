//! What two choices of serving are worth on real data: how low ratings count, and where items
//! nobody used are placed. Needs `TACIT_DATA`, a folder with `ml-100k/`. `tests/quality` measures
//! the rest on whole tasks.
//!
//! Noise here is Gaussian on the sums with the standard deviations of the recipe, rho by `(sqrt(L +
//! eps) - sqrt L)^2`, L = ln 1/delta, delta 1e-5: a float model for comparing, not the release
//! pipeline.

#![allow(clippy::print_stdout, reason = "tests say what they measured")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};
use tacit_model::family::spectral::{SpectralModel, device, server};
use tacit_model::history::fusion::{Rule, Rules};
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::measure::metric::Ranking;
use tacit_model::rank::cold_start::FeatureMap;
use tacit_model::rank::profile::OnlineProfile;
use tacit_model::rank::ranker::{Precision, Ranker};
use tacit_model::{History, Interaction, InteractionKind, Recipe};
use tacit_types::{ItemGradient, ItemId, Timestamp};

/// L = ln(1 / 1e-5).
const LOG_DELTA: f64 = 11.512_925;

type Owner = Vec<Interaction>;

fn folder(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("TACIT_DATA").map(|data| Path::new(&data).join(name));
    let found = folder.filter(|folder| folder.is_dir());
    if found.is_none() {
        println!("SKIPPED: TACIT_DATA is not set or has no {name}/");
    }
    found
}

fn lines(path: PathBuf) -> Vec<Vec<u8>> {
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let plain: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    BufReader::new(plain)
        .split(b'\n')
        .map(|line| line.expect("a readable file"))
        .collect()
}

/// Owners of MovieLens-100K with their ratings in order of time, and the number of items.
fn movielens(folder: &Path) -> (Vec<Owner>, u32) {
    let mut owners: Vec<Owner> = vec![Vec::new(); 943];
    for line in lines(folder.join("u.data.gz")) {
        let line = String::from_utf8(line).expect("plain text");
        let mut fields = line
            .split('\t')
            .map(|field| field.parse::<u32>().expect("a number"));
        let mut next = || fields.next().expect("four fields");
        let (user, item, stars, time) = (next(), next(), next(), next());
        owners[user as usize - 1].push(Interaction {
            item: ItemId(item - 1),
            timestamp: Some(Timestamp(u64::from(time) * 1000)),
            value: stars as f32,
            kind: InteractionKind::Rating,
            surface: 0,
        });
    }
    owners
        .iter_mut()
        .for_each(|owner| owner.sort_by_key(|one| one.timestamp));
    (owners, 1682)
}

/// The 19 genre flags of each item.
fn genres(folder: &Path) -> Vec<Vec<f32>> {
    let flags = |line: Vec<u8>| {
        line.split(|b| *b == b'|')
            .skip(5)
            .map(|flag| if flag == b"1" { 1.0 } else { 0.0 })
            .collect::<Vec<f32>>()
    };
    lines(folder.join("u.item.gz"))
        .into_iter()
        .map(flags)
        .collect()
}

/// Trains as a task over these owners would: with the noise of `epsilon`, or none.
fn train(owners: &[Owner], items: u32, epsilon: Option<f64>, seed: u64) -> SpectralModel {
    let histories: Vec<History> = owners
        .iter()
        .map(|owner| History::new(owner, items, HISTORY_CAP))
        .collect();
    let z = epsilon.map_or(0.0, |epsilon| {
        let rho = ((LOG_DELTA + epsilon).sqrt() - LOG_DELTA.sqrt()).powi(2);
        1.0 / (2.0 * rho).sqrt()
    });
    let recipe = Recipe::for_signal(owners.len() as f64 / (z * f64::from(items).sqrt()), items)
        .expect("a signal to train with");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut sum = |share: f64, statistic: &dyn Fn(&History) -> ItemGradient| {
        let std = z / share.sqrt();
        let mut total: Vec<f64> = Vec::new();
        for vector in histories
            .iter()
            .map(|history| statistic(history).into_coordinates())
        {
            total.resize(vector.len(), 0.0);
            total
                .iter_mut()
                .zip(vector)
                .for_each(|(sum, v)| *sum += f64::from(v));
        }
        for value in &mut total {
            let normal: f64 = StandardNormal.sample(&mut rng);
            *value += std * normal;
        }
        (total, std)
    };
    let (counts, std) = sum(recipe.counts_share, &|history| {
        device::counts(history, items)
    });
    let mut model = server::apply_counts(&counts, std, &recipe);
    let (gram, std) = sum(recipe.head_share, &|history| {
        device::head_gram(history, &model)
    });
    model = server::apply_head_gram(&model, &gram, std, &recipe);
    let share = (1.0 - recipe.counts_share - recipe.head_share) / f64::from(recipe.rounds);
    for round in 0..recipe.rounds {
        let (gradient, _) = sum(share, &|history| device::gradient(history, &model));
        model = server::apply_gradient(&model, &gradient, &recipe, round == 0);
    }
    model
}

/// Hits in the first ten of the whole ranking, next item by next item over the last fifth of every
/// owner, with a profile that follows.
fn replay(owners: &[Owner], ranker: &Ranker, rules: &Rules) -> f64 {
    let mut online = Vec::new();
    for owner in owners {
        let start = owner.len() * 4 / 5;
        let mut follows = OnlineProfile::new(&owner[..start], rules.clone(), HISTORY_CAP, ranker);
        for next in start..owner.len() {
            let seen: Vec<ItemId> = owner[..next].iter().map(|one| one.item).collect();
            online.push(Ranking::full(
                &ranker.scores(follows.profile()),
                &seen,
                &[owner[next].item],
            ));
            follows.record(&owner[..=next], ranker);
        }
    }
    Ranking::mean(&online).hr_at_10
}

fn with_half_life(half_life: f32) -> Rules {
    Rules::default().with(
        InteractionKind::Rating,
        Rule {
            confidence: 1.0,
            half_life,
        },
    )
}

#[test]
fn ratings_below_three_are_better_counted_as_uses() {
    let Some(folder) = folder("ml-100k") else {
        return;
    };
    let (owners, items) = movielens(&folder);
    let before: Vec<Owner> = owners
        .iter()
        .map(|owner| owner[..owner.len() * 4 / 5].to_vec())
        .collect();
    let ranker = Ranker::new(&train(&before, items, None, 0), Precision::Full);
    let with = |confidence, poor_below| {
        let dislike = Rule {
            confidence,
            half_life: 10.0,
        };
        let mut rules = Rules::default().with(InteractionKind::Dislike, dislike);
        rules.poor_below = poor_below;
        replay(&owners, &ranker, &rules)
    };
    let all = with(-0.5, 0.0);
    println!("all ratings alike {all:.4}");
    for confidence in [0.0, -0.25, -0.5] {
        println!("below 3 counted {confidence}: {:.4}", with(confidence, 3.0));
    }
    assert!(all >= with(-0.5, 3.0));
}

#[test]
fn genres_place_items_nobody_used() {
    let Some(folder) = folder("ml-100k") else {
        return;
    };
    let (owners, items) = movielens(&folder);
    let genres = genres(&folder);
    let is_new = |item: ItemId| item.0 % 10 == 3;
    let known: Vec<Owner> = owners
        .iter()
        .map(|owner| {
            owner
                .iter()
                .filter(|one| !is_new(one.item))
                .copied()
                .collect()
        })
        .collect();
    for epsilon in [None, Some(8.0)] {
        let mut ranker = Ranker::new(&train(&known, items, epsilon, 0), Precision::Full);
        let features: Vec<_> = (0..items)
            .map(ItemId)
            .filter(|item| !is_new(*item))
            .map(|item| (item, genres[item.0 as usize].clone()))
            .collect();
        let map = FeatureMap::fit(&features, &ranker, 1.0).unwrap();
        let old: Vec<ItemId> = (0..items)
            .map(ItemId)
            .filter(|item| is_new(*item))
            .collect();
        let placed: Vec<ItemId> = old
            .iter()
            .map(|item| {
                ranker
                    .place(&map.predict(&genres[item.0 as usize]).unwrap())
                    .unwrap()
            })
            .collect();
        let (mut right, mut pairs) = (0.0, 0.0);
        for (owner, used) in owners.iter().zip(&known) {
            let profile = OnlineProfile::new(used, with_half_life(0.0), HISTORY_CAP, &ranker);
            let scores = ranker.scores(profile.profile());
            let score = |place: &usize| scores[placed[*place].0 as usize];
            let (met, other): (Vec<usize>, Vec<usize>) =
                (0..old.len()).partition(|place| owner.iter().any(|one| one.item == old[*place]));
            let beats = |own: f32| {
                other
                    .iter()
                    .map(|place| half_steps(own, score(place)))
                    .sum::<f64>()
            };
            right += met
                .iter()
                .map(|place| beats(score(place)))
                .sum::<f64>();
            pairs += (met.len() * other.len()) as f64;
        }
        println!(
            "epsilon {epsilon:?}: a new item its owner used beats one not used in {:.3} of pairs",
            right / pairs
        );
        assert!(right / pairs > 0.52);
    }
}

/// 1 for more, half for equal, 0 for less.
fn half_steps(own: f32, other: f32) -> f64 {
    f64::from(u8::from(own > other) + u8::from(own >= other)) / 2.0
}
