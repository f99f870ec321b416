//! Properties of every plan, over random requests.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use tacit_model::family::Family::{Neural, Rating, Spectral, Weighted};
use tacit_model::family::rating::Scale;
use tacit_plan::{PlanRequest, forecast};
use tacit_privacy::Rho;
use tacit_types::{Delta, Epsilon};

/// Requests from sensible to absurd, some out of range.
fn requests() -> impl Strategy<Value = PlanRequest> {
    let crowd = (
        log_uniform(1.0, 2e6),
        0.0..1.1f64,
        0.0..1.1f64,
        any::<bool>(),
    );
    let privacy = (-3.0..3.0f64, -18.0..-1.0f64);
    let family = prop_oneof![Just(Spectral), Just(Weighted), Just(Rating), Just(Neural)];
    let evaluation = prop_oneof![Just(0.0), 0.0..0.6f64];
    let own = (option(600), option(70), option(12), family, evaluation);
    (
        crowd,
        log_uniform(1.0, 5e6),
        privacy,
        log_uniform(1.0, 2e6),
        own,
    )
        .prop_map(
            |(
                (cohort, dropout, dishonest, helper_noise),
                items,
                (epsilon, delta),
                history_max,
                own,
            )| PlanRequest {
                model: own.3,
                scale: Scale::STARS,
                clip_norm: None,
                carried: own.0.filter(|_| own.3 == Spectral),
                cohort,
                items,
                epsilon: Epsilon::new(10f64.powf(epsilon)).unwrap(),
                delta: Delta::new(10f64.powf(delta)).unwrap(),
                // Squared, so that most are small.
                dropout: dropout * dropout,
                dishonest: dishonest * dishonest,
                history_max,
                helper_noise,
                factors: own.0,
                rounds: own.1,
                participation: own.2,
                evaluation: own.4,
            },
        )
}

fn option(max: u32) -> impl Strategy<Value = Option<u32>> {
    proptest::option::of(0..max)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the given bounds"
)]
fn log_uniform(low: f64, high: f64) -> impl Strategy<Value = u32> {
    (low.ln()..high.ln()).prop_map(|log| log.exp() as u32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_plan_costs_more_than_was_asked_or_holds_an_unsound_mechanism(request in requests()) {
        match forecast(&request) {
            Ok(ahead) => {
                prop_assert!(ahead.epsilon <= request.epsilon.get());
                prop_assert!(ahead.rho_total <= ahead.plan.rho_budget);
                let prices = ahead.releases.iter().map(|release| release.rho);
                let shares = prices.fold(Rho::ZERO, Rho::compose);
                prop_assert!(shares <= ahead.plan.rho_budget);
                for release in &ahead.releases {
                    prop_assert_eq!(release.mechanism.check(), Ok(()));
                    prop_assert!(release.mechanism.rho() <= release.rho);
                    prop_assert_eq!(release.mechanism.helper_noise, request.helper_noise);
                }
                let releases = ahead.releases.len();
                prop_assert!(request.participation.is_none_or(|limit| releases <= limit as usize));
                prop_assert!(ahead.plan.signal.is_finite());
                prop_assert!((0.0..=1.0).contains(&ahead.gain_share));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty() && !error.field().is_empty()),
        }
    }

    #[test]
    fn the_signal_rises_with_devices_and_epsilon_and_falls_with_items(
        cohort in 1_000u32..20_000,
        items in 100u32..5_000,
        epsilon in 0.5..10.0f64,
        helper_noise in any::<bool>(),
    ) {
        let request = PlanRequest {
            model: Spectral,
            scale: Scale::STARS,
            clip_norm: None,
            cohort,
            items,
            epsilon: Epsilon::new(epsilon).unwrap(),
            delta: Delta::new(1e-6).unwrap(),
            dropout: 0.1,
            dishonest: 0.05,
            history_max: 200,
            helper_noise,
            factors: None,
            rounds: None,
            evaluation: 0.0,
            carried: None,
            participation: None,
        };
        let q = |request: &PlanRequest| forecast(request).unwrap().plan.signal;
        let middle = q(&request);
        // A hundred devices more, so that rounding n_min down cannot hide the rise.
        let more_devices = q(&PlanRequest { cohort: cohort + 100, ..request.clone() });
        let larger = Epsilon::new(epsilon * 1.01).unwrap();
        let more_epsilon = q(&PlanRequest { epsilon: larger, ..request.clone() });
        let more_items = q(&PlanRequest { items: items + 1, ..request.clone() });
        prop_assert!(more_devices > middle, "{more_devices} {middle}");
        prop_assert!(more_epsilon > middle, "{more_epsilon} {middle}");
        prop_assert!(more_items < middle, "{more_items} {middle}");
        let quiet = q(&PlanRequest { helper_noise: false, ..request.clone() });
        // The helper's noise costs sqrt(1 + n_min/answers) with n_min/answers = 0.95.
        let expected = if helper_noise { 1.95f64.sqrt() } else { 1.0 };
        prop_assert!((quiet / middle - expected).abs() < 1e-3);
    }
}
