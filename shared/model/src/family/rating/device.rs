//! The device half: its owner's ratings, the one vector they make, and what the owner would give
//! every other item.

use tacit_types::ItemGradient;

use super::model::RatingModel;
use super::ratings::Ratings;
use super::scale::Scale;
use crate::family::sparse::SparseGradient;
use crate::maths::linalg::{dot, narrow};
use crate::maths::solve::NormalEquation;

/// Size of the counting half of a vector. The other half gets [`BIAS_PART`]; their squares add up
/// to 1.
pub(super) const COUNT_PART: f64 = 0.6;
/// Size of the half that carries the centred ratings.
pub(super) const BIAS_PART: f64 = 0.8;
/// Typical distance of a rating from its owner's mean, in units of the scale.
pub(super) const TYPICAL_DEVIATION: f64 = 1.1;
/// Ratings at the middle of the scale that an owner's mean starts from.
const MEAN_PRIOR: f64 = 3.0;

/// What was rated and how far from the owner's mean: length 2M, the row of item j being `(count,
/// deviation)`.
///
/// With `e` the ratings less the owner's shrunk mean, in units of the scale, item j has `0.6 /
/// sqrt|I_u|` and `0.8 e_j min(1/(1.1 sqrt|I_u|), 1/|e|)`.
///
/// # Guarantees
/// The counting half has norm 0.6 and the other at most `0.8 |e|/|e|`, so the norm is at most
/// `sqrt(0.36 + 0.64) = 1` up to f32 rounding, whatever was rated; it is 0 for an owner who rated
/// nothing.
pub fn biases(ratings: &Ratings, catalogue_len: u32, scale: Scale) -> ItemGradient {
    sparse_biases(ratings, scale).dense(2 * catalogue_len as usize)
}

/// [`biases`] without the rows of items the owner did not rate.
pub fn sparse_biases(ratings: &Ratings, scale: Scale) -> SparseGradient {
    let len = ratings.given().len() as f64;
    let sum: f64 = ratings
        .given()
        .iter()
        .map(|(_, rating)| rating - scale.midpoint())
        .sum();
    let mean = scale.midpoint() + sum / (len + MEAN_PRIOR);
    let deviation = |rating: f64| (rating - mean) / scale.unit();
    let norm = ratings
        .given()
        .iter()
        .map(|&(_, rating)| deviation(rating).powi(2))
        .sum::<f64>()
        .sqrt();
    let share = BIAS_PART
        * (TYPICAL_DEVIATION * len.sqrt())
            .recip()
            .min(norm.recip());
    let mut vector = SparseGradient::empty(2);
    for &(item, rating) in ratings.given() {
        let row = [
            narrow(COUNT_PART / len.sqrt()),
            narrow(share * deviation(rating)),
        ];
        vector.push(item.0 as usize, row);
    }
    vector
}

/// What this owner would give every item, on the scale: length M.
///
/// The owner's bias and factors are the ridge solution for `rating - mu - b_j`; they exist for the
/// length of this call.
pub fn predictions(ratings: &Ratings, model: &RatingModel) -> Vec<f32> {
    let mut equation = NormalEquation::new(model.ridge.len());
    equation.penalise(model.ridge.iter().copied());
    for &(item, rating) in ratings.given() {
        let item = item.0 as usize;
        if item < model.catalogue_len() {
            equation.observe(model.row(item), rating - model.start(item), 1.0);
        }
    }
    let p: Vec<f32> = equation.solve().iter().copied().map(narrow).collect();
    let predict = |item| {
        narrow(
            model
                .scale
                .nearest(model.start(item) + f64::from(dot(model.row(item), &p))),
        )
    };
    (0..model.catalogue_len()).map(predict).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::family::rating::ratings::tests::rated;
    use crate::family::spectral::SpectralModel;
    use crate::maths::linalg::norm_squared;

    proptest! {
        #[test]
        fn no_device_sends_more_than_norm_one(
            given in prop::collection::vec((0u32..60, -1e9f64..1e9), 0..60),
        ) {
            let sent = biases(&rated(&given), 50, Scale::STARS).into_coordinates();
            prop_assert_eq!(sent.len(), 100);
            prop_assert!(norm_squared(&sent).sqrt() <= 1.0 + 1e-6);
        }
    }

    #[test]
    fn extreme_opinions_fill_the_norm_and_equal_ones_leave_the_counts() {
        let (split, all_middle) = (rated(&[(0, 1.0), (1, 5.0)]), rated(&[(0, 3.0), (1, 3.0)]));
        let norm = |ratings: &Ratings| {
            norm_squared(&biases(ratings, 50, Scale::STARS).into_coordinates()).sqrt()
        };
        assert!((norm(&split) - 1.0).abs() < 1e-6);
        assert!((norm(&all_middle) - COUNT_PART).abs() < 1e-6);
        assert_eq!(norm(&rated(&[])), 0.0);
    }

    #[test]
    fn an_owner_is_fitted_from_their_own_ratings() {
        let (spectral, nothing_public) = (SpectralModel::genesis(3), Array2::zeros((3, 0)));
        let model = RatingModel::new(vec![0.5, -0.5, 0.0], spectral, nothing_public, Scale::STARS);
        assert_eq!(predictions(&rated(&[]), &model), vec![3.5, 2.5, 3.0]);
        // Residuals of 1.5 and 1.5 against a penalty of 1: a bias of 1, cut at the end of the
        // scale.
        let strict = predictions(&rated(&[(0, 5.0), (1, 4.0), (40, 1.0)]), &model);
        assert_eq!(strict, vec![4.5, 3.5, 4.0]);
    }
}
