//! What a plan of each family releases, in order, and which share of its budget each release gets.
//!
//! | family | releases |
//! |---|---|
//! | spectral | counts, the head Gram if it pays, rounds of factor gradients |
//! | weighted | half for a spectral start, half for rounds of weighted squares from there |
//! | neural | counts, then rounds of layer gradients |
//! | rating | half for biases and counts in one, then the head Gram and a round of what was rated |
//!
//! A spectral plan that goes on from earlier factors has no head Gram.
//! Below its floor a family releases its first statistic alone, at the price of the whole task.

use tacit_model::family::Family;
use tacit_model::family::recipe::SIGNAL_MIN;
use tacit_model::{Recipe, family::neural};
use tacit_privacy::mechanism::LENGTH_MAX;
use tacit_types::Kind;

use crate::error::PlanError;
use crate::mechanism::Shape;
use crate::request::PlanRequest;

/// The presets of [`Recipe::for_signal`] were tuned with every device answering and noise 5 % above
/// the ideal, and are labelled with the q of the ideal: this much above the q those runs had.
const PRESET_LABEL: f64 = 1.05;
/// Share of a weighted task's budget for the spectral releases that give the first factors.
const START_SHARE: f64 = 0.5;
/// Signals from which on more rounds of weighted squares are affordable, and how many; else one.
const WEIGHTED_ROUNDS: [(f64, u32); 2] = [(1000.0, 5), (300.0, 3)];
/// Share of a rating task's budget for biases where factors are trained too.
const BIAS_SHARE: f64 = 0.5;
/// Share for the head Gram of what the biases leave over.
const BIASED_HEAD_SHARE: f64 = 0.35;
/// Signal below which everything goes to the biases. How it was chosen: `tests/quality/TUNING.md`,
/// "Ratings".
const RATING_SIGNAL_MIN: f64 = 28.0;
/// Factors of ratings unless asked otherwise; owners of few ratings cannot be fitted to more.
const RATING_FACTORS: u32 = 16;
/// Most head items before ratings.
const RATING_HEAD_MAX: u32 = 500;

/// A plan before it has prices.
pub(crate) struct Outline {
    pub(crate) recipe: Recipe,
    /// In order.
    pub(crate) releases: Vec<Release>,
}

/// The kind of a release, its share of the budget, and its vector.
pub(crate) type Release = (Kind, f64, Shape);

/// Rows of the vector a family's factors are trained by: what the noise is spread over. A network's
/// basis is shorter where items have few different features; its signal is then larger than
/// planned.
pub(crate) fn trained_rows(request: &PlanRequest) -> u32 {
    if request.model == Family::Neural {
        neural::directions(request.items)
    } else {
        request.items
    }
}

/// Signal-to-noise ratio below which a family trains no factors.
pub fn signal_min(model: Family) -> f64 {
    match model {
        Family::Spectral | Family::Neural => SIGNAL_MIN,
        // q grows with the root of the budget.
        Family::Weighted => SIGNAL_MIN / START_SHARE.sqrt(),
        Family::Rating => RATING_SIGNAL_MIN,
    }
}

/// Outlines a plan whose expected signal-to-noise ratio is `q`.
///
/// # Errors
/// [`PlanError::TooFewParticipations`] when the participation limit does not cover the shortest
/// plan that trains factors.
pub(crate) fn outline(request: &PlanRequest, q: f64) -> Result<Outline, PlanError> {
    let strong = q >= signal_min(request.model);
    match request.model {
        _ if !strong => Ok(alone(request)),
        Family::Spectral => spectral(request, q),
        Family::Weighted => weighted(request, q),
        Family::Rating => rating(request, q),
        Family::Neural => network(request),
    }
}

/// The first statistic of the family and nothing else.
fn alone(request: &PlanRequest) -> Outline {
    let recipe = Recipe::counts_only();
    let first = match request.model {
        Family::Rating => biases(request, 1.0),
        _ => counts(request, recipe.counts_share),
    };
    Outline {
        releases: vec![first],
        recipe,
    }
}

fn preset(request: &PlanRequest, q: f64) -> Recipe {
    Recipe::for_signal(PRESET_LABEL * q, request.items).unwrap_or_else(Recipe::counts_only)
}

fn spectral(request: &PlanRequest, q: f64) -> Result<Outline, PlanError> {
    let preset = preset(request, q);
    let preset = match request.carried {
        // The basis is there: nothing to start it with.
        Some(carried) => Recipe {
            head: 0,
            head_share: 0.0,
            rounds: 1,
            factors: carried,
            ..preset
        },
        None => preset,
    };
    let before = if preset.head > 0 { 2 } else { 1 };
    let rounds = affordable(request, before, request.rounds.unwrap_or(preset.rounds))?;
    let asked = request.factors.filter(|_| request.carried.is_none());
    let factors = asked.unwrap_or(preset.factors).min(request.items);
    let recipe = Recipe {
        factors,
        rounds,
        ..preset
    };
    Ok(Outline {
        releases: spectral_releases(request, &recipe),
        recipe,
    })
}

/// Spectral releases at their share, then the rounds. The popularity axis is one of the factors, so
/// the spectral ones train one less.
fn weighted(request: &PlanRequest, q: f64) -> Result<Outline, PlanError> {
    let start = preset(request, q * START_SHARE.sqrt());
    let factors = request
        .factors
        .map_or(start.factors, |factors| factors.saturating_sub(1).max(1));
    let recipe = Recipe {
        factors: factors.min(weighted_factors_max(request.items)),
        ..start
    };
    let mut releases = spectral_releases(request, &recipe);
    let before = u32::try_from(releases.len()).unwrap_or(u32::MAX);
    let planned = WEIGHTED_ROUNDS
        .iter()
        .find(|(signal, _)| q >= *signal)
        .map_or(1, |(_, rounds)| *rounds);
    let rounds = affordable(request, before, request.rounds.unwrap_or(planned))?;

    for (_, share, _) in &mut releases {
        *share *= START_SHARE;
    }
    let shape = Shape::weighted_gradient(request.items, recipe.factors + 1, request.history_max);
    let share = (1.0 - START_SHARE) / f64::from(rounds);
    releases.extend((0..rounds).map(|_| (Kind::WeightedGradient, share, shape)));
    Ok(Outline { releases, recipe })
}

/// Counts, then rounds over a basis that is as long whatever the catalogue.
fn network(request: &PlanRequest) -> Result<Outline, PlanError> {
    let planned = neural::recipe(request.items);
    let recipe = Recipe {
        factors: request
            .factors
            .unwrap_or(planned.factors)
            .min(neural::directions(request.items)),
        rounds: affordable(request, 1, request.rounds.unwrap_or(planned.rounds))?,
        ..planned
    };
    let directions = neural::directions(request.items);
    let shape = Shape::layer_gradient(directions, recipe.factors, request.history_max);
    let round = (Kind::LayerGradient, recipe.round_share(), shape);

    let mut releases = vec![counts(request, recipe.counts_share)];
    releases.extend((0..recipe.rounds).map(|_| round));
    Ok(Outline { releases, recipe })
}

/// Biases, then one round after a head Gram with every item in it: ratings of rare items are
/// predicted too.
fn rating(request: &PlanRequest, q: f64) -> Result<Outline, PlanError> {
    let planned = preset(request, q);
    let head = planned.head.min(RATING_HEAD_MAX);
    let before = if head > 0 { 2 } else { 1 };
    let rounds = affordable(request, before, request.rounds.unwrap_or(1))?;
    let factors_max = (LENGTH_MAX / request.items).max(1);
    let rest = 1.0 - BIAS_SHARE;
    let head_share = if head > 0 {
        rest * BIASED_HEAD_SHARE
    } else {
        0.0
    };
    let recipe = Recipe {
        factors: request
            .factors
            .unwrap_or(RATING_FACTORS)
            .min(factors_max)
            .min(request.items),
        rounds,
        coverage: 1.0,
        weight_exponent: 0.1,
        head,
        counts_share: BIAS_SHARE,
        head_share,
        ..planned
    };
    let mut releases = spectral_releases(request, &recipe);
    releases[0] = biases(request, BIAS_SHARE);
    Ok(Outline { releases, recipe })
}

/// The wanted rounds, cut to what the participation limit leaves after `before` releases and an
/// evaluation; at least one.
fn affordable(request: &PlanRequest, before: u32, rounds: u32) -> Result<u32, PlanError> {
    let limit = request.participation.unwrap_or(u32::MAX);
    let before = before + u32::from(request.evaluation_milli() > 0);
    if limit <= before {
        return Err(PlanError::TooFewParticipations { needed: before + 1 });
    }
    Ok(rounds.min(limit - before))
}

/// Item counts at this share of the budget.
fn counts(request: &PlanRequest, share: f64) -> Release {
    let shape = Shape::counts(request.items, request.history_max);
    (Kind::Counts, share, shape)
}

/// Item biases and counts in one, at this share of the budget.
fn biases(request: &PlanRequest, share: f64) -> Release {
    let shape = Shape::rating_bias(request.items, request.history_max);
    (Kind::RatingBias, share, shape)
}

/// Counts, head Gram and factor gradients of a recipe.
fn spectral_releases(request: &PlanRequest, recipe: &Recipe) -> Vec<Release> {
    let (items, history) = (request.items, request.history_max);
    let mut releases = vec![counts(request, recipe.counts_share)];
    if recipe.head > 0 {
        releases.push((
            Kind::HeadGram,
            recipe.head_share,
            Shape::head_gram(recipe.head, history),
        ));
    }
    let gradient = Shape::factor_gradient(items, recipe.factors, history);
    releases
        .extend((0..recipe.rounds).map(|_| (Kind::FactorGradient, recipe.round_share(), gradient)));
    releases
}

/// Most spectral factors, at least 1, whose weighted gradient with popularity beside them is no
/// longer than a vector may be.
fn weighted_factors_max(items: u32) -> u32 {
    let fits = |factors: &u32| {
        u64::from(items + factors + 1) * u64::from(factors + 1) <= u64::from(LENGTH_MAX)
    };
    (1..=512)
        .take_while(fits)
        .last()
        .unwrap_or(1)
        .min(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::request;

    fn of(
        model: Family,
        items: u32,
        q: f64,
        change: impl FnOnce(&mut PlanRequest),
    ) -> Result<Outline, PlanError> {
        let mut asked = PlanRequest {
            model,
            ..request(6_040, items, 8.0)
        };
        change(&mut asked);
        outline(&asked, q)
    }

    fn kinds(outline: &Outline) -> Vec<Kind> {
        outline
            .releases
            .iter()
            .map(|(kind, ..)| *kind)
            .collect()
    }

    #[test]
    fn the_widest_weighted_gradient_just_fits() {
        assert_eq!(
            [3, 4_000, 8_000, 100_000, 3_000_000].map(weighted_factors_max),
            [3, 512, 492, 40, 1]
        );
        let length = |items: u64, factors: u64| (items + factors + 1) * (factors + 1);
        for (items, most) in [(8_000, 492), (100_000, 40)] {
            assert!(
                length(items, most) <= u64::from(LENGTH_MAX)
                    && length(items, most + 1) > u64::from(LENGTH_MAX)
            );
        }
    }

    #[test]
    fn weighted_squares_start_with_what_their_share_of_the_signal_allows() {
        let asked = PlanRequest {
            model: Family::Weighted,
            ..request(6_040, 4_000, 8.0)
        };
        let half = preset(&asked, 100.0 * START_SHARE.sqrt());
        let planned = outline(&asked, 100.0).unwrap().recipe;
        assert_eq!(
            (planned.head, planned.factors, planned.rounds),
            (half.head, half.factors, half.rounds)
        );
        assert!(half.head < preset(&asked, 100.0).head);
    }

    #[test]
    fn without_a_head_gram_two_participations_are_enough() {
        for (model, items, q) in [
            (Family::Spectral, 4_000, SIGNAL_MIN),
            (Family::Rating, 30, 100.0),
        ] {
            let planned = of(model, items, q, |asked| asked.participation = Some(2)).unwrap();
            assert_eq!(
                (
                    planned.recipe.head,
                    planned.recipe.head_share,
                    planned.recipe.rounds
                ),
                (0, 0.0, 1)
            );
            assert_eq!(kinds(&planned)[1..], [Kind::FactorGradient]);
            let refused = of(model, items, q, |asked| asked.participation = Some(1));
            assert!(matches!(
                refused,
                Err(PlanError::TooFewParticipations { needed: 2 })
            ));
        }
    }

    #[test]
    fn ratings_have_a_recipe_of_their_own() {
        let planned = of(Family::Rating, 4_000, 400.0, |asked| asked.rounds = Some(3)).unwrap();
        let Recipe {
            rounds,
            weight_exponent,
            head,
            coverage,
            ..
        } = planned.recipe;
        assert_eq!(
            (rounds, weight_exponent, head, coverage),
            (3, 0.1, RATING_HEAD_MAX, 1.0)
        );
        assert_eq!(kinds(&planned)[..2], [Kind::RatingBias, Kind::HeadGram]);
        // As many factors as a vector has room for, and at least one.
        let factors = |items| {
            of(Family::Rating, items, 100.0, |_| ())
                .unwrap()
                .recipe
                .factors
        };
        assert_eq!([factors(3_000_000), factors(4_000)], [1, RATING_FACTORS]);
    }
}
