//! What opendp is asked about an export, and when its answer refuses one.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use tacit_audit::{DELTAS, Summary};
use tacit_opendp::{OpinionError, SecondOpinion};
use tacit_privacy::{Rho, convert};
use tacit_types::{Delta, Digest, TaskId};

/// The summary of an export that spent `rho`, units of 2^-64, with samplers at a distance of
/// `total_variation`, units of 2^-128.
fn summary(rho: u128, total_variation: u128) -> Summary {
    let rho = Rho::saturating_from_units(rho);
    let stated = |delta| convert::epsilon(rho, total_variation, Delta::new(delta).unwrap());
    Summary {
        schema: 1,
        task: TaskId::try_from("films".to_owned()).unwrap(),
        ledger_id: Digest([1; 32]),
        generation: 1,
        lines: 2,
        helper_lines: 1,
        heads: 1,
        last_line_hash: Digest([2; 32]),
        releases: 1,
        abandoned: 0,
        empty: 0,
        restarts: 0,
        restores: 0,
        participations_max: 1,
        rho,
        rho_spent_max: rho,
        rho_budget: rho,
        total_variation,
        epsilon: DELTAS
            .map(|(name, delta)| (name, stated(delta)))
            .into(),
        conversion: convert::CONVERSION,
    }
}

/// Samplers as far from the ideal as a long task's are.
const USUAL_DISTANCE: u128 = 1 << 40;

#[test]
fn opendp_supports_every_epsilon_we_can_state() {
    // From one unit to an epsilon of about 60, past which the samplers' distance uses delta up. We
    // take that distance at an epsilon larger by 1 than the one we state: that, and not rounding,
    // is how far ours may lie above opendp's, most where the distance takes most of delta.
    let every_power = (0..=68).map(|power| 1u128 << power);
    assert_supported(every_power, USUAL_DISTANCE, 0.05);
}

#[test]
fn for_ideal_samplers_both_agree_within_1e_9() {
    assert_supported((0..=70).map(|power| 1u128 << power), 0, 1e-9);
}

fn assert_supported(rhos: impl Iterator<Item = u128>, total_variation: u128, gap_max: f64) {
    for rho in rhos {
        let summary = summary(rho, total_variation);
        let opinion = SecondOpinion::on(&summary).unwrap();
        for (name, stated) in &summary.epsilon {
            let (opendp, difference) = (opinion.epsilon[name], opinion.difference[name]);
            assert_eq!(opendp.is_some(), stated.is_finite(), "rho {rho} {name}");
            let Some((opendp, difference)) = opendp.zip(difference) else {
                continue;
            };
            assert_eq!(difference, stated - opendp);
            let gap = difference / opendp.max(1.0);
            assert!((0.0..gap_max).contains(&gap), "rho {rho} {name}: {gap:e}");
        }
    }
}

#[test]
fn an_export_that_spent_nothing_is_worth_nothing_to_both() {
    let opinion = SecondOpinion::on(&summary(0, 0)).unwrap();
    assert!(
        opinion
            .epsilon
            .values()
            .all(|epsilon| *epsilon == Some(0.0))
    );
}

#[test]
fn an_epsilon_below_opendps_is_refused_and_named() {
    let mut summary = summary(1 << 62, USUAL_DISTANCE);
    let stated = summary.epsilon.get_mut("1e-6").unwrap();
    *stated -= 1e-8;
    let refused = SecondOpinion::on(&summary).unwrap_err();
    let OpinionError::Understated { delta, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(*delta, "1e-6");
    assert!(refused.to_string().contains("but opendp computes"));
}

#[test]
fn a_looser_epsilon_is_a_bound_too() {
    let mut summary = summary(1 << 62, USUAL_DISTANCE);
    summary
        .epsilon
        .values_mut()
        .for_each(|epsilon| *epsilon += 1.0);
    let opinion = SecondOpinion::on(&summary).unwrap();
    let differences = opinion.difference.values().flatten();
    assert!(
        differences
            .clone()
            .all(|difference| (difference - 1.0).abs() < 1e-8)
    );
    assert_eq!(differences.count(), DELTAS.len());
}

/// Far samplers take their factor out of the delta opendp is asked at, or use it up.
#[test]
fn the_samplers_distance_counts_for_opendp_too() {
    let far = 1 << 106;
    let honest = summary(1 << 60, far);
    let at_1e_5 = SecondOpinion::on(&honest).unwrap().epsilon["1e-5"].unwrap();
    let ideal = SecondOpinion::on(&summary(1 << 60, 0)).unwrap();
    assert!(at_1e_5 > ideal.epsilon["1e-5"].unwrap() + 1e-3, "{at_1e_5}");

    let ignoring_it = Summary {
        total_variation: far,
        ..summary(1 << 60, 0)
    };
    assert!(matches!(
        SecondOpinion::on(&ignoring_it),
        Err(OpinionError::Understated { delta: "1e-5", .. })
    ));
    let used_up = Summary {
        total_variation: 1 << 127,
        ..summary(1 << 60, 0)
    };
    let Err(OpinionError::Understated { opendp, .. }) = SecondOpinion::on(&used_up) else {
        panic!("no delta is left")
    };
    assert_eq!(opendp, f64::INFINITY);
}

#[test]
fn the_json_names_who_was_asked_and_says_null_where_nothing_is_claimed() {
    let opinion = SecondOpinion::on(&summary(u128::MAX, 1)).unwrap();
    let json = serde_json::to_value(&opinion).unwrap();
    let nothing: BTreeMap<&str, Option<f64>> = DELTAS.map(|(name, _)| (name, None)).into();
    assert_eq!(json["epsilon"], serde_json::to_value(&nothing).unwrap());
    assert_eq!(json["difference"], json["epsilon"]);

    let by = json["by"].as_str().unwrap();
    let (library, _) = by.split_once(": ").unwrap();
    let (name, version) = library.split_once(' ').unwrap();
    let locked = format!("name = \"{name}\"\nversion = \"{version}\"");
    assert!(
        include_str!("../../../Cargo.lock").contains(&locked),
        "{by}"
    );
}
