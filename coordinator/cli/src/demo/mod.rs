//! A whole federation on one machine: makes a throw-away deployment, supervises the real processes,
//! measures, reports.

mod browse;
mod children;
mod evaluate;
mod output;
mod progress;
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use tacit_data::{Dataset, Split, SyntheticSpec};
use tacit_model::Model;
use tacit_plan::{EVALUATION_SHARE, Plan};
use tacit_simulate::rated::{FOLDS, RatedPopulation};
use tacit_types::{Delta, Epsilon};
use tacit_wire::clock;

use crate::data::{DataOptions, scale_of};
use crate::failure::Failure;
use crate::family::ModelOption;
use crate::say;
use crate::signals::Signals;

/// Delta every figure of the demo is stated at.
const DELTA: f64 = 1e-5;
/// Interactions of one device that may enter a vector.
const HISTORY_MAX: u32 = 1024;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is trained; generated data come with ratings where they are needed.
    #[arg(long, value_enum, default_value_t = ModelOption::Spectral)]
    model: ModelOption,
    #[command(flatten)]
    data: DataOptions,
    /// Privacy budget of one device over the whole run, at delta 1e-5.
    #[arg(long, default_value_t = 8.0)]
    epsilon: f64,
    /// Factor-gradient rounds, instead of the planner's choice.
    #[arg(long)]
    rounds: Option<u32>,
    /// Number of factors, instead of the planner's choice.
    #[arg(long)]
    factors: Option<u32>,
    /// Share of the budget for evaluating the model on the devices; 0 for none.
    #[arg(long, default_value_t = EVALUATION_SHARE)]
    evaluation: f64,
    /// Devices: the first N users of the data (generated: 1500).
    #[arg(long)]
    users: Option<usize>,
    /// Seed of the generator, the hold-out and the comparison models; never of privacy noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// When done, serve a local page that is one of the devices, until Ctrl-C: its catalogue, what
    /// it did, its list and why, what left it, and what is left of its budget.
    #[arg(long)]
    browse: bool,
    /// Keep keys, devices, state and logs in this new folder.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// One JSON object on standard output; progress goes to standard error.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let epsilon = Epsilon::new(options.epsilon)
        .map_err(|error| Failure::input(format!("--epsilon: {error}")))?;
    let delta = Delta::new(DELTA)?;
    let (data, rated) = load(&options)?;
    let devices = u32::try_from(data.users.len())?;
    if devices < 4 {
        return Err(Failure::input(format!(
            "{devices} users are too few: a round needs a cohort of at least 4"
        )));
    }
    crate::device::check_file_limit(devices)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(federate(&options, data, rated, epsilon, delta));
    // A comparison that a signal cut short computes until this process ends.
    runtime.shutdown_background();
    done
}

/// Makes a deployment, runs it and tells what came of it. Every way out removes what was made,
/// except a folder the caller keeps and results that somebody was told of.
async fn federate(
    options: &Options,
    data: Dataset,
    rated: Option<RatedPopulation>,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let start = clock::now();
    let devices = u32::try_from(data.users.len())?;
    let data = Arc::new(data);
    let world = world::World::create(options, &data, epsilon, delta)?;
    say::note(format_args!(
        "{}: {devices} devices, {} items; assuming dishonest share {} and dropouts {}",
        data.name,
        data.items.len(),
        world::DISHONEST,
        world::DROPOUT
    ));

    say::note(format_args!("held out: {}", data.reading.split));

    let plan = world.plan();
    let running = children::run(&world, plan.releases.len(), devices);
    let ran = signals.or_stop(running).await?;
    let wall_seconds = clock::now().millis_since(start) as f64 / 1000.0;
    let model = world.final_model()?;
    say::note("comparing with models trained beside it, never on the wire ...");
    let comparing = compare(data.clone(), rated, plan.clone(), model, options.seed);
    let rows = signals.or_stop(comparing).await?;
    let (report, _) = crate::audit::write_report(&world.ledger(), &world.report(), None)?;
    let outcome = output::Outcome::collect(&world, &data, plan, &ran, rows, wall_seconds, report)?;
    let showcase = output::showcase(&world, &data)?;
    let told = if options.json {
        serde_json::to_string(&outcome)? + "\n"
    } else {
        outcome.render() + &showcase
    };
    // Results that nobody was told of would never be found.
    if !say::delivered(told)? {
        return Ok(());
    }

    if options.browse {
        let device = output::shown_device(&data)?;
        browse::run(&world, device, &mut signals).await?;
    }
    world.leave_results()
}

/// Computes for a while, beside the runtime that listens to signals.
async fn compare(
    data: Arc<Dataset>,
    rated: Option<RatedPopulation>,
    plan: Plan,
    model: Model,
    seed: u64,
) -> Result<Vec<evaluate::Row>, Failure> {
    let computing = tokio::task::spawn_blocking(move || match &rated {
        Some(population) => evaluate::rated(population, &model),
        None => evaluate::rows(&data, &plan, &model, seed),
    });
    computing.await?
}

/// What the devices know, and where ratings are predicted also what is held out of it.
fn load(options: &Options) -> Result<(Dataset, Option<RatedPopulation>), Failure> {
    let data = read(options)?;
    if options.model == ModelOption::Neural && data.items.iter().all(|item| item.tags().is_empty())
    {
        return Err(Failure::input(
            "--model neural needs categories: give --data with a folder that has them",
        ));
    }
    if options.model != ModelOption::Rating {
        return Ok((data, None));
    }
    let scale = scale_of(&data.reading)?;
    let population = RatedPopulation::new(&data, options.seed % FOLDS, HISTORY_MAX, scale);
    if population.tested() == 0 {
        return Err(Failure::input(
            "--model rating: too few ratings to hold any out; give more of them",
        ));
    }
    // A device never sees what is held out.
    Ok((
        Dataset {
            users: population.interactions.clone(),
            ..data
        },
        Some(population),
    ))
}

fn read(options: &Options) -> Result<Dataset, Failure> {
    let rated = options.model == ModelOption::Rating;
    let split = if rated {
        Split::Nothing
    } else {
        Split::default()
    };
    if let Some(data) = options.data.load(options.users, split, options.seed)? {
        return Ok(data);
    }
    let spec = SyntheticSpec {
        users: options.users.unwrap_or(1500),
        seed: options.seed,
        ..Default::default()
    };
    Ok(if rated {
        tacit_data::synthetic_ratings(&spec)
    } else {
        tacit_data::synthetic(&spec)
    })
}
