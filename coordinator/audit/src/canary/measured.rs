//! What an audit of the pipeline measured, as a report repeats it.

use serde::{Deserialize, Serialize};

use tacit_types::Digest;

use super::Audit;

/// A lower bound from an audit of the same code. The audit has releases of its own: it measures the
/// pipeline, not a ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Lower bound of epsilon from canaries behind coin flips.
    pub epsilon_lower_bound: f64,
    /// Probability at least that the bound holds.
    pub confidence: f64,
    /// Epsilon certified for the audit's own releases.
    pub certified_epsilon: f64,
    /// The delta of both.
    pub delta: f64,
    /// Whether every check of the audit passed.
    pub passed: bool,
    /// SHA-256 of the program that was measured.
    pub build_hash: Option<Digest>,
}

/// The fields that are read of what `tacit audit canary --json` prints.
#[derive(Deserialize)]
struct Printed {
    one_run: PrintedRun,
    certified_epsilon: f64,
    delta: f64,
    passed: bool,
    build_hash: Option<Digest>,
}

#[derive(Deserialize)]
struct PrintedRun {
    epsilon_lower_bound: f64,
    confidence: f64,
}

impl Measured {
    /// Reads what `tacit audit canary --json` printed.
    ///
    /// # Errors
    /// When the text is not that.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        let Printed {
            one_run,
            certified_epsilon,
            delta,
            passed,
            build_hash,
        } = serde_json::from_str(text)?;
        let PrintedRun {
            epsilon_lower_bound,
            confidence,
        } = one_run;
        Ok(Self {
            epsilon_lower_bound,
            confidence,
            certified_epsilon,
            delta,
            passed,
            build_hash,
        })
    }
}

impl From<&Audit> for Measured {
    fn from(audit: &Audit) -> Self {
        let (certified_epsilon, delta, passed) =
            (audit.certified_epsilon, audit.delta, audit.passed);
        let (epsilon_lower_bound, confidence) =
            (audit.one_run.epsilon_lower_bound, audit.one_run.confidence);
        let build_hash = audit.build_hash;
        Self {
            epsilon_lower_bound,
            confidence,
            certified_epsilon,
            delta,
            passed,
            build_hash,
        }
    }
}
