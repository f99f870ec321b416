//! Splits each user's interactions into those learned from and those held out.

use std::collections::HashSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use tacit_model::history::interaction::Interaction;
use tacit_types::ItemId;

use crate::Split;
use crate::error::DataError;

/// The words for a random split.
pub(crate) const RANDOM: &str = "a random fifth of each user's items";

/// One in this many distinct items is held out where it is not one item.
const SHARE: usize = 5;

/// What each user is tested on, and the words for how it was chosen.
pub(crate) struct HeldOut {
    pub(crate) test: Vec<Vec<ItemId>>,
    pub(crate) split: &'static str,
}

/// Takes the items each user is tested on out of their interactions. A user with fewer than two
/// distinct items keeps everything.
pub(crate) fn choose(
    users: &mut [Vec<Interaction>],
    asked: Split,
    seed: u64,
) -> Result<HeldOut, DataError> {
    let split = chosen(asked, users);
    let choose = |(index, history): (usize, &Vec<Interaction>)| match split {
        Split::Nothing => Vec::new(),
        _ if !has_two_items(history) => Vec::new(),
        Split::Random => random_share(distinct_items(history), seed, index as u64),
        _ if !is_timed(history) => Vec::new(),
        Split::Time => latest_share(history),
        _ => last_item(history),
    };
    let test: Vec<_> = users.iter().enumerate().map(choose).collect();
    if test.iter().all(Vec::is_empty) && matches!(asked, Split::Time | Split::LeaveOneOut) {
        let problem =
            "no user has at least two items and a time on every interaction; use random-20".into();
        return Err(DataError::InvalidOption {
            option: "split",
            problem,
        });
    }
    remove(users, &test);
    Ok(HeldOut {
        test,
        split: words(split),
    })
}

/// The rule for all users, so that a result means one thing.
fn chosen(asked: Split, users: &[Vec<Interaction>]) -> Split {
    match asked {
        Split::Published if users.iter().all(|history| is_timed(history)) => Split::LeaveOneOut,
        Split::Published => Split::Random,
        other => other,
    }
}

fn words(split: Split) -> &'static str {
    match split {
        Split::Published | Split::LeaveOneOut => "each user's last item by time",
        Split::Random => RANDOM,
        Split::Time => "the latest fifth of each user's items by time",
        Split::Nothing => "nothing",
    }
}

fn has_two_items(history: &[Interaction]) -> bool {
    let mut items = history.iter().map(|interaction| interaction.item);
    let first = items.next();
    items.any(|item| Some(item) != first)
}

fn is_timed(history: &[Interaction]) -> bool {
    history
        .iter()
        .all(|interaction| interaction.timestamp.is_some())
}

/// Takes held-out items out of the same user's interactions, all occurrences of them.
pub(crate) fn remove(users: &mut [Vec<Interaction>], test: &[Vec<ItemId>]) {
    for (history, held_out) in users.iter_mut().zip(test) {
        // Nearly always one item or none, for which a table is not worth its hashing.
        match held_out[..] {
            [] => {}
            [only] => history.retain(|interaction| interaction.item != only),
            _ => {
                let held_out: HashSet<_> = held_out.iter().collect();
                history.retain(|interaction| !held_out.contains(&interaction.item));
            }
        }
    }
}

/// The latest interaction's item; among equal times the last in input order.
fn last_item(history: &[Interaction]) -> Vec<ItemId> {
    history
        .iter()
        .max_by_key(|interaction| interaction.timestamp)
        .map(|last| last.item)
        .into_iter()
        .collect()
}

/// The latest fifth of the items by their last use, at least one; among equal times the last in
/// input order.
fn latest_share(history: &[Interaction]) -> Vec<ItemId> {
    let mut newest_first: Vec<&Interaction> = history.iter().rev().collect();
    newest_first.sort_by_key(|interaction| std::cmp::Reverse(interaction.timestamp));
    let mut seen = HashSet::new();
    let mut latest: Vec<ItemId> = newest_first
        .iter()
        .map(|one| one.item)
        .filter(|item| seen.insert(*item))
        .collect();
    latest.truncate((latest.len() / SHARE).max(1));
    latest
}

/// A fifth of the items to the nearest, at least one. Each user has their own random stream, so
/// other users do not matter.
fn random_share(mut distinct: Vec<ItemId>, seed: u64, stream: u64) -> Vec<ItemId> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    // To the nearest: rounding down would hold out less than the share on average.
    let count = ((distinct.len() + SHARE / 2) / SHARE).max(1);
    let (chosen, _) = distinct.partial_shuffle(&mut rng, count);
    chosen.to_vec()
}

/// The items of a history, each once, in order of first appearance.
fn distinct_items(history: &[Interaction]) -> Vec<ItemId> {
    let mut seen = HashSet::new();
    history
        .iter()
        .map(|interaction| interaction.item)
        .filter(|item| seen.insert(*item))
        .collect()
}

#[cfg(test)]
mod tests {
    use tacit_model::history::interaction::InteractionKind;
    use tacit_types::Timestamp;

    use super::*;

    fn at(item: u32, seconds: Option<u64>) -> Interaction {
        let timestamp = seconds.map(|seconds| Timestamp(seconds * 1000));
        Interaction {
            item: ItemId(item),
            timestamp,
            value: 1.0,
            kind: InteractionKind::View,
            surface: 0,
        }
    }

    fn items(history: &[Interaction]) -> Vec<u32> {
        history
            .iter()
            .map(|interaction| interaction.item.0)
            .collect()
    }

    fn published(users: &mut [Vec<Interaction>], seed: u64) -> Vec<Vec<ItemId>> {
        choose(users, Split::Published, seed).unwrap().test
    }

    #[test]
    fn the_latest_fifth_goes_by_the_last_use_and_needs_times() {
        let mut timed: Vec<_> = (0..10)
            .map(|item| at(item, Some(100 - u64::from(item))))
            .collect();
        timed.push(at(7, Some(200)));
        let mut users = vec![timed, vec![at(1, None), at(2, Some(5))]];
        assert_eq!(
            choose(&mut users, Split::Time, 0).unwrap().test,
            [vec![ItemId(7), ItemId(0)], vec![]]
        );
        assert_eq!((users[0].len(), users[1].len()), (8, 2));
        let error = choose(&mut users[1..], Split::LeaveOneOut, 0)
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("option split: no user"), "{error}");
    }

    #[test]
    fn a_random_fifth_is_held_out_of_timed_users_when_asked() {
        let mut users = vec![
            (0..23)
                .map(|item| at(item, Some(u64::from(item))))
                .collect(),
        ];
        assert_eq!(
            choose(&mut users, Split::Random, 1).unwrap().test[0].len(),
            5,
            "to the nearest: 4.6"
        );
    }

    #[test]
    fn the_latest_item_is_held_out_with_all_its_occurrences() {
        let mut users = vec![vec![
            at(7, Some(1)),
            at(8, Some(9)),
            at(7, Some(9)),
            at(9, Some(3)),
        ]];
        assert_eq!(published(&mut users, 0), [[ItemId(7)]]);
        assert_eq!(items(&users[0]), [8, 9]);
    }

    #[test]
    fn users_with_fewer_than_two_items_keep_everything() {
        let mut users = vec![vec![], vec![at(7, Some(1)), at(7, Some(2))]];
        assert_eq!(published(&mut users, 0), [vec![], vec![]]);
        assert_eq!(items(&users[1]), [7, 7]);
    }

    #[test]
    fn one_missing_time_makes_the_split_random_for_everybody() {
        let history: Vec<_> = (0..23)
            .map(|item| at(item, Some(u64::from(item))))
            .collect();
        let users = vec![history.clone(), vec![at(1, None), at(2, Some(5))]];
        let split = |seed| {
            let mut users = users.clone();
            let test = published(&mut users, seed);
            (test, users)
        };
        let (test, rest) = split(1);
        assert_eq!(test.iter().map(Vec::len).collect::<Vec<_>>(), [5, 1]);
        assert_eq!((rest[0].len(), rest[1].len()), (18, 1));
        assert!(
            test[0]
                .iter()
                .all(|item| !items(&rest[0]).contains(&item.0))
        );
        assert_eq!(split(1).0, test);
        assert_ne!(split(2).0, test);
    }

    #[test]
    fn a_user_with_a_million_interactions_is_split_like_any_other() {
        // HOSTILE 119.
        let mut users = vec![(0..1_000_000).map(|n| at(n % 1_000, None)).collect()];
        assert_eq!(published(&mut users, 0)[0].len(), 200);
        assert_eq!(users[0].len(), 800_000);
    }
}
