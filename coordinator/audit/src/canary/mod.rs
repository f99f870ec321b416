//! Measures what the real release pipeline gives away, and holds the measurement against the
//! certified epsilon.
//!
//! The auditor plays every device, the coordinator and the helper, so it may open what nobody else
//! may: single noise shares. Each sum holds exactly `n_min` honest shares, the fewest the
//! certificate counts on.
//!
//! - [`pipeline`] the seam: what makes a contribution, and the real one;
//! - `noise` releases of nothing: is the noise there, in full, fresh for every device and round,
//!   and masked on the wire;
//! - `influence` releases of too much: how far can one device move the sum, and can it release
//!   twice;
//! - `scores` canaries behind coin flips, read by `one_shot` (an estimate) and `one_run` (a bound
//!   at 95 %);
//! - `measured` what a report repeats of all this;
//! - `settings` size and mechanism of a run; `stats` the few distributions all of this needs.
//!
//! Invariant: nothing here can change what the pipeline does. The auditor's seed picks directions
//! and coin flips only; noise comes from the operating system, so figures differ from run to run. A
//! run that finds nothing proves nothing: the figures are lower bounds, never guarantees.

mod check;
mod influence;
mod measured;
mod noise;
mod one_run;
mod one_shot;
pub mod pipeline;
mod scores;
mod session;
mod settings;
mod stats;
mod text;

use serde::Serialize;
use tacit_privacy::{Mechanism, canonical, convert};
use tacit_types::Digest;

pub use check::Check;
pub use measured::Measured;
pub use one_run::OneRun;
pub use one_shot::OneShot;
pub use pipeline::{Devices, Pipeline, PipelineError};
pub use settings::{Prepared, SettingError, Settings};

use session::Session;

/// Probability at most, for each check, that it fails on a pipeline that keeps its promise.
pub const FALSE_ALARM: f64 = 1e-8;

/// Everything one audit found out.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// What was run.
    pub settings: Settings,
    /// Public numbers of each release.
    pub mechanism: Mechanism,
    /// Epsilon the accountant certifies for all releases together, at `settings.delta`.
    pub certified_epsilon: f64,
    /// The delta of every epsilon here.
    pub delta: f64,
    /// Conversion behind the certified epsilon.
    pub conversion: &'static str,
    /// SHA-256 of the program whose pipeline was measured; `None` where it cannot be read.
    pub build_hash: Option<Digest>,
    /// Estimate of epsilon from canaries that are all in the sum.
    pub one_shot: OneShot,
    /// Lower bound of epsilon from canaries behind coin flips.
    pub one_run: OneRun,
    /// What was held against the certificate, in order.
    pub checks: Vec<Check>,
    /// Whether every check passed.
    pub passed: bool,
    /// Bound on the probability that a sound pipeline fails any check.
    pub false_alarm: f64,
    /// Says how to read these numbers where they stand alone.
    pub meaning: &'static str,
}

impl Audit {
    /// Names of the checks that failed.
    pub fn failures(&self) -> Vec<&'static str> {
        self.checks
            .iter()
            .filter(|check| !check.passed)
            .map(|check| check.name)
            .collect()
    }
}

/// Audits `pipeline`; `contributed` is called after each of [`Prepared::contributions`]
/// contributions.
///
/// # Errors
/// [`PipelineError`] when a contribution cannot be made, which is not a finding but the end of the
/// audit.
pub fn run(
    prepared: &Prepared,
    pipeline: &mut dyn Pipeline,
    contributed: &mut dyn FnMut(),
) -> Result<Audit, PipelineError> {
    let certified = prepared.certified_epsilon();
    let mut session = Session::new(prepared, pipeline, contributed);
    let mut checks = noise::audit(&mut session)?;
    checks.extend(influence::audit(&mut session)?);
    let scores = scores::collect(&mut session)?;
    let one_shot = OneShot::of(&scores, prepared.shift(), prepared.delta());
    let one_run = OneRun::of(&scores, prepared.delta());
    checks.push(one_shot.check(certified, prepared.delta()));
    checks.push(one_run::check(
        &scores,
        prepared.settings.length,
        prepared.shift(),
    ));
    Ok(Audit {
        settings: prepared.settings.clone(),
        mechanism: prepared.mechanism.clone(),
        certified_epsilon: certified,
        delta: prepared.delta().get(),
        conversion: convert::CONVERSION,
        build_hash: std::env::current_exe()
            .and_then(std::fs::read)
            .ok()
            .map(|program| canonical::digest(&program)),
        one_shot,
        one_run,
        passed: checks.iter().all(|check| check.passed),
        false_alarm: checks.len() as f64 * FALSE_ALARM,
        checks,
        meaning: "what canaries measure is a lower bound, never a guarantee",
    })
}
