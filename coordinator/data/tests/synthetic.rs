//! The generated data set has something to learn: popularity beats chance, co-occurrence beats
//! popularity, and the recent past tells more than the distant past. The scorers are simple on
//! purpose; they stand in for a model.

use std::collections::HashSet;

use tacit_data::{Dataset, SyntheticSpec, synthetic};
use tacit_model::history::interaction::Interaction;

const TOP: usize = 10;

/// Share of users whose held-out item is among the ten best-scored items they have not seen.
fn hit_rate(data: &Dataset, mut score: impl FnMut(&[Interaction]) -> Vec<f64>) -> f64 {
    let (mut hits, mut users) = (0.0, 0.0);
    for (history, held_out) in data.users.iter().zip(&data.test) {
        let Some(target) = held_out.first() else {
            continue;
        };
        let scores = score(history);
        let seen: HashSet<_> = history
            .iter()
            .map(|interaction| interaction.item.0 as usize)
            .collect();
        let target = target.0 as usize;
        let better = (0..scores.len())
            .filter(|i| *i != target && !seen.contains(i) && scores[*i] >= scores[target]);
        hits += f64::from(better.count() < TOP);
        users += 1.0;
    }
    hits / users
}

fn counts(data: &Dataset) -> Vec<f64> {
    let mut counts = vec![0.0; data.items.len()];
    data.users
        .iter()
        .flatten()
        .for_each(|interaction| counts[interaction.item.0 as usize] += 1.0);
    counts
}

/// Cosine similarity of any two items over the users who have both.
fn similarities(data: &Dataset) -> Vec<Vec<f64>> {
    let counts = counts(data);
    let mut together = vec![vec![0.0; counts.len()]; counts.len()];
    for history in &data.users {
        for a in history {
            history
                .iter()
                .for_each(|b| together[a.item.0 as usize][b.item.0 as usize] += 1.0);
        }
    }
    for (row, a) in together.iter_mut().zip(&counts) {
        row.iter_mut()
            .zip(&counts)
            .for_each(|(cell, b)| *cell /= (a * b).sqrt().max(1.0));
    }
    together
}

fn neighbours(similarities: &[Vec<f64>], history: &[Interaction]) -> Vec<f64> {
    let mut scores = vec![0.0; similarities.len()];
    for interaction in history {
        let row = &similarities[interaction.item.0 as usize];
        scores
            .iter_mut()
            .zip(row)
            .for_each(|(score, similarity)| *score += similarity);
    }
    scores
}

#[test]
fn there_is_something_to_learn() {
    for seed in [0, 1] {
        let data = synthetic(&SyntheticSpec {
            seed,
            ..SyntheticSpec::default()
        });
        let (counts, similarities) = (counts(&data), similarities(&data));
        let popular = hit_rate(&data, |_| counts.clone());
        let neighbour = hit_rate(&data, |history| neighbours(&similarities, history));
        let half = |history: &[Interaction]| history.len() / 2;
        let early = hit_rate(&data, |history| {
            neighbours(&similarities, &history[..half(history)])
        });
        let late = hit_rate(&data, |history| {
            neighbours(&similarities, &history[half(history)..])
        });
        println!(
            "seed {seed}: popular {popular:.3} neighbours {neighbour:.3} early {early:.3} late \
             {late:.3}"
        );
        // Chance is about 10 of 370. With 1,500 users the standard error of a rate of 0.25 is
        // 0.011.
        assert!(
            (0.08..=0.17).contains(&popular),
            "seed {seed}: popularity {popular}"
        );
        assert!(
            neighbour >= 1.5 * popular && neighbour >= 0.22,
            "seed {seed}: {neighbour} against {popular}"
        );
        assert!(
            late > early + 0.02,
            "seed {seed}: recent {late}, distant {early}"
        );
    }
}

#[test]
fn its_shape_is_as_documented() {
    let data = synthetic(&SyntheticSpec::default());
    assert_eq!(
        (data.users.len(), data.items.len(), data.test.len()),
        (1_500, 400, 1_500)
    );
    let mut lengths: Vec<_> = data
        .users
        .iter()
        .zip(&data.test)
        .map(|(of, test)| of.len() + test.len())
        .collect();
    lengths.sort_unstable();
    println!(
        "activity: least {} median {} most {}",
        lengths[0], lengths[750], lengths[1_499]
    );
    assert!((24..=31).contains(&lengths[750]) && lengths[1_499] <= 200);
    for (history, held_out) in data.users.iter().zip(&data.test) {
        assert!(history.is_sorted_by_key(|interaction| interaction.timestamp));
        let items: HashSet<_> = history
            .iter()
            .map(|interaction| interaction.item)
            .chain(held_out.iter().copied())
            .collect();
        assert_eq!(
            items.len(),
            history.len() + held_out.len(),
            "an item repeats"
        );
    }
    let mut counts = counts(&data);
    counts.sort_by(|a, b| b.total_cmp(a));
    let head: f64 = counts[..40].iter().sum::<f64>() / counts.iter().sum::<f64>();
    println!(
        "the most popular tenth has {head:.2} of all interactions, the least popular item {}",
        counts[399]
    );
    assert!((0.2..0.6).contains(&head) && counts[399] > 0.0);
}

#[test]
fn equal_specs_give_equal_data_and_more_users_change_nothing_for_the_first() {
    let spec = SyntheticSpec {
        users: 40,
        items: 100,
        seed: 7,
    };
    let data = synthetic(&spec);
    assert_eq!(data, synthetic(&spec));
    assert_ne!(
        data.users,
        synthetic(&SyntheticSpec { seed: 8, ..spec }).users
    );
    assert_eq!(
        data.users,
        synthetic(&SyntheticSpec { users: 60, ..spec }).users[..40]
    );
}

#[test]
fn degenerate_sizes_give_small_data_sets() {
    // HOSTILE 119, 120: no user, no item, one item.
    for (users, items, each) in [
        (0, 0, 0),
        (0, 400, 0),
        (5, 0, 0),
        (5, 1, 1),
        (5, 2, 1),
        (5, 3, 1),
    ] {
        let data = synthetic(&SyntheticSpec {
            users,
            items,
            seed: 1,
        });
        assert_eq!(
            (data.users.len(), data.items.len(), data.test.len()),
            (users, items, users)
        );
        assert_eq!(
            data.interaction_count(),
            users * each,
            "{users} users, {items} items"
        );
        assert!(data.test.iter().all(Vec::is_empty));
    }
}
