//! A central baseline for honest comparison: it sees every rating, so it bounds what private
//! training can reach.
//!
//! Alternating least squares with biases on both sides; the penalty grows with the number of
//! ratings of a row, after Zhou, Wilkinson, Schreiber, Pan, "Large-scale parallel collaborative
//! filtering for the Netflix Prize" (2008). Factors in f32, solves in f64.

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};

use super::ratings::Ratings;
use super::scale::Scale;
use crate::maths::linalg::{dot, narrow};
use crate::maths::solve::NormalEquation;

/// Passes over users and items.
const EPOCHS: usize = 15;
/// Penalty of a row: per rating of it, and once.
const RIDGE: [f64; 2] = [0.08, 2.0];

/// User and item factors with biases.
pub struct RatingAls {
    scale: Scale,
    users: Side,
    items: Side,
}

/// Trains on all ratings, with `factors` factors.
pub fn rating_als(
    ratings: &[Ratings],
    catalogue_len: u32,
    scale: Scale,
    factors: usize,
    seed: u64,
) -> RatingAls {
    let mut by_user = Vec::with_capacity(ratings.len());
    let mut by_item = vec![Vec::new(); catalogue_len as usize];
    for (user, own) in ratings.iter().enumerate() {
        let own = || {
            own.given().iter().map(|&(item, rating)| {
                (item.0 as usize, (rating - scale.midpoint()) / scale.unit())
            })
        };
        own().for_each(|(item, rating)| by_item[item].push((user, rating)));
        by_user.push(own().collect());
    }
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut users = Side::random(by_user.len(), factors, &mut rng);
    let mut items = Side::random(by_item.len(), factors, &mut rng);
    for _ in 0..EPOCHS {
        users.refit(&by_user, &items);
        items.refit(&by_item, &users);
    }
    RatingAls {
        scale,
        users,
        items,
    }
}

impl RatingAls {
    /// What a trained user would give every item, on the scale: length M.
    pub fn predictions(&self, user: usize) -> Vec<f32> {
        let (p, user_bias) = self.users.row(user);
        let predict = |item| {
            let (v, item_bias) = self.items.row(item);
            // The penalties are those of five stars, so learning is in units of one star.
            let stars = f64::from(user_bias + item_bias + dot(p, v));
            let rating = self.scale.midpoint() + self.scale.unit() * stars;
            narrow(self.scale.nearest(rating))
        };
        (0..self.items.values.len() / self.items.width)
            .map(predict)
            .collect()
    }
}

/// Rows of d factors and one bias.
struct Side {
    values: Vec<f32>,
    width: usize,
}

impl Side {
    fn random(rows: usize, factors: usize, rng: &mut ChaCha20Rng) -> Self {
        let normal = |_| -> f32 {
            let normal: f32 = StandardNormal.sample(rng);
            0.1 * normal
        };
        Self {
            values: (0..rows * (factors + 1)).map(normal).collect(),
            width: factors + 1,
        }
    }

    fn row(&self, row: usize) -> (&[f32], f32) {
        let d = self.width - 1;
        let row = &self.values[row * self.width..][..self.width];
        (&row[..d], row[d])
    }

    /// Solves every row exactly given the other side; a row without ratings becomes 0.
    fn refit(&mut self, given: &[Vec<(usize, f64)>], other: &Self) {
        let d = self.width - 1;
        let mut equation = NormalEquation::new(self.width);
        let mut with_one = vec![1.0f32; self.width];
        let rows = self.values.chunks_exact_mut(self.width);
        for (row, given) in rows.zip(given) {
            let [per_rating, besides] = RIDGE;
            let ridge = per_rating * given.len() as f64 + besides;
            equation.restart();
            equation.penalise(std::iter::repeat(ridge));
            for &(place, rating) in given {
                let (factors, bias) = other.row(place);
                with_one[..d].copy_from_slice(factors);
                equation.observe(&with_one, rating - f64::from(bias), 1.0);
            }
            let solution = equation.solve();
            for (v, &solved) in row.iter_mut().zip(solution) {
                *v = narrow(solved);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tacit_types::ItemId;

    use super::*;
    use crate::history::interaction::{Interaction, InteractionKind};

    #[test]
    fn planted_ratings_are_learned() {
        // Owners of two tastes; each leaves out one item of every six.
        let rating = |user: u32, item: u32| {
            if (user + item).is_multiple_of(2) {
                4.5
            } else {
                1.5
            }
        };
        let owner = |user: u32| {
            let known = (0..30).filter(|item| !(item + user).is_multiple_of(6));
            let rate = |item| Interaction {
                item: ItemId(item),
                timestamp: None,
                value: rating(user, item),
                kind: InteractionKind::Rating,
                surface: 0,
            };
            Ratings::new(&known.map(rate).collect::<Vec<_>>(), 31, 100, Scale::STARS)
        };
        let ratings: Vec<Ratings> = (0..200).map(owner).collect();
        let model = rating_als(&ratings, 31, Scale::STARS, 2, 1);
        for user in [0u32, 7, 100] {
            let left_out = (6 - user % 6) % 6;
            let predicted = model.predictions(user as usize);
            assert!((predicted[left_out as usize] - rating(user, left_out)).abs() < 0.5);
            assert!(
                (predicted[30] - 3.0).abs() < 0.5,
                "nobody rated the last item"
            );
        }
    }
}
