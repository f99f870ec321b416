//! `tacit simulate`: options, data and output; the work is in `tacit-simulate`.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use tacit_data::{Dataset, Reading, SyntheticSpec};
use tacit_model::family::weighted::CLIP_NORMS;
use tacit_model::history::recency::HALF_LIFE;
use tacit_simulate::outcome::Point;
use tacit_simulate::rated::FOLDS;
use tacit_simulate::{
    Outcome, Population, Setting, SimulateError, Sweep, compare, page, rating, table,
};
use tacit_types::{Delta, Epsilon};

use crate::data::{DataOptions, scale_of};
use crate::failure::Failure;
use crate::family::ModelOption;
use crate::say;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is trained. Of ratings a tenth is held out, and the figure is RMSE.
    #[arg(long, value_enum, default_value_t = ModelOption::Spectral)]
    model: ModelOption,
    #[command(flatten)]
    data: DataOptions,
    /// What is held out of each user's history; without it as `tacit demo` does.
    #[arg(long, requires = "data", conflicts_with = "test", value_enum)]
    split: Option<Split>,
    /// Privacy budgets of one device over the whole task, comma-separated.
    #[arg(long, value_delimiter = ',', default_value = "8")]
    epsilon: Vec<f64>,
    /// Failure probability of the privacy statement.
    #[arg(long, default_value_t = 1e-5)]
    delta: f64,
    /// Numbers of factors, comma-separated, instead of the planner's choice.
    #[arg(long, value_delimiter = ',')]
    factors: Vec<u32>,
    /// Factor-gradient rounds, comma-separated, instead of the planner's choice.
    #[arg(long, value_delimiter = ',')]
    rounds: Vec<u32>,
    /// Clipping norms of weighted squares, comma-separated, instead of the library's choice.
    #[arg(long, value_delimiter = ',')]
    clip_norm: Vec<f64>,
    /// Sizes of the population, comma-separated: the first N users of the data (generated: 1500).
    #[arg(long, value_delimiter = ',')]
    users: Vec<usize>,
    /// Devices the users stand for besides, comma-separated: a projection, which divides the noise
    /// and nothing else.
    #[arg(long, value_delimiter = ',')]
    projected_users: Vec<u32>,
    /// Seeds of noise, rounding and dropouts: this many, from --seed on.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// First seed; also that of the generator and of a random split.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Let the devices evaluate the model, with this share of the budget; their private figures are
    /// shown beside the true ones.
    #[arg(long, value_name = "SHARE", num_args = 0..=1)]
    #[arg(default_missing_value = "0.03", default_value_t = 0.0)]
    evaluation: f64,
    /// Share of devices that drop out of each round, assumed and acted out.
    #[arg(long, default_value_t = 0.05)]
    dropout: f64,
    /// Share of devices assumed dishonest; simulated devices are honest.
    #[arg(long, default_value_t = 0.05)]
    dishonest: f64,
    /// Interactions of one device that may enter a vector.
    #[arg(long, default_value_t = 1024)]
    history_max: u32,
    /// Half-life, in interactions, with which devices rank; 0 for none. Without it 10, or none for
    /// a random split.
    #[arg(long, allow_negative_numbers = true)]
    half_life: Option<f32>,
    /// Train without the items' public features: categories, and years in titles.
    #[arg(long)]
    no_features: bool,
    /// Make every device's real bytes, noise, seal and mask included, in place of drawing the noise
    /// once. Noise then comes from the operating system, so a seed does not repeat it.
    #[arg(long)]
    exact: bool,
    /// Leave out the central recommenders, implicit ALS and EASE: they take longest to train.
    #[arg(long)]
    quick: bool,
    /// One JSON object on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
    /// Give each user's figures in --json, too, so that --compare can pair them.
    #[arg(long, requires = "json")]
    per_user: bool,
    /// Compare two results of --json --per-user on the same people, user by user, with standard
    /// errors; simulates nothing.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with = "data")]
    compare: Vec<PathBuf>,
    /// Write one line per combination, model and seed to this new file.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Write a page with curves and tables to this new file; it needs nothing else.
    #[arg(long)]
    html: Option<PathBuf>,
}

/// What is held out.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Split {
    /// The published test file, or each timed user's last item.
    LeaveOneOut,
    /// A seeded fifth of each user's items.
    #[value(name = "random-20")]
    Random,
    /// The latest fifth of each timed user's items.
    Time,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if let [a, b] = &options.compare[..] {
        return compare(options, [a, b]);
    }
    let sweep = sweep(options)?;
    if options.model == ModelOption::Rating {
        return rating(options, &sweep);
    }
    new_file("--csv", options.csv.as_deref())?;
    new_file("--html", options.html.as_deref())?;
    let populations = populations(options)?;
    let largest = populations
        .iter()
        .max_by_key(|population| population.users());
    let reading = largest
        .map(|largest| largest.reading.clone())
        .unwrap_or_default();
    let sweep = Sweep {
        split: reading.split.clone(),
        half_life: half_life(options, &reading),
        ..sweep
    };
    warn_of_delta(&sweep, &populations);
    let bar = progress_bar(sweep.trainings(populations.len()));
    let mut outcome = tacit_simulate::run(&populations, &sweep, &|| bar.inc(1)).map_err(failure)?;
    bar.finish_and_clear();
    if !options.per_user {
        outcome.points.iter_mut().for_each(Point::forget_users);
    }
    report(options, &outcome)
}

/// Ratings: another measurement, another table.
fn rating(options: &Options, sweep: &Sweep) -> Result<(), Failure> {
    let unused = [
        ("--split", options.split.is_some()),
        ("--test", options.data.test.is_some()),
        ("--rounds", !options.rounds.is_empty()),
        ("--clip-norm", !options.clip_norm.is_empty()),
        ("--projected-users", !options.projected_users.is_empty()),
        ("--half-life", options.half_life.is_some()),
        ("--exact", options.exact),
        ("--quick", options.quick),
        ("--no-features", options.no_features),
        ("--evaluation", options.evaluation > 0.0),
        ("--per-user", options.per_user),
        ("--csv", options.csv.is_some()),
        ("--html", options.html.is_some()),
        ("--factors with several values", options.factors.len() > 1),
        ("--users with several values", options.users.len() > 1),
    ];
    if let Some((name, _)) = unused.iter().find(|(_, given)| *given) {
        return Err(Failure::input(format!(
            "{name}: --model rating has no use for it; leave it out"
        )));
    }
    if let Some(seed) = sweep.seeds.iter().find(|seed| **seed >= FOLDS) {
        return Err(Failure::input(format!(
            "--seed: run {seed} holds out tenth {seed}; there are only 0 to 9"
        )));
    }
    let users = options.users.first().copied();
    let nothing = tacit_data::Split::Nothing;
    let data = options
        .data
        .load(users, nothing, options.seed)?
        .ok_or_else(|| {
            Failure::input("--model rating needs ratings: give --data with a column of ratings")
        })?;
    let scale = scale_of(&data.reading)?;
    let devices = u32::try_from(data.users.len())?;
    if let Some(warning) = tacit_plan::large_delta(sweep.base.delta, devices) {
        say::note(format_args!("--delta: {warning}"));
    }
    let base = Setting {
        factors: options.factors.first().copied(),
        ..sweep.base.clone()
    };
    let bar = progress_bar(sweep.epsilons.len() * sweep.seeds.len());
    let rated = rating::Rated {
        data: &data,
        scale,
        epsilons: &sweep.epsilons,
        seeds: &sweep.seeds,
    };
    let outcome = rating::run(&rated, &base, &|| bar.inc(1)).map_err(failure)?;
    bar.finish_and_clear();
    if options.json {
        say::json(&outcome)?;
    } else {
        say::result(rating::text(&outcome))?;
    }
    Ok(())
}

/// Compares two saved results.
fn compare(options: &Options, paths: [&PathBuf; 2]) -> Result<(), Failure> {
    new_file("--html", options.html.as_deref())?;
    let named = paths.map(|path| path.display().to_string());
    let read = |path: &PathBuf| {
        let unreadable = |error| format!("{}: cannot be read: {error}", path.display());
        std::fs::read_to_string(path).map_err(|error| Failure::input(unreadable(error)))
    };
    let (a, b) = (read(paths[0])?, read(paths[1])?);
    let comparison = compare::compare((&named[0], &a), (&named[1], &b)).map_err(Failure::input)?;
    if let Some(path) = &options.html {
        std::fs::write(path, compare::html(&comparison))?;
    }
    if options.json {
        say::json(&comparison)
    } else {
        say::result(compare::text(&comparison))
    }
}

fn report(options: &Options, outcome: &Outcome) -> Result<(), Failure> {
    if let Some(path) = &options.csv {
        table::csv(outcome, std::fs::File::create(path)?)?;
    }
    if let Some(path) = &options.html {
        std::fs::write(path, page::html(outcome))?;
    }
    if options.json {
        say::json(outcome)?;
    } else {
        say::result(table::text(outcome))?;
    }
    if let Some(rate) = outcome.throughput.rate() {
        say::note(format_args!(
            "{} factor gradients, {rate:.0} devices per CPU-second",
            outcome.throughput.devices
        ));
    }
    Ok(())
}

fn sweep(options: &Options) -> Result<Sweep, Failure> {
    let share = |name: &str, share: f64| match share {
        share if (0.0..1.0).contains(&share) => Ok(share),
        share => Err(Failure::input(format!(
            "{name} must be from 0 to below 1, not {share}"
        ))),
    };
    in_range("--seeds", &[options.seeds], 1, 1000)?;
    in_range(
        "--history-max",
        &[u64::from(options.history_max)],
        1,
        1 << 20,
    )?;
    in_range("--rounds", &widened(&options.rounds), 1, 64)?;
    in_range("--factors", &widened(&options.factors), 1, 512)?;
    in_range(
        "--projected-users",
        &widened(&options.projected_users),
        4,
        1 << 24,
    )?;
    if let Some(norm) = options
        .clip_norm
        .iter()
        .find(|norm| !CLIP_NORMS.contains(norm))
    {
        return Err(Failure::input(format!(
            "--clip-norm must be from 0.001 to 1000, not {norm}"
        )));
    }
    if options
        .half_life
        .is_some_and(|half_life| !(0.0..1e6).contains(&half_life))
    {
        return Err(Failure::input(
            "--half-life must be from 0 to below 1000000",
        ));
    }
    let epsilons = options.epsilon.iter();
    let epsilons: Vec<_> = epsilons
        .map(|&epsilon| Epsilon::new(epsilon))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::input(format!("--epsilon: {error}")))?;
    let epsilon = *epsilons
        .first()
        .ok_or_else(|| Failure::input("--epsilon: give at least one"))?;
    Ok(Sweep {
        family: options.model.into(),
        split: String::new(),
        base: Setting {
            epsilon,
            delta: Delta::new(options.delta)
                .map_err(|error| Failure::input(format!("--delta: {error}")))?,
            dropout: share("--dropout", options.dropout)?,
            dishonest: share("--dishonest", options.dishonest)?,
            history_max: options.history_max,
            factors: None,
            clip_norm: None,
            rounds: None,
            evaluation: options.evaluation,
        },
        epsilons,
        factors: or_planned(&options.factors),
        rounds: or_planned(&options.rounds),
        clip_norms: or_planned(&options.clip_norm),
        projected: std::iter::once(None)
            .chain(options.projected_users.iter().copied().map(Some))
            .collect(),
        seeds: (0..options.seeds)
            .map(|n| options.seed.wrapping_add(n))
            .collect(),
        half_life: None,
        exact: options.exact,
        central: !options.quick,
    })
}

/// Says where delta promises too little for the devices there are.
fn warn_of_delta(sweep: &Sweep, populations: &[Population]) {
    let smallest = populations.iter().map(Population::users).max();
    let warning = tacit_plan::large_delta(sweep.base.delta, smallest.unwrap_or(0));
    if let Some(warning) = warning {
        say::note(format_args!("--delta: {warning}"));
    }
}

/// A random split is no future, so recency says nothing about it.
fn half_life(options: &Options, reading: &Reading) -> Option<f32> {
    let usual = if reading.random_split { 0.0 } else { HALF_LIFE };
    Some(options.half_life.unwrap_or(usual)).filter(|half_life| *half_life > 0.0)
}

fn populations(options: &Options) -> Result<Vec<Population>, Failure> {
    let sizes: Vec<Option<usize>> = if options.users.is_empty() {
        vec![None]
    } else {
        options.users.iter().copied().map(Some).collect()
    };
    let mut populations = Vec::new();
    for size in sizes {
        let population = Population::new(load(options, size)?);
        let population = if options.no_features {
            population.without_features()
        } else {
            population
        };
        if population.users() < 4 {
            let problem = format!(
                "{} users are too few: a round needs a cohort of at least 4",
                population.users()
            );
            return Err(Failure::input(problem));
        }
        populations.push(population);
    }
    Ok(populations)
}

fn load(options: &Options, users: Option<usize>) -> Result<Dataset, Failure> {
    let split = match options.split {
        None => tacit_data::Split::Published,
        Some(Split::LeaveOneOut) => tacit_data::Split::LeaveOneOut,
        Some(Split::Random) => tacit_data::Split::Random,
        Some(Split::Time) => tacit_data::Split::Time,
    };
    let generated = || {
        tacit_data::synthetic(&SyntheticSpec {
            users: users.unwrap_or(1500),
            seed: options.seed,
            ..Default::default()
        })
    };
    let loaded = options.data.load(users, split, options.seed)?;
    Ok(loaded.unwrap_or_else(generated))
}

/// What the caller asked for is the caller's to fix.
fn failure(error: SimulateError) -> Failure {
    match error {
        SimulateError::Input(_) | SimulateError::Plan(_) => Failure::input(error),
        other => Failure::from(other),
    }
}

fn in_range(option: &str, values: &[u64], min: u64, max: u64) -> Result<(), Failure> {
    let outside = |value: &&u64| !(min..=max).contains(*value);
    values.iter().find(outside).map_or(Ok(()), |value| {
        let problem = format!("{option} must be from {min} to {max}, not {value}");
        Err(Failure::input(problem))
    })
}

fn widened(values: &[u32]) -> Vec<u64> {
    values.iter().copied().map(u64::from).collect()
}

/// The values to go through; without any, the planner's.
fn or_planned<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() {
        vec![None]
    } else {
        values.iter().copied().map(Some).collect()
    }
}

/// Refuses a file that cannot be made before hours are spent on its content.
fn new_file(option: &str, path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let problem = if path.exists() {
        "exists already"
    } else if !path
        .parent()
        .is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir())
    {
        "is in no existing folder"
    } else {
        return Ok(());
    };
    Err(Failure::input(format!(
        "{option} {}: the file {problem}; name a new file",
        path.display()
    )))
}

fn progress_bar(trainings: usize) -> ProgressBar {
    let bar = ProgressBar::new(trainings as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos} of {len} simulated tasks, {eta} left")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
