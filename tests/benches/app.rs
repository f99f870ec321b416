//! What the SDK costs an app, by the calls an app makes: recording, refitting, a list, a cold open,
//! memory, and a check-in that finds nothing. Every figure stands beside a reference of the same
//! run, which is as little as could be done in its place.

#![allow(clippy::print_stdout, reason = "benchmarks say what they measured")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use tacit_model::family::spectral::{SpectralModel, server};
use tacit_model::history::fusion::Rules;
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::rank::filter::Filter;
use tacit_model::rank::profile::OnlineProfile;
use tacit_model::rank::ranker::{Precision, Ranker};
use tacit_model::{Interaction, InteractionKind, Recipe};
use tacit_privacy::canonical;
use tacit_sdk::{Agent, Consent, Event, Recommender, Store, TableCache};
use tacit_tests::attack::daemon::Process;
use tacit_tests::deployment::{Deployment, Settings};
use tacit_tests::ear::{Ear, Passed, Way};
use tacit_tests::enrolled::{Installation, shipped};
use tacit_tests::raw::Door;
use tacit_types::{ItemId, Timestamp};
use tacit_wire::clock;
use tempfile::TempDir;
use tokio::time::Instant;

/// Items of MovieLens-20M, and factors.
const ITEMS: u32 = 26_744;
const FACTORS: u32 = 64;
/// What an owner did in years.
const HISTORY: u32 = 10_000;
const LIST: usize = 20;
/// Rows of one commit.
const BATCH: u32 = 1_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, folder, precision] = &arguments[..]
        && mode == "--peak"
    {
        return serve_once(Path::new(folder), precision);
    }

    println!(
        "{:<44} {:>12} {:>12} {:>7}",
        "", "SDK", "reference", "ratio"
    );
    let app = Installed::new()?;
    recording()?;
    refit(&app)?;
    lists(&app)?;
    opening(&app)?;
    memory(&app)?;
    check_in()
}

/// One line of the table.
fn row(what: &str, unit: &str, sdk: f64, reference: f64, of: &str) {
    let ratio = sdk / reference;
    println!("{what:<44} {sdk:>9.3} {unit:<2} {reference:>9.3} {unit:<2} {ratio:>6.2}  {of}");
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Median and 99th percentile of the time one call takes.
fn timed<T>(calls: usize, mut call: impl FnMut() -> T) -> (f64, f64) {
    let mut times: Vec<Duration> = (0..calls)
        .map(|_| {
            let start = Instant::now();
            black_box(call());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| milliseconds(times[times.len() * percent / 100]);
    (at(50), at(99))
}

/// An installation with a model and a long history.
struct Installed {
    folder: TempDir,
    model: SpectralModel,
    bytes: u64,
}

impl Installed {
    fn new() -> Result<Self> {
        let model = model();
        let folder = installed(&model)?;
        let mut recommender = Recommender::open(folder.path())?;
        recommender.record_all(&(0..HISTORY).map(event).collect::<Vec<_>>())?;
        Ok(Self {
            folder,
            bytes: model.to_bytes().len() as u64,
            model,
        })
    }

    fn open(&self, precision: Precision) -> Result<Recommender> {
        let opened = Recommender::open_with(self.folder.path(), precision, None);
        Ok(opened?)
    }
}

/// One call a row, and many rows a call.
fn recording() -> Result<()> {
    let folder = installed(&model())?;
    let mut recommender = Recommender::open(folder.path())?;
    let mut next = 0;
    let (one, _) = timed(100, || {
        next += 1;
        recommender
            .record(interaction(next))
            .expect("a store that works");
    });
    let mut file = File::create(folder.path().join("reference"))?;
    let (synced, _) = timed(100, || {
        file.write_all(&[7; 64]).expect("a disk that works");
        file.sync_data().expect("a disk that works");
    });
    row(
        "record, durable",
        "ms",
        one,
        synced,
        "64 bytes and fdatasync",
    );

    let events: Vec<Event> = (0..BATCH).map(event).collect();
    let (batch, _) = timed(10, || {
        recommender
            .record_all(&events)
            .expect("a store that works")
    });
    let mut bare = Connection::open(folder.path().join("bare.sqlite"))?;
    bare.pragma_update(None, "journal_mode", "WAL")?;
    bare.execute_batch("CREATE TABLE rows (item, at, value, kind, surface)")?;
    let (rows, _) = timed(10, || insert(&mut bare).expect("a store that works"));
    row(
        "record_all, 1,000 rows",
        "ms",
        batch,
        rows,
        "the same rows in bare SQLite",
    );
    Ok(())
}

fn insert(bare: &mut Connection) -> rusqlite::Result<()> {
    let transaction = bare.transaction()?;
    {
        let mut insert =
            transaction.prepare_cached("INSERT INTO rows VALUES (?1, ?2, 1.0, 'view', 0)")?;
        for number in 0..BATCH {
            insert.execute([number, number])?;
        }
    }
    transaction.commit()
}

/// The taste anew from the whole history, as after forgetting.
fn refit(installed: &Installed) -> Result<()> {
    let mut recommender = installed.open(Precision::Full)?;
    let ranker = Ranker::new(&installed.model, Precision::Full);
    let all = recommender.recent().to_vec();
    let (sdk, _) = timed(20, || recommender.set_rules(Rules::default()));
    let (bare, _) = timed(20, || {
        OnlineProfile::new(&all, Rules::default(), HISTORY_CAP, &ranker)
    });
    row(
        "refit, 10,000 interactions",
        "ms",
        sdk,
        bare,
        "the profile alone",
    );
    Ok(())
}

fn lists(installed: &Installed) -> Result<()> {
    let taste: Vec<f32> = (0_u8..64)
        .map(|factor| f32::from(factor) / 64.0)
        .collect();
    let (median, tail) = timed(1_000, || {
        inner_products(&installed.model, black_box(&taste))
    });
    for (name, precision) in [("f32", Precision::Full), ("int8", Precision::Compact)] {
        let recommender = installed.open(precision)?;
        let filter = Filter::default();
        let (p50, p99) = timed(1_000, || recommender.recommend(LIST, &filter));
        let of = "bare f32 inner products";
        row(
            &format!("recommend(20), {name}, p50"),
            "ms",
            p50,
            median,
            of,
        );
        row(&format!("recommend(20), {name}, p99"), "ms", p99, tail, of);
    }
    Ok(())
}

/// One vector with all rows, in the plainest loop that vectorises.
fn inner_products(model: &SpectralModel, taste: &[f32]) -> Vec<f32> {
    let factors = model.factors();
    let values = factors
        .as_slice()
        .expect("factors are stored row-major");
    let dot = |row: &[f32]| {
        let mut lanes = [0.0f32; 8];
        for (row, taste) in row.chunks_exact(8).zip(taste.chunks_exact(8)) {
            (0..8).for_each(|lane| lanes[lane] += row[lane] * taste[lane]);
        }
        lanes.iter().sum()
    };
    values.chunks_exact(taste.len()).map(dot).collect()
}

fn opening(installed: &Installed) -> Result<()> {
    let (opened, _) = timed(20, || {
        let opened = installed
            .open(Precision::Full)
            .expect("an installation");
        assert_eq!(opened.recommend(LIST, &Filter::default()).len(), LIST);
    });
    let path = installed.folder.path().join("reference.bin");
    fs::write(&path, installed.model.to_bytes())?;
    let (read, _) = timed(20, || {
        let bytes = fs::read(&path).expect("a file that was written");
        canonical::digest(&bytes)
    });
    let of = "the model's bytes read and hashed";
    row(
        "open and first list, 10,000 interactions",
        "ms",
        opened,
        read,
        of,
    );
    Ok(())
}

/// Peak of a process that opens and makes a list, less that of one that does nothing.
fn memory(installed: &Installed) -> Result<()> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let nothing = peak_of(installed, "nothing")?;
    for name in ["f32", "int8"] {
        let peak = peak_of(installed, name)?.saturating_sub(nothing);
        let what = format!("peak memory, {name}");
        let (peak, of) = (megabytes(peak), "the model's file");
        row(&what, "MB", peak, megabytes(installed.bytes), of);
    }
    Ok(())
}

fn peak_of(installed: &Installed, precision: &str) -> Result<u64> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--peak")
        .arg(installed.folder.path())
        .arg(precision)
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The process that is measured.
fn serve_once(folder: &Path, precision: &str) -> Result<()> {
    let precision = match precision {
        "f32" => Some(Precision::Full),
        "int8" => Some(Precision::Compact),
        _ => None,
    };
    if let Some(precision) = precision {
        let opened = Recommender::open_with(folder, precision, None)?;
        black_box(opened.recommend(LIST, &Filter::default()));
    }
    println!("{}", Process(std::process::id()).peak()?);
    Ok(())
}

/// What passes when a device asks and there is nothing new, TLS and all.
fn check_in() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let deployment = Deployment::running(Settings::default())?;
    let (asked, met) = runtime.block_on(passed(&deployment))?;
    let kilobytes = |way: Way| way.bytes as f64 / 1e3;
    for (what, asked, met) in [
        ("check-in with nothing to do, up", asked.up, met.up),
        ("check-in with nothing to do, down", asked.down, met.down),
    ] {
        let of = "the TLS handshake alone";
        row(what, "KB", kilobytes(asked), kilobytes(met), of);
    }
    Ok(())
}

/// A refresh that finds nothing, and a connection on which nothing is said.
async fn passed(deployment: &Deployment) -> Result<(Passed, Passed)> {
    let tokens = deployment.tokens()?;
    let token = tokens.first().context("a token")?;
    let enrolled = Installation::enrol(deployment, token).await?;
    Store::open(enrolled.folder())?.set_consent(Consent::Receive)?;

    let root = deployment.pki("root.crt")?;
    let mut ear = Ear::before(&deployment.coordinator_address()).await?;
    let mut way = shipped(deployment, &root)?.as_ref().clone();
    way.coordinator = ear.address();
    let agent = Agent::new(enrolled.folder(), way.into(), TableCache::default());
    let step = agent.refresh(clock::now()).await?;
    ensure!(!step.new_model, "there was something to do");
    drop(agent);
    let asked = ear.ended().await?;

    let credentials = enrolled.credentials()?;
    let door = Door::new(&ear.address(), &root, Some(&credentials))?;
    drop(door.knock().await?);
    Ok((asked, ear.ended().await?))
}

/// A model of 26,744 items with random factors, all of them in the block.
fn model() -> SpectralModel {
    let recipe = Recipe {
        factors: FACTORS,
        weight_exponent: 0.2,
        popularity_exponent: 0.1,
        coverage: 1.0,
        ..Recipe::counts_only()
    };
    let counts: Vec<f64> = (1..=ITEMS).map(|rank| 1e5 / f64::from(rank)).collect();
    server::random_init(&server::apply_counts(&counts, 1.0, &recipe), &recipe, 3)
}

/// An installation that has adopted this model and a catalogue.
fn installed(model: &SpectralModel) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    Store::create(folder.path())?;
    let models = folder.path().join("models");
    fs::create_dir(&models)?;
    let titles: String = (0..ITEMS)
        .map(|item| format!("film-{item}\tFilm {item}\tkind {}\n", item % 20))
        .collect();
    let kept = |bytes: &[u8]| -> Result<String> {
        let hash = canonical::digest(bytes).to_string();
        fs::write(models.join(format!("{hash}.bin")), bytes)?;
        Ok(hash)
    };
    let (model, catalogue) = (kept(&model.to_bytes())?, kept(titles.as_bytes())?);
    fs::write(
        models.join("serving"),
        format!("bench {model} {catalogue}\n"),
    )?;
    Ok(folder)
}

fn event(number: u32) -> Event {
    Event {
        id: format!("film-{}", number * 53 % ITEMS),
        timestamp: Some(Timestamp(u64::from(number))),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    }
}

fn interaction(number: u32) -> Interaction {
    event(number).with(ItemId(number * 53 % ITEMS))
}
