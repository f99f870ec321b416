//! The facade over a real store: what an app sees after each call, and after it was closed and
//! opened again.

use std::path::Path;

use tacit_model::family::spectral::{SpectralModel, server};
use tacit_model::history::fusion::Rules;
use tacit_model::history::scene::SceneRules;
use tacit_model::history::sessions::Limits;
use tacit_model::rank::cold_start::FeatureMap;
use tacit_model::rank::filter::{Facts, Filter};
use tacit_model::rank::ranker::Precision;
use tacit_model::{Interaction, InteractionKind, Recipe};
use tacit_privacy::ledger::Reservation;
use tacit_privacy::{LedgerStore, Rho};
use tacit_round::policy::LogMark;
use tacit_sdk::{Feedback, Forget, Recommendation, Recommender, SdkError, Store, Why};
use tacit_types::{Digest, ItemId, RoundId, TaskId, Timestamp};
use tempfile::TempDir;

const ITEMS: u32 = 200;

fn model() -> SpectralModel {
    let recipe = Recipe {
        factors: 8,
        weight_exponent: 0.2,
        popularity_exponent: 0.1,
        ..Recipe::counts_only()
    };
    let counts: Vec<f64> = (1..=ITEMS).map(|rank| 1e3 / f64::from(rank)).collect();
    server::random_init(&server::apply_counts(&counts, 1.0, &recipe), &recipe, 3)
}

fn installation() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    Store::create(folder.path()).expect("a new store");
    adopt(folder.path(), &model());
    folder
}

/// Leaves a model as a refresh does.
fn adopt(folder: &Path, model: &SpectralModel) {
    let (bytes, models) = (model.to_bytes(), folder.join("models"));
    let hash = tacit_privacy::canonical::digest(&bytes);
    std::fs::create_dir_all(&models).expect("a folder");
    std::fs::write(models.join(format!("{hash}.bin")), bytes).expect("a model");
    std::fs::write(models.join("serving"), format!("films {hash} -\n")).expect("a pointer");
}

fn did(item: u32, at: u64, kind: InteractionKind) -> Interaction {
    Interaction {
        item: ItemId(item),
        timestamp: Some(Timestamp(at)),
        value: 1.0,
        kind,
        surface: 0,
    }
}

fn items(list: &[Recommendation]) -> Vec<u32> {
    list.iter().map(|one| one.item.0).collect()
}

#[test]
fn feedback_acts_at_once_and_survives_closing() {
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    for item in 0..5 {
        recommender
            .record(did(item * 3, u64::from(item), InteractionKind::View))
            .unwrap();
    }
    let plain = Filter::default();
    let before = recommender.recommend(20, &plain);
    let (hidden, disliked) = (before[0].item, before[1].item);
    recommender
        .feedback(hidden, Feedback::Hide, Timestamp(10))
        .unwrap();
    let kept: Vec<u32> = items(&before)[1..].to_vec();
    assert_eq!(
        items(&recommender.recommend(19, &plain)),
        kept,
        "hiding changes nothing else"
    );
    recommender
        .feedback(disliked, Feedback::Dislike, Timestamp(11))
        .unwrap();
    let after = recommender.recommend(19, &plain);
    assert!(!items(&after).contains(&disliked.0) && !items(&after).contains(&hidden.0));
    let near = recommender.similar(disliked, 1, &plain)[0].item;
    let score = |list: &Recommender| list.explain(near, &plain).unwrap().score;
    let with = score(&recommender);
    recommender
        .feedback(disliked, Feedback::Like, Timestamp(12))
        .unwrap();
    assert!(
        score(&recommender) > with,
        "what is like a liked item is worth more than what is like a disliked one"
    );
    let list = recommender.recommend(19, &plain);
    drop(recommender);
    let again = Recommender::open(folder.path())
        .unwrap()
        .recommend(19, &plain);
    assert_eq!(items(&again), items(&list));
}

#[test]
fn reasons_and_chosen_categories_add_up_to_the_score() {
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    (0..ITEMS).step_by(3).for_each(|item| {
        recommender.catalogue_mut().set(
            ItemId(item),
            Facts {
                categories: vec![1],
                ..Facts::default()
            },
        );
    });
    let popular = items(&recommender.recommend(10, &Filter::default()));
    assert_eq!(popular, (0..10).collect::<Vec<_>>());
    recommender.choose_categories(&[1]).unwrap();
    let chosen = items(&recommender.recommend(10, &Filter::default()));
    assert_ne!(chosen, popular);
    let catalogue = recommender.catalogue_mut().clone();
    drop(recommender);
    let mut recommender = Recommender::open(folder.path()).unwrap();
    *recommender.catalogue_mut() = catalogue;
    assert_eq!(
        items(&recommender.recommend(10, &Filter::default())),
        chosen,
        "a choice lasts"
    );
    for at in 0..30 {
        recommender
            .record(did(at * 5 % ITEMS, u64::from(at), InteractionKind::Click))
            .unwrap();
        let why = recommender
            .explain(ItemId(77), &Filter::default())
            .unwrap();
        let sum: f64 = why
            .reasons
            .iter()
            .map(|reason| f64::from(reason.score))
            .sum::<f64>()
            + f64::from(why.chosen);
        let size: f64 = why
            .reasons
            .iter()
            .map(|reason| f64::from(reason.score.abs()))
            .sum();
        assert!((sum - f64::from(why.score)).abs() < 1e-5 * size.max(f64::from(why.score.abs())));
        assert!(
            why.reasons
                .windows(2)
                .all(|pair| pair[0].score >= pair[1].score)
        );
    }
    assert!(
        recommender
            .explain(ItemId(ITEMS), &Filter::default())
            .is_none()
    );
}

#[test]
fn a_list_obeys_its_filter() {
    let folder = installation();
    let mut recommender = Recommender::open_with(folder.path(), Precision::Compact, None).unwrap();
    recommender.set_rules(Rules::shop());
    recommender
        .record(did(7, 1, InteractionKind::View))
        .unwrap();
    recommender
        .record(did(9, 2, InteractionKind::Purchase))
        .unwrap();
    recommender.catalogue_mut().set(
        ItemId(0),
        Facts {
            hidden: true,
            ..Facts::default()
        },
    );
    let all = |filter: &Filter| items(&recommender.recommend(ITEMS as usize, filter));
    let (fresh, seen) = (
        Filter::default(),
        Filter {
            show_seen: true,
            ..Filter::default()
        },
    );
    assert_eq!(
        (all(&fresh).len(), all(&seen).len()),
        (ITEMS as usize - 3, ITEMS as usize - 2)
    );
    let explored = Filter {
        exploration: 0.5,
        diversity: 0.3,
        seed: 4,
        ..Filter::default()
    };
    let list = recommender.recommend(20, &explored);
    assert_eq!(list.len(), 20);
    let mut distinct = items(&list);
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 20, "each item once");
    assert!(!distinct.iter().any(|item| [0, 7, 9].contains(item)));
    assert_eq!(
        recommender.recommend(20, &explored),
        list,
        "the same seed, the same list"
    );
    assert!(recommender.recommend(0, &explored).is_empty());
    assert!(!items(&recommender.similar(ItemId(3), 200, &fresh)).contains(&3));
}

#[test]
fn a_new_item_is_placed_recorded_and_ranked() {
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    let known: Vec<_> = (0..ITEMS)
        .map(ItemId)
        .map(|item| (item, recommender.ranker().factors(item).unwrap()))
        .collect();
    let map = FeatureMap::fit(&known, recommender.ranker(), 1e-6).unwrap();
    let factors = map.predict(&known[5].1).unwrap();
    assert!(matches!(
        recommender.record(did(ITEMS, 1, InteractionKind::View)),
        Err(SdkError::Stop(_))
    ));
    assert!(matches!(
        recommender.place_new_item(&[0.0; 3]),
        Err(SdkError::Stop(_))
    ));
    assert_eq!(recommender.place_new_item(&factors).unwrap(), ItemId(ITEMS));
    assert_eq!(
        recommender.similar(ItemId(ITEMS), 1, &Filter::default())[0].item,
        ItemId(5)
    );
    recommender
        .record(did(ITEMS, 1, InteractionKind::View))
        .unwrap();
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
    recommender
        .record(did(3, 1, InteractionKind::View))
        .unwrap();
    let calm = recommender.recommend(
        20,
        &Filter {
            show_seen: true,
            ..Filter::default()
        },
    );
    recommender.set_limits(Some(Limits {
        burst_count: 4,
        ..Limits::default()
    }));
    for item in 50..54 {
        recommender
            .record(did(
                item,
                1_000_000 + u64::from(item * item),
                InteractionKind::Click,
            ))
            .unwrap();
    }
    let all = Filter {
        show_seen: true,
        ..Filter::default()
    };
    assert_eq!(recommender.set_aside().len(), 4);
    assert_eq!(recommender.recommend(20, &all), calm);
    recommender
        .trust(Timestamp(1_000_000)..Timestamp(2_000_000))
        .unwrap();
    assert!(recommender.set_aside().is_empty());
    let trusted = recommender.recommend(20, &all);
    assert_ne!(trusted, calm);
    drop(recommender);
    let mut recommender = Recommender::open(folder.path()).unwrap();
    recommender.set_limits(Some(Limits {
        burst_count: 4,
        ..Limits::default()
    }));
    assert!(recommender.set_aside().is_empty(), "trust lasts");
    recommender.set_limits(None);
    assert_eq!(recommender.recommend(20, &all), trusted);
    assert_eq!(
        recommender.choose_rules(&[Rules::default(), Rules::default()], 3),
        Some(0),
        "no better, no change"
    );
    assert_eq!(recommender.recommend(20, &all), trusted);
}

/// An item that is only used in the evening, and what is like it, rank higher in the evening; a
/// like holds all day.
#[test]
fn the_scene_of_a_list_decides_what_counts() {
    const HOUR: u64 = 3_600_000;
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    for day in 0..8u32 {
        let (start, item) = (u64::from(day) * 24 * HOUR, day * 2);
        recommender
            .record(Interaction {
                surface: 1,
                ..did(item, start + 8 * HOUR, InteractionKind::View)
            })
            .unwrap();
        recommender
            .record(Interaction {
                surface: 2,
                ..did(item + 101, start + 20 * HOUR, InteractionKind::View)
            })
            .unwrap();
    }
    let at = |hour: u64, surface| Filter {
        now: Some(Timestamp((9 * 24 + hour) * HOUR)),
        surface,
        ..Filter::default()
    };
    let in_scenes = |scene| {
        let mut rules = Rules::default();
        rules.scene = scene;
        rules
    };
    let share_of_morning = |list: &Recommender, filter: &Filter| {
        let why = list.explain(ItemId(77), filter).unwrap();
        let sum: f32 = why.reasons.iter().map(|reason| reason.score).sum();
        assert!(
            (sum - why.score).abs()
                < 1e-4
                    * why
                        .reasons
                        .iter()
                        .map(|reason| reason.score.abs())
                        .sum::<f32>()
        );
        let size = |of: &dyn Fn(u32) -> bool| -> f32 {
            why.reasons
                .iter()
                .filter(|reason| of(reason.item.0))
                .map(|reason| reason.score.abs())
                .sum()
        };
        size(&|item| item < 100) / size(&|_| true)
    };
    let plain = recommender.recommend(20, &at(8, 1));
    assert_eq!(
        recommender.recommend(20, &at(20, 2)),
        plain,
        "scenes make no difference before they are asked for"
    );
    for scene in [
        SceneRules {
            hour: 3.0,
            ..SceneRules::default()
        },
        SceneRules {
            surface: 3.0,
            ..SceneRules::default()
        },
    ] {
        recommender.set_rules(in_scenes(scene));
        let (morning, evening) = (
            share_of_morning(&recommender, &at(8, 1)),
            share_of_morning(&recommender, &at(20, 2)),
        );
        assert!(morning > 2.0 * evening, "{scene:?}: {morning} {evening}");
        assert_ne!(
            recommender.recommend(20, &at(8, 1)),
            recommender.recommend(20, &at(20, 2))
        );
    }
    let surfaces = in_scenes(SceneRules {
        surface: 3.0,
        ..SceneRules::default()
    });
    assert_eq!(
        recommender.choose_rules(&[Rules::default(), Rules::default()], 3),
        Some(0)
    );
    assert_eq!(recommender.recommend(20, &at(20, 2)), plain);
    drop(recommender);
    let mut again = Recommender::open(folder.path()).unwrap();
    again.set_rules(surfaces);
    assert!(
        share_of_morning(&again, &at(8, 1)) > 2.0 * share_of_morning(&again, &at(8, 2)),
        "surfaces are stored"
    );
}

#[test]
fn what_is_forgotten_is_gone_from_every_list_and_every_byte() {
    let folder = installation();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    let fresh = recommender.recommend(ITEMS as usize, &Filter::default());
    // Values that are found again in the file: a real of SQLite is eight bytes, most significant
    // first.
    let value = |i: u32| 1234.5 + f32::from(u16::try_from(i).unwrap());
    let held = |folder: &TempDir, i: u32| {
        let pattern = f64::from(value(i)).to_be_bytes();
        ["store.sqlite", "store.sqlite-wal"]
            .iter()
            .filter_map(|name| std::fs::read(folder.path().join(name)).ok())
            .any(|bytes| bytes.windows(8).any(|window| window == pattern))
    };
    for i in 0..300 {
        let one = did(i % 50, u64::from(i) * 1000, InteractionKind::Dwell);
        recommender
            .record(Interaction {
                value: value(i),
                ..one
            })
            .unwrap();
    }
    recommender.choose_categories(&[4, 2, 4]).unwrap();
    recommender.trust(Timestamp(3)..Timestamp(5)).unwrap();
    assert!((0..300).all(|i| held(&folder, i)));

    assert_eq!(recommender.forget(&Forget::Item(ItemId(7))).unwrap(), 6);
    assert_eq!(recommender.forget(&Forget::Item(ItemId(7))).unwrap(), 0);
    assert_eq!(
        recommender
            .forget(&Forget::Period(Timestamp(100_000)..Timestamp(200_000)))
            .unwrap(),
        98
    );
    assert!(
        recommender
            .recommend(ITEMS as usize, &Filter::default())
            .iter()
            .any(|one| one.item == ItemId(7))
    );
    let gone = |i: u32| i % 50 == 7 || (100..200).contains(&i);
    assert!(
        (0..300).all(|i| held(&folder, i) != gone(i)),
        "what was forgotten is overwritten, and nothing else"
    );
    assert_eq!(recommender.recent().len(), 196);
    let rest = recommender.recommend(20, &Filter::default());
    drop(recommender);
    let mut recommender = Recommender::open(folder.path()).unwrap();
    assert_eq!(
        recommender.recommend(20, &Filter::default()),
        rest,
        "as if it had never been done"
    );

    assert_eq!(recommender.forget(&Forget::Everything).unwrap(), 196);
    assert_eq!(
        recommender.recommend(ITEMS as usize, &Filter::default()),
        fresh
    );
    assert!(!(0..300).any(|i| held(&folder, i)));
    let data: serde_json::Value =
        serde_json::from_str(&recommender.export_my_data().unwrap()).unwrap();
    for empty in ["interactions", "trusted_periods", "chosen_categories"] {
        assert_eq!(data[empty], serde_json::json!([]), "{empty}");
    }
}

#[test]
fn an_owner_gets_all_that_is_held_of_them() {
    let folder = installation();
    let mut store = Store::open(folder.path()).unwrap();
    let line = Reservation {
        task: TaskId::new("films").unwrap(),
        round: RoundId(4),
        ticket: Digest([7; 32]),
        rho: Rho::saturating_from_units(1 << 60),
        hour: 9,
    };
    store
        .spending(LogMark::default())
        .reserve(&line)
        .unwrap();
    store.close();
    let mut recommender = Recommender::open(folder.path()).unwrap();
    recommender
        .record(Interaction {
            surface: 3,
            ..did(5, 77, InteractionKind::Cart)
        })
        .unwrap();
    recommender
        .record(Interaction {
            timestamp: None,
            ..did(6, 0, InteractionKind::View)
        })
        .unwrap();
    recommender.choose_categories(&[4, 2, 4]).unwrap();
    recommender.trust(Timestamp(3)..Timestamp(5)).unwrap();
    let mut data: serde_json::Value =
        serde_json::from_str(&recommender.export_my_data().unwrap()).unwrap();
    let taste = data.as_object_mut().unwrap().remove("taste").unwrap();
    assert_eq!(taste["factors"].as_array().unwrap().len(), 8);
    let expected = serde_json::json!({
        "format": 1,
        "owner": "",
        "interactions": [
            { "item": 5, "at": 77, "value": 1.0, "kind": "cart", "surface": 3 },
            { "item": 6, "at": null, "value": 1.0, "kind": "view", "surface": 0 },
        ],
        "waiting": [],
        "trusted_periods": [{ "since": 3, "until": 5 }],
        "chosen_categories": [2, 4],
        "consent": "off",
        "releases": [{
            "task": "films",
            "round": 4,
            "ticket": "07".repeat(32),
            "rho": (1u64 << 60).to_string(),
            "hour": 9,
            "status": "reserved",
        }],
        "rho_counted_elsewhere": "0",
    });
    assert_eq!(data, expected);
}

#[test]
fn a_suggestion_says_what_speaks_most_for_it() {
    let folder = installation();
    let mut list = Recommender::open(folder.path()).unwrap();
    let plain = Filter::default();
    let first = |list: &Recommender| list.recommend(1, &plain)[0].item;
    assert_eq!(list.why(first(&list), &plain), Some(Why::General));

    let facts = Facts {
        categories: vec![18],
        ..Facts::default()
    };
    list.catalogue_mut().set(ItemId(5), facts);
    list.choose_categories(&[18]).unwrap();
    assert_eq!(list.chosen_categories(), [18]);
    assert_eq!(list.why(first(&list), &plain), Some(Why::Chosen));

    list.choose_categories(&[]).unwrap();
    for (at, kind) in [(1, InteractionKind::View), (2, InteractionKind::Like)] {
        list.record(did(9, at, kind)).unwrap();
    }
    let because = Why::Because {
        item: ItemId(9),
        kind: InteractionKind::Like,
    };
    assert_eq!(list.why(first(&list), &plain), Some(because));
    assert_eq!(list.why(ItemId(ITEMS), &plain), None);
}
