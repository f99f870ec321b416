//! Why devices refuse tickets, as coarse as a coordinator may know it.
//!
//! A reason follows from tickets and the device's own ledger, never from what its owner did. It
//! travels as a number of fixed size in every check-in.

use tacit_privacy::Refusal;

use crate::device::Outcome;
use crate::policy::TicketRefusal;

/// Why a device refused the last ticket it got. The numbers stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum RefusalCode {
    /// A number is outside the policy, or the mechanism is not sound.
    Policy = 1,
    /// A signature is missing or foreign.
    Signature = 2,
    /// Another version, or a kind this device does not know.
    Version = 3,
    /// The model's ledger is not signed, is older than what was seen, or has forked.
    Ledger = 4,
    /// The model is implausible.
    Factors = 5,
    /// The lifetime budget is used up, or one release costs too much.
    Budget = 6,
    /// The window's budget is used up.
    Window = 7,
    /// The participation limit of the task is reached.
    Participation = 8,
    /// The last participation is too few rounds away.
    Separation = 9,
    /// Only members are asked.
    NotMember = 10,
    /// The ticket has ended by this device's clock.
    Clock = 11,
}

impl RefusalCode {
    /// Every reason, by its number.
    pub const ALL: [Self; 11] = [
        Self::Policy,
        Self::Signature,
        Self::Version,
        Self::Ledger,
        Self::Factors,
        Self::Budget,
        Self::Window,
        Self::Participation,
        Self::Separation,
        Self::NotMember,
        Self::Clock,
    ];

    /// The reason of an outcome; `None` where nothing was refused.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::TicketRefused(refusal) => Some(of_ticket(refusal)),
            Outcome::SpendRefused(refusal) => of_spend(refusal),
            Outcome::Acknowledged | Outcome::TooLate | Outcome::Forfeited => None,
        }
    }

    /// Reads a number; `None` for 0 and for what no device says.
    pub fn read(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|code| *code as u32 == number)
    }

    /// Whether the next rounds of the same task will be refused as this one was, so that a device
    /// need not ask again soon. What a later model, round or day may change does not last.
    pub fn lasts(self) -> bool {
        match self {
            Self::Policy
            | Self::Signature
            | Self::Version
            | Self::Budget
            | Self::Participation
            | Self::NotMember => true,
            Self::Ledger | Self::Factors | Self::Window | Self::Separation | Self::Clock => false,
        }
    }

    /// What an operator reads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "outside the policy",
            Self::Signature => "signature",
            Self::Version => "version or kind",
            Self::Ledger => "ledger",
            Self::Factors => "implausible model",
            Self::Budget => "budget exhausted",
            Self::Window => "window exhausted",
            Self::Participation => "participation limit",
            Self::Separation => "separation",
            Self::NotMember => "not a member",
            Self::Clock => "clock",
        }
    }
}

fn of_ticket(refusal: &TicketRefusal) -> RefusalCode {
    match refusal {
        TicketRefusal::OutsidePolicy(_) | TicketRefusal::Mechanism(_) => RefusalCode::Policy,
        TicketRefusal::Signature => RefusalCode::Signature,
        TicketRefusal::Unreadable(_) | TicketRefusal::UnknownKind | TicketRefusal::Version => {
            RefusalCode::Version
        }
        TicketRefusal::Unlogged | TicketRefusal::RolledBack | TicketRefusal::Forked => {
            RefusalCode::Ledger
        }
        TicketRefusal::Factors(_) => RefusalCode::Factors,
        TicketRefusal::NotMember => RefusalCode::NotMember,
        TicketRefusal::Expired => RefusalCode::Clock,
    }
}

/// `None` for a round that was answered before, in which nothing was refused.
fn of_spend(refusal: &Refusal) -> Option<RefusalCode> {
    match refusal {
        Refusal::Mechanism(_) => Some(RefusalCode::Policy),
        Refusal::ReleaseTooDear { .. } | Refusal::BudgetExhausted { .. } => {
            Some(RefusalCode::Budget)
        }
        Refusal::WindowExhausted { .. } => Some(RefusalCode::Window),
        Refusal::TooManyReleases(_) => Some(RefusalCode::Participation),
        Refusal::TooSoon(_) => Some(RefusalCode::Separation),
        // Answered before, or a reason to come.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_reason_and_what_no_device_says_is_none() {
        for (number, code) in (1..).zip(RefusalCode::ALL) {
            assert_eq!(code as u32, number);
            assert_eq!(RefusalCode::read(number), Some(code));
        }
        for unknown in [0, 12, u32::MAX] {
            assert_eq!(RefusalCode::read(unknown), None);
        }
        let done = [Outcome::Acknowledged, Outcome::TooLate, Outcome::Forfeited];
        assert!(
            done.iter()
                .all(|outcome| RefusalCode::of(outcome).is_none())
        );
    }
}
