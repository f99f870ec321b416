//! What a fleet of households learns, by what each makes of its owners' histories.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_types::{ItemId, Kind};

use crate::family::Model;
use crate::family::recipe::Recipe;
use crate::family::spectral::SpectralModel;
use crate::family::spectral::score::scores;
use crate::family::spectral::server::{apply_counts, apply_gradient, random_init};
use crate::history::interaction::{Interaction, InteractionKind};
use crate::measure::metric::Ranking;
use crate::synthetic::{Planted, planted};

const TASTES: u32 = 8;
const ITEMS: u32 = 400;
/// Owners of a household; no two have the same taste.
const OWNERS: usize = 4;
/// Standard deviation of the noise on each coordinate of a sum, in clipping norms.
const NOISE: f64 = 0.5;

type Histories = Vec<Vec<Interaction>>;

fn households(data: &Planted) -> Vec<Histories> {
    let viewed = |item: &ItemId| Interaction {
        item: *item,
        timestamp: None,
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    let owners: Histories = data
        .histories
        .iter()
        .map(|history| history.items().iter().map(viewed).collect())
        .collect();
    owners
        .chunks(OWNERS)
        .map(<[Vec<Interaction>]>::to_vec)
        .collect()
}

/// Scales a vector to norm 1 where it is longer, as clipping does.
fn clipped(vector: Vec<f32>) -> Vec<f64> {
    let vector: Vec<f64> = vector.into_iter().map(f64::from).collect();
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    let factor = 1.0 / norm.max(1.0);
    vector.into_iter().map(|x| x * factor).collect()
}

/// The model that counts and three gradients make of what `vector` gives for each household.
fn learned(
    households: &[Histories],
    vector: impl Fn(&Model, Kind, &[Vec<Interaction>]) -> Vec<f32>,
) -> SpectralModel {
    let all = Recipe::for_signal(f64::INFINITY, ITEMS).unwrap();
    let recipe = Recipe {
        factors: TASTES,
        head: 0,
        ..all
    };
    let mut random = ChaCha20Rng::seed_from_u64(4);
    let half_width = NOISE * 3f64.sqrt();
    let mut summed = |model: &SpectralModel, kind| {
        let model = Model::from(model.clone());
        let length = model.extent(kind).unwrap().length();
        let mut sum: Vec<f64> = (0..length)
            .map(|_| random.random_range(-half_width..half_width))
            .collect();
        for household in households {
            let sent = clipped(vector(&model, kind, household));
            sum.iter_mut()
                .zip(sent)
                .for_each(|(sum, value)| *sum += value);
        }
        sum
    };
    let genesis = SpectralModel::genesis(ITEMS);
    let counts = apply_counts(&summed(&genesis, Kind::Counts), NOISE, &recipe);
    let mut model = random_init(&counts, &recipe, 5);
    for round in 0..3 {
        let gradient = summed(&model, Kind::FactorGradient);
        model = apply_gradient(&model, &gradient, &recipe, round == 0);
    }
    model
}

fn hits(data: &Planted, model: &SpectralModel) -> f64 {
    let owners = data.histories.iter().zip(&data.held_out);
    let judged: Vec<Ranking> = owners
        .map(|(used, held_out)| {
            let scores = scores(used, model, None);
            Ranking::full(&scores, used.items(), &[*held_out])
        })
        .collect();
    Ranking::mean(&judged).hr_at_10
}

/// Mixing histories teaches that what parents and children like belongs together; averaging vectors
/// sends less than the norm allows, under the same noise.
#[test]
fn adding_owners_teaches_more_than_mixing_or_averaging_them() {
    let data = planted(1_600, ITEMS, TASTES, 2);
    let households = households(&data);
    let cap = 200;
    let joint = |model: &Model, kind, owners: &[Vec<Interaction>]| {
        let vector = model.joint_vector(kind, owners, cap, false);
        vector.unwrap().into_coordinates()
    };
    let averaged = |model: &Model, kind, owners: &[Vec<Interaction>]| {
        let sum = joint(model, kind, owners).into_iter();
        sum.map(|value| value / 4.0).collect()
    };
    let mixed = |model: &Model, kind, owners: &[Vec<Interaction>]| {
        let vector = model.vector(kind, &owners.concat(), cap, false);
        vector.unwrap().into_coordinates()
    };
    let added = hits(&data, &learned(&households, joint));
    let averaged = hits(&data, &learned(&households, averaged));
    let mixed = hits(&data, &learned(&households, mixed));
    println!("added {added}, averaged {averaged}, mixed {mixed}");
    assert!(added > 1.1 * mixed && added > averaged);
}
