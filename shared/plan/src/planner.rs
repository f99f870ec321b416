//! The planner: from what an operator asks to what a task releases, what that costs, and how much
//! of the gain to expect. Everything that public numbers say before the first round.
//!
//! One planner for everybody: `tacit plan` prints its forecast, the coordinator stores its plan and
//! runs it. It inverts the conversion that is printed, so the reported epsilon is at most the
//! requested one, with the samplers' distance from the ideal included.

use tacit_model::Recipe;
use tacit_model::family::recipe::{SIGNAL_MIN, SIGNAL_UNSURE, gain_share, signal_to_noise};
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::{Mechanism, Rho, convert};
use tacit_types::{Delta, Epsilon, Kind};

use crate::error::PlanError;
use crate::mechanism::{Crowd, Shape, mechanism_for};
use crate::outline::{Outline, outline, trained_rows};
use crate::plan::Plan;
use crate::request::PlanRequest;

/// Room for the samplers' total variation over a whole task, in units of 2^-128: 2^70 of them are
/// 3.5e-18, against a delta of 1e-5 or 1e-8. Fixed, so that publisher, coordinator and planner turn
/// one epsilon into the same budget; every release is checked against it.
pub const TOTAL_VARIATION_MAX: u128 = 1 << 70;

/// Least share of rho for evaluation where the signal leaves open whether factors beat popularity,
/// so that it decides something.
///
/// It protects owners from a loss and does not raise the mean. How it was chosen:
/// `tests/quality/TUNING.md`, "Share of an evaluation that decides".
pub const GUARD_SHARE: f64 = 0.15;

/// A plan and what to expect of it: what an operator reads before a task, and nobody stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// What the coordinator would store and run.
    pub plan: Plan,
    /// The releases of the plan with their mechanisms, in order.
    pub releases: Vec<PlannedRelease>,
    /// Share of the gain over popularity that is expected to survive the noise; 0 in the fallback.
    pub gain_share: f64,
    /// Price of all releases together, at most the plan's budget.
    pub rho_total: Rho,
    /// Bound on the distance of all noise from the ideal, units of 2^-128.
    pub total_variation: u128,
    /// Epsilon of everything at the requested delta, at most the requested one.
    pub epsilon: f64,
}

/// One release of a forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRelease {
    /// What its vector means.
    pub kind: Kind,
    /// Most it may cost; the mechanism's own price is at most this.
    pub rho: Rho,
    /// Its public numbers. The length of a head Gram or a factor gradient is an upper bound,
    /// because rare items are pruned once the counts are known.
    pub mechanism: Mechanism,
}

impl PlannedRelease {
    /// Bytes one device sends, at most.
    pub fn upload_bytes(&self) -> u64 {
        4 * u64::from(self.mechanism.sent_length())
    }
}

/// Budget of one device for `epsilon` at `delta`.
///
/// # Errors
/// [`PlanError::DeltaTooSmall`] when nothing can be released at this delta.
pub fn budget(epsilon: Epsilon, delta: Delta) -> Result<Rho, PlanError> {
    convert::rho_for(epsilon, TOTAL_VARIATION_MAX, delta).ok_or(PlanError::DeltaTooSmall)
}

/// Plans a task.
///
/// # Errors
/// [`PlanError`] when a number is out of range or no sound mechanism exists.
///
/// # Guarantees
/// All releases together cost at most `rho_budget`, and at the requested delta that is at most the
/// requested epsilon.
pub fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
    Ok(forecast(request)?.plan)
}

/// Plans a task and says what to expect of it.
///
/// # Errors
/// As [`plan`].
///
/// # Guarantees
/// `rho_total <= plan.rho_budget`, and `epsilon` is at most the requested one at the requested
/// delta.
pub fn forecast(request: &PlanRequest) -> Result<Forecast, PlanError> {
    request.check()?;
    let means = Means::of(request)?;
    let outline = outline(request, means.signal)?;
    let releases = priced(request, &outline, &means)?;

    let prices = releases.iter().map(|release| release.mechanism.rho());
    let rho_total = prices.fold(Rho::ZERO, Rho::compose);
    let total_variation = releases
        .iter()
        .map(|release| release_total_variation(&release.mechanism))
        .sum();
    if total_variation > TOTAL_VARIATION_MAX {
        return Err(PlanError::TooManyDraws);
    }

    let plan = planned(request, &means, outline.recipe, &releases);
    let gain = gain_share(plan.signal);
    Ok(Forecast {
        gain_share: if plan.fallback { 0.0 } else { gain },
        epsilon: convert::epsilon(rho_total, total_variation, request.delta),
        plan,
        releases,
        rho_total,
        total_variation,
    })
}

/// What a request gives before its releases are known.
struct Means {
    rho_budget: Rho,
    crowd: Crowd,
    signal: f64,
}

impl Means {
    fn of(request: &PlanRequest) -> Result<Self, PlanError> {
        let rho_budget = budget(request.epsilon, request.delta)?;
        let crowd = crowd(request)?;
        let signal = signal(request, &crowd, rho_budget);
        Ok(Self {
            rho_budget,
            crowd,
            signal,
        })
    }
}

/// n_min = floor(cohort (1 - p) (1 - f)); one device alone would hide behind nobody.
fn crowd(request: &PlanRequest) -> Result<Crowd, PlanError> {
    let stay = u64::from(1000 - request.dropout_milli());
    let honest = u64::from(1000 - request.dishonest_milli());
    let n_min = u64::from(request.cohort) * stay * honest / 1_000_000;
    match u32::try_from(n_min) {
        Ok(n_min) if n_min >= 2 => Ok(Crowd {
            cohort: request.cohort,
            n_min,
            helper_noise: request.helper_noise,
        }),
        _ => Err(PlanError::TooFewHonest),
    }
}

/// q of what is expected to arrive: cohort (1 - p) answers, each adding a share of noise meant for
/// `n_min`, and the helper's whole noise once more if it adds any. The noise on the sum then has
/// standard deviation sqrt(answers / n_min + helper) / sqrt(2 rho).
fn signal(request: &PlanRequest, crowd: &Crowd, rho: Rho) -> f64 {
    let answers = request.answers();
    let variance = answers / f64::from(crowd.n_min) + f64::from(u8::from(crowd.helper_noise));
    signal_to_noise(
        answers / variance.sqrt(),
        rho.to_f64_up(),
        trained_rows(request).into(),
    )
}

/// Every release of the outline and the evaluation at its price.
fn priced(
    request: &PlanRequest,
    outline: &Outline,
    means: &Means,
) -> Result<Vec<PlannedRelease>, PlanError> {
    let release = |kind, share, shape: &Shape| {
        let rho = means.rho_budget.share(share);
        Ok(PlannedRelease {
            kind,
            rho,
            mechanism: mechanism_for(rho, shape, &means.crowd)?,
        })
    };
    let evaluation = evaluation_share(request, means.signal);
    let trained = outline
        .releases
        .iter()
        .map(|&(kind, share, ref shape)| release(kind, share * (1.0 - evaluation), shape));
    let metrics = Shape::metrics(request.history_max);
    let evaluated = (evaluation > 0.0).then(|| release(Kind::Metrics, evaluation, &metrics));
    trained.chain(evaluated).collect()
}

/// Share of rho for the evaluation; the other releases share what it leaves.
fn evaluation_share(request: &PlanRequest, q: f64) -> f64 {
    match f64::from(request.evaluation_milli()) / 1000.0 {
        // The one release a device may take part in is the counts.
        _ if request.participation == Some(1) => 0.0,
        share if share > 0.0 && (SIGNAL_MIN..SIGNAL_UNSURE).contains(&q) => share.max(GUARD_SHARE),
        share => share,
    }
}

/// The terms of the request, and what was made of them.
fn planned(
    request: &PlanRequest,
    means: &Means,
    recipe: Recipe,
    releases: &[PlannedRelease],
) -> Plan {
    Plan {
        model: request.model,
        scale_milli: request.scale_milli(),
        items: request.items,
        rho_budget: means.rho_budget,
        cohort: means.crowd.cohort,
        n_min: means.crowd.n_min,
        helper_noise: means.crowd.helper_noise,
        dropout_milli: request.dropout_milli(),
        dishonest_milli: request.dishonest_milli(),
        delta_pico: request.delta_pico(),
        history_max: request.history_max,
        factors: request.factors,
        rounds: request.rounds,
        clip_norm: request.clip_norm,
        carried: request.carried,
        evaluation_milli: request.evaluation_milli(),
        releases: releases
            .iter()
            .map(|release| (release.kind, release.rho))
            .collect(),
        signal: means.signal,
        fallback: recipe.rounds == 0,
        recipe: Recipe {
            clip_norm: request.clip_norm.unwrap_or(recipe.clip_norm),
            ..recipe
        },
    }
}

#[cfg(test)]
mod tests;
