//! Rounds that cost nothing: what their lines say, and what neither verifier believes of them.

use crate::export::{export, refusal};
use crate::reporting::{assert_agreement, python};
use crate::support::{Round, World};
use tacit_audit::{Summary, explain, report, verify};
use tacit_privacy::Rho;
use tacit_privacy::record::Event;
use tacit_round::keys::Context;
use tacit_round::nobody_entered::NobodyEntered;
use tacit_round::ticket::{SignedTicket, Ticket};
use tacit_types::{Digest, RoundId, TaskId};

/// Two empty rounds, lines 1 and 3, between two releases; the first of them costs what the first
/// release does.
fn world() -> World {
    let rounds = [
        Round::Empty("counts", 500),
        Round::Released("counts", 500),
        Round::Empty("head_gram", 300),
        Round::Released("factor_gradient", 3_200),
    ];
    World::new(&rounds, [1, 2])
}

#[test]
fn a_round_that_nobody_entered_costs_nothing_and_counts_in_what_a_device_can_have_spent() {
    let world = world();
    let dir = export(&world);
    let verified = verify(dir.path()).unwrap();
    let charged = world.lines.iter().filter_map(|line| line.charge());
    let paid = charged
        .map(|charge| charge.rho)
        .fold(Rho::ZERO, Rho::compose);
    let set_aside = world.lines.iter().map(|line| match &line.event {
        Event::Empty(empty) => empty.ticket_rho,
        _ => Rho::ZERO,
    });
    let set_aside = set_aside.fold(Rho::ZERO, Rho::compose);

    let summary = Summary::of(&verified);
    assert_eq!(
        (summary.releases, summary.abandoned, summary.empty),
        (2, 0, 2)
    );
    assert_eq!(summary.rho, paid);
    assert_eq!(summary.rho_spent_max, paid.compose(set_aside));
    assert_eq!(summary.participations_max, 4);
    assert!(verified.warnings.is_empty(), "{:?}", verified.warnings);
    assert_agreement(&world);

    let told = explain(dir.path(), 1).unwrap();
    for said in [
        "no device ever entered it",
        "cost the task nothing",
        "does not take that back",
    ] {
        assert!(told.contains(said), "{told}");
    }
    let report = report(&verified, None);
    assert!(report.html.contains("nobody entered round 1"));
    assert!(
        report
            .html
            .contains("The most a device can have spent")
    );
    let json: serde_json::Value = serde_json::from_str(&report.json).unwrap();
    assert_eq!(json["empty_rounds"][1]["round"], 3);
    assert_eq!(json["rho_spent_max"], summary.rho_spent_max.to_string());
}

/// Both verifiers refuse this world, and name the same place.
fn refuse(world: &World, place: &str, problem: &str) {
    let dir = export(world);
    let ours = refusal(dir.path());
    let expected = format!("{place}: {problem}");
    assert!(ours.starts_with(&expected), "'{ours}' and not '{expected}'");
    match python(dir.path()) {
        None => println!("SKIPPED: python3 is not installed"),
        Some((accepted, _, theirs)) => {
            assert!(!accepted && theirs.starts_with(place), "{theirs}");
        }
    }
}

/// HOSTILE 151: forged, of another helper or generation, and used again for another ticket.
#[test]
fn only_the_helpers_certificate_for_this_very_ticket_makes_a_round_free() {
    let sound = world();
    let tickets: Vec<Digest> = sound
        .tickets
        .iter()
        .map(|ticket| ticket.hash())
        .collect();
    let certificate = |ticket_hash, generation| NobodyEntered {
        ticket_hash,
        generation,
    };
    let own = certificate(tickets[2], 1);
    let forgeries = [
        own.sign(&sound.coordinator).to_string(),
        certificate(tickets[2], 2)
            .sign(&sound.helper)
            .to_string(),
        certificate(tickets[0], 1)
            .sign(&sound.helper)
            .to_string(),
        own.sign(&sound.helper).to_string().to_uppercase(),
        "00".repeat(64),
        String::new(),
    ];
    for forged in forgeries {
        let mut world = world();
        world.change_empty(3, |empty| empty.certificate = forged);
        let problem = "its certificate is not the helper's for this ticket";
        refuse(&world, "ledger.jsonl line 3", problem);
    }

    // The very line of round 1 again, in the place of round 3.
    let mut world = world();
    let Event::Empty(first) = world.lines[1].event.clone() else {
        panic!("line 1 is of an empty round")
    };
    world.change_empty(3, |empty| *empty = first);
    let problem = "round 1 does not come after the one before it";
    refuse(&world, "ledger.jsonl line 3", problem);
}

/// HOSTILE 151: what a line says beyond its certificate follows from the ticket and the lines.
#[test]
fn the_numbers_of_a_free_round_are_held_against_its_ticket_and_the_ledger() {
    let line = "ledger.jsonl line 3";
    let changed = |change: fn(&mut tacit_privacy::record::Empty)| {
        let mut world = world();
        world.change_empty(3, change);
        world
    };
    let cheaper = changed(|empty| empty.ticket_rho = Rho::ZERO);
    refuse(&cheaper, line, "ticket_rho is not what its ticket says");
    let fewer = changed(|empty| empty.free_rounds = 1);
    refuse(&fewer, line, "free_rounds is 1");
    let elsewhere = changed(|empty| empty.task = TaskId::new("books").unwrap());
    refuse(&elsewhere, line, "task is ");

    // Devices of the last round were told of fewer than there were.
    let mut world = world();
    let mut told = Ticket::from_bytes(&world.tickets[3].bytes).unwrap();
    assert_eq!(told.free_rounds, 2);
    told.free_rounds = 1;
    let bytes = told.to_bytes().unwrap();
    let by_helper = world.helper.sign(Context::Ticket, &bytes);
    let ticket = SignedTicket::new(bytes, by_helper, &world.coordinator);
    let hash = ticket.hash();
    world.change(4, |charge| charge.ticket_hash = hash);
    world.tickets[3] = ticket;
    world.reticket_helper(4, hash);
    world.rechain();
    let problem = "its ticket's free_rounds is 1";
    refuse(&world, "ledger.jsonl line 4", problem);
}

/// HOSTILE 151: a helper that certifies a round and answers it too has signed against itself.
#[test]
fn a_free_round_that_the_helper_answered_is_refused() {
    let mut world = world();
    let mut charge = world.lines[2].charge().unwrap().clone();
    charge.round = RoundId(3);
    charge.ticket_hash = world.tickets[2].hash();
    world.answer(&charge);
    world.rechain();
    let problem = "round 3 was answered, but ledger.jsonl has neither";
    refuse(&world, "helper.jsonl line 6", problem);
}
