//! What one seed costs the helper on one core: opened, expanded to a mask of 118,592 coordinates,
//! added. Target: at least 5,000 seeds a second. Beside it the bare keystream, which no helper can
//! be faster than, and opening as the HPKE crate does it, which the helper did before. The last
//! line counts processor time, which says more on a busy machine.

#![allow(clippy::print_stdout, reason = "benchmarks say what they measured")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_helper::ExpandedKey;
use tacit_privacy::canonical::digest;
use tacit_round::helper::{HelperRound, SealedSeed};
use tacit_round::seal::{Binding, MaskSeed, OpeningKey, seal};
use tacit_round::ticket::Ticket;
use tacit_types::{Commitment, ContributionId, Digest};

use common::{LENGTH, mechanism, ticket};

const SEEDS: u8 = 64;

fn seeds(c: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let key = OpeningKey::draw(&mut rng);
    let mut mechanism = mechanism(16);
    mechanism.n_min = 2;
    let ticket = ticket(mechanism, &key);
    let hash = digest(&ticket.to_bytes().expect("a ticket is canonical"));
    let sealed: Vec<SealedSeed> = (0..SEEDS)
        .map(|name| sealed(&ticket, hash, name, &mut rng))
        .collect();
    let expanded = ExpandedKey::new(&key).expect("a key just drawn");
    let round = HelperRound::new(ticket.clone(), hash, expanded, None);
    let reference = HelperRound::new(ticket, hash, key, None);

    let mut group = c.benchmark_group("helper at 118592 coordinates, one core (elem = seed)");
    group.throughput(Throughput::Elements(u64::from(SEEDS)));
    group.bench_function("open, expand, sum (target 5 Kelem/s)", |b| {
        b.iter(|| round.mask_sum(round.open_set(&sealed).expect("an honest set").seeds()));
    });
    group.bench_function("of it: open", |b| {
        b.iter(|| round.open_set(&sealed).expect("an honest set"))
    });
    group.bench_function("open by the HPKE crate", |b| {
        b.iter(|| reference.open_set(&sealed).expect("an honest set"))
    });
    group.bench_function("bare ChaCha20 keystream, added", |b| {
        let mut sum = vec![0u32; LENGTH as usize];
        b.iter(|| {
            for name in 0..SEEDS {
                add_keystream(black_box(&mut sum), [name; 32]);
            }
        });
    });
    group.finish();

    let ours = processor_time(|| {
        round
            .open_set(&sealed)
            .map(|set| round.mask_sum(set.seeds()))
    });
    let before = processor_time(|| reference.open_set(&sealed));
    let mut sum = vec![0u32; LENGTH as usize];
    let bare = processor_time(|| (0..SEEDS).for_each(|name| add_keystream(&mut sum, [name; 32])));
    println!(
        "processor time of a seed: {ours:.0} us, {:.0} a second and core (target 5000); {:.2} \
         times the HPKE crate's opening and the bare keystream",
        1e6 / ours,
        ours / (before + bare)
    );
}

/// Microseconds of this thread's processor time a seed, the least of several tries.
fn processor_time<T>(mut work: impl FnMut() -> T) -> f64 {
    let tries = (0..20).map(|_| {
        let begun = ran_for();
        black_box(work());
        (ran_for() - begun) / 1e3 / f64::from(SEEDS)
    });
    tries.fold(f64::INFINITY, f64::min)
}

/// Nanoseconds that the kernel has accounted to this thread, which it does when the thread yields.
fn ran_for() -> f64 {
    std::thread::yield_now();
    let read = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let ran = read.split(' ').next().and_then(|ran| ran.parse().ok());
    ran.expect("nanoseconds come first")
}

fn add_keystream(sum: &mut [u32], key: [u8; 32]) {
    let mut stream = ChaCha20Rng::from_seed(key);
    let mut block = [0u8; 4096];
    for values in sum.chunks_mut(1024) {
        let bytes = &mut block[..4 * values.len()];
        stream.fill_bytes(bytes);
        for (value, word) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = value.wrapping_add(u32::from_le_bytes(*word));
        }
    }
}

fn sealed(ticket: &Ticket, hash: Digest, name: u8, rng: &mut ChaCha20Rng) -> SealedSeed {
    let binding = Binding {
        task: &ticket.task,
        round: ticket.round,
        ticket: hash,
        length: LENGTH,
        contribution: ContributionId([name; 16]),
        commitment: Commitment([name; 32]),
    };
    let key = ticket.sealing_key_bytes().expect("hexadecimal");
    let sealed = seal(&MaskSeed::draw(rng), None, &key, &binding, rng).expect("a good key");
    SealedSeed {
        contribution: binding.contribution,
        sealed,
        commitment: binding.commitment,
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    targets = seeds
}
criterion_main!(benches);
