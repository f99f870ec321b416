//! Generates a data set with planted structure: there is something to learn, and it is known what.
//!
//! An item has a popularity (power law) and a vector of [`CATEGORIES`] factors: large in its main
//! category, smaller in a second one, a little of everything else. A user has a taste, a direction
//! in the same space, which turns slowly from one mix to another over the year, and a number of
//! interactions (log-normal). Each next item is drawn from those not yet seen with probability
//! proportional to `popularity * exp(STRENGTH * <taste now, item>)`.
//!
//! Everything is drawn from ChaCha20 and computed in f64; a user depends on the seed, the catalogue
//! and their own number only, so more users never change the first ones. Equal on one platform;
//! another platform's `exp` may differ in the last bit.

use std::f64::consts::FRAC_PI_3;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, LogNormal, StandardNormal};
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_types::{ItemId, Timestamp};

use crate::words::CATEGORIES;
use crate::{Dataset, Item, Reading, words};

/// Popularity of the item of rank r is `(r + 1)^-DECAY`.
const DECAY: f64 = 1.0;
/// How much taste counts against popularity.
const STRENGTH: f64 = 8.0;
/// Weight of an item's second category, its main one being 1.
const SECOND: f64 = 0.5;
/// Standard deviation of an item's share of each category.
const NOISE: f64 = 0.15;
/// How far a taste turns in a year, as an angle.
const TURN: f64 = FRAC_PI_3;
/// Ratings: the usual one, how far items differ for everybody, how much liking counts, and chance.
const MIDDLE: f64 = 3.5;
const LEVEL: f64 = 0.6;
const LIKING: f64 = 2.5;
const CHANCE: f64 = 0.4;
/// Median number of interactions per user, and the spread of its logarithm.
const MEDIAN: f64 = 27.0;
const SPREAD: f64 = 0.6;
/// 1 January 2025, in milliseconds since 1970: the start of the year in which everything happens.
const START_MS: u64 = 1_735_689_600_000;
const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;

type Vector = [f64; CATEGORIES];

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticSpec {
    /// Number of users.
    pub users: usize,
    /// Number of items, at most 2^32.
    pub items: usize,
    /// Equal seeds give equal data.
    pub seed: u64,
}

impl Default for SyntheticSpec {
    fn default() -> Self {
        Self {
            users: 1_500,
            items: 400,
            seed: 0,
        }
    }
}

/// Generates views of invented films, each user's last one held out.
///
/// No user sees more than half of the catalogue, or one item of a catalogue of one. Interactions
/// are views of value 1 with ascending times. Takes well under a second at the default size; time
/// grows with users x interactions x items.
pub fn synthetic(spec: &SyntheticSpec) -> Dataset {
    let catalogue = Catalogue::generate(spec);
    let mut users: Vec<_> = (0..spec.users)
        .map(|user| history(&catalogue, spec.seed, user as u64))
        .collect();
    let test = users.iter_mut().map(hold_out_last).collect();
    let name = format!("synthetic-{}x{}-seed{}", spec.users, spec.items, spec.seed);
    Dataset {
        name,
        items: catalogue.items,
        users,
        test,
        negatives: None,
        reading: generated("each user's last item by time", None),
    }
}

/// Generates ratings from one to five stars of the same invented films, nothing held out.
///
/// An item is better or worse than the middle for everybody, by at most `LEVEL`, and each owner
/// likes a film the more it resembles what else they chose to watch; the rest is chance. Rounded to
/// half stars.
pub fn synthetic_ratings(spec: &SyntheticSpec) -> Dataset {
    let catalogue = Catalogue::generate(spec);
    let users = (0..spec.users)
        .map(|user| rated(&catalogue, spec.seed, user as u64))
        .collect();
    let name = format!(
        "synthetic-ratings-{}x{}-seed{}",
        spec.users, spec.items, spec.seed
    );
    Dataset {
        name,
        items: catalogue.items,
        users,
        test: vec![Vec::new(); spec.users],
        negatives: None,
        reading: generated("nothing", Some([1.0, 5.0])),
    }
}

fn generated(split: &str, scale: Option<[f64; 2]>) -> Reading {
    Reading {
        times: "milliseconds since 1970, the year 2025".into(),
        split: split.into(),
        scale,
        ..Reading::default()
    }
}

/// One user's history with a rating in place of each view.
fn rated(catalogue: &Catalogue, seed: u64, user: u64) -> Vec<Interaction> {
    let views = history(catalogue, seed, user);
    let factors = |one: &Interaction| {
        catalogue
            .factors
            .get(one.item.0 as usize)
            .copied()
            .unwrap_or_default()
    };
    let whole = views
        .iter()
        .map(factors)
        .fold(Vector::default(), |sum, one| {
            std::array::from_fn(|i| sum[i] + one[i])
        });
    let taste = normalised(whole);
    let likings: Vec<f64> = views
        .iter()
        .map(|view| dot(&taste, &normalised(factors(view))))
        .collect();
    let usual = likings.iter().sum::<f64>() / likings.len().max(1) as f64;
    // Streams of users' ratings begin where those of their histories cannot reach.
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    rng.set_stream(u64::MAX - user);
    let rate = |(view, liking): (Interaction, f64)| {
        let level = LEVEL * (f64::from(view.item.0 % 7) / 3.0 - 1.0);
        let chance: f64 = StandardNormal.sample(&mut rng);
        let rating = MIDDLE + level + LIKING * (liking - usual) + CHANCE * chance;
        Interaction {
            value: half_stars(rating),
            kind: InteractionKind::Rating,
            ..view
        }
    };
    views.into_iter().zip(likings).map(rate).collect()
}

#[allow(clippy::cast_possible_truncation, reason = "a few half stars")]
fn half_stars(rating: f64) -> f32 {
    ((2.0 * rating).round() / 2.0).clamp(1.0, 5.0) as f32
}

/// Items never repeat within a history, so taking the last entry leaves no trace of it.
fn hold_out_last(history: &mut Vec<Interaction>) -> Vec<ItemId> {
    if history.len() < 2 {
        Vec::new()
    } else {
        history
            .pop()
            .map(|last| last.item)
            .into_iter()
            .collect()
    }
}

/// What all users share.
struct Catalogue {
    items: Vec<Item>,
    ids: Vec<ItemId>,
    popularity: Vec<f64>,
    /// `factors`: (items, CATEGORIES)
    factors: Vec<Vector>,
}

impl Catalogue {
    fn generate(spec: &SyntheticSpec) -> Self {
        // Stream 0 belongs to the catalogue, stream u + 1 to user u.
        let mut rng = ChaCha20Rng::seed_from_u64(spec.seed);
        let ids: Vec<_> = (0..=u32::MAX).take(spec.items).map(ItemId).collect();
        let mut popularity: Vec<f64> = (0..ids.len())
            .map(|rank| (rank as f64 + 1.0).powf(-DECAY))
            .collect();
        popularity.shuffle(&mut rng);
        let (items, factors) = (0..ids.len())
            .map(|index| item(index, &mut rng))
            .unzip();
        Self {
            items,
            ids,
            popularity,
            factors,
        }
    }
}

/// An item and its factors. Main categories take turns; every other item has a second one.
fn item(index: usize, rng: &mut ChaCha20Rng) -> (Item, Vector) {
    let main = index % CATEGORIES;
    let second = rng
        .random_bool(0.5)
        .then(|| (main + rng.random_range(1..CATEGORIES)) % CATEGORIES);
    let factors = std::array::from_fn(|category| {
        let (in_main, in_second) = (category == main, Some(category) == second);
        let planted = f64::from(in_main) + SECOND * f64::from(in_second);
        let noise: f64 = StandardNormal.sample(rng);
        planted + NOISE * noise
    });
    (words::item(index, main, second), factors)
}

/// One user's interactions, in order of time.
fn history(catalogue: &Catalogue, seed: u64, user: u64) -> Vec<Interaction> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    rng.set_stream(user + 1);
    let count = activity(catalogue.ids.len(), &mut rng);
    let (from, to) = (taste(&mut rng), taste(&mut rng));
    let mut time = |_| rng.random_range(0..YEAR_MS);
    let mut times: Vec<u64> = (0..count).map(&mut time).collect();
    times.sort_unstable();
    let mut seen = vec![false; catalogue.ids.len()];
    let interaction = |time: u64| {
        let now = turned(&from, &to, TURN * time as f64 / YEAR_MS as f64);
        let index = draw(catalogue, &now, &seen, &mut rng)?;
        *seen.get_mut(index)? = true;
        let item = *catalogue.ids.get(index)?;
        Some(Interaction {
            item,
            timestamp: Some(Timestamp(START_MS + time)),
            value: 1.0,
            kind: InteractionKind::View,
            surface: 0,
        })
    };
    times.into_iter().filter_map(interaction).collect()
}

/// Number of interactions: log-normal, at most half of the catalogue, at least one if there is any
/// item.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and bounded by the catalogue"
)]
fn activity(items: usize, rng: &mut ChaCha20Rng) -> usize {
    let law = LogNormal::new(MEDIAN.ln(), SPREAD).expect("the spread is a positive constant");
    let cap = (items / 2).max(items.min(1));
    let drawn = law.sample(rng).round().min(cap as f64);
    (drawn as usize).clamp(cap.min(1), cap)
}

/// A random direction.
fn taste(rng: &mut ChaCha20Rng) -> Vector {
    let drawn: Vector = std::array::from_fn(|_| StandardNormal.sample(rng));
    normalised(drawn)
}

/// The direction on the way from one taste towards another. Random directions are nearly
/// orthogonal, so mixing them by cosine and sine and normalising turns at an even pace.
fn turned(from: &Vector, to: &Vector, angle: f64) -> Vector {
    normalised(std::array::from_fn(|i| {
        angle.cos() * from[i] + angle.sin() * to[i]
    }))
}

fn normalised(vector: Vector) -> Vector {
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    if norm > 0.0 {
        vector.map(|x| x / norm)
    } else {
        vector
    }
}

/// Draws an item not yet seen; `None` when there is none.
fn draw(
    catalogue: &Catalogue,
    taste: &Vector,
    seen: &[bool],
    rng: &mut ChaCha20Rng,
) -> Option<usize> {
    let mut total = 0.0;
    let weight = |((factors, popularity), seen): ((&Vector, &f64), &bool)| {
        if !seen {
            total += popularity * (STRENGTH * dot(taste, factors)).exp();
        }
        total
    };
    let cumulative: Vec<f64> = catalogue
        .factors
        .iter()
        .zip(&catalogue.popularity)
        .zip(seen)
        .map(weight)
        .collect();
    let target = rng.random::<f64>() * cumulative.last()?;
    // The first item whose cumulative weight exceeds the target has weight above zero, hence is not
    // seen.
    let index = cumulative.partition_point(|sum| *sum <= target);
    (index < cumulative.len()).then_some(index)
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
