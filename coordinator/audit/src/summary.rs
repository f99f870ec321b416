//! The numbers of an export: what the Python verifier prints too, field for field.

use std::collections::BTreeMap;

use serde::Serialize;
use tacit_privacy::{Rho, convert};
use tacit_types::{Delta, Digest, TaskId};

use crate::verify::Verified;

/// The deltas every report states, with their names in JSON.
pub const DELTAS: [(&str, f64); 4] = [
    ("1e-5", 1e-5),
    ("1e-6", 1e-6),
    ("1e-8", 1e-8),
    ("1e-10", 1e-10),
];

/// Version of the JSON this crate writes.
const SCHEMA: u32 = 1;

/// The numbers of one export.
///
/// In JSON, `rho`, `rho_spent_max`, `rho_budget` (units of 2^-64) and `total_variation` (units of
/// 2^-128) are whole numbers in strings. `epsilon` maps each of [`DELTAS`] to the smallest epsilon
/// the conversion proves, rounded up; null stands for no finite one.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Version of this list of fields: 1.
    pub schema: u32,
    /// Task the ledger is about.
    pub task: TaskId,
    /// Name of the coordinator's ledger.
    pub ledger_id: Digest,
    /// Generation of the last line.
    pub generation: u32,
    /// Lines in the coordinator's ledger.
    pub lines: u64,
    /// Lines in the helper's ledger.
    pub helper_lines: u64,
    /// Signed heads.
    pub heads: u64,
    /// SHA-256 of the last line.
    pub last_line_hash: Digest,
    /// Model versions released.
    pub releases: usize,
    /// Rounds charged without a release.
    pub abandoned: usize,
    /// Rounds that cost nothing, because nobody entered them.
    pub empty: usize,
    /// Restarts the coordinator recorded.
    pub restarts: usize,
    /// Restores from an older copy that the coordinator recorded.
    pub restores: usize,
    /// Most rounds one device can have taken part in.
    pub participations_max: usize,
    /// Price of everything.
    pub rho: Rho,
    /// The most a device can have spent by its own ledger: what it had spent for a round that cost
    /// the task nothing is not given back.
    pub rho_spent_max: Rho,
    /// What it may cost.
    pub rho_budget: Rho,
    /// Distance of all noise from the ideal.
    #[serde(serialize_with = "as_text")]
    pub total_variation: u128,
    /// Smallest epsilon at each delta.
    pub epsilon: BTreeMap<&'static str, f64>,
    /// Conversion from rho to epsilon.
    pub conversion: &'static str,
}

impl Summary {
    /// Collects the numbers of a verified export.
    pub fn of(verified: &Verified) -> Self {
        let at = |delta| epsilon(verified.rho_total, verified.total_variation, delta);
        Self {
            schema: SCHEMA,
            task: verified.genesis.task.clone(),
            ledger_id: verified.ledger_id,
            generation: verified.generation,
            lines: verified.lines,
            helper_lines: verified.helper_lines,
            heads: verified.heads,
            last_line_hash: verified.last_line_hash,
            releases: verified.releases().count(),
            abandoned: verified.abandoned().count(),
            empty: verified.empty.len(),
            restarts: verified.restarts.len(),
            restores: verified.restores.len(),
            participations_max: verified.participations_max(),
            rho: verified.rho_total,
            rho_spent_max: verified.rho_spent_max(),
            rho_budget: verified.genesis.rho_budget,
            total_variation: verified.total_variation,
            epsilon: DELTAS.map(|(name, delta)| (name, at(delta))).into(),
            conversion: convert::CONVERSION,
        }
    }
}

/// The conversion at a delta given as a plain number; infinite where it states nothing.
pub(crate) fn epsilon(rho: Rho, total_variation: u128, delta: f64) -> f64 {
    Delta::new(delta).map_or(f64::INFINITY, |delta| {
        convert::epsilon(rho, total_variation, delta)
    })
}

fn as_text<S: serde::Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
