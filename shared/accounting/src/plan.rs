//! What a job will release, what that costs, and how much of the gain to expect: everything public numbers say before it.
//!
//! The planner inverts the conversion that is printed, so the reported epsilon is at most the requested one, with the
//! samplers' distance from the ideal included.

use tacit_model::Recipe;
use tacit_model::recipe::{SIGNAL_MIN, gain_share, signal_to_noise};
use tacit_privacy::mechanism::{LENGTH_MAX, MechanismError};
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::{Mechanism, Rho, convert};
use tacit_types::{Delta, Epsilon};

use crate::mechanism::mechanism_for;

/// Signal below which factors may or may not beat popularity.
const SIGNAL_UNSURE: f64 = 12.0;
/// Signal at which nine tenths of the gain are left.
const SIGNAL_GOOD: f64 = 91.4;

/// What the operator knows before a job.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRequest {
    /// Devices selected for each round.
    pub devices: u32,
    /// Items in the catalogue.
    pub items: u32,
    /// Most that one device may lose over the job.
    pub epsilon: Epsilon,
    /// Failure probability of that statement.
    pub delta: Delta,
    /// Assumed dropout share p in thousandths.
    pub dropout_milli: u32,
    /// Assumed dishonest share f in thousandths.
    pub dishonest_milli: u32,
    /// History cap: interactions of one device that count.
    pub history_max: u32,
    /// Whether the helper adds the whole noise once more.
    pub helper_noise: bool,
    /// Item factors, instead of the recipe's.
    pub factors: Option<u32>,
    /// Rounds of factor gradients, instead of the recipe's.
    pub rounds: Option<u32>,
}

/// One release of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRelease {
    /// `counts`, `head_gram` or `factor_gradient`: the ledger's word.
    pub kind: &'static str,
    /// Most it may cost; the mechanism's own price is at most this.
    pub rho: Rho,
    /// Its public numbers. For a factor gradient the length is an upper bound, because rare items are pruned once the
    /// counts are known.
    pub mechanism: Mechanism,
}

impl PlannedRelease {
    /// Bytes one device sends, at most.
    pub fn upload_bytes(&self) -> u64 {
        4 * u64::from(self.mechanism.length)
    }
}

/// A job before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Budget of one device for the job.
    pub rho_budget: Rho,
    /// Honest surviving noise shares assumed: floor(devices (1 - p) (1 - f)), at least 1.
    pub n_min: u32,
    /// Signal-to-noise ratio the recipe was picked for, with the devices that are expected to answer.
    pub q: f64,
    /// Share of the gain over popularity that is expected to survive the noise; 0 in the fallback.
    pub gain_share: f64,
    /// What is trained, with the overrides of the request.
    pub recipe: Recipe,
    /// Everything that will be released, in order.
    pub releases: Vec<PlannedRelease>,
    /// Price of all releases together, at most `rho_budget`.
    pub rho_total: Rho,
    /// Distance of all noise from the ideal, units of 2^-128.
    pub total_variation: u128,
    /// Epsilon of everything at the requested delta, at most the requested one.
    pub epsilon: f64,
    /// What the operator should know, in sentences.
    pub advice: Vec<String>,
    /// Whether the signal is too weak to train factors, so that only counts are released.
    pub fallback: bool,
}

/// Why there is no plan. Each says what to change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A number of the request is outside its range.
    #[error("{what} must be {expected}")]
    OutOfRange {
        /// Field of the request.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The samplers' distance from ideal noise alone is larger than delta.
    #[error("delta {delta} is below what the noise samplers themselves may be off by: use a larger delta")]
    DeltaUsedUp {
        /// Delta asked for.
        delta: Delta,
    },
    /// The price is too small for any noise this system can add.
    #[error("a budget of rho {rho} (units of 2^-64) is too small for a release: raise epsilon or use fewer rounds")]
    BudgetTooSmall {
        /// Price of the release.
        rho: Rho,
    },
    /// No grid within bounds is fine enough.
    #[error("{nnz_max} non-zero coordinates need too fine a grid: lower the history cap or the number of factors")]
    GridTooFine {
        /// Most non-zero coordinates of one vector.
        nnz_max: u32,
    },
    /// The sum could pass 2^31.
    #[error(
        "the sum of {cohort} devices could leave 32 bits: select at most about {fits} devices a round, or lower the history cap"
    )]
    SumTooLarge {
        /// Devices asked for.
        cohort: u32,
        /// Devices that fit.
        fits: u32,
    },
    /// The numbers are not a sound mechanism.
    #[error(transparent)]
    Mechanism(#[from] MechanismError),
}

/// Plans a job.
///
/// # Errors
/// [`PlanError`] when a number is out of range or no sound mechanism exists.
///
/// # Guarantees
/// `rho_total <= rho_budget`, and `epsilon` is at most the requested one at the requested delta.
pub fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
    check(request)?;
    // Noise tables are part of delta, and their size follows from the budget: plan with an allowance until it covers them.
    let mut allowance = 0;
    loop {
        let plan = plan_with(request, allowance)?;
        if plan.total_variation <= allowance {
            return Ok(plan);
        }
        allowance = plan.total_variation.saturating_mul(2);
    }
}

fn check(request: &PlanRequest) -> Result<(), PlanError> {
    let range = |what, expected, ok: bool| if ok { Ok(()) } else { Err(PlanError::OutOfRange { what, expected }) };
    range("devices", "from 1 to 16777216", (1..=1 << 24).contains(&request.devices))?;
    range("items", "from 1 to 4194304", (1..=LENGTH_MAX).contains(&request.items))?;
    range("dropout_milli", "below 1000", request.dropout_milli < 1000)?;
    range("dishonest_milli", "below 1000", request.dishonest_milli < 1000)?;
    range("history_max", "from 1 to 1048576", (1..=1 << 20).contains(&request.history_max))?;
    let fits = |d: u32| (1..=256).contains(&d) && d <= LENGTH_MAX / request.items;
    range("factors", "from 1 to 256 and, times the items, at most 4194304", request.factors.is_none_or(fits))?;
    range("rounds", "from 1 to 100", request.rounds.is_none_or(|t| (1..=100).contains(&t)))
}

fn plan_with(request: &PlanRequest, total_variation: u128) -> Result<Plan, PlanError> {
    let rho_budget = convert::rho_for(request.epsilon, total_variation, request.delta)
        .ok_or(PlanError::DeltaUsedUp { delta: request.delta })?;
    let n_min = honest_shares(request);
    let q = signal(request, n_min, rho_budget);
    let recipe = Recipe::for_signal(q, request.items).map(|recipe| overridden(recipe, request));
    let fallback = recipe.is_none();
    let recipe = recipe.unwrap_or_else(Recipe::counts_only);
    let releases = releases(request, &recipe, rho_budget, n_min)?;
    let rho_total = releases.iter().fold(Rho::ZERO, |sum, release| sum.compose(release.mechanism.rho()));
    let total_variation = releases.iter().map(|release| release_total_variation(&release.mechanism)).sum();
    Ok(Plan {
        rho_budget,
        n_min,
        q,
        gain_share: if fallback { 0.0 } else { gain_share(q) },
        advice: advice(request, q, &recipe),
        epsilon: convert::epsilon(rho_total, total_variation, request.delta),
        recipe,
        releases,
        rho_total,
        total_variation,
        fallback,
    })
}

/// n_min = floor(devices (1 - p) (1 - f)), at least 1.
fn honest_shares(request: &PlanRequest) -> u32 {
    let (stay, honest) = (u64::from(1000 - request.dropout_milli), u64::from(1000 - request.dishonest_milli));
    u32::try_from(u64::from(request.devices) * stay * honest / 1_000_000).unwrap_or(u32::MAX).max(1)
}

/// q of what is expected to arrive. The noise is calibrated for `n_min` shares and everybody who answers adds one, so its
/// standard deviation grows by sqrt(answers / n_min): n becomes sqrt(answers n_min).
fn signal(request: &PlanRequest, n_min: u32, rho: Rho) -> f64 {
    let answers = f64::from(request.devices) * f64::from(1000 - request.dropout_milli) / 1000.0;
    signal_to_noise((answers * f64::from(n_min)).sqrt(), rho.to_f64_up(), request.items.into())
}

fn overridden(recipe: Recipe, request: &PlanRequest) -> Recipe {
    Recipe {
        factors: request.factors.unwrap_or(recipe.factors),
        rounds: request.rounds.unwrap_or(recipe.rounds),
        ..recipe
    }
}

fn releases(request: &PlanRequest, recipe: &Recipe, budget: Rho, n_min: u32) -> Result<Vec<PlannedRelease>, PlanError> {
    let release = |kind, share, length, row_width, nnz_max| {
        let rho = budget.share(share);
        let mechanism = mechanism_for(
            rho,
            length,
            row_width,
            nnz_max,
            request.history_max,
            request.devices,
            n_min,
            request.helper_noise,
        )?;
        Ok(PlannedRelease { kind, rho, mechanism })
    };
    let used = |items: u32| request.history_max.min(items);
    let mut planned = vec![release("counts", recipe.counts_share, request.items, 1, used(request.items))];
    if recipe.head > 0 {
        let pairs = pairs(recipe.head);
        planned.push(release("head_gram", recipe.head_share, pairs, 1, self::pairs(used(recipe.head))));
    }
    let (rows, width) = (request.items, recipe.factors);
    let gradient = || release("factor_gradient", recipe.round_share(), rows * width, width, used(rows) * width);
    planned.extend((0..recipe.rounds).map(|_| gradient()));
    planned.into_iter().collect()
}

/// Entries of a symmetric matrix of this size. The head has at most 1000 items.
fn pairs(size: u32) -> u32 {
    size * (size + 1) / 2
}

fn advice(request: &PlanRequest, q: f64, recipe: &Recipe) -> Vec<String> {
    let mut advice = Vec::new();
    let devices_for = |signal: f64| (f64::from(request.devices) * signal / q).ceil();
    if q < SIGNAL_MIN {
        advice.push(format!(
            "The signal q = {q:.1} is below {SIGNAL_MIN}: trained factors would lose to private popularity, so only item \
             counts are released. About {:.0} devices at this epsilon would do.",
            devices_for(SIGNAL_MIN)
        ));
    } else if q < SIGNAL_UNSURE {
        advice.push(format!(
            "The signal q = {q:.1} is near the break-even with popularity: let validation on the devices decide."
        ));
    }
    if (SIGNAL_MIN..SIGNAL_GOOD).contains(&q) {
        advice.push(format!(
            "For nine tenths of the gain, about {:.0} devices at this epsilon.",
            devices_for(SIGNAL_GOOD)
        ));
    }
    if request.delta.get() * 10.0 * f64::from(request.devices) > 1.0 + 1e-9 {
        let expected = one_digit_below(0.1 / f64::from(request.devices));
        advice.push(format!("delta is above 1/(10 n): use at most {expected:e} for {} devices.", request.devices));
    }
    if recipe.rounds == 0 && (request.factors.is_some() || request.rounds.is_some()) {
        advice.push("factors and rounds have no effect, because no factors are trained.".into());
    }
    advice
}

/// The largest number of one significant digit that is at most `value`.
fn one_digit_below(value: f64) -> f64 {
    let power = 10f64.powf((value.log10() + 1e-12).floor());
    let digit = (value / power * (1.0 + 1e-12)).floor();
    // Dividing by a power of ten that is exact gives the nearest double to the decimal number.
    digit / (1.0 / power).round().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(devices: u32, items: u32, epsilon: f64) -> PlanRequest {
        PlanRequest {
            devices,
            items,
            epsilon: Epsilon::new(epsilon).unwrap(),
            delta: Delta::new(1e-5).unwrap(),
            dropout_milli: 50,
            dishonest_milli: 50,
            history_max: 200,
            helper_noise: false,
            factors: None,
            rounds: None,
        }
    }

    #[test]
    fn a_plan_never_costs_more_than_was_asked() {
        for (devices, items, epsilon) in
            [(943, 1_682, 8.0), (6_040, 3_706, 2.0), (6_040, 3_706, 1.0), (100_000, 200_000, 8.0), (300, 4_000, 0.5)]
        {
            let plan = plan(&request(devices, items, epsilon)).unwrap();
            assert!(plan.epsilon <= epsilon && plan.rho_total <= plan.rho_budget, "{plan:?}");
            assert!(plan.fallback || plan.epsilon > 0.999 * epsilon, "{}", plan.epsilon);
            assert_eq!(convert::epsilon(plan.rho_total, plan.total_variation, Delta::new(1e-5).unwrap()), plan.epsilon);
            for release in &plan.releases {
                assert_eq!(release.mechanism.check(), Ok(()));
                assert!(release.mechanism.rho() <= release.rho);
            }
        }
    }

    #[test]
    fn the_ml_1m_plan_is_the_tables() {
        let plan = plan(&request(6_040, 3_706, 8.0)).unwrap();
        assert_eq!(plan.n_min, 5_451);
        assert!(plan.q > 130.0 && plan.q < 160.0, "{}", plan.q);
        assert!(plan.gain_share > 0.9);
        let kinds: Vec<&str> = plan.releases.iter().map(|release| release.kind).collect();
        assert_eq!(kinds[..2], ["counts", "head_gram"]);
        assert_eq!(kinds.len() - 2, plan.recipe.rounds as usize);
        assert_eq!(plan.releases[2].mechanism.row_width, 32);
    }

    #[test]
    fn a_weak_signal_plans_counts_only_and_says_so() {
        let plan = plan(&PlanRequest { rounds: Some(3), ..request(100, 4_000, 1.0) }).unwrap();
        assert!(plan.fallback && plan.q < SIGNAL_MIN && plan.gain_share == 0.0);
        assert_eq!(plan.releases.iter().map(|release| release.kind).collect::<Vec<_>>(), ["counts"]);
        assert!(plan.advice[0].contains("below 5") && plan.advice[1].contains("no effect"), "{:?}", plan.advice);
        let one = super::plan(&request(1, 10, 1.0)).unwrap();
        assert_eq!(one.n_min, 1);
    }

    #[test]
    fn overrides_are_kept_and_bounds_are_named() {
        let overridden = PlanRequest { factors: Some(16), rounds: Some(2), ..request(6_040, 3_706, 8.0) };
        let plan = plan(&overridden).unwrap();
        assert_eq!((plan.recipe.factors, plan.recipe.rounds, plan.releases.len()), (16, 2, 4));
        let bad = PlanRequest { dropout_milli: 1000, ..request(100, 100, 1.0) };
        assert_eq!(super::plan(&bad).unwrap_err().to_string(), "dropout_milli must be below 1000");
        let wide = PlanRequest { factors: Some(32), ..request(6_040, 200_000, 8.0) };
        assert!(super::plan(&wide).unwrap_err().to_string().starts_with("factors must be from 1 to 256"));
        let delta = Delta::new(1e-30).unwrap();
        let fine = super::plan(&PlanRequest { delta, ..request(6_040, 3_706, 8.0) }).unwrap_err();
        assert!(fine.to_string().starts_with("delta 0.000000000000000000000000000001 is below"), "{fine}");
        let many = super::plan(&request(16_000_000, 4_000, 8.0)).unwrap_err();
        assert!(many.to_string().contains("could leave 32 bits: select at most about"), "{many}");
    }

    #[test]
    fn advice_speaks_up_where_the_operator_should_look() {
        let large = plan(&request(100_000, 200_000, 8.0)).unwrap();
        assert!(large.advice.iter().any(|text| text.contains("delta is above 1/(10 n): use at most 1e-6")));
        let unsure = plan(&request(2_400, 4_000, 0.8)).unwrap();
        assert!(unsure.q > SIGNAL_MIN && unsure.q < SIGNAL_UNSURE, "{}", unsure.q);
        assert!(
            unsure.advice[0].contains("break-even") && unsure.advice[1].contains("nine tenths"),
            "{:?}",
            unsure.advice
        );
        let sure = plan(&request(6_040, 3_706, 8.0)).unwrap();
        assert_eq!(sure.advice, Vec::<String>::new());
    }
}
