//! From a price to the public numbers of one release.
//!
//! The price fixes sigma/steps, the noise in units of the clipping norm. What is left to choose is the grid: fine enough
//! that rounding costs about a percent and that one noise share keeps at least 4 grid steps, and no finer, because every
//! step uses room in the 32-bit sum.

use tacit_privacy::mechanism::MechanismError;
use tacit_privacy::{Mechanism, Rho, Tier};

use crate::plan::PlanError;

/// Share variance aimed at, in grid steps squared: the bound is 16, and a variance on the edge leaves no room for rounding.
const SHARE_VARIANCE: u64 = 20;
/// gamma <= 0.2 / sqrt(nnz_max), squared and inverted.
const GRID: u64 = 25;
const STEPS_MAX: u32 = 1 << 20;

/// Public numbers of one helper-tier release that costs at most `rho`.
///
/// `nnz_max` is the most coordinates of one device's vector that can be non-zero, `cohort` the most contributions that may
/// enter the sum, `n_min` the honest noise shares assumed. The grid is the coarsest sound one and the noise the least that
/// `rho` pays for.
///
/// # Errors
/// [`PlanError`] saying what to change when no sound mechanism exists.
///
/// # Guarantees
/// On `Ok`, [`Mechanism::check`] passes and [`Mechanism::rho`] is at most `rho`.
pub fn mechanism_for(
    rho: Rho,
    length: u32,
    row_width: u32,
    nnz_max: u32,
    history_max: u32,
    cohort: u32,
    n_min: u32,
    helper_noise: bool,
) -> Result<Mechanism, PlanError> {
    let frame = Mechanism {
        tier: Tier::Helper,
        length,
        row_width,
        row_cap_milli: 1000,
        history_max,
        nnz_max,
        steps: STEPS_MAX,
        sigma2: 0,
        n_min,
        cohort_max: cohort,
        helper_noise,
    };
    let mechanism = with_least_noise(coarsest_grid(&frame, rho)?, rho)?;
    match mechanism.check() {
        Ok(()) => Ok(mechanism),
        Err(MechanismError::RingTooSmall) => Err(PlanError::SumTooLarge { cohort, fits: cohort_that_fits(&mechanism) }),
        Err(error) => Err(PlanError::Mechanism(error)),
    }
}

/// The same mechanism with the smallest noise whose price is at most `rho`.
fn with_least_noise(mechanism: Mechanism, rho: Rho) -> Result<Mechanism, PlanError> {
    let sigma2 = mechanism.sigma2_for(rho).ok_or(PlanError::BudgetTooSmall { rho })?;
    Ok(Mechanism { sigma2, ..mechanism })
}

/// The fewest steps that keep the grid fine enough and a share's variance at least [`SHARE_VARIANCE`]; by bisection,
/// because the noise a price asks for grows with the number of steps.
fn coarsest_grid(frame: &Mechanism, rho: Rho) -> Result<Mechanism, PlanError> {
    let enough = |steps: u32| -> Result<bool, PlanError> {
        let mechanism = with_least_noise(Mechanism { steps, ..frame.clone() }, rho)?;
        Ok(mechanism.sigma2 >= SHARE_VARIANCE * u64::from(frame.n_min)
            && u64::from(steps).pow(2) >= GRID * u64::from(frame.nnz_max))
    };
    if !enough(STEPS_MAX)? {
        return Err(PlanError::GridTooFine { nnz_max: frame.nnz_max });
    }
    let (mut too_few, mut steps) = (0u32, STEPS_MAX);
    while steps - too_few > 1 {
        let middle = too_few + (steps - too_few) / 2;
        if enough(middle)? { steps = middle } else { too_few = middle }
    }
    Ok(Mechanism { steps, ..frame.clone() })
}

/// Largest cohort, with the same honest share, whose sum stays inside 32 bits on this grid.
fn cohort_that_fits(mechanism: &Mechanism) -> u32 {
    let (mut fits, mut too_many) = (0u32, mechanism.cohort_max);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        let smaller = Mechanism { cohort_max: middle, n_min: mechanism.n_min.min(middle), ..mechanism.clone() };
        if smaller.check().is_ok() { fits = middle } else { too_many = middle }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rho(value: f64) -> Rho {
        Rho::saturating_from_units(1 << 64).share(value)
    }

    #[test]
    fn the_price_is_kept_and_no_noise_is_wasted() {
        for (price, length, nnz, cohort, n_min) in
            [(0.03, 1682, 200, 943, 850), (0.2, 79_800, 20_100, 943, 850), (0.4, 53_824, 6_400, 100_000, 90_000)]
        {
            let mechanism = mechanism_for(rho(price), length, 1, nnz, 200, cohort, n_min, false).unwrap();
            assert_eq!(mechanism.check(), Ok(()));
            assert!(mechanism.rho() <= rho(price));
            let quieter = Mechanism { sigma2: mechanism.sigma2 - 1, ..mechanism.clone() };
            assert!(quieter.rho() > rho(price));
            assert!(mechanism.sigma2 / u64::from(n_min) >= SHARE_VARIANCE - 1);
        }
    }

    #[test]
    fn the_grid_is_the_coarsest_sound_one() {
        // Few devices, many coordinates: rounding decides. Many devices, few coordinates: the share does.
        let rounding = mechanism_for(rho(0.1), 6_400, 1, 6_400, 200, 100, 90, false).unwrap();
        assert_eq!(rounding.steps, 400);
        let share = mechanism_for(rho(0.1), 100, 1, 100, 100, 100_000, 90_000, false).unwrap();
        assert!(share.steps > 50 && share.sigma2 < (SHARE_VARIANCE + 1) * 90_000);
    }

    #[test]
    fn what_cannot_be_says_what_to_change() {
        let zero = mechanism_for(Rho::ZERO, 100, 1, 100, 100, 100, 90, false).unwrap_err();
        assert!(matches!(zero, PlanError::BudgetTooSmall { .. }), "{zero}");
        let sum = mechanism_for(rho(0.9), 3_200_000, 32, 6_400, 200, 10_000_000, 9_000_000, false).unwrap_err();
        let PlanError::SumTooLarge { cohort: 10_000_000, fits } = sum else { panic!("{sum}") };
        assert!(
            fits > 10_000 && mechanism_for(rho(0.9), 3_200_000, 32, 6_400, 200, fits, fits / 10 * 9, false).is_ok()
        );
        let row = mechanism_for(rho(0.1), 100, 33, 100, 100, 100, 90, false).unwrap_err();
        assert_eq!(row.to_string(), "row_width is out of range");
        let tiny = mechanism_for(Rho::saturating_from_units(2), 100, 1, 100, 100, 100, 90, false).unwrap_err();
        assert!(matches!(tiny, PlanError::BudgetTooSmall { .. } | PlanError::Mechanism(_)), "{tiny}");
    }
}
