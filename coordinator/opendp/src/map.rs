//! One question to opendp: what a zCDP release costs at one delta.

use opendp::combinators::{make_fix_delta, make_zCDP_to_approxDP};
use opendp::core::{Function, Measurement, PrivacyMap};
use opendp::domains::AtomDomain;
use opendp::measures::ZeroConcentratedDivergence;
use opendp::metrics::AbsoluteDistance;

/// opendp refused the numbers or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("opendp: {0}")]
pub struct OpendpError(String);

/// Epsilon that opendp states for a release of `rho`-zCDP at `delta`.
///
/// Its chain is `make_zCDP_to_approxDP`, then `make_fix_delta`, around a measurement whose privacy
/// map is the identity on rho. Valid like ours, so either may be reported; ours may exceed it only
/// by the rounding it adds. opendp's values are neither `Send` nor `Sync`: they live and die inside
/// this function.
///
/// # Errors
/// [`OpendpError`] with opendp's message, for instance for a delta outside [0, 1].
pub fn opendp_epsilon(rho: f64, delta: f64) -> Result<f64, OpendpError> {
    epsilon(rho, delta).map_err(|error| OpendpError(error.to_string()))
}

fn epsilon(rho: f64, delta: f64) -> opendp::error::Fallible<f64> {
    let release = Measurement::new(
        AtomDomain::<f64>::new_non_nan(),
        AbsoluteDistance::<f64>::default(),
        ZeroConcentratedDivergence,
        Function::new(|_: &f64| ()),
        PrivacyMap::new(|rho: &f64| *rho),
    )?;
    let fixed = make_fix_delta(&make_zCDP_to_approxDP(release)?, delta)?;
    Ok(fixed.map(&rho)?.0)
}
