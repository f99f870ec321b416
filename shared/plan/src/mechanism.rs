//! From a price to the public numbers of one release.
//!
//! The price fixes sigma/steps, the noise in units of the clipping norm. What is left to choose is
//! the grid: fine enough that rounding costs about a percent and that one noise share keeps at
//! least 4 grid steps, and no finer, because every step uses room in the 32-bit sum.

use tacit_model::Model;
use tacit_model::measure::evaluation::layout;
use tacit_privacy::mechanism::MechanismError;
use tacit_privacy::{Mechanism, Rho, Tier};
use tacit_types::{COHORT_MAX, Kind};

use crate::error::PlanError;

/// Share variance aimed at, in grid steps squared: the bound is 16, and a variance on the edge
/// leaves no room for rounding.
const SHARE_VARIANCE: u64 = 20;
/// gamma <= 0.2 / sqrt(nnz_max), squared and inverted.
const GRID: u64 = 25;
const STEPS_MAX: u32 = 1 << 20;
/// Devices that a round may ever select for each that it waits for. The ring has room for all of
/// them, since each may answer: half of those selected may stay away before a round has to do with
/// fewer than its cohort. It costs one bit of 32, and the samplers' error of as many more draws.
const SELECTED_PER_PLACE: u32 = 2;

/// What a release's vector looks like, from public numbers only. The same functions shape a planned
/// release, from the most a model can have, and the real one, from the model it starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Coordinates of the vector, N.
    pub length: u32,
    /// Width of one row, for the row cap.
    pub row_width: u32,
    /// Most coordinates of one device's vector that can be non-zero.
    pub nnz_max: u32,
    /// History cap: interactions of one device that may enter.
    pub history_max: u32,
}

impl Shape {
    /// The vector devices that hold this model send for a kind; `None` for a kind the model does
    /// not give.
    pub fn of(kind: Kind, model: &Model, history_max: u32) -> Option<Self> {
        let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let extent = model.extent(kind)?;
        let (rows, width) = (count(extent.rows), count(extent.row_width));
        Some(match kind {
            Kind::Counts => Self::counts(rows, history_max),
            Kind::HeadGram => {
                Self::head_gram(count(model.spectral()?.head_items().len()), history_max)
            }
            Kind::FactorGradient => Self::factor_gradient(rows, width, history_max),
            Kind::WeightedGradient => {
                Self::weighted_gradient(model.catalogue_len(), width, history_max)
            }
            Kind::LayerGradient => Self::layer_gradient(rows, width, history_max),
            Kind::RatingBias => Self::rating_bias(rows, history_max),
            Kind::Metrics => Self::metrics(history_max),
        })
    }

    /// Item counts over a catalogue.
    pub fn counts(items: u32, history_max: u32) -> Self {
        Self {
            length: items,
            row_width: 1,
            nnz_max: history_max.min(items),
            history_max,
        }
    }

    /// Pairs among `head` items.
    pub fn head_gram(head: u32, history_max: u32) -> Self {
        Self {
            length: pairs(head),
            row_width: 1,
            nnz_max: pairs(history_max.min(head)),
            history_max,
        }
    }

    /// A factor gradient over `rows` items of `factors` factors each.
    pub fn factor_gradient(rows: u32, factors: u32, history_max: u32) -> Self {
        let (length, nnz_max) = (
            rows.saturating_mul(factors),
            history_max.min(rows).saturating_mul(factors),
        );
        Self {
            length,
            row_width: factors,
            nnz_max,
            history_max,
        }
    }

    /// A gradient of weighted squares: `items` rows of `factors` factors, then a square matrix of
    /// `factors` rows.
    pub fn weighted_gradient(items: u32, factors: u32, history_max: u32) -> Self {
        let rows = |items: u32| items.saturating_add(factors).saturating_mul(factors);
        Self {
            length: rows(items),
            row_width: factors,
            nnz_max: rows(history_max.min(items)),
            history_max,
        }
    }

    /// A gradient of a network's trained layer: `directions` rows of `factors`, whatever was used.
    pub fn layer_gradient(directions: u32, factors: u32, history_max: u32) -> Self {
        let length = directions.saturating_mul(factors);
        Self {
            length,
            row_width: factors,
            nnz_max: length,
            history_max,
        }
    }

    /// Counts and centred ratings over a catalogue: two numbers an item.
    pub fn rating_bias(items: u32, history_max: u32) -> Self {
        let twice = |items: u32| items.saturating_mul(2);
        Self {
            length: twice(items),
            row_width: 2,
            nnz_max: twice(history_max.min(items)),
            history_max,
        }
    }

    /// Answers of an evaluation: the same for every catalogue and model.
    #[allow(clippy::cast_possible_truncation, reason = "a few dozen coordinates")]
    pub fn metrics(history_max: u32) -> Self {
        Self {
            length: layout::LENGTH as u32,
            row_width: 1,
            nnz_max: layout::NON_ZERO_MAX as u32,
            history_max,
        }
    }
}

/// Entries of a symmetric matrix of this size.
fn pairs(size: u32) -> u32 {
    let size = u64::from(size);
    u32::try_from(size * (size + 1) / 2).unwrap_or(u32::MAX)
}

/// Who takes part in a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Contributions a round waits for; up to `SELECTED_PER_PLACE` times as many may enter the
    /// sum.
    pub cohort: u32,
    /// Honest surviving noise shares assumed.
    pub n_min: u32,
    /// Whether the helper adds the whole noise once more.
    pub helper_noise: bool,
}

impl Crowd {
    /// Most devices a round may ever select, as far as a helper sums their contributions.
    fn selected_max(&self) -> u32 {
        let selected = self.cohort.saturating_mul(SELECTED_PER_PLACE);
        selected.min(COHORT_MAX).max(self.cohort)
    }
}

/// Public numbers of one helper-tier release that costs at most `rho`: the coarsest sound grid, and
/// the least noise that `rho` pays for.
///
/// # Errors
/// [`PlanError`] saying what to change when no sound mechanism exists.
///
/// # Guarantees
/// On `Ok`, [`Mechanism::check`] passes and [`Mechanism::rho`] is at most `rho`.
pub fn mechanism_for(rho: Rho, shape: &Shape, crowd: &Crowd) -> Result<Mechanism, PlanError> {
    let frame = Mechanism {
        tier: Tier::Helper,
        length: shape.length,
        row_width: shape.row_width,
        row_cap_milli: 1000,
        history_max: shape.history_max,
        nnz_max: shape.nnz_max,
        steps: STEPS_MAX,
        sigma2: 0,
        n_min: crowd.n_min,
        cohort_max: crowd.selected_max(),
        helper_noise: crowd.helper_noise,
    };
    let mechanism = with_least_noise(coarsest_grid(&frame, rho)?, rho)?;
    match mechanism.check() {
        Ok(()) => Ok(mechanism),
        Err(MechanismError::RingTooSmall) => Err(PlanError::SumTooLarge {
            cohort: crowd.cohort,
            fits: cohort_that_fits(&mechanism) / SELECTED_PER_PLACE,
        }),
        // More noise than the samplers make: the price is to blame, not the grid.
        Err(MechanismError::ShareTooLarge | MechanismError::OutOfRange("sigma2")) => {
            Err(PlanError::BudgetTooSmall)
        }
        Err(MechanismError::HelperNoiseTooLarge) => Err(PlanError::HelperNoiseTooLarge),
        Err(error) => Err(PlanError::Mechanism(error)),
    }
}

/// The same mechanism with the smallest noise whose price is at most `rho`.
fn with_least_noise(mechanism: Mechanism, rho: Rho) -> Result<Mechanism, PlanError> {
    let sigma2 = mechanism
        .sigma2_for(rho)
        .ok_or(PlanError::BudgetTooSmall)?;
    Ok(Mechanism {
        sigma2,
        ..mechanism
    })
}

/// The fewest steps that keep the grid fine enough and a share's variance at least
/// [`SHARE_VARIANCE`]; by bisection, because the noise a price asks for grows with the number of
/// steps.
fn coarsest_grid(frame: &Mechanism, rho: Rho) -> Result<Mechanism, PlanError> {
    let enough = |steps: u32| -> Result<bool, PlanError> {
        let mechanism = with_least_noise(
            Mechanism {
                steps,
                ..frame.clone()
            },
            rho,
        )?;
        Ok(mechanism.sigma2 >= SHARE_VARIANCE * u64::from(frame.n_min)
            && u64::from(steps).pow(2) >= GRID * u64::from(frame.nnz_max))
    };
    if !enough(STEPS_MAX)? {
        return Err(PlanError::GridTooFine {
            nnz_max: frame.nnz_max,
        });
    }
    let (mut too_few, mut steps) = (0u32, STEPS_MAX);
    while steps - too_few > 1 {
        let middle = too_few + (steps - too_few) / 2;
        if enough(middle)? {
            steps = middle
        } else {
            too_few = middle
        }
    }
    Ok(Mechanism {
        steps,
        ..frame.clone()
    })
}

/// Largest cohort, with the same honest share, whose sum stays inside 32 bits on this grid.
fn cohort_that_fits(mechanism: &Mechanism) -> u32 {
    let (mut fits, mut too_many) = (0u32, mechanism.cohort_max);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        let smaller = Mechanism {
            cohort_max: middle,
            n_min: mechanism.n_min.min(middle),
            ..mechanism.clone()
        };
        if smaller.check().is_ok() {
            fits = middle
        } else {
            too_many = middle
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use tacit_model::family::rating::{RatingModel, Scale};
    use tacit_model::family::spectral::SpectralModel;
    use tacit_model::family::weighted::WeightedTerms;

    use super::*;

    #[test]
    fn a_shape_is_that_of_the_vector_the_model_gives() {
        let spectral = SpectralModel::genesis(50);
        let weighted = Model::weighted_start(&spectral, WeightedTerms::default());
        for model in [
            weighted,
            spectral.into(),
            Model::Rating(RatingModel::genesis(50, Scale::STARS)),
        ] {
            for kind in Kind::ALL {
                let (shape, extent) = (Shape::of(kind, &model, 10), model.extent(kind));
                let length = extent.map(|extent| extent.length());
                assert_eq!(shape.map(|shape| shape.length as usize), length, "{kind}");
                assert_eq!(
                    shape.map(|shape| shape.row_width as usize),
                    extent.map(|extent| extent.row_width),
                    "{kind}"
                );
                assert!(
                    shape.is_none_or(|shape| shape.nnz_max <= shape.length),
                    "{kind}"
                );
            }
        }
    }

    fn rho(value: f64) -> Rho {
        Rho::saturating_from_units(1 << 64).share(value)
    }

    fn shape(length: u32, row_width: u32, nnz_max: u32) -> Shape {
        Shape {
            length,
            row_width,
            nnz_max,
            history_max: 200,
        }
    }

    fn crowd(cohort: u32, n_min: u32) -> Crowd {
        Crowd {
            cohort,
            n_min,
            helper_noise: false,
        }
    }

    #[test]
    fn the_price_is_kept_and_no_noise_is_wasted() {
        for (price, shape, crowd) in [
            (0.03, shape(1682, 1, 200), crowd(943, 850)),
            (0.2, shape(79_800, 1, 20_100), crowd(943, 850)),
            (0.4, shape(53_824, 1, 6_400), crowd(100_000, 90_000)),
        ] {
            let mechanism = mechanism_for(rho(price), &shape, &crowd).unwrap();
            assert_eq!(mechanism.check(), Ok(()));
            assert!(mechanism.rho() <= rho(price));
            let quieter = Mechanism {
                sigma2: mechanism.sigma2 - 1,
                ..mechanism.clone()
            };
            assert!(quieter.rho() > rho(price));
            assert!(mechanism.sigma2 / u64::from(crowd.n_min) >= SHARE_VARIANCE - 1);
        }
    }

    #[test]
    fn the_grid_is_the_coarsest_sound_one() {
        // Few devices, many coordinates: rounding decides. Many devices, few coordinates: the share
        // does.
        let rounding = mechanism_for(rho(0.1), &shape(6_400, 1, 6_400), &crowd(100, 90)).unwrap();
        assert_eq!(rounding.steps, 400);
        let share = mechanism_for(rho(0.1), &shape(100, 1, 100), &crowd(100_000, 90_000)).unwrap();
        assert!(share.steps > 50 && share.sigma2 < (SHARE_VARIANCE + 1) * 90_000);
    }

    #[test]
    fn what_cannot_be_says_what_to_change() {
        let small =
            |rho, row_width| mechanism_for(rho, &shape(100, row_width, 100), &crowd(100, 90));
        let zero = small(Rho::ZERO, 1).unwrap_err();
        assert!(matches!(zero, PlanError::BudgetTooSmall), "{zero}");
        let wide = |cohort| {
            mechanism_for(
                rho(0.9),
                &shape(3_200_000, 32, 6_400),
                &crowd(cohort, cohort / 10 * 9),
            )
        };
        // More than any request may name, for a helper could not sum them.
        let sum = wide(10_000_000).unwrap_err();
        assert_eq!(sum.field(), "cohort");
        assert!(
            sum.to_string()
                .contains("could leave 32 bits: select at")
        );
        let PlanError::SumTooLarge {
            cohort: 10_000_000,
            fits,
        } = sum
        else {
            panic!("{sum}")
        };
        assert!(fits > 10_000 && wide(fits).is_ok());
        assert_eq!(
            small(rho(0.1), 33).unwrap_err().to_string(),
            "row_width is out of range"
        );
        let tiny = small(Rho::saturating_from_units(2), 1).unwrap_err();
        assert!(
            matches!(tiny, PlanError::BudgetTooSmall | PlanError::Mechanism(_)),
            "{tiny}"
        );
    }

    #[test]
    fn a_short_history_leaves_most_of_a_vector_zero() {
        assert_eq!(Shape::counts(1_682, 200).nnz_max, 200);
        assert_eq!(Shape::counts(100, 200).nnz_max, 100);
        let head = Shape::head_gram(399, 200);
        assert_eq!((head.length, head.nnz_max), (79_800, 20_100));
        let gradient = Shape::factor_gradient(1_682, 32, 200);
        assert_eq!(
            (gradient.length, gradient.row_width, gradient.nnz_max),
            (53_824, 32, 6_400)
        );
        let weighted = Shape::weighted_gradient(1_682, 32, 200);
        assert_eq!((weighted.length, weighted.nnz_max), (1_714 * 32, 232 * 32));
        assert_eq!(
            Shape::rating_bias(1_682, 200),
            Shape {
                length: 3_364,
                row_width: 2,
                nnz_max: 400,
                history_max: 200
            }
        );
        // A network's layer is moved by every item alike.
        let layer = Shape {
            length: 128 * 32,
            row_width: 32,
            nnz_max: 128 * 32,
            history_max: 20,
        };
        assert_eq!(Shape::layer_gradient(128, 32, 20), layer);
        assert_eq!(
            (Shape::metrics(200).length, Shape::metrics(200).nnz_max),
            (32, 10)
        );
        // Hostile numbers saturate and are refused by the mechanism's own bounds.
        assert_eq!(Shape::head_gram(u32::MAX, u32::MAX).length, u32::MAX);
    }
}
