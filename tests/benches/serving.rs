//! What serving costs a device. Targets: one interaction and the refreshed profile at 500
//! interactions and d = 32 within 1 ms, the top 20 of 26,744 items at d = 64 within 1 ms for 99
//! calls in 100. References of the same run: the same answer from the history
//! anew, and the bare inner products of all items.

#![allow(clippy::print_stdout, reason = "benchmarks say what they measured")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tacit_model::family::spectral::score::scores;
use tacit_model::family::spectral::{SpectralModel, server};
use tacit_model::history::fusion::Rules;
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::history::recency::HALF_LIFE;
use tacit_model::rank::filter::{Catalogue, Filter};
use tacit_model::rank::profile::OnlineProfile;
use tacit_model::rank::ranker::{Precision, Ranker};
use tacit_model::rank::top::top_k;
use tacit_model::{History, Interaction, InteractionKind, Recipe};
use tacit_sdk::{Recommender, Store};
use tacit_types::{ItemId, Timestamp};

/// Items of MovieLens-20M.
const ITEMS: u32 = 26_744;
const HISTORY: u32 = 500;
const LIST: usize = 20;
/// Calls the percentiles are read from.
const CALLS: usize = 2_000;

fn profile(c: &mut Criterion) {
    let model = model(32);
    let ranker = Ranker::new(&model, Precision::Full);
    let all = interactions(HISTORY + 1);
    let before = OnlineProfile::new(
        &all[..HISTORY as usize],
        Rules::default(),
        HISTORY_CAP,
        &ranker,
    );
    let mut group = c.benchmark_group("one interaction after 500, d = 32 (target 1 ms)");
    group.bench_function("profile follows", |b| {
        let record = |mut profile: OnlineProfile| {
            profile.record(&all, &ranker);
            profile
        };
        b.iter_batched(|| before.clone(), record, BatchSize::SmallInput);
    });
    group.bench_function("reference: all weights and sums anew", |b| {
        b.iter(|| OnlineProfile::new(black_box(&all), Rules::default(), HISTORY_CAP, &ranker));
    });
    group.bench_function("durable record in the store, profile included", |b| {
        let folder = installation(&model);
        let mut recommender = Recommender::open(folder.path()).expect("an installation");
        all[..HISTORY as usize]
            .iter()
            .for_each(|one| recommender.record(*one).expect("a store that works"));
        let mut next = HISTORY;
        b.iter(|| {
            next += 1;
            recommender
                .record(interaction(next))
                .expect("a store that works");
        });
    });
    group.finish();
}

fn recommend(c: &mut Criterion) {
    let (model, used) = (model(64), interactions(HISTORY));
    let mut group = c.benchmark_group("top 20 of 26744, d = 64 (target 1 ms)");
    let filter = Filter::default();
    let seen: Vec<ItemId> = used.iter().map(|one| one.item).collect();
    for (name, precision) in [("f32", Precision::Full), ("bytes", Precision::Compact)] {
        let ranker = Ranker::new(&model, precision);
        let online = OnlineProfile::new(&used, Rules::default(), HISTORY_CAP, &ranker);
        let top = || {
            let shares = filter.shares(&used, &Catalogue::default(), ITEMS as usize);
            ranker.top(online.profile(), &shares, LIST)
        };
        group.bench_function(format!("{name}: filter, score, choose"), |b| b.iter(top));
        println!("{name}: {}", percentiles(top));
        // Where no row is out of reach.
        let all = || top_k(&ranker.scores(online.profile()), &seen, LIST);
        group.bench_function(format!("{name}: all scores, choose"), |b| b.iter(all));
        println!("{name}, all scores: {}", percentiles(all));
    }
    let ranker = Ranker::new(&model, Precision::Full);
    let online = OnlineProfile::new(&used, Rules::default(), HISTORY_CAP, &ranker);
    let (p, _) = online.profile().user_factors();
    group.bench_function("reference: bare f32 inner products", |b| {
        b.iter(|| bare(&model, black_box(&p)))
    });
    group.bench_function("reference: from the history anew", |b| {
        b.iter(|| {
            scores(
                &History::new(black_box(&used), ITEMS, HISTORY_CAP),
                &model,
                Some(HALF_LIFE),
            )
        });
    });
    group.finish();
}

/// The inner products of one vector with all rows and nothing else, in the plainest loop that
/// vectorises.
fn bare(model: &SpectralModel, p: &[f32]) -> Vec<f32> {
    let factors = model.factors();
    let values = factors
        .as_slice()
        .expect("factors are stored row-major");
    let dot = |row: &[f32]| {
        let mut lanes = [0.0f32; 8];
        for (row, p) in row.chunks_exact(8).zip(p.chunks_exact(8)) {
            (0..8).for_each(|lane| lanes[lane] += row[lane] * p[lane]);
        }
        lanes.iter().sum()
    };
    values.chunks_exact(p.len()).map(dot).collect()
}

/// Median and 99th percentile of the wall time of one call, over the calls during which the kernel
/// let no other work run on this core: waiting for others is not the cost of a call.
#[allow(clippy::disallowed_methods, reason = "measures, decides nothing")]
fn percentiles<T>(call: impl Fn() -> T) -> String {
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let slices = time_slices();
        let start = std::time::Instant::now();
        black_box(call());
        let took = start.elapsed();
        if time_slices() == slices {
            times.push(took);
        }
    }
    times.sort_unstable();
    let at = |percent| {
        times
            .get(times.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    format!(
        "p50 {:?}, p99 {:?} of the {} calls in {CALLS} that nothing interrupted",
        at(50),
        at(99),
        times.len()
    )
}

/// How often the kernel has put this thread on a core; all alike where it does not tell.
fn time_slices() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split_whitespace().nth(2)?.parse().ok()
}

/// A model of 26,744 items with random factors, all of them in the block.
fn model(factors: u32) -> SpectralModel {
    let recipe = Recipe {
        factors,
        weight_exponent: 0.2,
        popularity_exponent: 0.1,
        coverage: 1.0,
        ..Recipe::counts_only()
    };
    let counts: Vec<f64> = (1..=ITEMS).map(|rank| 1e5 / f64::from(rank)).collect();
    server::random_init(&server::apply_counts(&counts, 1.0, &recipe), &recipe, 3)
}

fn installation(model: &SpectralModel) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    Store::create(folder.path()).expect("a new store");
    let (bytes, models) = (model.to_bytes(), folder.path().join("models"));
    let hash = tacit_privacy::canonical::digest(&bytes);
    std::fs::create_dir(&models).expect("a folder");
    std::fs::write(models.join(format!("{hash}.bin")), bytes).expect("a model");
    std::fs::write(models.join("serving"), format!("bench {hash} -\n")).expect("a pointer");
    folder
}

fn interactions(count: u32) -> Vec<Interaction> {
    (0..count).map(interaction).collect()
}

/// Items all different.
fn interaction(i: u32) -> Interaction {
    let (item, timestamp) = (ItemId(i * 53 % ITEMS), Some(Timestamp(u64::from(i))));
    Interaction {
        item,
        timestamp,
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = profile, recommend
}
criterion_main!(benches);
