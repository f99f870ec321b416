//! Splits each user's interactions into what is learned from and what is held out.

use std::collections::HashSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use tacit_model::interaction::Interaction;
use tacit_types::ItemId;

/// One in this many distinct items is held out where there is no time to go by.
const SHARE: usize = 5;

/// Chooses what each user is tested on and takes it out of their interactions: the last item where the whole data set has
/// times, otherwise a random fifth. One rule for all users, so that a result means one thing.
pub(crate) fn choose(users: &mut [Vec<Interaction>], seed: u64) -> Vec<Vec<ItemId>> {
    let timed = users.iter().flatten().all(|interaction| interaction.timestamp.is_some());
    let choose = |(index, history): (usize, &Vec<Interaction>)| {
        let distinct = distinct_items(history);
        match distinct.len() {
            0 | 1 => Vec::new(),
            _ if timed => last_item(history),
            _ => random_share(distinct, seed, index as u64),
        }
    };
    let test: Vec<_> = users.iter().enumerate().map(choose).collect();
    remove(users, &test);
    test
}

/// Takes held-out items out of the same user's interactions, all occurrences of them.
pub(crate) fn remove(users: &mut [Vec<Interaction>], test: &[Vec<ItemId>]) {
    for (history, held_out) in users.iter_mut().zip(test) {
        let held_out: HashSet<_> = held_out.iter().collect();
        history.retain(|interaction| !held_out.contains(&interaction.item));
    }
}

/// The latest interaction's item; among equal times the last in input order.
fn last_item(history: &[Interaction]) -> Vec<ItemId> {
    history.iter().max_by_key(|interaction| interaction.timestamp).map(|last| last.item).into_iter().collect()
}

/// A fifth of the items, at least one. Each user has their own random stream, so other users do not matter.
fn random_share(mut distinct: Vec<ItemId>, seed: u64, stream: u64) -> Vec<ItemId> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let count = (distinct.len() / SHARE).max(1);
    let (chosen, _) = distinct.partial_shuffle(&mut rng, count);
    chosen.to_vec()
}

/// The items of a history, each once, in order of first appearance.
fn distinct_items(history: &[Interaction]) -> Vec<ItemId> {
    let mut seen = HashSet::new();
    history.iter().map(|interaction| interaction.item).filter(|item| seen.insert(*item)).collect()
}

#[cfg(test)]
mod tests {
    use tacit_model::interaction::InteractionKind;
    use tacit_types::Timestamp;

    use super::*;

    fn at(item: u32, seconds: Option<u64>) -> Interaction {
        let timestamp = seconds.map(|seconds| Timestamp(seconds * 1000));
        Interaction { item: ItemId(item), timestamp, value: 1.0, kind: InteractionKind::View }
    }

    fn items(history: &[Interaction]) -> Vec<u32> {
        history.iter().map(|interaction| interaction.item.0).collect()
    }

    #[test]
    fn the_latest_item_is_held_out_with_all_its_occurrences() {
        let mut users = vec![vec![at(7, Some(1)), at(8, Some(9)), at(7, Some(9)), at(9, Some(3))]];
        assert_eq!(choose(&mut users, 0), [[ItemId(7)]]);
        assert_eq!(items(&users[0]), [8, 9]);
    }

    #[test]
    fn users_with_fewer_than_two_items_keep_everything() {
        let mut users = vec![vec![], vec![at(7, Some(1)), at(7, Some(2))]];
        assert_eq!(choose(&mut users, 0), [vec![], vec![]]);
        assert_eq!(items(&users[1]), [7, 7]);
    }

    #[test]
    fn one_missing_time_makes_the_split_random_for_everybody() {
        let history: Vec<_> = (0..23).map(|item| at(item, Some(u64::from(item)))).collect();
        let users = vec![history.clone(), vec![at(1, None), at(2, Some(5))]];
        let split = |seed| {
            let mut users = users.clone();
            let test = choose(&mut users, seed);
            (test, users)
        };
        let (test, rest) = split(1);
        assert_eq!(test.iter().map(Vec::len).collect::<Vec<_>>(), [4, 1]);
        assert_eq!((rest[0].len(), rest[1].len()), (19, 1));
        assert!(test[0].iter().all(|item| !items(&rest[0]).contains(&item.0)));
        assert_eq!(split(1).0, test);
        assert_ne!(split(2).0, test);
    }

    #[test]
    fn a_user_with_a_million_interactions_is_split_like_any_other() {
        // Hostile case 119.
        let mut users = vec![(0..1_000_000).map(|n| at(n % 1_000, None)).collect()];
        assert_eq!(choose(&mut users, 0)[0].len(), 200);
        assert_eq!(users[0].len(), 800_000);
    }
}
