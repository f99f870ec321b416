//! What happens in a year, and on which day.

use std::fmt;

use super::calendar::MONTH_DAYS;
use super::world::World;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fleet comes for the first time, or comes back.
    Come(usize),
    /// A fleet goes: its devices are off.
    Go(usize),
    /// A fleet was away for so long that its devices need new tokens; it comes back.
    EnrolAgain(usize),
    /// The operator starts the next task, on a catalogue that has grown, from the last model.
    NextTask,
    /// Devices take part until the task's first release.
    FirstRound,
    /// Devices take part until the task has ended; so many processes are killed meanwhile.
    Train {
        /// How many.
        kills: u32,
    },
    /// Devices try for a moment, and get no further.
    Try,
    /// Devices look in on a task that has ended.
    Visit,
    /// The helper's machine fails.
    HelperAway,
    /// The helper is back.
    HelperBack,
    /// Nothing but time.
    Pass,
    /// The operator renews the servers' certificates.
    RenewServers,
    /// Devices of a fleet are lost, and revoked.
    Revoke {
        /// Of which fleet.
        fleet: usize,
        /// How many.
        devices: u32,
    },
    /// A new root takes over beside the old one.
    NewRoot,
    /// The old root is trusted no more.
    EndOldRoot,
    /// The month ends: everything is measured and compared.
    TakeStock,
}

impl Event {
    /// Lets it happen.
    ///
    /// # Errors
    /// What did not hold.
    pub(super) fn happen(self, world: &mut World) -> anyhow::Result<()> {
        match self {
            Self::Come(fleet) => world.come(fleet),
            Self::Go(fleet) => world.go(fleet),
            Self::EnrolAgain(fleet) => world.enrol_again(fleet),
            Self::NextTask => world.next_task(),
            Self::FirstRound => world.first_round(),
            Self::Train { kills } => world.train(kills),
            Self::Try => world.try_for_a_moment(),
            Self::Visit => world.visit(),
            Self::HelperAway => world.helper_goes_away(),
            Self::HelperBack => world.helper_comes_back(),
            Self::Pass => world.pass(),
            Self::RenewServers => world.renew_servers(),
            Self::Revoke { fleet, devices } => world.revoke(fleet, devices),
            Self::NewRoot => world.new_root(),
            Self::EndOldRoot => world.end_old_root(),
            Self::TakeStock => world.take_stock(),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Come(fleet) => write!(f, "fleet {fleet} comes"),
            Self::Go(fleet) => write!(f, "fleet {fleet} goes"),
            Self::EnrolAgain(fleet) => write!(f, "fleet {fleet} comes back with new tokens"),
            Self::NextTask => f.write_str("next task"),
            Self::FirstRound => f.write_str("first round"),
            Self::Train { kills: 0 } => f.write_str("training"),
            Self::Train { kills } => write!(f, "training, {kills} kills"),
            Self::Try => f.write_str("devices try"),
            Self::Visit => f.write_str("devices look in"),
            Self::HelperAway => f.write_str("helper goes away"),
            Self::HelperBack => f.write_str("helper is back"),
            Self::Pass => f.write_str("nobody comes"),
            Self::RenewServers => f.write_str("servers' certificates renewed"),
            Self::Revoke { fleet, devices } => write!(f, "{devices} of fleet {fleet} revoked"),
            Self::NewRoot => f.write_str("a new root beside the old"),
            Self::EndOldRoot => f.write_str("the old root ends"),
            Self::TakeStock => f.write_str("taking stock"),
        }
    }
}

/// Events with their days, in order.
pub type Schedule = Vec<(u32, Event)>;

/// The whole year.
pub fn long() -> Schedule {
    let mut schedule = Schedule::new();
    for month in 1..=12 {
        let before: &[Event] = match month {
            1 => &[
                Event::Come(0),
                Event::Come(1),
                Event::Come(2),
                Event::Come(3),
            ],
            3 => &[Event::Go(3), Event::Come(4)],
            5 => &[Event::Go(2), Event::Come(5)],
            6 => &[Event::Come(2)],
            9 => &[Event::EnrolAgain(3)],
            10 => &[Event::Go(5)],
            11 => &[Event::Come(5)],
            _ => &[],
        };
        let during = match month {
            1 => usual(0),
            6 => outage(3),
            7 => with(usual(3), &[(3, Event::NewRoot)]),
            8 => with(usual(3), &[(12, revoke(10))]),
            9 => with(usual(3), &[(15, Event::EndOldRoot)]),
            10 => empty(3),
            _ => usual(3),
        };
        schedule.extend(of_month(month, before, during));
    }
    schedule
}

/// Four months with some of everything.
pub fn quick() -> Schedule {
    let months: [(&[Event], Schedule); 4] = [
        (
            &[Event::Come(0), Event::Come(1)],
            with(usual(1), &[(5, Event::NewRoot)]),
        ),
        (
            &[Event::Go(1), Event::Come(2)],
            with(outage(2), &[(16, revoke(2))]),
        ),
        (&[], empty(1)),
        (
            &[Event::EnrolAgain(1)],
            with(usual(2), &[(15, Event::EndOldRoot)]),
        ),
    ];
    let numbered = (1..).zip(months);
    let months = numbered.map(|(month, (before, during))| of_month(month, before, during));
    months.flatten().collect()
}

/// Phones of the first fleet are lost, once they have learned the new root: who is revoked learns
/// nothing, and would wait for the old one.
fn revoke(devices: u32) -> Event {
    Event::Revoke { fleet: 0, devices }
}

/// A month in which more happens.
fn with(mut month: Schedule, more: &[(u32, Event)]) -> Schedule {
    month.extend(more);
    month.sort_by_key(|(day, _)| *day);
    month
}

/// Devices learn on the first day, and look in twice.
fn usual(kills: u32) -> Schedule {
    vec![
        (0, Event::Train { kills }),
        (10, Event::Visit),
        (21, Event::Visit),
        (27, Event::RenewServers),
    ]
}

/// The helper fails within the task, for two weeks.
fn outage(kills: u32) -> Schedule {
    vec![
        (0, Event::FirstRound),
        (0, Event::HelperAway),
        (7, Event::Try),
        (14, Event::HelperBack),
        (14, Event::Train { kills }),
        (22, Event::Visit),
        (27, Event::RenewServers),
    ]
}

/// No device comes until the month's last days.
fn empty(kills: u32) -> Schedule {
    vec![
        (9, Event::Pass),
        (18, Event::Pass),
        (27, Event::RenewServers),
        (28, Event::Train { kills }),
    ]
}

/// A month whose task starts on its first day, after what happens `before`.
fn of_month(month: u32, before: &[Event], during: Schedule) -> Schedule {
    let first = (month - 1) * MONTH_DAYS;
    let before = before.iter().map(|event| (0, *event));
    let start = before.chain([(0, Event::NextTask)]);
    let whole = start
        .chain(during)
        .chain([(MONTH_DAYS - 1, Event::TakeStock)]);
    whole
        .map(|(day, event)| (first + day, event))
        .collect()
}
