//! What the operator should know about a forecast, in sentences with numbers.

use tacit_model::family::Family;
use tacit_model::family::recipe::{SIGNAL_GOOD, SIGNAL_UNSURE};
use tacit_privacy::{Rho, convert};
use tacit_types::Delta;

use crate::outline::signal_min;
use crate::planner::{Forecast, TOTAL_VARIATION_MAX};
use crate::request::{PlanRequest, default_delta};

/// Above it epsilon says too little to recommend it.
const EPSILON_ADVISED_MAX: f64 = 20.0;
/// A smaller catalogue needs no recommender.
const ITEMS_ADVISED_MIN: f64 = 50.0;

/// Everything worth saying about the forecast of `request`, most important first.
pub fn advice(request: &PlanRequest, forecast: &Forecast) -> Vec<String> {
    let said = [
        weak_signal(request, forecast),
        more_gain(request, forecast),
        network(request, forecast),
        large_delta(request.delta, request.cohort),
        unspendable(request, forecast),
        without_effect(request, forecast),
        cut_rounds(request, forecast),
    ];
    said.into_iter().flatten().collect()
}

/// Factors are out of reach, or it is open whether they pay.
fn weak_signal(request: &PlanRequest, forecast: &Forecast) -> Option<String> {
    let (q, least) = (forecast.plan.signal, signal_min(request.model));
    if q < least {
        let alone = alone(request.model);
        let ways = ways_to(least, "To train factors", request, forecast);
        Some(format!(
            "The signal q = {q:.1} is below {least:.0}: {alone}. {ways}."
        ))
    } else if q < SIGNAL_UNSURE {
        let decides = if request.evaluation_milli() > 0 {
            "validation on the devices decides which of them is published"
        } else {
            "evaluation is off, so factors are published even where they lose"
        };
        let ways = ways_to(SIGNAL_UNSURE, "To be clear of it", request, forecast);
        Some(format!(
            "The signal q = {q:.1} is near the break-even with popularity: {decides}. {ways}."
        ))
    } else {
        None
    }
}

/// Factors pay, and could pay more.
fn more_gain(request: &PlanRequest, forecast: &Forecast) -> Option<String> {
    let improvable = signal_min(request.model)..SIGNAL_GOOD;
    if request.model == Family::Neural || !improvable.contains(&forecast.plan.signal) {
        return None;
    }
    let ways = ways_to(
        SIGNAL_GOOD,
        "For nine tenths of the gain",
        request,
        forecast,
    );
    Some(format!("{ways}."))
}

fn network(request: &PlanRequest, forecast: &Forecast) -> Option<String> {
    let trained = request.model == Family::Neural && !forecast.plan.fallback;
    let limits = "A network learns what the catalogue's categories tell of the items and no more. \
                  A share of the gain, where one is given, is that of a spectral model with so \
                  strong a signal.";
    trained.then(|| limits.to_owned())
}

/// Says in a sentence when `delta` promises too little for this number of `devices`.
pub fn large_delta(delta: Delta, devices: u32) -> Option<String> {
    let usual = default_delta(devices);
    let devices = f64::from(devices);
    // The usual delta is itself a rounded number.
    if delta.get() * 10.0 * devices <= 1.0 + 1e-9 {
        return None;
    }
    Some(format!(
        "delta is above 1/(10 n): use at most {:e} for {} devices.",
        usual.get(),
        thousands(devices)
    ))
}

fn unspendable(request: &PlanRequest, forecast: &Forecast) -> Option<String> {
    if forecast.epsilon >= 0.99 * request.epsilon.get() {
        return None;
    }
    Some(format!(
        "Only epsilon {} of {} can be spent at this delta: beyond it the noise samplers' distance \
         from the ideal would use delta up.",
        convert::shown(forecast.epsilon),
        request.epsilon
    ))
}

fn without_effect(request: &PlanRequest, forecast: &Forecast) -> Option<String> {
    let asked = request.factors.is_some() || request.rounds.is_some();
    let reason = "factors and rounds have no effect, because no factors are trained.";
    (forecast.plan.fallback && asked).then(|| reason.to_owned())
}

fn cut_rounds(request: &PlanRequest, forecast: &Forecast) -> Option<String> {
    let left = forecast.plan.recipe.rounds;
    let at_limit = |limit| usize::try_from(limit) == Ok(forecast.releases.len());
    let cut = request.participation.is_some_and(at_limit)
        && request.rounds.is_some_and(|asked| asked > left)
        && !forecast.plan.fallback;
    cut.then(|| {
        format!(
            "The participation limit leaves {left} of the rounds: set rounds = {left} in the task."
        )
    })
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
fn ways_to(target: f64, goal: &str, request: &PlanRequest, forecast: &Forecast) -> String {
    let more = target / forecast.plan.signal;
    let mut ways = Vec::new();
    let devices = two_digits_up(f64::from(request.cohort) * more);
    if devices <= 1e6 {
        ways.push(format!("{} devices", thousands(devices)));
    }
    if let Some(epsilon) = epsilon_for(more, request, forecast) {
        ways.push(format!("epsilon {epsilon:.1}"));
    }
    let items = two_digits_down(f64::from(request.items) / (more * more));
    if items >= ITEMS_ADVISED_MIN && request.model != Family::Neural {
        ways.push(format!("a catalogue of {} items", thousands(items)));
    }
    if request.helper_noise && more * more <= growth_by_helper(request, forecast) {
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
fn epsilon_for(more: f64, request: &PlanRequest, forecast: &Forecast) -> Option<f64> {
    let units = forecast.plan.rho_budget.units() as f64 * more * more;
    let rho = Rho::saturating_from_units(units as u128);
    let epsilon = (convert::epsilon(rho, TOTAL_VARIATION_MAX, request.delta) * 10.0).ceil() / 10.0;
    (epsilon <= EPSILON_ADVISED_MAX).then_some(epsilon)
}

/// Variance of the noise on the sum with the helper's over that without.
fn growth_by_helper(request: &PlanRequest, forecast: &Forecast) -> f64 {
    1.0 + f64::from(forecast.plan.n_min) / request.answers()
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
    use crate::planner::forecast;
    use crate::request::tests::request;

    fn said(request: &PlanRequest) -> Vec<String> {
        advice(request, &forecast(request).unwrap())
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
        let before = forecast(&from).unwrap();
        let said = said(&from);
        assert!(
            (SIGNAL_MIN..SIGNAL_UNSURE).contains(&before.plan.signal)
                && said[0].contains("break-even")
        );
        let more = SIGNAL_GOOD / before.plan.signal;
        let devices = two_digits_up(2_400.0 * more);
        assert!(
            said[1].contains(&format!("about {} devices", thousands(devices))),
            "{:?}",
            said
        );
        let many = PlanRequest {
            cohort: devices.to_string().parse().unwrap(),
            ..from.clone()
        };
        assert!((1.0..1.11).contains(&(forecast(&many).unwrap().plan.signal / SIGNAL_GOOD)));
        let epsilon = epsilon_for(more, &from, &before).unwrap();
        let loose = PlanRequest {
            epsilon: Epsilon::new(epsilon).unwrap(),
            ..from.clone()
        };
        assert!((forecast(&loose).unwrap().plan.signal / SIGNAL_GOOD - 1.0).abs() < 0.05);
        assert!(
            said[1].contains(&format!("epsilon {epsilon:.1}")),
            "{:?}",
            said
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
