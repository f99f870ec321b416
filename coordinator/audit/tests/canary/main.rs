//! The canary audit finds nothing in the real pipeline and every bug that is planted, by name.
//!
//! False alarms: each audit of a sound pipeline fails with probability below 2e-7, and each planted
//! bug lies so far outside its range that it is missed with probability below 1e-6. All tests
//! together fail by chance with probability below 1e-5.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, reason = "tests say what they measured")]

mod planted;

use planted::{Bug, Planted};
use tacit_audit::canary::{Audit, Devices, Pipeline, PipelineError, Prepared, Settings, run};
use tacit_round::rehearsal::OpenError;
use tacit_round::seal::SealError;
use tacit_types::{Delta, Epsilon};

/// Small enough for a second, large enough that every planted bug is far outside its range.
fn settings() -> Settings {
    Settings {
        epsilon: Epsilon::new(3.0).unwrap(),
        delta: Delta::new(1e-5).unwrap(),
        devices: 256,
        length: 512,
        canaries: 256,
        releases: 3,
        seed: 7,
    }
}

fn audit(settings: Settings, pipeline: &mut dyn Pipeline) -> Audit {
    let prepared = Prepared::new(settings).unwrap();
    let mut contributed = 0;
    let audit = run(&prepared, pipeline, &mut || contributed += 1).unwrap();
    assert!(contributed >= prepared.contributions());
    println!("{audit}");
    audit
}

/// Names of the checks that a planted bug fails.
fn failures(bug: Bug) -> Vec<&'static str> {
    audit(settings(), &mut Planted::new(bug)).failures()
}

#[test]
fn the_real_pipeline_passes_and_measures_no_more_than_the_certificate() {
    let audit = audit(settings(), &mut Devices::default());
    assert!(audit.passed && audit.failures().is_empty());
    assert!(audit.certified_epsilon <= 3.0 && audit.false_alarm < 1e-6);
    // To pass the certificate here, 253 of 256 coins must be guessed right, when noise lets 61 in
    // 100 be.
    assert!(audit.one_run.epsilon_lower_bound < audit.certified_epsilon);
}

#[test]
fn a_stand_in_without_a_bug_passes_so_what_fails_below_is_the_bug() {
    assert_eq!(failures(Bug::None), [""; 0]);
}

#[test]
fn halved_noise_is_caught() {
    let failed = failures(Bug::HalvedNoise);
    assert!(
        ["share variance", "sum variance", "neighbour variance"]
            .iter()
            .all(|name| failed.contains(name)),
        "{failed:?}"
    );
}

#[test]
fn a_skipped_clip_is_caught_and_nothing_else_is_blamed() {
    assert_eq!(
        failures(Bug::SkippedClip),
        ["norm boundary, narrow", "norm boundary, wide"]
    );
}

#[test]
fn a_clip_a_tenth_too_wide_is_caught() {
    // Seen because shares are opened: noise of 0.1 a share, averaged over 512 devices, leaves a
    // slack of 0.03.
    let settings = Settings {
        devices: 1024,
        length: 256,
        ..settings()
    };
    let failed = audit(settings, &mut Planted::new(Bug::WideClip)).failures();
    assert_eq!(failed, ["norm boundary, narrow", "norm boundary, wide"]);
}

#[test]
fn noise_that_a_device_uses_twice_is_caught() {
    let failed = failures(Bug::SameNoiseEveryRound);
    assert!(
        ["noise across rounds", "fresh noise"]
            .iter()
            .all(|name| failed.contains(name)),
        "{failed:?}"
    );
}

#[test]
fn noise_that_two_devices_share_is_caught() {
    let failed = failures(Bug::SameNoiseEveryDevice);
    let expected = ["sum variance", "noise across devices", "fresh noise"];
    assert!(
        expected.iter().all(|name| failed.contains(name)),
        "{failed:?}"
    );
}

#[test]
fn shares_divided_by_the_wrong_number_of_devices_are_caught() {
    for bug in [Bug::ShareOfFourTimes, Bug::ShareOfCohort] {
        let failed = failures(bug);
        assert!(failed.contains(&"share variance"), "{bug:?}: {failed:?}");
    }
}

#[test]
fn bytes_that_were_never_masked_are_caught() {
    assert!(failures(Bug::NoMask).contains(&"masked bytes"));
}

#[test]
fn a_seed_that_does_not_open_the_mask_is_caught() {
    let failed = failures(Bug::OtherSeedSealed);
    assert!(
        ["share variance", "sum variance", "neighbour variance"]
            .iter()
            .all(|name| failed.contains(name)),
        "{failed:?}"
    );
}

#[test]
fn a_seal_for_another_round_ends_the_audit() {
    let prepared = Prepared::new(settings()).unwrap();
    let ended = run(
        &prepared,
        &mut Planted::new(Bug::SealedForOtherRound),
        &mut || (),
    );
    assert!(matches!(
        ended,
        Err(PipelineError::Unopened(OpenError::Sealed(SealError)))
    ));
}

#[test]
fn a_device_that_answers_twice_is_caught_and_nothing_else_is_blamed() {
    assert_eq!(failures(Bug::AnswersTwice), ["replay"]);
}

#[test]
fn with_an_eighth_of_the_noise_both_canaries_pass_the_certified_epsilon() {
    let settings = Settings {
        epsilon: Epsilon::new(1.0).unwrap(),
        devices: 1024,
        length: 4096,
        canaries: 1024,
        releases: 2,
        ..settings()
    };
    let audit = audit(settings, &mut Planted::new(Bug::EighthOfNoise));
    assert!(
        audit.one_run.epsilon_lower_bound > audit.certified_epsilon,
        "{:?}",
        audit.one_run
    );
    assert!(
        audit.one_shot.interval.0 > audit.certified_epsilon,
        "{:?}",
        audit.one_shot
    );
    assert!(
        ["one-shot canaries", "one-run canaries"]
            .iter()
            .all(|name| audit.failures().contains(name))
    );
}
