//! A draft ticket waits for the helper's key and countersignature. Nothing is offered, so nothing
//! can be spent.

use crate::coordinator::{Coordinator, Effect, Input};
use crate::phase::reporting::Reporting;
use crate::ticket::{ParsedTicket, SignedTicket, Ticket};

/// State of the phase.
#[derive(Debug)]
pub struct Configuration {
    draft: Box<Ticket>,
    cohort: u32,
}

impl Configuration {
    pub(crate) fn new(draft: Ticket, cohort: u32) -> Self {
        Self {
            draft: Box::new(draft),
            cohort,
        }
    }

    pub(crate) fn handle(self, input: Input) -> (Coordinator, Option<Effect>) {
        match input {
            Input::Countersigned(signed) => self.open(signed),
            Input::HelperRefused(reason) => {
                Coordinator::abandon(format!("the helper refused the ticket: {reason}"))
            }
            _ => (Coordinator::Configuration(self), None),
        }
    }

    /// A helper that changed anything but the key is refused: the draft is what the budget was
    /// planned for.
    fn open(self, signed: SignedTicket) -> (Coordinator, Option<Effect>) {
        match ParsedTicket::parse(signed) {
            Ok(ticket) if ticket.content().completes(&self.draft) => {
                let reporting = Reporting::new(ticket.content(), self.cohort);
                let open = Effect::Open(Box::new(ticket));
                (Coordinator::Reporting(reporting), Some(open))
            }
            _ => Coordinator::abandon(
                "the helper returned another ticket than it was asked to sign".into(),
            ),
        }
    }
}
