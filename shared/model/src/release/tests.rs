//! Every kind of release, with models of every family.

use ndarray::Array2;
use tacit_types::{ItemId, Kind, Timestamp};

use super::*;
use crate::family::features::Features;
use crate::family::rating::{RatingModel, Scale};
use crate::family::recipe::Recipe;
use crate::family::spectral::{SpectralModel, server};
use crate::family::weighted::WeightedTerms;
use crate::family::{Family, Model, Owner};
use crate::history::interaction::{Interaction, InteractionKind};
use crate::measure::evaluation::layout;
use crate::synthetic::{history, trained};

fn models() -> [Model; 4] {
    let rating = RatingModel::genesis(60, Scale::STARS)
        .with_features(Array2::ones((60, 2)))
        .with_spectral(trained_whole());
    let weighted = Model::weighted_start(&trained(60, 4), WeightedTerms::default());
    [
        trained(60, 4).into(),
        weighted,
        Model::Rating(rating),
        Model::Neural(crate::family::neural::tests::started(60, 3)),
    ]
}

/// Every item in the block.
fn trained_whole() -> SpectralModel {
    let recipe = Recipe {
        factors: 3,
        head: 9,
        ..Recipe::counts_only()
    };
    let counts: Vec<f64> = (1..61).map(f64::from).collect();
    server::random_init(&server::apply_counts(&counts, 1.0, &recipe), &recipe, 1)
}

#[test]
fn every_family_gives_its_own_kinds_and_no_other() {
    let given = |model: &Model| {
        Kind::ALL
            .into_iter()
            .filter(|kind| model.extent(*kind).is_some())
            .collect::<Vec<_>>()
    };
    let [spectral, weighted, rating, neural] = models();
    assert_eq!(given(&neural), [Kind::LayerGradient, Kind::Metrics]);
    assert_eq!(
        given(&spectral),
        [
            Kind::Counts,
            Kind::HeadGram,
            Kind::FactorGradient,
            Kind::Metrics
        ]
    );
    assert_eq!(given(&weighted), [Kind::WeightedGradient, Kind::Metrics]);
    assert_eq!(
        given(&rating),
        [
            Kind::HeadGram,
            Kind::FactorGradient,
            Kind::RatingBias,
            Kind::Metrics
        ]
    );
}

#[test]
fn a_vector_has_the_extent_its_model_says_whatever_was_used() {
    for model in models() {
        for kind in Kind::ALL {
            let Some(extent) = model.extent(kind) else {
                assert!(model.vector(kind, &[], 10, false).is_none());
                continue;
            };
            for used in [&[][..], &[3], &[1, 2, 59, 99]] {
                let history = history(used);
                let sparse = model
                    .sparse_vector(kind, &Owner::from(&history))
                    .unwrap();
                assert!(
                    sparse.width() == extent.row_width
                        && sparse.rows().iter().all(|row| *row < extent.rows)
                );
            }
            assert_eq!(
                model.vector(kind, &[], 10, false).unwrap().len(),
                extent.length(),
                "{kind}"
            );
        }
    }
}

#[test]
fn what_was_used_last_is_held_out_of_every_vector_but_the_one_that_asks_for_it() {
    let used: Vec<Interaction> = [1, 59, 30]
        .into_iter()
        .zip(1..)
        .map(|(item, at)| Interaction {
            item: ItemId(item),
            timestamp: Some(Timestamp(at)),
            value: 4.0,
            kind: InteractionKind::Rating,
            surface: 0,
        })
        .collect();
    for model in models() {
        for kind in Kind::ALL {
            let vector = |used: &[Interaction], hold_out| {
                let vector = model.vector(kind, used, 10, hold_out)?;
                Some(vector.into_coordinates())
            };
            let expected = match kind {
                Kind::Metrics => vector(&used, false),
                _ => vector(&used[..2], false),
            };
            assert_eq!(vector(&used, true), expected, "{kind}");
        }
    }
}

#[test]
fn a_sum_of_another_length_or_kind_makes_no_model() {
    let recipe = Recipe::counts_only();
    let step = Step {
        recipe: &recipe,
        first: true,
        next: None,
        features: None,
        seed: 1,
        in_doubt: true,
    };
    for model in models() {
        for kind in Kind::ALL {
            let opened = OpenedSum {
                kind,
                sum: vec![0.0; 7],
                noise_std: 1.0,
                contributors: 3,
            };
            assert!(model.step(&opened, &step).is_none(), "{kind}");
        }
    }
}

#[test]
fn bytes_say_which_family_they_are_of() {
    for model in models() {
        assert!(Model::from_bytes(&model.to_bytes()) == Ok(model));
    }
}

#[test]
fn a_step_keeps_the_family_and_weighted_squares_follow_the_spectral_model() {
    let recipe = Recipe {
        factors: 4,
        rounds: 1,
        ..Recipe::counts_only()
    };
    let stepped = |model: &Model, kind: Kind, next: Option<Kind>| {
        let sum = vec![0.01; model.extent(kind).unwrap().length()];
        let opened = OpenedSum {
            kind,
            sum,
            noise_std: 0.0,
            contributors: 5,
        };
        let step = Step {
            recipe: &recipe,
            first: true,
            next,
            features: None,
            seed: 1,
            in_doubt: true,
        };
        model.step(&opened, &step).unwrap()
    };
    let [spectral, weighted, rating, neural] = models();
    let next = stepped(
        &spectral,
        Kind::FactorGradient,
        Some(Kind::WeightedGradient),
    );
    assert_eq!((next.family(), next.factor_count()), (Family::Weighted, 5));
    assert_eq!(
        stepped(&weighted, Kind::WeightedGradient, None).family(),
        Family::Weighted
    );
    let biased = stepped(&rating, Kind::RatingBias, Some(Kind::FactorGradient));
    assert_eq!(
        (biased.family(), biased.factor_count()),
        (Family::Rating, 4)
    );
    assert_eq!(
        stepped(&rating, Kind::FactorGradient, None).family(),
        Family::Rating
    );
    let begun = stepped(&spectral, Kind::Counts, Some(Kind::LayerGradient));
    assert_eq!(
        (begun.family(), begun.factor_count()),
        (Family::Neural, 1),
        "nothing is known of the items"
    );
    let again = stepped(&neural, Kind::LayerGradient, Some(Kind::LayerGradient));
    assert_eq!((again.family(), again.factor_count()), (Family::Neural, 3));
    assert_eq!(
        stepped(&neural, Kind::LayerGradient, None).family(),
        Family::Spectral,
        "it ends as one"
    );
}

#[test]
fn an_evaluation_keeps_the_model_or_takes_its_factors() {
    let (model, recipe) = (Model::from(trained(60, 4)), Recipe::counts_only());
    let mut sum = [0.0; layout::LENGTH];
    let mut after = |wins: f64, in_doubt: bool| {
        sum[layout::PAIRED.start] = wins;
        let opened = OpenedSum {
            kind: Kind::Metrics,
            sum: sum.to_vec(),
            noise_std: 1.0,
            contributors: 3,
        };
        let step = Step {
            recipe: &recipe,
            first: false,
            next: None,
            features: None,
            seed: 1,
            in_doubt,
        };
        model.step(&opened, &step).unwrap()
    };
    assert!(after(2.0, true) == model && after(0.0, false) == model);
    let bare = after(0.0, true);
    assert_eq!((bare.factor_count(), bare.counts()), (0, model.counts()));
    assert!(after(-2.0, false) == bare && Model::from_bytes(&bare.to_bytes()) == Ok(bare));
}

#[test]
fn ratings_publish_what_the_catalogue_says_of_its_items() {
    let recipe = Recipe {
        factors: 2,
        rounds: 1,
        ..Recipe::counts_only()
    };
    let genesis = Model::Rating(RatingModel::genesis(60, Scale::STARS));
    let categories: Vec<Vec<String>> = (0..60)
        .map(|item| vec![format!("{}", item % 3)])
        .collect();
    let stepped = |features: &Features| {
        let opened = OpenedSum {
            kind: Kind::RatingBias,
            sum: vec![0.5; 120],
            noise_std: 0.0,
            contributors: 5,
        };
        genesis.step(
            &opened,
            &Step {
                recipe: &recipe,
                first: true,
                next: None,
                features: Some(features),
                seed: 1,
                in_doubt: false,
            },
        )
    };
    let Some(Model::Rating(next)) = stepped(&Features::from_categories(&categories).unwrap())
    else {
        panic!()
    };
    assert_eq!(
        (
            next.features().ncols(),
            next.spectral().factor_count(),
            next.factors().ncols()
        ),
        (3, 2, 6)
    );
    assert!(stepped(&Features::none(59)).is_none(), "another catalogue");
}

/// Interactions with these items, in this order.
fn rated(items: &[u32]) -> Vec<Interaction> {
    let one = |(item, at): (&u32, u64)| Interaction {
        item: ItemId(*item),
        timestamp: Some(Timestamp(at)),
        value: 4.0,
        kind: InteractionKind::Rating,
        surface: 0,
    };
    items.iter().zip(1..).map(one).collect()
}

/// The joint vector and those of the owners one by one, of every model and kind that has them.
fn joint_and_single(owners: &[Vec<Interaction>]) -> Vec<(Kind, Vec<f32>, Vec<Vec<f32>>)> {
    let mut found = Vec::new();
    for model in models() {
        for kind in Kind::ALL {
            let Some(joint) = model.joint_vector(kind, owners, 100, true) else {
                assert!(model.extent(kind).is_none(), "{kind}");
                continue;
            };
            let single = owners.iter().map(|owner| {
                let vector = model.vector(kind, owner, 100, true);
                vector.unwrap().into_coordinates()
            });
            found.push((kind, joint.into_coordinates(), single.collect()));
        }
    }
    found
}

#[test]
fn one_owner_alone_gives_their_own_vector_and_nobody_gives_zeros() {
    for (kind, joint, single) in joint_and_single(&[rated(&[5, 59, 30, 7])]) {
        assert_eq!(joint, single[0], "{kind}");
        let is_zero = joint.iter().all(|value| *value == 0.0);
        assert!(!is_zero || kind == Kind::HeadGram, "{kind}");
    }
    for (kind, joint, _) in joint_and_single(&[]) {
        assert!(joint.iter().all(|value| *value == 0.0), "{kind}");
    }
}

/// The third owner did nothing and the fourth too little to hold anything out: they add nothing,
/// and take nothing from the answers of the others.
#[test]
fn vectors_of_owners_are_added_and_their_answers_averaged() {
    let owners = [
        rated(&[5, 59, 30, 7]),
        rated(&[1, 2, 3, 30]),
        vec![],
        rated(&[60]),
    ];
    for (kind, joint, single) in joint_and_single(&owners) {
        let part = if kind == Kind::Metrics { 0.5 } else { 1.0 };
        let rest = &single[2..];
        assert!(rest.iter().flatten().all(|value| *value == 0.0), "{kind}");
        for (at, value) in joint.iter().enumerate() {
            let expected = (single[0][at] + single[1][at]) * part;
            assert!((value - expected).abs() < 1e-6, "{kind} {at}");
        }
    }
}

/// What the grid is planned for: more coordinates than one history may fill would be rounded worse.
#[test]
fn all_owners_together_use_no_more_items_than_one_may() {
    let model = &models()[0];
    let used = |owners: &[Vec<Interaction>], history_max| {
        let vector = model.joint_vector(Kind::Counts, owners, history_max, false);
        let counts = vector.unwrap().into_coordinates();
        let items = (0u32..).zip(counts);
        let filled = items.filter_map(|(item, count)| (count != 0.0).then_some(item));
        filled.collect::<Vec<u32>>()
    };
    let long: Vec<u32> = (0..30).collect();
    let other: Vec<u32> = (30..50).collect();
    let owners = [rated(&long), rated(&[55, 58]), rated(&other)];
    // The shortest keeps all it has, and the others share what is left.
    let expected: Vec<u32> = (26..30).chain(46..50).chain([55, 58]).collect();
    assert_eq!(used(&owners, 10), expected);
    assert_eq!(used(&owners, 2).len(), 2);
    assert_eq!(used(&owners, 100).len(), 52);
    assert_eq!(used(&owners[..1], 10).len(), 10);
}

#[test]
fn nothing_is_taught_as_used_together_that_no_owner_used_together() {
    let (one, other) = ([52, 53, 54], [57, 58, 59]);
    let model = Model::from(trained_whole());
    let pairs = |owners: &[Vec<Interaction>]| {
        let vector = model.joint_vector(Kind::HeadGram, owners, 100, false);
        let gram = vector.unwrap().into_coordinates();
        gram.iter().filter(|pair| **pair != 0.0).count()
    };
    assert_eq!(
        pairs(&[rated(&one), rated(&other)]),
        2 * pairs(&[rated(&one)])
    );
    let mixed = [one, other].concat();
    assert!(pairs(&[rated(&mixed)]) > 2 * pairs(&[rated(&one)]));
}

#[test]
fn only_the_last_gradient_of_a_task_is_trusted_as_far_as_histories_agree() {
    let before = trained_whole();
    let recipe = Recipe {
        feature_columns: 0,
        ..Recipe::counts_only()
    };
    // All of it noise, by its own account.
    let sum: Vec<f64> = before
        .factors()
        .iter()
        .map(|v| f64::from(*v))
        .collect();
    let opened = OpenedSum {
        kind: Kind::FactorGradient,
        sum,
        noise_std: 1.0,
        contributors: 300,
    };
    let largest = |next| {
        let step = Step {
            recipe: &recipe,
            first: true,
            next,
            features: None,
            seed: 1,
            in_doubt: false,
        };
        let model = Model::Spectral(before.clone()).step(&opened, &step);
        let Some(Model::Spectral(model)) = model else {
            panic!("a gradient makes a spectral model");
        };
        model
            .factors()
            .iter()
            .fold(0.0, |most: f32, v| most.max(v.abs()))
    };
    assert!(largest(Some(Kind::FactorGradient)) > 0.1);
    assert_eq!(largest(None), 0.0);
    assert_eq!(largest(Some(Kind::Metrics)), 0.0);
}
