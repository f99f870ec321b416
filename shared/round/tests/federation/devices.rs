//! The device machine alone: what it asks for in which state, and what a restart makes of each
//! durable status.

use tacit_privacy::{Refusal, Rho, merkle};
use tacit_round::continuity::Continuity;
use tacit_round::device::{Device, Effect, Input, Offer, Outcome, Status};
use tacit_round::policy::{FactorFault, LogMark};
use tacit_round::ticket::Ticket;
use tacit_types::{Digest, RoundId};

use crate::deployment::*;

fn offered(seen: LogMark) -> Device {
    let ticket = Ticket {
        sealing_key: "00".repeat(1216),
        ..draft(mechanism(10, 5), 100)
    };
    let offer = Offer {
        ticket: Device::read(signed(&ticket), &policy()).unwrap(),
        seen,
        shown: Continuity::default(),
    };
    let input = Input::Offered(Box::new(offer));
    let (device, effect) = step(Device::Idle, input);
    assert!(matches!(effect, Some(Effect::Judge(_))));
    device
}

fn step(device: Device, input: Input) -> (Device, Option<Effect>) {
    device.handle(input, &policy(), START)
}

/// The point of the ledger the offered ticket stands at, with `model` as the newest one seen.
fn point(model: Digest) -> LogMark {
    LogMark {
        ledger_id: LEDGER,
        generation: GENERATION,
        size: TREE_SIZE,
        root: merkle::root(&leaves()),
        model_seq: MODEL_SEQ,
        model,
        rho_total: Rho::ZERO,
    }
}

#[test]
fn a_spend_is_made_for_a_plausible_model_only_with_the_mark_of_its_ticket() {
    let (device, effect) = step(offered(LogMark::default()), Input::Reserved);
    assert!(effect.is_none() && matches!(device, Device::Judging(_)));
    let (device, effect) = step(device, Input::Plausible);
    assert!(matches!(device, Device::Reserving(_)));
    let Some(Effect::Reserve(accepted)) = effect else {
        panic!("{effect:?}")
    };
    assert_eq!(accepted.mark, point(model()));

    let implausible = Input::Implausible(FactorFault::OneHot);
    let (device, effect) = step(offered(LogMark::default()), implausible);
    assert!(effect.is_none() && matches!(device, Device::Done(Outcome::TicketRefused(_))));
}

#[test]
fn a_refused_spend_makes_no_bytes_and_remembers_the_ledger_with_the_model_before() {
    let refused = |seen| {
        let (device, _) = step(offered(seen), Input::Plausible);
        let (device, effect) = step(device, Input::Refused(Refusal::AlreadyReserved));
        assert!(matches!(
            device,
            Device::Done(Outcome::SpendRefused(Refusal::AlreadyReserved))
        ));
        effect
    };
    assert_eq!(refused(LogMark::default()), None, "of a task new to it");
    let before = Digest([7; 32]);
    let remembered = Effect::Remember(task(), point(before));
    assert_eq!(refused(point(before)), Some(remembered));
}

#[test]
fn bytes_are_made_only_after_the_spend_and_sent_only_after_the_spool() {
    let (device, _) = step(offered(LogMark::default()), Input::Plausible);
    let (device, effect) = step(device, Input::Spooled);
    assert!(effect.is_none() && matches!(device, Device::Reserving(_)));
    let (device, effect) = step(device, Input::Reserved);
    assert!(matches!(effect, Some(Effect::Contribute(_))));
    let (device, effect) = step(device, Input::Acknowledged);
    assert!(effect.is_none() && matches!(device, Device::Contributing(_)));
    let (device, effect) = step(device, Input::Spooled);
    assert_eq!(effect, Some(Effect::Send(task(), RoundId(3))));
    let (device, effect) = step(device, Input::Unreachable);
    assert!(effect.is_none() && matches!(device, Device::Sending(..)));
    let (_, effect) = step(device, Input::TooLate);
    let forfeit = Effect::Finish(task(), RoundId(3), Status::Forfeited);
    assert_eq!(effect, Some(forfeit));
}

#[test]
fn a_restart_goes_on_from_the_durable_status_and_never_draws_again() {
    let restored = |status| Device::restore(task(), RoundId(3), status);
    let (device, effect) = restored(Status::Reserved);
    assert!(matches!(device, Device::Done(Outcome::Forfeited)));
    let forfeit = Effect::Finish(task(), RoundId(3), Status::Forfeited);
    assert_eq!(effect, Some(forfeit));
    let (device, effect) = restored(Status::Spooled);
    assert!(matches!(device, Device::Sending(..)));
    assert_eq!(effect, Some(Effect::Send(task(), RoundId(3))));
    for (status, outcome) in [
        (Status::Acknowledged, Outcome::Acknowledged),
        (Status::Forfeited, Outcome::Forfeited),
    ] {
        let (device, effect) = restored(status);
        assert!(effect.is_none() && matches!(&device, Device::Done(done) if *done == outcome));
        // Whatever comes later, also the same ticket again, changes nothing.
        for input in [
            Input::Plausible,
            Input::Reserved,
            Input::Spooled,
            Input::Acknowledged,
            Input::TooLate,
            Input::Unreachable,
        ] {
            assert!(step(restored(status).0, input).1.is_none());
        }
    }
}
