//! opendp's epsilons of one export, held against the ones it states.

use std::collections::BTreeMap;

use serde::Serialize;
use tacit_audit::{DELTAS, Summary};

use crate::map::{OpendpError, opendp_epsilon};

/// Who was asked, and through which of its functions.
const BY: &str = "opendp 0.16.0: make_zCDP_to_approxDP, make_fix_delta";

/// How far a stated epsilon may lie below opendp's, relative to the larger of opendp's and 1. Both
/// round outward from the same formula, so a real fault is many times larger.
const TOLERANCE: f64 = 1e-9;

/// opendp's epsilon at each of [`DELTAS`], and its distance from the stated one.
#[derive(Clone, Debug, Serialize)]
pub struct SecondOpinion {
    /// The library, its version and the functions that computed `epsilon`.
    pub by: &'static str,
    /// opendp's epsilon at each delta; null where the export states no finite one.
    pub epsilon: BTreeMap<&'static str, Option<f64>>,
    /// Stated epsilon minus opendp's: 0 or more up to rounding, because a bound may be loose.
    pub difference: BTreeMap<&'static str, Option<f64>>,
}

/// The second opinion does not support what the export states.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpinionError {
    /// opendp did not answer.
    #[error("second opinion at delta {delta}: {source}")]
    Unanswered {
        /// Name of the delta.
        delta: &'static str,
        /// opendp's message.
        source: OpendpError,
    },
    /// The stated epsilon is smaller than opendp's, so one of the two conversions is wrong.
    #[error(
        "epsilon at delta {delta} is stated as {stated} but opendp computes {opendp}: one of the \
         two is wrong, so rely on neither and report it"
    )]
    Understated {
        /// Name of the delta.
        delta: &'static str,
        /// Epsilon the export states.
        stated: f64,
        /// Epsilon opendp computes.
        opendp: f64,
    },
}

impl SecondOpinion {
    /// Asks opendp about every epsilon that `summary` states.
    ///
    /// | stated epsilon | answer |
    /// |---|---|
    /// | at or above opendp's | the difference |
    /// | below it | [`OpinionError::Understated`] |
    /// | infinite | null: nothing is claimed |
    ///
    /// # Errors
    /// [`OpinionError`] at the first delta, in the order of [`DELTAS`], without support.
    pub fn on(summary: &Summary) -> Result<Self, OpinionError> {
        let mut opinion = Self {
            by: BY,
            epsilon: BTreeMap::new(),
            difference: BTreeMap::new(),
        };
        for (name, delta) in DELTAS {
            let stated = summary.epsilon.get(name).copied();
            let stated = stated.filter(|epsilon| epsilon.is_finite());
            let asked = stated.map(|stated| ask(summary, name, delta, stated));
            let opendp = asked.transpose()?;
            opinion.epsilon.insert(name, opendp);
            let difference = stated
                .zip(opendp)
                .map(|(stated, opendp)| stated - opendp);
            opinion.difference.insert(name, difference);
        }
        Ok(opinion)
    }
}

/// opendp's epsilon at one delta, where it supports the `stated` one.
fn ask(
    summary: &Summary,
    name: &'static str,
    delta: f64,
    stated: f64,
) -> Result<f64, OpinionError> {
    let ideal = ideal_delta(delta, summary.total_variation, stated);
    let opendp = if ideal > 0.0 {
        let answer = opendp_epsilon(summary.rho.to_f64_up(), ideal);
        answer.map_err(|source| OpinionError::Unanswered {
            delta: name,
            source,
        })?
    } else {
        f64::INFINITY
    };
    // Against an infinite epsilon this is a comparison with NaN, which supports nothing.
    let supported = stated >= opendp - TOLERANCE * opendp.max(1.0);
    if supported {
        Ok(opendp)
    } else {
        Err(OpinionError::Understated {
            delta: name,
            stated,
            opendp,
        })
    }
}

/// What ideal noise may still use of `delta` when `epsilon` is stated for the real samplers.
///
/// Samplers at a `total_variation` (units of 2^-128) from the ideal noise take `(1 + e^epsilon) TV`
/// out of delta. The stated epsilon itself enters, so a statement is checked as the claim it is,
/// whatever search led to it.
fn ideal_delta(delta: f64, total_variation: u128, epsilon: f64) -> f64 {
    let distance = total_variation as f64 * 2f64.powi(-128);
    delta - (1.0 + epsilon.exp()) * distance
}
