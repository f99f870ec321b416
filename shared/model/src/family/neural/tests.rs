//! The network from features to what it finds.

use ndarray::{Array1, Array2};

use super::*;
use crate::family::features::Features;
use crate::family::recipe::Recipe;
use crate::family::spectral::device::{block_profile, sparse_counts, user_factors};
use crate::family::spectral::score::{popularity_scores, scores};
use crate::family::spectral::server::apply_counts;
use crate::history::preference::History;
use crate::maths::linalg::norm_squared;
use crate::measure::metric::Ranking;
use crate::synthetic::{Planted, history, planted};

const TASTES: u32 = 8;

fn recipe(factors: u32) -> Recipe {
    Recipe {
        factors,
        ..super::recipe(400)
    }
}

/// One of some categories for each item, and a second one for every fifth.
fn categories(items: u32, kinds: u32) -> Features {
    let of = |item: u32| {
        let first = vec![(item % kinds).to_string()];
        if item % 5 == 4 {
            [first, vec!["fifth".into()]].concat()
        } else {
            first
        }
    };
    Features::from_categories(&(0..items).map(of).collect::<Vec<_>>()).unwrap()
}

/// A model before its first round.
pub(crate) fn started(items: u32, factors: u32) -> NeuralModel {
    let counts: Vec<f64> = (1..=items).map(|rank| 1e3 / f64::from(rank)).collect();
    let counted = apply_counts(&counts, 1.0, &recipe(factors));
    server::start(&counted, &categories(items, 6), &recipe(factors), 7)
}

/// U: (M, r).
fn basis(model: &NeuralModel) -> Array2<f64> {
    model
        .network
        .factors(&model.spectral, &Array2::eye(model.directions()))
        .mapv(f64::from)
}

#[test]
fn the_basis_is_orthonormal_and_orthogonal_to_popularity() {
    let model = started(300, 4);
    let u = basis(&model);
    assert!(u.ncols() > 4);
    let gram = u.t().dot(&u) - Array2::<f64>::eye(u.ncols());
    assert!(gram.iter().all(|value| value.abs() < 1e-4), "{gram}");
    let axis = Array1::from_iter(
        model
            .spectral
            .axis()
            .iter()
            .map(|&value| f64::from(value)),
    );
    assert!(axis.dot(&u).iter().all(|value| value.abs() < 1e-4));
    assert!(
        (&model.network.output_of(&model.spectral)
            - &Array2::<f64>::eye(u.ncols()).slice_axis(ndarray::Axis(1), (..4).into()))
            .iter()
            .all(|value| value.abs() < 1e-4)
    );
}

#[test]
fn a_device_sends_what_it_used_through_the_basis_times_its_user_factors() {
    let model = started(300, 4);
    let used = history(&[3, 17, 200, 201]);
    let x = block_profile(&used, &model.spectral);
    let mut dense = Array1::zeros(300);
    x.iter()
        .for_each(|&(item, weight)| dense[item] = f64::from(weight));
    let seen = dense.dot(&basis(&model));
    let norm = seen.dot(&seen).sqrt();
    let p = user_factors(&x, &model.spectral);
    let sent = device::sparse_gradient(&used, &model)
        .dense(model.directions() * 4)
        .into_coordinates();
    for (row, seen) in sent.chunks(4).zip(&seen) {
        assert!(
            row.iter()
                .zip(&p)
                .all(|(sent, p)| (f64::from(*sent) - seen / norm * f64::from(*p)).abs() < 1e-4)
        );
    }
    assert!((norm_squared(&sent) - 1.0).abs() < 1e-5);
}

#[test]
fn owners_of_nothing_known_send_zeros() {
    let model = started(300, 4);
    let length = model.directions() * 4;
    let nothing = device::sparse_gradient(&history(&[]), &model).dense(length);
    assert!(
        nothing
            .into_coordinates()
            .iter()
            .all(|&value| value == 0.0)
    );
}

fn trained(data: &Planted, features: &Features, rounds: u32) -> NeuralModel {
    let add = |total: &mut Vec<f64>, vector: tacit_types::ItemGradient| {
        total
            .iter_mut()
            .zip(vector.into_coordinates())
            .for_each(|(sum, value)| *sum += f64::from(value));
    };
    let mut counts = vec![0.0; data.catalogue_len as usize];
    data.histories.iter().for_each(|used| {
        add(
            &mut counts,
            sparse_counts(used, data.catalogue_len).dense(data.catalogue_len as usize),
        )
    });
    let mut model = server::start(
        &apply_counts(&counts, 0.0, &recipe(7)),
        features,
        &recipe(7),
        1,
    );
    for round in 0..rounds {
        let length = model.directions() * model.spectral.factor_count();
        let mut sum = vec![0.0; length];
        data.histories.iter().for_each(|used| {
            add(
                &mut sum,
                device::sparse_gradient(used, &model).dense(length),
            )
        });
        model = server::apply_gradient(&model, &sum, &recipe(7), round == 0);
    }
    model
}

#[test]
fn tastes_that_features_tell_of_are_found_among_features_that_say_nothing() {
    let data = planted(1_500, 400, TASTES, 2);
    // The taste is one of eight categories; twenty-three others mean nothing.
    let of = |item: u32| {
        vec![
            format!("taste {}", item % TASTES),
            format!("other {}", item * 7919 % 23),
        ]
    };
    let features = Features::from_categories(&(0..400).map(of).collect::<Vec<_>>()).unwrap();
    let hits = |score: &dyn Fn(&History) -> Vec<f32>| {
        let judge = |(used, held_out): (&History, &_)| {
            Ranking::full(&score(used), used.items(), &[*held_out])
        };
        Ranking::mean(
            &data
                .histories
                .iter()
                .zip(&data.held_out)
                .map(judge)
                .collect::<Vec<_>>(),
        )
        .hr_at_10
    };
    let [start, once, twice] = [0, 1, 2].map(|rounds| trained(&data, &features, rounds));
    let personal = |model: &NeuralModel| hits(&|used| scores(used, &model.spectral, None));
    let popular = hits(&|_| popularity_scores(once.spectral.counts()));
    let found = [&start, &once, &twice].map(personal);
    println!("popularity {popular}, start and rounds {found:?}");
    assert!(found[1] > 1.5 * popular && found[1] > 1.05 * found[0] && found[2] > 0.97 * found[1]);
    assert!(
        trained(&data, &features, 1) == once,
        "training replays bit for bit"
    );
}

#[test]
fn a_catalogue_that_says_nothing_ends_without_a_taste() {
    let data = planted(50, 60, 4, 2);
    // Items that are all alike tell what is popular from what is not, which the axis does not
    // wholly take away.
    let alike = Features::from_categories(&vec![vec!["all"]; 60]).unwrap();
    assert!(
        !alike.tell_apart() && !Features::none(60).tell_apart() && categories(60, 2).tell_apart()
    );
    for features in [Features::none(60), alike] {
        let model = trained(&data, &features, 2);
        assert_eq!(model.directions(), 1);
        assert!(
            features.count() > 0
                || model
                    .spectral
                    .factors()
                    .iter()
                    .all(|&value| value == 0.0)
        );
        assert!(
            scores(&data.histories[0], &model.spectral, None)
                .iter()
                .all(|score| score.is_finite())
        );
    }
}
