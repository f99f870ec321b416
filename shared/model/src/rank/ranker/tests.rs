//! Serving ranks as measuring does.

use tacit_types::Timestamp;

use super::*;
use crate::family::spectral::SpectralModel;
use crate::family::spectral::score;
use crate::history::fusion::{Rules, fuse};
use crate::history::interaction::{Interaction, InteractionKind};
use crate::history::preference::History;
use crate::history::recency::HALF_LIFE;
use crate::rank::filter::shared;
use crate::rank::profile::Profile;
use crate::rank::top::top_k;
use crate::synthetic::trained;

fn used(items: &[u32]) -> Vec<Interaction> {
    let kind = InteractionKind::View;
    let one = |(time, &item)| Interaction {
        item: ItemId(item),
        timestamp: Some(Timestamp(time)),
        value: 1.0,
        kind,
        surface: 0,
    };
    (0u64..).zip(items).map(one).collect()
}

fn profile(used: &[Interaction], ranker: &Ranker) -> Profile {
    Profile::of(
        &fuse(used, ranker.catalogue_len(), 100, &Rules::default()).weights,
        ranker,
    )
}

#[test]
fn scores_are_those_of_the_history() {
    let model = trained(500, 16);
    let ranker = Ranker::new(&model, Precision::Full);
    for items in [&[][..], &[3], &[3, 400, 3, 7, 499]] {
        let used = used(items);
        let reference = score::scores(&History::new(&used, 500, 100), &model, Some(HALF_LIFE));
        let scores = ranker.scores(&profile(&used, &ranker));
        assert!(
            scores
                .iter()
                .zip(&reference)
                .all(|(a, b)| (a - b).abs() < 1e-6),
            "{items:?}"
        );
    }
    let bare = Ranker::new(&SpectralModel::genesis(4), Precision::Compact);
    assert_eq!(bare.scores(&profile(&used(&[1]), &bare)), vec![1.0; 4]);
}

#[test]
fn bytes_rank_almost_as_floats_do_in_a_quarter_of_the_space() {
    let model = trained(2000, 64);
    let (full, compact) = (
        Ranker::new(&model, Precision::Full),
        Ranker::new(&model, Precision::Compact),
    );
    let (rows, d) = (model.block().len(), 64);
    assert_eq!(
        (full.factor_bytes(), compact.factor_bytes()),
        (4 * rows * d, rows * d + 4 * rows)
    );
    let (mut shared, mut listed) = (0, 0);
    for user in 0..50u32 {
        let used = used(&[user * 7, user * 31 % 2000, user * 13, 1999 - user]);
        let list = |ranker: &Ranker| top_k(&ranker.scores(&profile(&used, ranker)), &[], 20);
        let (by_float, by_byte) = (list(&full), list(&compact));
        shared += by_byte
            .iter()
            .filter(|(item, _)| by_float.iter().any(|(other, _)| other == item))
            .count();
        listed += by_float.len();
    }
    assert!(shared as f64 > 0.95 * listed as f64, "{shared} of {listed}");
}

#[test]
fn the_top_is_that_of_all_scores() {
    for precision in [Precision::Full, Precision::Compact] {
        let mut ranker = Ranker::new(&trained(3000, 8), precision);
        ranker.place(&[0.3; 8]).unwrap();
        let shares: Vec<f32> = (0..3001)
            .map(|item| [1.0, 0.5, f32::NAN, 1.0, 1.0][item % 5])
            .collect();
        for items in [&[][..], &[0], &[2900, 1, 7], &[50, 60, 70, 80]] {
            let profile = profile(&used(items), &ranker);
            let scores = ranker
                .scores(&profile)
                .into_iter()
                .zip(&shares)
                .map(|(score, share)| shared(score, *share));
            for k in [0, 1, 20, 5000] {
                let (top, all) = (
                    ranker.top(&profile, &shares, k),
                    top_k(&scores.clone().collect::<Vec<_>>(), &[], k),
                );
                assert_eq!(top.len(), all.len());
                let same = top
                    .iter()
                    .zip(&all)
                    .all(|(a, b)| (a.1 - b.1).abs() < 1e-6);
                assert!(same, "{precision:?} {items:?} {k}");
            }
        }
    }
}

#[test]
fn a_placed_item_is_ranked_with_those_it_resembles() {
    for precision in [Precision::Full, Precision::Compact] {
        let mut ranker = Ranker::new(&trained(300, 8), precision);
        let like = ranker.factors(ItemId(5)).unwrap();
        assert!(ranker.place(&like[1..]).is_none() && ranker.place(&[f32::NAN; 8]).is_none());
        assert_eq!(
            (ranker.place(&like), ranker.catalogue_len()),
            (Some(ItemId(300)), 301)
        );
        let used = used(&[300]);
        let scores = ranker.scores(&profile(&used, &ranker));
        assert_eq!(scores.len(), 301);
        assert!(scores.iter().all(|score| score.is_finite()));
        let taste = |item: u32| scores[item as usize] / ranker.popularity(ItemId(item));
        assert!(taste(5) > taste(200).max(taste(100)));
    }
}
