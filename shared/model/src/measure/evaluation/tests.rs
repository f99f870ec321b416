//! Device and server half together.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};
use tacit_types::{ItemId, Timestamp};

use super::layout::{LENGTH, NON_ZERO_MAX, TOP};
use super::*;
use crate::family::{Model, Owner};
use crate::history::interaction::{Interaction, InteractionKind};
use crate::history::preference::History;
use crate::maths::linalg::norm_squared;
use crate::measure::metric::Ranking;
use crate::synthetic::{Planted, history, learned, planted, trained};

/// Every owner's answers under a model learned from what is not held out.
fn asked(data: &Planted) -> Vec<Answers> {
    let model = Model::from(learned(data, 4));
    let whole = |(used, last): (&History, &ItemId)| {
        history(
            &used
                .items()
                .iter()
                .chain([last])
                .map(|item| item.0)
                .collect::<Vec<_>>(),
        )
    };
    data.histories
        .iter()
        .zip(&data.held_out)
        .map(whole)
        .map(|used| answers(&Owner::from(&used), &model))
        .collect()
}

fn total<'a>(answers: impl IntoIterator<Item = &'a Answers>) -> Vec<f64> {
    let mut sum = vec![0.0; LENGTH];
    for one in answers {
        sum.iter_mut()
            .zip(one.vector().into_coordinates())
            .for_each(|(sum, v)| *sum += f64::from(v));
    }
    sum
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn without_noise_the_figures_are_the_direct_ones_up_to_the_width_of_a_range() {
    let answers = asked(&planted(600, 300, 3, 5));
    let found = evaluate(&total(&answers), 0.0, 600).unwrap();
    let near = |estimate: Option<Estimate>, direct: f64, width: f64| {
        let value = estimate.unwrap().value;
        assert!((value - direct).abs() <= width, "{value} {direct}");
    };
    let ranking = Ranking::mean(
        &answers
            .iter()
            .map(|one| Ranking::from_ranks(&[one.rank.unwrap() - 1]))
            .collect::<Vec<_>>(),
    );
    let popular = mean(
        answers
            .iter()
            .map(|one| f64::from(u8::from(one.popular_rank <= TOP))),
    );
    assert!(
        ranking.hr_at_10 > popular + 0.05,
        "the planted tastes are learned"
    );
    near(found.hr_at_10, ranking.hr_at_10, 1e-5);
    near(found.popularity_hr_at_10, popular, 1e-5);
    near(found.gain, ranking.hr_at_10 - popular, 1e-5);
    near(
        found.ndcg_at_10,
        ranking.ndcg_at_10,
        0.09 * ranking.hr_at_10,
    );
    near(
        found.drift,
        mean(answers.iter().filter_map(|one| one.drift)),
        0.5,
    );
    near(
        found.tail_share,
        mean(
            answers
                .iter()
                .map(|one| (one.listed[3] + one.listed[4]) as f64 / 10.0),
        ),
        1e-5,
    );
    assert!((found.evaluated.value - 600.0).abs() < 1e-2 && found.rmse.is_none());
    let calibration = found.calibration.unwrap();
    assert!(
        (calibration
            .iter()
            .map(|group| group.share.value)
            .sum::<f64>()
            - 1.0)
            .abs()
            < 1e-9
    );
    let by_group = calibration
        .iter()
        .map(|group| group.share.value * group.hits.map_or(0.0, |hits| hits.value));
    assert!((by_group.sum::<f64>() - ranking.hr_at_10).abs() < 1e-5);
}

/// 400 evaluations of 600 owners drawn from the same population, with noise. The truth should lie
/// within 1.96 standard errors in 380; fewer than 360 has probability below 1e-4 for each of three
/// figures (binomial).
#[test]
fn standard_errors_cover_the_truth_and_are_not_idle() {
    let answers = asked(&planted(600, 300, 3, 6));
    let exact = evaluate(&total(&answers), 0.0, 600).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let figures: [fn(&Evaluation) -> Option<Estimate>; 3] = [
        |found| found.hr_at_10,
        |found| found.gain,
        |found| found.tail_share,
    ];
    let truth = figures.map(|figure| figure(&exact).unwrap().value);
    let (mut covered, mut squares) = ([0; 3], [0.0; 3]);
    for _ in 0..400 {
        let drawn: Vec<&Answers> = (0..600)
            .map(|_| &answers[rng.random_range(0..600)])
            .collect();
        let mut sum = total(drawn);
        sum.iter_mut().for_each(|v| {
            let noise: f64 = StandardNormal.sample(&mut rng);
            *v += 8.0 * noise;
        });
        let found = evaluate(&sum, 8.0, 600).unwrap();
        for at in 0..3 {
            let estimate = figures[at](&found).unwrap();
            let off = (estimate.value - truth[at]) / estimate.error;
            covered[at] += i32::from(off.abs() < 1.96);
            squares[at] += off * off / 400.0;
        }
    }
    assert!(covered.iter().all(|covered| *covered >= 360), "{covered:?}");
    // Bounds on the spread may make a standard error too wide, but not twice as wide.
    assert!(
        squares
            .iter()
            .all(|square| (0.25..1.5).contains(square)),
        "{squares:?}"
    );
}

#[test]
fn the_held_out_item_leaves_no_trace_in_the_ranking() {
    let model = Model::from(trained(60, 4));
    let with = |last: u32| answers(&Owner::from(&history(&[9, 20, 30, 3, 5, last])), &model);
    let (seven, eight) = (with(7), with(8));
    assert!(seven.rank != eight.rank);
    assert!(
        Answers {
            rank: seven.rank,
            popular_rank: seven.popular_rank,
            ..eight
        } == seven
    );
}

#[test]
fn equal_scores_rank_as_the_list_shows_them() {
    let bare = Model::from(crate::SpectralModel::genesis(50));
    let found = answers(&Owner::from(&history(&[2, 12])), &bare);
    // Items 0 to 11 without 2 come first; the model has nothing but popularity, so nothing is won
    // or lost.
    assert_eq!(
        (found.rank, found.popular_rank, found.drift),
        (Some(12), 12, None)
    );
    assert!((found.chance - 10.0 / 49.0).abs() < 1e-6);
}

#[test]
fn an_owner_with_nothing_to_hold_out_sends_zeros_of_the_same_length() {
    let model = Model::from(trained(60, 4));
    for used in [&[][..], &[4], &[4, 4, 4], &[4, 99]] {
        let vector = answers(&Owner::from(&history(used)), &model)
            .vector()
            .into_coordinates();
        assert_eq!((vector.len(), norm_squared(&vector)), (LENGTH, 0.0));
    }
    assert_eq!(format!("{:?}", Answers::default()), "Answers(..)");
}

fn any_interaction() -> impl Strategy<Value = Interaction> {
    let kind = (0..InteractionKind::ALL.len()).prop_map(|kind| InteractionKind::ALL[kind]);
    let value = prop_oneof![Just(1.0f32), Just(f32::NAN), Just(-3.0), 0.0f32..6.0];
    (0u32..70, kind, proptest::option::of(0u64..9), value).prop_map(|(item, kind, time, value)| {
        Interaction {
            item: ItemId(item),
            timestamp: time.map(Timestamp),
            value,
            kind,
            surface: 0,
        }
    })
}

proptest! {
    #[test]
    fn no_device_sends_more_than_norm_one(
        used in prop::collection::vec(any_interaction(), 0..60),
        error in 0.0..9.0f64,
    ) {
        let model = Model::from(trained(60, 4));
        let found = answers(&Owner::from(&History::new(&used, 60, 40)), &model);
        let vector = Answers { rating_error: Some(error), ..found }.vector().into_coordinates();
        prop_assert_eq!(vector.len(), LENGTH);
        prop_assert!(norm_squared(&vector).sqrt() <= 1.0 + 1e-6);
        prop_assert!(vector.iter().filter(|v| **v != 0.0).count() <= NON_ZERO_MAX);
    }
}
