//! What the operator should know about a plan, in sentences with numbers.

use tacit_model::family::Family;
use tacit_model::family::recipe::{SIGNAL_GOOD, SIGNAL_UNSURE};
use tacit_privacy::{Rho, convert};

use crate::outline::signal_min;
use crate::plan::{Plan, TOTAL_VARIATION_MAX};
use crate::request::{PlanRequest, default_delta};

/// Above it epsilon says too little to recommend it.
const EPSILON_ADVISED_MAX: f64 = 20.0;
/// A smaller catalogue needs no recommender.
const ITEMS_ADVISED_MIN: f64 = 50.0;

/// Everything worth saying, most important first.
pub(crate) fn advice(request: &PlanRequest, plan: &Plan) -> Vec<String> {
    let mut advice = Vec::new();
    let (q, least) = (plan.q, signal_min(request.model));
    if q < least {
        advice.push(format!(
            "The signal q = {q:.1} is below {least:.0}: {}. {}.",
            alone(request.model),
            ways_to(least, "To train factors", request, plan)
        ));
    } else if q < SIGNAL_UNSURE {
        let decides = if request.evaluation_milli() > 0 {
            "validation on the devices decides which of them is published"
        } else {
            "evaluation is off, so factors are published even where they lose"
        };
        advice.push(format!(
            "The signal q = {q:.1} is near the break-even with popularity: {decides}. {}.",
            ways_to(SIGNAL_UNSURE, "To be clear of it", request, plan)
        ));
    }
    if (least..SIGNAL_GOOD).contains(&q) && request.model != Family::Neural {
        advice.push(format!(
            "{}.",
            ways_to(SIGNAL_GOOD, "For nine tenths of the gain", request, plan)
        ));
    }
    if request.model == Family::Neural && !plan.fallback {
        advice.push(
            "A network learns what the catalogue's categories tell of the items and no more. A \
             share of the gain, where \
             one is given, is that of a spectral model with so strong a signal."
                .into(),
        );
    }
    let usual = default_delta(request.cohort);
    if request.delta.get() * 10.0 * f64::from(request.cohort) > 1.0 + 1e-9 {
        advice.push(format!(
            "delta is above 1/(10 n): use at most {:e} for {} devices.",
            usual.get(),
            thousands(request.cohort.into())
        ));
    }
    if plan.epsilon < 0.99 * request.epsilon.get() {
        advice.push(format!(
            "Only epsilon {} of {} can be spent at this delta: beyond it the noise samplers' \
             distance from the ideal \
             would use delta up.",
            convert::shown(plan.epsilon),
            request.epsilon
        ));
    }
    if plan.fallback && (request.factors.is_some() || request.rounds.is_some()) {
        advice.push("factors and rounds have no effect, because no factors are trained.".into());
    }
    let cut = request
        .participation
        .is_some_and(|limit| usize::try_from(limit) == Ok(plan.releases.len()));
    if cut
        && request
            .rounds
            .is_some_and(|rounds| rounds > plan.recipe.rounds)
        && !plan.fallback
    {
        let rounds = plan.recipe.rounds;
        advice.push(format!(
            "The participation limit leaves {rounds} of the rounds: set rounds = \
                           {rounds} in the task."
        ));
    }
    advice
}

/// Why the first statistic is all there is.
fn alone(model: Family) -> &'static str {
    match model {
        Family::Spectral | Family::Weighted | Family::Neural => {
            "trained factors would lose to private popularity, so only item counts are released, \
             which public item features complete"
        }
        Family::Rating => {
            "trained factors would cost more than they tell, so only item biases are released"
        }
    }
}

/// The separate ways to raise the signal to `target`, of those that make sense.
fn ways_to(target: f64, goal: &str, request: &PlanRequest, plan: &Plan) -> String {
    let more = target / plan.q;
    let mut ways = Vec::new();
    let devices = two_digits_up(f64::from(request.cohort) * more);
    if devices <= 1e6 {
        ways.push(format!("{} devices", thousands(devices)));
    }
    if let Some(epsilon) = epsilon_for(more, request, plan) {
        ways.push(format!("epsilon {epsilon:.1}"));
    }
    let items = two_digits_down(f64::from(request.items) / (more * more));
    if items >= ITEMS_ADVISED_MIN && request.model != Family::Neural {
        ways.push(format!("a catalogue of {} items", thousands(items)));
    }
    if request.helper_noise && more * more <= growth_by_helper(request, plan) {
        ways.push("no helper noise".into());
    }
    match ways.as_slice() {
        [] => format!(
            "{goal}, no single change is enough: it takes more devices and fewer items together"
        ),
        [one] => format!("{goal}: about {one}"),
        [most @ .., last] => format!(
            "{goal}, any one of these: about {} or {last}",
            most.join(", ")
        ),
    }
}

/// Epsilon, rounded up to a tenth, whose signal is `more` times as large: rho grows with the
/// square.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and saturates"
)]
fn epsilon_for(more: f64, request: &PlanRequest, plan: &Plan) -> Option<f64> {
    let rho = Rho::saturating_from_units((plan.rho_budget.units() as f64 * more * more) as u128);
    let epsilon = (convert::epsilon(rho, TOTAL_VARIATION_MAX, request.delta) * 10.0).ceil() / 10.0;
    (epsilon <= EPSILON_ADVISED_MAX).then_some(epsilon)
}

/// Variance of the noise on the sum with the helper's over that without.
fn growth_by_helper(request: &PlanRequest, plan: &Plan) -> f64 {
    let answers = f64::from(request.cohort) * f64::from(1000 - request.dropout_milli()) / 1000.0;
    1.0 + f64::from(plan.crowd.n_min) / answers
}

/// A whole number of two significant digits, rounded up.
fn two_digits_up(value: f64) -> f64 {
    let unit = second_digit(value);
    (value / unit).ceil() * unit
}

/// A whole number of two significant digits, rounded down.
fn two_digits_down(value: f64) -> f64 {
    let unit = second_digit(value);
    (value / unit).floor() * unit
}

/// Value of the second significant digit, at least 1.
fn second_digit(value: f64) -> f64 {
    10f64.powf((value.log10().floor() - 1.0).max(0.0))
}

/// A whole number with commas between thousands.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| str::from_utf8(group).unwrap_or(""))
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use tacit_model::family::recipe::SIGNAL_MIN;
    use tacit_types::{Delta, Epsilon};

    use super::*;
    use crate::plan::plan;
    use crate::request::tests::request;

    fn said(request: &PlanRequest) -> Vec<String> {
        plan(request).unwrap().advice
    }

    #[test]
    fn nothing_is_said_when_all_is_well() {
        assert_eq!(said(&request(6_040, 3_706, 8.0)), Vec::<String>::new());
    }

    #[test]
    fn out_of_reach_says_what_would_do() {
        let weak = said(&PlanRequest {
            rounds: Some(3),
            ..request(943, 16_820, 1.0)
        });
        assert!(
            weak[0].contains("below 5") && weak[0].contains("any one of these: about"),
            "{weak:?}"
        );
        assert!(weak[1].contains("no effect"), "{weak:?}");
        let hopeless = said(&PlanRequest {
            history_max: 50,
            ..request(3, 4_000_000, 0.03)
        });
        assert!(
            hopeless[0].contains("no single change is enough"),
            "{hopeless:?}"
        );
    }

    #[test]
    fn each_way_that_is_named_reaches_the_goal() {
        let from = request(2_400, 4_000, 0.8);
        let before = plan(&from).unwrap();
        assert!(
            (SIGNAL_MIN..SIGNAL_UNSURE).contains(&before.q)
                && before.advice[0].contains("break-even")
        );
        let more = SIGNAL_GOOD / before.q;
        let devices = two_digits_up(2_400.0 * more);
        assert!(
            before.advice[1].contains(&format!("about {} devices", thousands(devices))),
            "{:?}",
            before.advice
        );
        let many = PlanRequest {
            cohort: devices.to_string().parse().unwrap(),
            ..from.clone()
        };
        assert!((1.0..1.11).contains(&(plan(&many).unwrap().q / SIGNAL_GOOD)));
        let epsilon = epsilon_for(more, &from, &before).unwrap();
        let loose = PlanRequest {
            epsilon: Epsilon::new(epsilon).unwrap(),
            ..from.clone()
        };
        assert!((plan(&loose).unwrap().q / SIGNAL_GOOD - 1.0).abs() < 0.05);
        assert!(
            before.advice[1].contains(&format!("epsilon {epsilon:.1}")),
            "{:?}",
            before.advice
        );
    }

    #[test]
    fn delta_and_epsilon_that_promise_too_much_are_named() {
        let large = said(&request(100_000, 200_000, 8.0));
        assert!(
            large
                .iter()
                .any(|text| text.contains("delta is above 1/(10 n): use at most 1e-6 for 100,000"))
        );
        let unspendable = PlanRequest {
            delta: Delta::new(1e-10).unwrap(),
            ..request(1_000, 400, 40.0)
        };
        assert!(said(&unspendable)[0].starts_with("Only epsilon "));
    }

    #[test]
    fn a_cut_says_what_to_set() {
        let cut = PlanRequest {
            rounds: Some(5),
            participation: Some(4),
            ..request(6_040, 3_706, 8.0)
        };
        assert!(said(&cut)[0].ends_with("set rounds = 2 in the task."));
    }

    #[test]
    fn numbers_are_rounded_and_grouped() {
        assert_eq!(
            [
                two_digits_up(1_234.0),
                two_digits_up(7.2),
                two_digits_up(100.0)
            ],
            [1_300.0, 8.0, 100.0]
        );
        assert_eq!(
            [two_digits_down(180_943.0), two_digits_down(49.9)],
            [180_000.0, 49.0]
        );
        assert_eq!(
            [thousands(999.0), thousands(1_000.0), thousands(1_234_567.0)],
            ["999", "1,000", "1,234,567"]
        );
    }
}
