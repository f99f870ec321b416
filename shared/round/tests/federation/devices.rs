//! The device machine alone: what it asks for in which state, and what a restart makes of each
//! durable status.

use tacit_privacy::Refusal;
use tacit_round::device::{Device, Effect, Input, Offer, Outcome, Status};
use tacit_round::policy::LogMark;
use tacit_round::ticket::Ticket;
use tacit_types::RoundId;

use crate::deployment::*;

fn offered() -> Device {
    let ticket = Ticket {
        sealing_key: "00".repeat(1216),
        ..draft(mechanism(10, 5), 100)
    };
    let offer = Offer {
        signed: signed(&ticket),
        seen: LogMark::default(),
        consistency: Vec::new(),
    };
    let input = Input::Offered(Box::new(offer));
    let (device, effects) = Device::Idle.handle(input, &policy(), START);
    assert!(matches!(effects[..], [Effect::Reserve(..)]));
    device
}

fn step(device: Device, input: Input) -> (Device, Vec<Effect>) {
    device.handle(input, &policy(), START)
}

#[test]
fn a_refused_spend_makes_no_bytes() {
    let (device, effects) = step(offered(), Input::Refused(Refusal::AlreadyReserved));
    assert!(matches!(
        device,
        Device::Done(Outcome::SpendRefused(Refusal::AlreadyReserved))
    ));
    assert!(effects.is_empty());
}

#[test]
fn bytes_are_made_only_after_the_spend_and_sent_only_after_the_spool() {
    let (device, effects) = step(offered(), Input::Spooled);
    assert!(effects.is_empty() && matches!(device, Device::Reserving(_)));
    let (device, effects) = step(device, Input::Reserved);
    assert!(matches!(effects[..], [Effect::Contribute(_)]));
    let (device, effects) = step(device, Input::Acknowledged);
    assert!(effects.is_empty() && matches!(device, Device::Contributing(_)));
    let (device, effects) = step(device, Input::Spooled);
    assert_eq!(effects, [Effect::Send(task(), RoundId(3))]);
    let (device, effects) = step(device, Input::Unreachable);
    assert!(effects == [Effect::Wait] && matches!(device, Device::Sending(..)));
    let (_, effects) = step(device, Input::TooLate);
    assert_eq!(
        effects,
        [Effect::Finish(task(), RoundId(3), Status::Forfeited)]
    );
}

#[test]
fn a_restart_goes_on_from_the_durable_status_and_never_draws_again() {
    let restored = |status| Device::restore(task(), RoundId(3), status);
    let (device, effects) = restored(Status::Reserved);
    assert!(matches!(device, Device::Done(Outcome::Forfeited)));
    assert_eq!(
        effects,
        [Effect::Finish(task(), RoundId(3), Status::Forfeited)]
    );
    let (device, effects) = restored(Status::Spooled);
    assert!(matches!(device, Device::Sending(..)) && effects == [Effect::Send(task(), RoundId(3))]);
    for (status, outcome) in [
        (Status::Acknowledged, Outcome::Acknowledged),
        (Status::Forfeited, Outcome::Forfeited),
    ] {
        let (device, effects) = restored(status);
        assert!(effects.is_empty() && matches!(&device, Device::Done(done) if *done == outcome));
        // Whatever comes later, also the same ticket again, changes nothing.
        for input in [
            Input::Reserved,
            Input::Spooled,
            Input::Acknowledged,
            Input::TooLate,
            Input::Unreachable,
        ] {
            assert!(step(restored(status).0, input).1.is_empty());
        }
    }
}
