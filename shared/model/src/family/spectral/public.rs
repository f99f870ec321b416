//! Factors from public item features: a start where little or nothing was learned, and the part
//! that learned factors leave out.
//!
//! Feature f_j of item j stands in for its unknown taste: the columns `f_j sqrt(c_j w_j)`, less the
//! popularity axis, are a square root of the second moment items would have if only features
//! mattered. Released counts and the public catalogue make them, so they cost no privacy.

use ndarray::{Array1, Array2};

use super::model::SpectralModel;
use super::server::{random_init, without_axis};
use crate::family::features::Features;
use crate::family::limits::FACTORS_MAX;
use crate::family::recipe::Recipe;
use crate::maths::linalg::{eigen_descending, leading, narrow, narrow_all, polar};

/// Feature directions below this share of the strongest say nothing.
const STRENGTH_MIN: f64 = 1e-6;
/// A direction with more than this share of its square on one item says nothing about any other.
const CONCENTRATION_MAX: f64 = 0.5;

/// First factors for a recipe without a head Gram: the strongest feature directions, at most
/// `recipe.factors`, orthonormal: (M', d). Random ones where the features say nothing.
///
/// # Panics
/// When there is not one row of features per item, or as [`random_init`].
pub fn start(
    counted: &SpectralModel,
    features: &Features,
    recipe: &Recipe,
    seed: u64,
) -> SpectralModel {
    let known = leading(&columns(counted, features), recipe.factors as usize);
    if known.ncols() == 0 {
        return random_init(counted, recipe, seed);
    }
    counted.with_factors(narrow_all(&polar(known.view())))
}

/// The final model: `learned` with up to `recipe.feature_columns` columns of the features' part
/// outside its factors, over the whole catalogue: (M, d + d'). Items outside the trained block have
/// features only.
///
/// With P the feature columns less `Q Q^T` of them, Q the learned factors, `P = U S V^T`, column k
/// is `U_k sqrt(S_k / S_max)`, S_max the strongest before anything was learned. Its norm is at
/// most 1, the smaller the less items differ in it. It is orthogonal to learned factors of norm 1;
/// what is learned but trusted less leaves more to the features. Why the root of that ratio:
/// `tests/quality/TUNING.md`, "Public features and the counts' share".
///
/// # Panics
/// When there is not one row of features per item.
pub fn completed(learned: &SpectralModel, features: &Features, recipe: &Recipe) -> SpectralModel {
    let items = learned.counts().len();
    let room = (FACTORS_MAX / items).saturating_sub(learned.factor_count());
    let wanted = (recipe.feature_columns as usize).min(room);
    if features.count() == 0 || wanted == 0 {
        return learned.clone();
    }
    let learned = learned.over_all_items();
    let q = learned.factors().mapv(f64::from);
    let known = columns(&learned, features);
    let rest = &known - &q.dot(&q.t().dot(&known));
    let all: Vec<Array1<f64>> = q
        .columns()
        .into_iter()
        .map(|column| column.to_owned())
        .chain(unlearned(&known, &rest).take(wanted))
        .collect();
    learned.with_factors(Array2::from_shape_fn(
        (items, all.len()),
        |(item, column)| narrow(all[column][item]),
    ))
}

/// The directions of `rest`, strongest first, each of squared norm "its strength over the strongest
/// of `known`".
fn unlearned<'a>(
    known: &Array2<f64>,
    rest: &'a Array2<f64>,
) -> impl Iterator<Item = Array1<f64>> + 'a {
    let strongest = strengths(known)
        .0
        .first()
        .map_or(0.0, |square| square.max(0.0).sqrt());
    let (squares, v) = strengths(rest);
    let strength = squares
        .into_iter()
        .map(|square| square.max(0.0).sqrt());
    strength
        .enumerate()
        .take_while(move |(_, strength)| *strength > STRENGTH_MIN * strongest)
        .map(move |(k, strength)| rest.dot(&v.column(k)) / (strength * strongest).sqrt())
        .filter(|column| {
            let largest = column
                .iter()
                .fold(0.0, |most: f64, value| most.max(value * value));
            largest <= CONCENTRATION_MAX * column.dot(column)
        })
}

/// `f_j sqrt(c_j w_j)` on the block, less the popularity axis: (M', F).
fn columns(model: &SpectralModel, features: &Features) -> Array2<f64> {
    let known = features.centred(model.counts());
    let mut columns = Array2::zeros((model.block().len(), features.count()));
    for (mut row, &item) in columns.rows_mut().into_iter().zip(model.block()) {
        let item = item as usize;
        let sized = &known.row(item) * model.size(item);
        row.assign(&sized);
    }
    without_axis(model, columns.view())
}

/// Squared singular values, largest first, and right singular vectors, by the small Gram (F, F).
fn strengths(columns: &Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    eigen_descending(columns.t().dot(columns).view())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::History;
    use crate::family::spectral::score::{popularity_scores, scores};
    use crate::family::spectral::{device, server};
    use crate::measure::metric::Ranking;
    use crate::synthetic::{Planted, planted};

    const TASTES: u32 = 8;

    fn counted(data: &Planted, recipe: &Recipe) -> SpectralModel {
        let mut sum = vec![0.0; data.catalogue_len as usize];
        for used in &data.histories {
            let vector = device::counts(used, data.catalogue_len).into_coordinates();
            sum.iter_mut()
                .zip(vector)
                .for_each(|(sum, v)| *sum += f64::from(v));
        }
        server::apply_counts(&sum, 1.0, recipe)
    }

    /// The planted taste of each item as its category.
    fn tastes(items: u32) -> Features {
        let categories: Vec<Vec<String>> = (0..items)
            .map(|item| vec![(item % TASTES).to_string()])
            .collect();
        Features::from_categories(&categories).unwrap()
    }

    fn hits(data: &Planted, score: impl Fn(&History) -> Vec<f32>) -> f64 {
        let judge = |(used, held_out): (&History, &_)| {
            Ranking::full(&score(used), used.items(), &[*held_out])
        };
        Ranking::mean(
            &data
                .histories
                .iter()
                .zip(&data.held_out)
                .map(judge)
                .collect::<Vec<_>>(),
        )
        .hr_at_10
    }

    /// What completing a model must keep and add.
    fn check(learned: &SpectralModel, completed: &SpectralModel) {
        let (d, q) = (learned.factor_count(), completed.factors().mapv(f64::from));
        assert_eq!(completed.block().len(), completed.counts().len());
        assert!(completed.factor_count() > d);
        for (row, &item) in learned
            .factors()
            .rows()
            .into_iter()
            .zip(learned.block())
        {
            assert_eq!(
                row,
                completed
                    .factors()
                    .row(item as usize)
                    .slice_axis(ndarray::Axis(0), (..d).into())
            );
        }
        let gram = q.t().dot(&q);
        for ((i, j), value) in gram.indexed_iter() {
            let good = if i == j {
                *value <= 1.0 + 1e-5
            } else {
                value.abs() < 1e-5
            };
            assert!(good, "{i} {j}: {value}");
        }
        let axis = Array1::from_iter(completed.axis().iter().map(|&v| f64::from(v)));
        assert!(axis.dot(&q).iter().all(|v| v.abs() < 1e-5));
        assert_eq!(
            SpectralModel::from_bytes(&completed.to_bytes()).as_ref(),
            Ok(completed)
        );
    }

    #[test]
    fn counts_and_features_alone_find_tastes() {
        let data = planted(600, 400, TASTES, 2);
        let recipe = Recipe::counts_only();
        let counted = counted(&data, &recipe);
        let model = completed(&counted, &tastes(400), &recipe);
        check(&counted, &model);
        let (personal, popular) = (
            hits(&data, |used| scores(used, &model, None)),
            hits(&data, |_| popularity_scores(model.counts())),
        );
        assert!(personal > 1.5 * popular, "{personal} against {popular}");
    }

    #[test]
    fn learned_factors_stay_and_features_fill_what_they_leave() {
        let data = planted(600, 400, TASTES, 2);
        let recipe = Recipe {
            head: 0,
            factors: 3,
            coverage: 0.8,
            ..Recipe::for_signal(50.0, 400).unwrap()
        };
        let learned = start(&counted(&data, &recipe), &Features::none(400), &recipe, 1);
        assert!(learned.block().len() < 400);
        let model = completed(&learned, &tastes(400), &recipe);
        check(&learned, &model);
        let few = completed(
            &learned,
            &tastes(400),
            &Recipe {
                feature_columns: 2,
                ..recipe.clone()
            },
        );
        assert_eq!(few.factor_count(), 5);
        assert!(completed(&learned, &Features::none(400), &recipe) == learned);
    }

    #[test]
    fn a_start_is_made_of_the_strongest_feature_directions() {
        let data = planted(600, 400, TASTES, 2);
        let recipe = Recipe {
            head: 0,
            factors: 16,
            coverage: 0.9,
            ..Recipe::for_signal(50.0, 400).unwrap()
        };
        let counted = counted(&data, &recipe);
        let model = start(&counted, &tastes(400), &recipe, 1);
        // Eight tastes, less the mean.
        assert_eq!(
            (model.factor_count(), model.block().len()),
            (7, counted.block().len())
        );
        assert_eq!(
            start(&counted, &Features::none(400), &recipe, 1).factor_count(),
            16
        );
        let alike = Features::from_categories(&vec![vec!["all"]; 400]).unwrap();
        assert!(
            start(&counted, &alike, &recipe, 1)
                == start(&counted, &Features::none(400), &recipe, 1)
        );
    }

    #[test]
    fn a_category_of_one_item_makes_no_column_of_its_own() {
        let names: Vec<Vec<String>> = (0..50).map(|item| vec![item.to_string()]).collect();
        let counted = server::apply_counts(&[10.0; 50], 0.0, &Recipe::counts_only());
        let model = completed(
            &counted,
            &Features::from_categories(&names).unwrap(),
            &Recipe::counts_only(),
        );
        assert!(model.plausibility().concentration <= CONCENTRATION_MAX + 1e-6);
    }
}
