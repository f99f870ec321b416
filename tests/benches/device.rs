//! What one release costs a device, and the noise sampler beside the one it replaced. Target: at
//! most 12 ms a release at 118,592 coordinates.

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tacit_model::family::spectral::{SpectralModel, server};
use tacit_model::{Interaction, InteractionKind, Model, Recipe};
use tacit_privacy::ledger::spend;
use tacit_privacy::noise::{NoiseTable, rejection};
use tacit_privacy::{
    DeviceBudget, Mechanism, MemoryLedger, NoiseSeed, Rho, SpendPermit, clip, privatise,
};
use tacit_round::contribute::contribute;
use tacit_round::seal::OpeningKey;
use tacit_types::{Digest, ItemId, RoundId, TaskId, Timestamp};

use common::{FACTORS, ITEMS, mechanism, ticket};

/// So that microseconds an iteration read as nanoseconds a coordinate.
const COORDINATES: usize = 1000;
/// Mean history of MovieLens-1M.
const HISTORY: u32 = 165;

fn noise(c: &mut Criterion) {
    let mut group = c.benchmark_group("noise for 1000 coordinates (us = ns/coordinate)");
    for deviation in [16u64, 64, 128] {
        let mechanism = mechanism(deviation);
        let (table, mut rng) = (NoiseTable::new(&mechanism), ChaCha20Rng::seed_from_u64(1));
        let mut out = vec![0i32; COORDINATES];
        group.bench_function(BenchmarkId::new("table", deviation), |b| {
            b.iter(|| table.fill(black_box(&mut out), &mut rng));
        });
        group.bench_function(BenchmarkId::new("rejection", deviation), |b| {
            b.iter(|| {
                for value in &mut out {
                    *value = rejection::sample(mechanism.sigma2, mechanism.n_min, &mut rng);
                }
                black_box(&mut out);
            });
        });
    }
    group.finish();
}

fn release(c: &mut Criterion) {
    let key = OpeningKey::draw(&mut ChaCha20Rng::seed_from_u64(2));
    let ticket = ticket(mechanism(16), &key);
    let (model, interactions) = (model(), interactions());
    let model = Model::from(model);
    let gradient = || {
        let history_max = ticket.mechanism.history_max as usize;
        let vector = model.vector(ticket.kind, &interactions, history_max, false);
        vector.expect("the ticket asks for this model's gradient")
    };
    assert_eq!(gradient().len(), ticket.mechanism.length as usize);
    let table = NoiseTable::new(&ticket.mechanism);

    let mut group = c.benchmark_group("device at 118592 coordinates");
    group.bench_function(
        "whole release: gradient to sealed bytes (target 12 ms)",
        |b| {
            let whole = |permit| {
                contribute(&ticket, permit, gradient(), &table, None)
                    .expect("randomness and a good key")
            };
            b.iter_batched(|| permit(&ticket.mechanism), whole, BatchSize::PerIteration);
        },
    );
    group.bench_function("of it: gradient", |b| b.iter(gradient));
    group.bench_function("of it: clip, round, noise", |b| {
        let inputs = || (permit(&ticket.mechanism), gradient());
        let private = |(permit, vector)| {
            let seed = NoiseSeed::from_os().expect("randomness");
            privatise(clip(vector, &ticket.mechanism), permit, &table, seed)
        };
        b.iter_batched(inputs, private, BatchSize::PerIteration);
    });
    group.finish();
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

fn interactions() -> Vec<Interaction> {
    let one = |i: u32| Interaction {
        item: ItemId(i * 22),
        timestamp: Some(Timestamp(u64::from(i))),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    (0..HISTORY).map(one).collect()
}

fn permit(mechanism: &Mechanism) -> SpendPermit {
    let budget = DeviceBudget::lifetime(Rho::MAX);
    let task = TaskId::new("bench").expect("a task name");
    let Ok(permit) = spend(
        &mut MemoryLedger::default(),
        budget,
        &task,
        RoundId(1),
        Digest([0; 32]),
        mechanism,
        Timestamp(0),
    );
    permit.expect("the budget is large")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = noise, release
}
criterion_main!(benches);
