//! The deployment of a year: its daemons, its fleets and what the operator does, one function an
//! event.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_data::{SyntheticSpec, synthetic};
use tacit_privacy::Rho;
use tokio::time::Instant;

use super::Size;
use super::calendar::Calendar;
use super::fleet::Fleet;
use super::row::Row;
use crate::deployment::{Deployment, Role, Settings};

/// Days a round waits for its cohort.
const DEADLINE_DAYS: u32 = 2;
/// Between two looks at how far the devices are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Real time in which something must happen; then minutes pass, and the apps are opened again.
const SHORT_PATIENCE: Duration = Duration::from_secs(3);
/// Leases let devices send within so many minutes of their check-in, or have ended.
const LEASE_MINUTES: u32 = 10;
/// Where that did not help, days pass after this much real time.
const PATIENCE: Duration = Duration::from_secs(8);
/// Real time in which a task must end.
const TASK_LIMIT: Duration = Duration::from_secs(180);
/// Real time for which devices try in vain, and in which a daemon notices that days have passed.
const MOMENT: Duration = Duration::from_secs(2);
/// Kills lie so many milliseconds apart.
const BETWEEN_KILLS_MS: std::ops::Range<u64> = 100..900;

/// Everything that lives through the year.
pub struct World {
    pub(super) size: Size,
    pub(super) deployment: Deployment,
    pub(super) calendar: Calendar,
    pub(super) fleets: Vec<Fleet>,
    /// Names of the tasks, the newest last.
    pub(super) tasks: Vec<String>,
    /// What has happened since the month began, in words.
    pub(super) happened: Vec<String>,
    /// What each device had spent when the month began, by fleet and number.
    pub(super) spent: BTreeMap<(usize, u32), Rho>,
    /// The months so far.
    pub(super) rows: Vec<Row>,
    /// Kills so far, and those that found nothing to kill yet.
    pub(super) kills: u32,
    pub(super) owed: u32,
    helper_is_away: bool,
    /// Pauses of tasks that the operator has seen.
    pauses: usize,
    /// The coordinator's configuration, without name and start.
    config: String,
    /// Tokens that nobody has got yet.
    tokens: Vec<Vec<u8>>,
    random: ChaCha20Rng,
}

impl World {
    /// Keys, files and a running helper; no task and no device yet.
    ///
    /// # Errors
    /// When the deployment cannot be made.
    pub(super) fn new(size: Size, calendar: Calendar) -> Result<Self> {
        let mut deployment = Deployment::new(settings(&size, &calendar))?;
        sign_policy(&deployment, &size)?;
        let config = fs::read_to_string(deployment.path("coordinator.toml"))?;
        let config = format!("policy = \"pki/policy.json\"\n{config}");
        let mut tokens = deployment.tokens()?;
        let fleets = make_fleets(&deployment, &size, &mut tokens)?;
        deployment.start(Role::Helper)?;

        Ok(Self {
            deployment,
            calendar,
            fleets,
            tasks: Vec::new(),
            happened: Vec::new(),
            spent: BTreeMap::new(),
            rows: Vec::new(),
            kills: 0,
            owed: 0,
            helper_is_away: false,
            pauses: 0,
            config,
            tokens,
            random: ChaCha20Rng::seed_from_u64(size.seed),
            size,
        })
    }

    fn note(&mut self, words: impl Into<String>) {
        self.happened.push(words.into());
    }

    pub(super) fn come(&mut self, fleet: usize) -> Result<()> {
        self.fleets[fleet].come();
        self.note(format!("fleet {fleet} comes"));
        Ok(())
    }

    pub(super) fn go(&mut self, fleet: usize) -> Result<()> {
        self.fleets[fleet].go();
        self.note(format!("fleet {fleet} goes"));
        Ok(())
    }

    pub(super) fn enrol_again(&mut self, fleet: usize) -> Result<()> {
        let left = self.tokens.len();
        let count = self.size.fleet as usize;
        let first = left.checked_sub(count).context("no tokens are left")?;
        let tokens = self.tokens.split_off(first);
        self.fleets[fleet].enrol_again(&tokens)?;
        self.fleets[fleet].come();
        self.note(format!("fleet {fleet} comes back with new tokens"));
        Ok(())
    }

    /// Where the state of a task lies.
    pub(super) fn state_of(&self, task: &str) -> PathBuf {
        let newest = self.tasks.last().is_some_and(|newest| newest == task);
        let name = if newest {
            "coordinator".to_owned()
        } else {
            format!("coordinator.{task}")
        };
        self.deployment.path(&name)
    }

    /// A task has a state of its own, and goes on from the last model of the one before.
    pub(super) fn next_task(&mut self) -> Result<()> {
        let mut config = self.config.clone();
        if let Some(last) = self.tasks.last() {
            let releases = self.deployment.releases()?;
            let release = releases
                .last()
                .context("the last task released nothing")?;
            let (state, model) = (format!("coordinator.{last}"), release.model_out_hash);
            config += &format!("start = \"{state}/ledger/models/{model}.bin\"\n");
            self.deployment.kill(Role::Coordinator)?;
            fs::rename(
                self.deployment.path("coordinator"),
                self.deployment.path(&state),
            )?;
        }

        let number = self.tasks.len();
        let task = format!("month-{:02}", number + 1);
        let config = config.replace("name = \"test\"", &format!("name = \"{task}\""));
        let items = self.size.items + self.size.growth * u32::try_from(number)?;
        fs::write(self.deployment.path("coordinator.toml"), config)?;
        fs::write(self.deployment.path("catalogue.txt"), catalogue(items))?;
        self.deployment.start(Role::Coordinator)?;
        self.tasks.push(task);
        Ok(())
    }

    pub(super) fn first_round(&mut self) -> Result<()> {
        let until = Instant::now() + TASK_LIMIT;
        let mut watch = Watch::new();
        self.start_fleets()?;
        while self.deployment.releases()?.is_empty() {
            ensure!(Instant::now() < until, "no release in {TASK_LIMIT:?}");
            self.have_finished()?;
            sleep(LOOK_EVERY);
            let progress = self.progress()?;
            self.let_time_pass(watch.look(progress))?;
        }
        Ok(())
    }

    /// Devices take part until their task has ended. Where nothing moves, days pass.
    pub(super) fn train(&mut self, kills: u32) -> Result<()> {
        let until = Instant::now() + TASK_LIMIT;
        let mut left = kills + std::mem::take(&mut self.owed);
        let mut next_kill = Instant::now() + self.until_next_kill();
        let mut watch = Watch::new();
        self.resume_if_paused()?;
        self.start_fleets()?;
        while !self.have_finished()? {
            ensure!(
                Instant::now() < until,
                "the task did not end in {TASK_LIMIT:?}"
            );
            sleep(LOOK_EVERY);
            if left > 0 && Instant::now() >= next_kill && self.kill_somebody()? {
                left -= 1;
                next_kill = Instant::now() + self.until_next_kill();
            }
            let progress = self.progress()?;
            self.let_time_pass(watch.look(progress))?;
        }

        self.owed = left;
        self.fleets
            .iter_mut()
            .try_for_each(Fleet::note_identities)
    }

    fn until_next_kill(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(BETWEEN_KILLS_MS))
    }

    /// SIGKILL for a process that runs, which starts again at once; whether there was one.
    fn kill_somebody(&mut self) -> Result<bool> {
        match self.random.random_range(0..5) {
            0 | 1 => self.deployment.crash(Role::Coordinator)?,
            2 => self.deployment.crash(Role::Helper)?,
            _ => {
                let fleet = self.random.random_range(0..self.fleets.len());
                let fleet = &mut self.fleets[fleet];
                // A kill while a store is made leaves one that nothing repairs.
                if !fleet.is_enrolled() || !fleet.kill()? {
                    return Ok(false);
                }
                fleet.start()?;
            }
        }
        self.kills += 1;
        Ok(true)
    }

    /// How far the task is, as far as its devices and its ledger say.
    fn progress(&self) -> Result<(usize, u64)> {
        let acknowledged = self.fleets.iter().map(Fleet::acknowledged).sum();
        Ok((self.deployment.lines()?.len(), acknowledged))
    }

    /// Leases come to their time, or the open round to its deadline, and apps are opened that were
    /// told to come back later.
    fn let_time_pass(&mut self, pace: Pace) -> Result<()> {
        match pace {
            Pace::Moves => return Ok(()),
            Pace::Pauses => self.calendar.pass_minutes(LEASE_MINUTES)?,
            Pace::StandsStill => {
                let day = self.calendar.day() + DEADLINE_DAYS;
                self.calendar.go_to(day)?;
                self.note(format!("day {day}: waited for a deadline"));
            }
        }
        for fleet in &mut self.fleets {
            if fleet.kill()? {
                fleet.start()?;
            }
        }
        self.resume_if_paused()
    }

    /// A task that paused is looked at and started again.
    fn resume_if_paused(&mut self) -> Result<()> {
        let log = self.deployment.log(Role::Coordinator);
        let pauses = log.matches("task_paused").count();
        if pauses > self.pauses {
            self.pauses = pauses;
            self.note("task paused, started again");
            self.deployment.crash(Role::Coordinator)?;
        }
        Ok(())
    }

    fn start_fleets(&mut self) -> Result<()> {
        let mut here = self.fleets.iter_mut().filter(|fleet| fleet.is_here());
        here.try_for_each(Fleet::start)
    }

    /// Whether all fleets have ended by themselves; daemons must not have.
    fn have_finished(&mut self) -> Result<bool> {
        self.daemons_run()?;
        let mut finished = true;
        for fleet in &mut self.fleets {
            finished &= fleet.has_finished()?;
        }
        Ok(finished)
    }

    fn daemons_run(&mut self) -> Result<()> {
        for role in [Role::Coordinator, Role::Helper] {
            let ended = self.deployment.ended(role)?;
            ensure!(ended.is_none(), "{role:?} ended by itself: {ended:?}");
        }
        Ok(())
    }

    fn stop_fleets(&mut self) -> Result<()> {
        for fleet in &mut self.fleets {
            fleet.kill()?;
        }
        Ok(())
    }

    pub(super) fn try_for_a_moment(&mut self) -> Result<()> {
        // What ran through the days before is opened again.
        self.stop_fleets()?;
        self.start_fleets()?;
        sleep(MOMENT);
        self.daemons_run()
    }

    pub(super) fn visit(&mut self) -> Result<()> {
        self.train(0)
    }

    pub(super) fn helper_goes_away(&mut self) -> Result<()> {
        self.deployment.kill(Role::Helper)?;
        self.helper_is_away = true;
        self.note("helper away for 14 days");
        Ok(())
    }

    pub(super) fn helper_comes_back(&mut self) -> Result<()> {
        self.deployment.start(Role::Helper)?;
        self.helper_is_away = false;
        self.stop_fleets()
    }

    pub(super) fn pass(&mut self) -> Result<()> {
        sleep(MOMENT);
        self.daemons_run()
    }

    pub(super) fn renew_servers(&mut self) -> Result<()> {
        self.deployment.succeed(&["pki", "renew", "pki"])?;
        self.daemons_reload()
    }

    pub(super) fn revoke(&mut self, fleet: usize, devices: u32) -> Result<()> {
        for device in 0..devices {
            let lost = self.fleets[fleet].revoke(device)?.to_string();
            self.deployment
                .succeed(&["pki", "revoke", "pki", &lost])?;
        }
        self.note(format!("{devices} of fleet {fleet} revoked"));
        self.daemons_reload()
    }

    pub(super) fn new_root(&mut self) -> Result<()> {
        self.deployment.succeed(&["pki", "rotate", "pki"])?;
        self.note("a new root beside the old");
        self.daemons_reload()
    }

    pub(super) fn end_old_root(&mut self) -> Result<()> {
        self.deployment
            .succeed(&["pki", "rotate", "pki", "--finish"])?;
        self.note("the old root ends");
        self.daemons_reload()
    }

    /// Daemons that serve read their files again, and go on.
    fn daemons_reload(&mut self) -> Result<()> {
        for role in [Role::Helper, Role::Coordinator] {
            let before = reloads(&self.deployment, role);
            self.deployment.hang_up(role)?;
            let until = Instant::now() + PATIENCE;
            while reloads(&self.deployment, role) == before {
                ensure!(Instant::now() < until, "{role:?} does not reload");
                sleep(LOOK_EVERY);
            }
        }
        self.daemons_run()
    }

    /// Ends of all logs.
    pub(super) fn log_tails(&self) -> String {
        let mut text = self.deployment.log_tails();
        for fleet in &self.fleets {
            text += &format!("--- fleet {} ---\n{}\n", fleet.number(), fleet.log_tail());
        }
        text
    }
}

fn reloads(deployment: &Deployment, role: Role) -> usize {
    deployment
        .log(role)
        .matches("event=\"reloaded\"")
        .count()
}

/// How the task goes on.
enum Pace {
    /// It does, or may.
    Moves,
    /// Nothing has happened for a moment.
    Pauses,
    /// Nor when minutes had passed.
    StandsStill,
}

/// Notices that nothing has happened for a while.
struct Watch {
    seen: (usize, u64),
    since: Instant,
    paused: bool,
}

impl Watch {
    fn new() -> Self {
        Self {
            seen: (0, 0),
            since: Instant::now(),
            paused: false,
        }
    }

    fn look(&mut self, progress: (usize, u64)) -> Pace {
        let still = self.since.elapsed();
        let pace = if progress != self.seen {
            Pace::Moves
        } else if still > PATIENCE {
            Pace::StandsStill
        } else if still > SHORT_PATIENCE && !self.paused {
            self.paused = true;
            return Pace::Pauses;
        } else {
            return Pace::Moves;
        };
        *self = Self {
            seen: progress,
            ..Self::new()
        };
        pace
    }
}

fn settings(size: &Size, calendar: &Calendar) -> Settings {
    let devices = size.fleet * size.fleets;
    Settings {
        cohort: size.cohort,
        // For each device, and for every one that enrols again.
        tokens: devices + size.fleet,
        items: size.items,
        epsilon: size.epsilon,
        dropout: 0.3,
        deadline_seconds: u64::from(DEADLINE_DAYS) * 86_400,
        task: "rounds = 1\nfactors = 4\n",
        environment: calendar.environment(),
        ..Settings::default()
    }
}

/// Epsilon of a device's life. More would buy no more rho: the samplers' distance grows with e to
/// the epsilon.
const LIFETIME: &str = "28";

/// A life has room for every task of the schedule, and a month for no more than one.
fn sign_policy(deployment: &Deployment, size: &Size) -> Result<()> {
    fs::remove_file(deployment.path("pki/policy.json"))?;
    let hours = super::calendar::MONTH_DAYS * 24;
    let (cohort, hours) = (size.cohort.to_string(), hours.to_string());
    let window = size.epsilon.to_string();
    let budget = ["--epsilon", LIFETIME, "--cohort", &cohort];
    let windows = ["--window-epsilon", &window, "--window-hours", &hours];
    deployment.succeed(&[&["pki", "policy", "pki"], &budget[..], &windows].concat())?;
    Ok(())
}

/// Fleets of devices whose owners like items of the first catalogue.
fn make_fleets(
    deployment: &Deployment,
    size: &Size,
    tokens: &mut Vec<Vec<u8>>,
) -> Result<Vec<Fleet>> {
    let each = size.fleet as usize;
    let fleets = size.fleets as usize;
    let data = synthetic(&SyntheticSpec {
        users: each * fleets,
        items: size.items as usize,
        seed: size.seed,
    });
    let histories = data.users.chunks(each);
    let numbered = histories.enumerate();
    numbered
        .map(|(number, histories)| {
            let own: Vec<_> = tokens.drain(..each).collect();
            Fleet::new(deployment, number, &own, histories)
        })
        .collect()
}

fn catalogue(items: u32) -> String {
    (0..items)
        .map(|item| format!("item {item}\tkind {}\n", item % 3))
        .collect()
}
