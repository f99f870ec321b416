//! The pure machines of a round under loss, duplication, reordering, delay and crashes of any
//! party.
//!
//! [`world`] runs N devices, one coordinator and one helper over a network that a list of
//! operations torments, with real tickets, signatures, sealed seeds and masks. It finds wrong
//! decisions and wrong orders of durable steps. It cannot find what lives outside the machines:
//! drivers, files, sockets and clocks have tests of their own. Vectors are plain integers masked as
//! a bare protocol client would, so that the opened sum can be compared with the true one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cheating;
mod deployment;
mod devices;
mod guessing;
mod restored;
mod tickets;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::{Op, Shape, World};

fn shape() -> impl Strategy<Value = Shape> {
    (
        2u32..=12,
        0u32..=4,
        any::<u16>(),
        prop_oneof![Just(0u32), Just(100), Just(300)],
    )
        .prop_map(|(devices, spare, n_min, dishonest_milli)| {
            // A cohort below the number of devices fills up; one above it never does and waits for
            // the deadline.
            let cohort = if devices > spare + 1 {
                devices - spare
            } else {
                devices + 1
            };
            let n_min_max = (cohort * (1000 - dishonest_milli) / 1000).max(2);
            let n_min = 2 + u32::from(n_min) % (n_min_max - 1);
            let sound = (n_min * 1000).div_ceil(1000 - dishonest_milli) <= cohort;
            Shape {
                devices,
                cohort,
                n_min,
                dishonest_milli: if sound { dishonest_milli } else { 0 },
            }
        })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        16 => any::<u16>().prop_map(Op::Deliver),
        12 => any::<u16>().prop_map(Op::Work),
        4 => Just(Op::Checkpoint),
        3 => any::<u16>().prop_map(Op::Retry),
        2 => any::<u16>().prop_map(Op::Duplicate),
        2 => any::<u16>().prop_map(Op::Drop),
        2 => prop_oneof![3 => 0u64..200, 1 => 0u64..4_000].prop_map(Op::Pass),
        2 => Just(Op::Tick),
        2 => Just(Op::AskAgain),
        1 => any::<u16>().prop_map(Op::DeliverThenCrash),
        1 => Just(Op::CheckpointThenCrash),
        1 => Just(Op::CrashCoordinator),
        1 => Just(Op::CrashHelper),
        1 => any::<u16>().prop_map(Op::CrashDevice),
        1 => any::<u16>().prop_map(Op::WorkThenCrash),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(device, how)| Op::Conflict(device, how)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every step is checked inside [`World`] as it happens; [`World::check`] compares the ends.
    /// HOSTILE 46, 52.
    #[test]
    fn whatever_is_lost_repeated_reordered_or_killed_a_round_ends_right(
        shape in shape(),
        ops in vec(op(), 0..160),
    ) {
        let mut world = World::new(shape);
        for op in ops {
            world.apply(op);
        }
        world.settle();
        world.check();
    }

    /// Without hostile devices, crashes of devices or a passing deadline nobody is left out.
    #[test]
    fn when_only_the_network_and_the_servers_fail_every_device_is_counted(
        devices in 2u32..=12,
        ops in vec(op().prop_filter("network and servers only", Op::spares_devices), 0..120),
    ) {
        let shape = Shape { devices, cohort: devices, n_min: 2, dishonest_milli: 0 };
        let mut world = World::new(shape);
        for op in ops {
            world.apply(op);
        }
        world.settle();
        world.check();
        prop_assert_eq!(world.released().map(|set| set.len()), Some(devices as usize));
    }
}

#[test]
fn a_calm_round_counts_everybody_once() {
    let mut world = World::new(Shape {
        devices: 5,
        cohort: 5,
        n_min: 4,
        dishonest_milli: 100,
    });
    world.settle();
    world.check();
    assert_eq!(world.released().unwrap().len(), 5);
    assert_eq!(world.acknowledged(), 5);
}

/// HOSTILE 41.
#[test]
fn a_replay_on_two_connections_is_folded_once() {
    let mut world = World::new(Shape {
        devices: 2,
        cohort: 2,
        n_min: 2,
        dishonest_milli: 0,
    });
    world.until_uploads();
    for _ in 0..4 {
        world.apply(Op::Duplicate(0));
    }
    while world.in_flight() > 0 {
        world.apply(Op::Deliver(0));
    }
    assert_eq!(world.folds(), 2);
    world.settle();
    world.check();
    assert_eq!(world.released().unwrap().len(), 2);
}

/// HOSTILE 53.
#[test]
fn a_set_below_the_minimum_is_never_opened() {
    let mut world = World::new(Shape {
        devices: 3,
        cohort: 4,
        n_min: 4,
        dishonest_milli: 0,
    });
    world.settle();
    world.check();
    assert_eq!((world.released(), world.helper_answers()), (None, 0));
}

/// HOSTILE k2.
#[test]
fn what_was_folded_but_not_checkpointed_is_lost_and_sent_again() {
    let mut world = World::new(Shape {
        devices: 3,
        cohort: 3,
        n_min: 3,
        dishonest_milli: 0,
    });
    world.until_uploads();
    while world.in_flight() > 0 {
        world.apply(Op::Deliver(0));
    }
    assert_eq!((world.folds(), world.acknowledged()), (3, 0));
    world.apply(Op::CrashCoordinator);
    world.settle();
    world.check();
    assert_eq!((world.folds(), world.released().unwrap().len()), (6, 3));
}

/// HOSTILE k4.
#[test]
fn a_checkpoint_without_its_acknowledgements_is_not_folded_again() {
    let mut world = World::new(Shape {
        devices: 3,
        cohort: 4,
        n_min: 3,
        dishonest_milli: 0,
    });
    world.until_uploads();
    while world.in_flight() > 0 {
        world.apply(Op::Deliver(0));
    }
    world.apply(Op::CheckpointThenCrash);
    world.settle();
    world.check();
    assert_eq!(
        (
            world.folds(),
            world.released().unwrap().len(),
            world.acknowledged()
        ),
        (3, 3, 3)
    );
}

/// HOSTILE k9.
#[test]
fn a_helper_that_dies_after_recording_repeats_its_answer() {
    let mut world = World::new(Shape {
        devices: 3,
        cohort: 3,
        n_min: 3,
        dishonest_milli: 0,
    });
    world.until_asked();
    world.apply(Op::DeliverThenCrash(0));
    assert_eq!((world.helper_answers(), world.released()), (1, None));
    world.settle();
    world.check();
    assert!(world.helper_answers() == 1 && world.released().is_some());
}

#[test]
fn contributions_still_unsaved_at_the_deadline_are_saved_before_the_set_is_fixed() {
    let mut world = World::new(Shape {
        devices: 3,
        cohort: 4,
        n_min: 2,
        dishonest_milli: 0,
    });
    world.until_uploads();
    world.apply(Op::Deliver(0));
    world.apply(Op::Deliver(0));
    world.apply(Op::Checkpoint);
    world.deliver_upload();
    world.apply(Op::Pass(10_000));
    world.apply(Op::Tick);
    world.settle();
    world.check();
    assert_eq!(world.released().unwrap().len(), 3);
}

/// HOSTILE 55.
#[test]
fn an_upload_after_the_deadline_is_late_before_anybody_looked_at_the_clock() {
    let mut world = World::new(Shape {
        devices: 3,
        cohort: 4,
        n_min: 2,
        dishonest_milli: 0,
    });
    world.until_uploads();
    world.apply(Op::Deliver(0));
    world.apply(Op::Deliver(0));
    world.apply(Op::Pass(10_000));
    world.deliver_upload();
    assert_eq!(world.folds(), 2);
    world.settle();
    world.check();
    assert_eq!(
        (world.released().unwrap().len(), world.acknowledged()),
        (2, 2)
    );
}

/// HOSTILE 142: 250 devices and a cohort of 40.
#[test]
fn whoever_finds_no_place_never_spends() {
    let mut world = World::new(Shape {
        devices: 250,
        cohort: 40,
        n_min: 36,
        dishonest_milli: 50,
    });
    world.settle();
    world.check();
    let released = world.released().unwrap().len();
    assert_eq!((released, world.spenders()), (44, 44));
}

/// HOSTILE 143: nothing that is said moves either deadline.
#[test]
fn a_set_too_small_at_the_deadline_may_grow_until_the_last_call() {
    let mut world = World::new(Shape {
        devices: 3,
        cohort: 4,
        n_min: 3,
        dishonest_milli: 0,
    });
    world.until_uploads();
    world.apply(Op::Deliver(0));
    world.apply(Op::Deliver(0));
    world.apply(Op::Checkpoint);
    world.apply(Op::Pass(4_500));
    world.apply(Op::Tick);
    assert!(
        world.is_open(),
        "two of three, and the last call is to come"
    );
    world.apply(Op::CrashCoordinator);
    world.deliver_upload();
    world.apply(Op::Checkpoint);
    assert!(!world.is_open(), "large enough after the deadline");
    world.settle();
    world.check();
    assert_eq!(world.released().unwrap().len(), 3);
}
