//! A year in an hour: real processes whose wall clocks go forward by days, with all that happens to
//! a deployment meanwhile.
//!
//! [`calendar`] moves the clocks; [`schedule`] says what happens on which day; [`world`] does it;
//! [`fleet`] is devices that come and go; [`stock`] measures each month, a [`row`]; [`check`] says
//! what must hold at the end; [`table`] prints the months. What this cannot find: anything that
//! takes real time to go wrong, because processes live through days in seconds, and their timers
//! with them.

pub mod calendar;
pub mod check;
pub mod fleet;
pub mod row;
pub mod schedule;
pub mod stock;
pub mod table;
pub mod world;

use anyhow::{Context, Result, ensure};

use self::calendar::Calendar;
use self::row::Row;
use self::schedule::Schedule;
use self::world::World;

/// How large a year is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Fleets, and devices of each.
    pub fleets: u32,
    /// See `fleets`.
    pub fleet: u32,
    /// Devices a round takes.
    pub cohort: u32,
    /// Items of the first catalogue, and how many come with each task.
    pub items: u32,
    /// See `items`.
    pub growth: u32,
    /// Epsilon of a task, at delta 1e-5.
    pub epsilon: f64,
    /// Processes killed, at least.
    pub kills: u32,
    /// Memory and files of this month and of the last must be about the same.
    pub compared: u32,
    /// Equal seeds kill the same kinds of processes after the same pauses.
    pub seed: u64,
}

impl Size {
    /// Of the whole year.
    pub fn long(seed: u64) -> Self {
        Self {
            fleets: 6,
            fleet: 50,
            cohort: 130,
            items: 60,
            growth: 3,
            epsilon: 6.0,
            kills: 30,
            compared: 3,
            seed,
        }
    }

    /// Of four months.
    pub fn quick(seed: u64) -> Self {
        Self {
            fleets: 3,
            fleet: 40,
            cohort: 60,
            items: 30,
            growth: 2,
            epsilon: 11.0,
            kills: 6,
            compared: 2,
            seed,
        }
    }
}

/// Lives through a schedule; nothing where clocks cannot be moved. `tell` hears what happens next,
/// and how much of the schedule is done.
///
/// # Errors
/// The first thing that does not hold, with the ends of all logs.
pub fn run(size: Size, schedule: &Schedule, tell: impl Fn(&str, f64)) -> Result<Option<Vec<Row>>> {
    let Some(calendar) = Calendar::begin()? else {
        return Ok(None);
    };

    let mut world = World::new(size, calendar)?;
    let whole = schedule.len() as f64;
    for (done, (day, event)) in schedule.iter().enumerate() {
        tell(&format!("day {day}: {event}"), done as f64 / whole);
        world.calendar.go_to(*day)?;
        let happened = event.happen(&mut world);
        happened.with_context(|| format!("day {day}, {event}:\n{}", world.log_tails()))?;
    }

    tell("checking every ledger", 1.0);
    world.check()?;
    ensure!(world.kills >= size.kills, "{} kills", world.kills);
    Ok(Some(world.rows))
}
