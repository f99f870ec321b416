//! Simulated devices a second at MovieLens-1M shape, beside the same devices with dense vectors.
//! Target: 25,000 factor gradients per CPU-second, which is 4 ms for the 100
//! devices of one iteration.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_model::family::spectral::{SpectralModel, device, server};
use tacit_model::{History, Interaction, InteractionKind, Model, Recipe};
use tacit_privacy::{Mechanism, Tier, clip, quantise};
use tacit_round::ticket::Kind;
use tacit_simulate::sum::{Ask, device_sum, rounding};
use tacit_types::ItemId;

/// Items of the catalogue and factors of an item.
const ITEMS: u32 = 3_706;
const FACTORS: u32 = 32;
/// Devices of one iteration.
const DEVICES: u32 = 100;
/// Mean history of MovieLens-1M.
const HISTORY: u32 = 165;

fn simulate(c: &mut Criterion) {
    let (model, mechanism) = (model(), mechanism());
    let histories: Vec<History> = (0..DEVICES).map(history).collect();
    let present: Vec<u32> = (0..DEVICES).collect();
    let model = Model::from(model);
    let ask = Ask {
        kind: Kind::FactorGradient,
        model: &model,
        mechanism: &mechanism,
        seed: 1,
        release: 0,
    };
    let one_thread = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread");

    let mut group = c.benchmark_group("100 simulated devices at 118592 coordinates, one thread");
    group.throughput(Throughput::Elements(u64::from(DEVICES)));
    group.bench_function("rows that are not zero (target 4 ms)", |b| {
        one_thread.install(|| b.iter(|| device_sum(black_box(&histories), &present, &ask)));
    });
    group.bench_function("reference: dense vectors", |b| {
        b.iter(|| dense_sum(black_box(&histories), &ask))
    });
    group.finish();
}

/// The same sum the way a device's vector is defined.
fn dense_sum(histories: &[History], ask: &Ask<'_>) -> Vec<i32> {
    let mut sum = vec![0i32; ask.mechanism.length as usize];
    for (user, history) in (0u32..).zip(histories) {
        let clipped = clip(
            device::gradient(history, ask.model.spectral().expect("a spectral model")),
            ask.mechanism,
        );
        let rounded = quantise(clipped, ask.mechanism, &mut rounding(ask, user));
        sum.iter_mut()
            .zip(rounded.values())
            .for_each(|(total, value)| *total += value);
    }
    sum
}

fn mechanism() -> Mechanism {
    Mechanism {
        tier: Tier::Helper,
        length: ITEMS * FACTORS,
        row_width: FACTORS,
        row_cap_milli: 1000,
        history_max: 1024,
        nnz_max: 1024 * FACTORS,
        steps: 1024,
        sigma2: 16 * 16 * 5_000,
        n_min: 5_000,
        cohort_max: 6_040,
        helper_noise: false,
    }
}

/// A model of 3,706 items and 32 random factors.
fn model() -> SpectralModel {
    let recipe = Recipe {
        factors: FACTORS,
        weight_exponent: 0.2,
        ..Recipe::counts_only()
    };
    let counts: Vec<f64> = (1..=ITEMS).map(|rank| 1e4 / f64::from(rank)).collect();
    server::random_init(&server::apply_counts(&counts, 1.0, &recipe), &recipe, 3)
}

/// Items drawn uniformly: the worst case for memory, because nothing is touched often.
fn history(user: u32) -> History {
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(user));
    let one = |_| Interaction {
        item: ItemId(rng.random_range(0..ITEMS)),
        timestamp: None,
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    History::new(&(0..HISTORY).map(one).collect::<Vec<_>>(), ITEMS, 1024)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = simulate
}
criterion_main!(benches);
