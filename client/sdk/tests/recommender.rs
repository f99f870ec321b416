//! The facade over a real store: what an app sees after each call, and after it was closed and opened again.

use tacit_model::cold_start::FeatureMap;
use tacit_model::filter::{Facts, Filter};
use tacit_model::fusion::Rules;
use tacit_model::serve::Precision;
use tacit_model::sessions::Limits;
use tacit_model::spectral::{SpectralModel, server};
use tacit_model::{Interaction, InteractionKind, Recipe};
use tacit_sdk::{Feedback, Recommendation, Recommender, SdkError, Store};
use tacit_types::{ItemId, Timestamp};
use tempfile::TempDir;

const ITEMS: u32 = 200;

fn model() -> SpectralModel {
    let recipe = Recipe { factors: 8, weight_exponent: 0.2, popularity_exponent: 0.1, ..Recipe::counts_only() };
    let counts: Vec<f64> = (1..=ITEMS).map(|rank| 1e3 / f64::from(rank)).collect();
    server::random_init(&server::apply_counts(&counts, 1.0, &recipe), &recipe, 3)
}

fn installation() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    Store::create(folder.path()).expect("a new store");
    std::fs::write(folder.path().join("model.bin"), model().to_bytes()).expect("a model");
    folder
}

fn did(item: u32, at: u64, kind: InteractionKind) -> Interaction {
    Interaction { item: ItemId(item), timestamp: Some(Timestamp(at)), value: 1.0, kind }
}

fn items(list: &[Recommendation]) -> Vec<u32> {
    list.iter().map(|one| one.item.0).collect()
}

#[test]
fn feedback_acts_at_once_and_survives_closing() {
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    for item in 0..5 {
        recommender.record(did(item * 3, u64::from(item), InteractionKind::View)).unwrap();
    }
    let plain = Filter::default();
    let before = recommender.recommend(20, &plain);
    let (hidden, disliked) = (before[0].item, before[1].item);
    recommender.feedback(hidden, Feedback::Hide, Timestamp(10)).unwrap();
    let kept: Vec<u32> = items(&before)[1..].to_vec();
    assert_eq!(items(&recommender.recommend(19, &plain)), kept, "hiding changes nothing else");
    recommender.feedback(disliked, Feedback::Dislike, Timestamp(11)).unwrap();
    let after = recommender.recommend(19, &plain);
    assert!(!items(&after).contains(&disliked.0) && !items(&after).contains(&hidden.0));
    let near = recommender.similar(disliked, 1, &plain)[0].item;
    let score = |list: &Recommender| list.explain(near).unwrap().score;
    let with = score(&recommender);
    recommender.feedback(disliked, Feedback::Like, Timestamp(12)).unwrap();
    assert!(score(&recommender) > with, "what is like a liked item is worth more than what is like a disliked one");
    let list = recommender.recommend(19, &plain);
    drop(recommender);
    let again = Recommender::open(folder.path()).unwrap().recommend(19, &plain);
    assert_eq!(items(&again), items(&list));
}

#[test]
fn reasons_and_chosen_categories_add_up_to_the_score() {
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    (0..ITEMS).step_by(3).for_each(|item| {
        recommender.catalogue_mut().set(ItemId(item), Facts { categories: vec![1], ..Facts::default() });
    });
    let popular = items(&recommender.recommend(10, &Filter::default()));
    assert_eq!(popular, (0..10).collect::<Vec<_>>());
    recommender.choose_categories(&[1]);
    assert_ne!(items(&recommender.recommend(10, &Filter::default())), popular);
    for at in 0..30 {
        recommender.record(did(at * 5 % ITEMS, u64::from(at), InteractionKind::Click)).unwrap();
        let why = recommender.explain(ItemId(77)).unwrap();
        let sum: f64 = why.reasons.iter().map(|reason| f64::from(reason.score)).sum::<f64>() + f64::from(why.chosen);
        let size: f64 = why.reasons.iter().map(|reason| f64::from(reason.score.abs())).sum();
        assert!((sum - f64::from(why.score)).abs() < 1e-5 * size.max(f64::from(why.score.abs())));
        assert!(why.reasons.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
    assert!(recommender.explain(ItemId(ITEMS)).is_none());
}

#[test]
fn a_list_obeys_its_filter() {
    let folder = installation();
    let mut recommender = Recommender::open_with(folder.path(), Precision::Compact).unwrap();
    recommender.set_rules(Rules::shop());
    recommender.record(did(7, 1, InteractionKind::View)).unwrap();
    recommender.record(did(9, 2, InteractionKind::Purchase)).unwrap();
    recommender.catalogue_mut().set(ItemId(0), Facts { hidden: true, ..Facts::default() });
    let all = |filter: &Filter| items(&recommender.recommend(ITEMS as usize, filter));
    let (fresh, seen) = (Filter::default(), Filter { show_seen: true, ..Filter::default() });
    assert_eq!((all(&fresh).len(), all(&seen).len()), (ITEMS as usize - 3, ITEMS as usize - 2));
    let explored = Filter { exploration: 0.5, diversity: 0.3, seed: 4, ..Filter::default() };
    let list = recommender.recommend(20, &explored);
    assert_eq!(list.len(), 20);
    let mut distinct = items(&list);
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 20, "each item once");
    assert!(!distinct.iter().any(|item| [0, 7, 9].contains(item)));
    assert_eq!(recommender.recommend(20, &explored), list, "the same seed, the same list");
    assert!(recommender.recommend(0, &explored).is_empty());
    assert!(!items(&recommender.similar(ItemId(3), 200, &fresh)).contains(&3));
}

#[test]
fn a_new_item_is_placed_recorded_and_ranked() {
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    let known: Vec<_> =
        (0..ITEMS).map(ItemId).map(|item| (item, recommender.ranker().factors(item).unwrap())).collect();
    let map = FeatureMap::fit(&known, recommender.ranker(), 1e-6).unwrap();
    let factors = map.predict(&known[5].1).unwrap();
    assert!(matches!(recommender.record(did(ITEMS, 1, InteractionKind::View)), Err(SdkError::Stop(_))));
    assert!(matches!(recommender.place_new_item(&[0.0; 3]), Err(SdkError::Stop(_))));
    assert_eq!(recommender.place_new_item(&factors).unwrap(), ItemId(ITEMS));
    assert_eq!(recommender.similar(ItemId(ITEMS), 1, &Filter::default())[0].item, ItemId(5));
    recommender.record(did(ITEMS, 1, InteractionKind::View)).unwrap();
    let list = recommender.recommend(10, &Filter::default());
    drop(recommender);
    // Until it is placed again, what was done with it waits.
    let mut again = Recommender::open(folder.path()).unwrap();
    assert_eq!(again.recommend(1, &Filter::default())[0].item, ItemId(0));
    again.place_new_item(&factors).unwrap();
    assert_eq!(again.recommend(10, &Filter::default()), list);
}

#[test]
fn a_burst_is_set_aside_with_its_reason_and_taken_back() {
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    recommender.record(did(3, 1, InteractionKind::View)).unwrap();
    let calm = recommender.recommend(20, &Filter { show_seen: true, ..Filter::default() });
    recommender.set_limits(Some(Limits { burst_count: 4, ..Limits::default() }));
    for item in 50..54 {
        recommender.record(did(item, 1_000_000 + u64::from(item * item), InteractionKind::Click)).unwrap();
    }
    let all = Filter { show_seen: true, ..Filter::default() };
    assert_eq!(recommender.set_aside().len(), 4);
    assert_eq!(recommender.recommend(20, &all), calm);
    recommender.trust(Timestamp(1_000_000)..Timestamp(2_000_000));
    assert!(recommender.set_aside().is_empty());
    let trusted = recommender.recommend(20, &all);
    assert_ne!(trusted, calm);
    recommender.set_limits(None);
    assert_eq!(recommender.recommend(20, &all), trusted);
    assert_eq!(recommender.choose_rules(&[Rules::default(), Rules::default()], 3), Some(0), "no better, no change");
    assert_eq!(recommender.recommend(20, &all), trusted);
}
