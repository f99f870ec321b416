//! Ledgers that go on from an older copy: what both verifiers ask of the line that says so.

use crate::export::{export, refusal};
use crate::reporting::{assert_agreement, python};
use crate::support::{Round, World};
use tacit_audit::{Summary, explain, report, verify};
use tacit_privacy::canonical;
use tacit_privacy::record::{Event, Restored, TreeHead};
use tacit_types::Digest;

/// One release, then a restore that lost rounds 2 and 3, then another release.
fn world() -> World {
    restored(2, |_| {})
}

/// The same, with so many lines of lost rounds announced, and the line of the restore changed.
fn restored(lost: u32, change: impl FnOnce(&mut Restored)) -> World {
    let rounds = [
        Round::Released("counts", 500),
        Round::Abandoned("head_gram", 300),
        Round::Abandoned("head_gram", 300),
        Round::Released("factor_gradient", 3_200),
    ];
    let mut world = World::new(&rounds, [1, 2]);
    // Round 3 was asked for with the model that was made of round 2 before it was lost.
    world.change(3, |charge| charge.model_in_hash = Digest([4; 32]));
    world.reticket();

    let answer = world.helper_lines[1].to_bytes().unwrap();
    let mut line = world.lines[1].clone();
    let mut begins = Restored {
        last_head: TreeHead {
            ledger_id: line.ledger_id,
            generation: 1,
            size: 9,
            root: Digest([6; 32]),
            helper_size: 2,
            helper_last_hash: canonical::digest(&answer),
        },
        helper_size: 4,
        lost,
    };
    change(&mut begins);
    line.event = Event::Restored(begins);
    world.lines.insert(2, line);
    for (line, seq) in world.lines.iter_mut().zip(0..) {
        line.seq = seq;
        line.generation = if seq < 2 { 1 } else { 2 };
    }
    world.rechain();
    world
}

/// Both verifiers refuse this world, and name the same place.
fn refuse(world: &World, line: usize, problem: &str) {
    let dir = export(world);
    let ours = refusal(dir.path());
    let place = format!("ledger.jsonl line {line}: ");
    assert!(ours.starts_with(&place) && ours.contains(problem), "{ours}");
    match python(dir.path()) {
        None => println!("SKIPPED: python3 is not installed"),
        Some((accepted, _, theirs)) => {
            assert!(!accepted && theirs.starts_with(&place), "{theirs}");
        }
    }
}

#[test]
fn a_restore_with_a_charge_for_every_lost_ticket_verifies_and_is_told() {
    let world = world();
    let dir = export(&world);
    let verified = verify(dir.path()).unwrap();
    let summary = Summary::of(&verified);
    assert_eq!(
        (summary.restores, summary.abandoned, summary.releases),
        (1, 2, 2)
    );
    assert_eq!(summary.generation, 2);
    assert!(verified.warnings.is_empty(), "{:?}", verified.warnings);
    assert_agreement(&world);
    let told = explain(dir.path(), 2).unwrap();
    assert!(told.contains("put back from an older copy"), "{told}");
    let page = report(&verified, None).html;
    assert!(page.contains("restored from an older copy"));
}

/// HOSTILE 165.
#[test]
fn a_restore_that_leaves_out_a_ticket_or_comes_from_elsewhere_is_refused() {
    refuse(&restored(3, |_| {}), 5, "1 more lines of rounds lost");
    refuse(&restored(1, |_| {}), 4, "model_in_hash");
    let mut without = restored(1, |_| {});
    without.lines.remove(4);
    without.lines[4].seq = 4;
    without.rechain();
    refuse(&without, 2, "leaves out the ticket of round 3");

    let elsewhere = restored(2, |line| line.last_head.ledger_id = Digest([5; 32]));
    refuse(&elsewhere, 2, "another ledger");
    let later = restored(2, |line| line.last_head.generation = 2);
    refuse(&later, 2, "generation is not the next");
    let longer = restored(2, |line| line.helper_size = 40);
    refuse(&longer, 2, "helper_size is 40");
    let forged = restored(2, |line| line.last_head.helper_last_hash = Digest([5; 32]));
    refuse(&forged, 2, "helper_last_hash");

    // A generation that begins without saying so.
    let mut silent = world();
    silent.lines[2].event = Event::Restarted {};
    silent.rechain();
    refuse(&silent, 2, "generation rises without a restore");
}
