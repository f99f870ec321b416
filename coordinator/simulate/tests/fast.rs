//! Fast mode against the pipeline of a device, and against itself on another number of threads.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use rand::{Rng, TryRng};
use tacit_data::{SyntheticSpec, synthetic};
use tacit_model::family::spectral::SpectralModel;
use tacit_model::{History, Model};
use tacit_privacy::{clip, quantise};
use tacit_simulate::sum::{Ask, device_sum, rounding};
use tacit_simulate::train::train;
use tacit_simulate::{Family, Population, Setting, Sweep, table};
use tacit_types::{Delta, Epsilon};

fn population(users: usize) -> Population {
    Population::new(synthetic(&SyntheticSpec {
        users,
        items: 90,
        seed: 4,
    }))
}

fn setting(epsilon: f64) -> Setting {
    Setting {
        epsilon: Epsilon::new(epsilon).unwrap(),
        delta: Delta::new(1e-5).unwrap(),
        dropout: 0.1,
        dishonest: 0.05,
        history_max: 40,
        factors: None,
        clip_norm: None,
        rounds: Some(2),
        evaluation: 0.0,
    }
}

fn sweep() -> Sweep {
    Sweep {
        family: Family::Spectral,
        split: "last item".into(),
        base: setting(8.0),
        epsilons: vec![Epsilon::new(8.0).unwrap(), Epsilon::new(0.5).unwrap()],
        factors: vec![None, Some(4)],
        rounds: vec![Some(2)],
        clip_norms: vec![None],
        projected: vec![None, Some(2_000)],
        seeds: vec![3, 4],
        half_life: Some(10.0),
        exact: false,
        central: true,
    }
}

/// What a device computes, clips and rounds, in the dense form it sends. The rows it has something
/// in are rounded with the words fast mode rounds them with, all others with words of their own.
fn dense(population: &Population, user: u32, ask: &Ask<'_>) -> Vec<i32> {
    let interactions = &population.interactions[user as usize];
    let history_max = ask.mechanism.history_max as usize;
    let vector = || {
        let vector = ask
            .model
            .vector(ask.kind, interactions, history_max, false);
        vector.unwrap()
    };
    let (length, width) = (
        ask.mechanism.length as usize,
        ask.mechanism.row_width as usize,
    );
    let rows = vector().into_coordinates();
    let touched = rows
        .chunks(width)
        .map(|row| row.iter().any(|&value| value != 0.0))
        .collect();
    let clipped = clip(vector(), ask.mechanism);
    let mut words = Woven {
        touched,
        width,
        length,
        at: 0,
        words: Vec::new().into_iter(),
        inner: rounding(ask, user),
    };
    quantise(clipped, ask.mechanism, &mut words)
        .values()
        .to_vec()
}

/// Gives the words of another generator to the coordinates of some rows, and zeros to the rest,
/// attempt after attempt.
struct Woven<R> {
    touched: Vec<bool>,
    width: usize,
    length: usize,
    at: usize,
    /// Words of this attempt not yet given, drawn as fast mode draws those of one attempt.
    words: std::vec::IntoIter<[u8; 4]>,
    inner: R,
}

impl<R: Rng> Woven<R> {
    fn next_word(&mut self) -> [u8; 4] {
        let place = self.at % self.length;
        if place == 0 {
            let rows = self.touched.iter().filter(|touched| **touched).count();
            let mut words = vec![0; 4 * rows * self.width];
            self.inner.fill_bytes(&mut words);
            self.words = words.as_chunks::<4>().0.to_vec().into_iter();
        }
        self.at += 1;
        if self.touched[place / self.width] {
            self.words.next().unwrap()
        } else {
            [0; 4]
        }
    }
}

impl<R: Rng> TryRng for Woven<R> {
    type Error = std::convert::Infallible;

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("rounding takes 32-bit words")
    }

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("rounding takes its words in blocks")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        let (words, rest) = out.as_chunks_mut::<4>();
        assert!(rest.is_empty(), "rounding takes 32-bit words");
        words
            .iter_mut()
            .for_each(|word| *word = self.next_word());
        Ok(())
    }
}

#[test]
fn the_fast_sum_is_the_dense_pipelines_without_noise_to_the_last_integer() {
    let population = population(300);
    let plan = setting(20.0)
        .plan(Family::Spectral, 300, population.items)
        .unwrap();
    let model = train(&population.capped(40), &plan, 1).unwrap().model;
    for (release, &(kind, rho)) in (0u32..).zip(&plan.releases) {
        let mechanism = plan.mechanism(kind, rho, &model).unwrap();
        assert!(mechanism.length > 0);
        let ask = Ask {
            kind,
            model: &model,
            mechanism: &mechanism,
            seed: 9,
            release,
        };
        let present: Vec<u32> = (0..300).filter(|user| user % 7 != 3).collect();
        let mut expected = vec![0i32; mechanism.length as usize];
        for &user in &present {
            expected
                .iter_mut()
                .zip(dense(&population, user, &ask))
                .for_each(|(sum, value)| *sum += value);
        }
        assert!(expected.iter().any(|&value| value != 0));
        assert_eq!(
            device_sum(&population.capped(40), &present, &ask),
            expected,
            "{kind:?}"
        );
    }
}

#[test]
fn the_number_of_threads_does_not_show() {
    let on_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let outcome = tacit_simulate::run(&[population(200)], &sweep(), &|| ()).unwrap();
            serde_json::to_string(&outcome).unwrap()
        })
    };
    let one = on_threads(1);
    assert!(one == on_threads(2) && one == on_threads(5));
}

#[test]
fn the_noise_on_the_sum_is_that_of_the_contributors_shares() {
    // The same plan with and without a cohort's noise differs by that noise alone: its variance
    // over all coordinates of the first release. 6 standard errors of a sample variance, sqrt(2/N)
    // of it each: false alarm about 2e-9.
    let population = Population::new(synthetic(&SyntheticSpec {
        users: 400,
        items: 5_000,
        seed: 4,
    }));
    let plan = setting(8.0)
        .plan(Family::Spectral, 400, population.items)
        .unwrap();
    let (kind, rho) = plan.releases[0];
    let genesis = Model::from(SpectralModel::genesis(population.items));
    let mechanism = plan.mechanism(kind, rho, &genesis).unwrap();
    let ask = Ask {
        kind,
        model: &genesis,
        mechanism: &mechanism,
        seed: 2,
        release: 0,
    };
    let present: Vec<u32> = (0..380).collect();
    let sum = device_sum(&population.capped(40), &present, &ask);
    let noised = tacit_simulate::noise::add(sum.clone(), &mechanism, 380, 2, 0);
    let squares: f64 = noised
        .iter()
        .zip(&sum)
        .map(|(noised, sum)| f64::from(noised - sum).powi(2))
        .sum();
    let expected = mechanism.sigma2 as f64 * 380.0 / f64::from(mechanism.n_min);
    assert!((squares / 5_000.0 / expected - 1.0).abs() < 6.0 * (2.0f64 / 5_000.0).sqrt());
}

#[test]
fn a_projection_keeps_the_signal_and_divides_the_noise() {
    let population = population(200);
    let histories: Vec<History> = population.capped(40);
    let at = |devices| {
        let plan = setting(2.0)
            .plan(Family::Spectral, devices, population.items)
            .unwrap();
        let run = train(&histories, &plan, 1).unwrap();
        (
            run.releases[0].mechanism.clone(),
            run.releases[0].contributors,
            run.model,
        )
    };
    let ((small, few, _), (large, many, model)) = (at(200), at(20_000));
    assert!(many == few * 100 && large.n_min > 99 * small.n_min);
    // Counts of the model stand for all projected devices: each contributes its sqrt of history
    // length.
    let expected: f64 = histories
        .iter()
        .map(|history| (history.len() as f64).sqrt())
        .sum::<f64>()
        * 90.0;
    let counted: f64 = model
        .counts()
        .iter()
        .map(|&count| f64::from(count))
        .sum();
    assert!(
        (counted / expected - 1.0).abs() < 0.1,
        "{counted} {expected}"
    );
}

#[test]
fn the_price_of_what_was_released_is_at_most_what_was_asked() {
    let outcome = tacit_simulate::run(&[population(200)], &sweep(), &|| ()).unwrap();
    assert_eq!(outcome.points.len(), 8);
    for point in &outcome.points {
        assert!(
            point.epsilon > 0.0 && point.epsilon <= point.epsilon_asked,
            "{}",
            point.epsilon
        );
        let models: Vec<&str> = point.rows.iter().map(|row| row.model).collect();
        assert_eq!(
            models,
            [
                "random",
                "private_popularity",
                "counts_features",
                "federated",
                "noise_free",
                "central_ials",
                "central_ials_recent",
                "central_ease"
            ]
        );
    }
    assert_eq!(
        outcome
            .points
            .iter()
            .filter(|point| point.projected_users.is_some())
            .count(),
        4
    );
}

#[test]
fn a_sweep_is_read_back_from_its_csv() {
    let outcome = tacit_simulate::run(&[population(60)], &sweep(), &|| ()).unwrap();
    let mut file = Vec::new();
    table::csv(&outcome, &mut file).unwrap();
    let mut reader = csv::Reader::from_reader(file.as_slice());
    let columns = reader.headers().unwrap().clone();
    let place = |name: &str| {
        columns
            .iter()
            .position(|column| column == name)
            .unwrap()
    };
    let places = ["model", "seed", "epsilon", "ndcg_at_10"].map(place);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    // Three models are drawn once per seed, five do not depend on it.
    assert_eq!(records.len(), outcome.points.len() * (3 * 2 + 5));
    for record in &records {
        let [model, seed, epsilon, ndcg] = places.map(|place| record[place].to_owned());
        assert!(
            ["3", "4"].contains(&seed.as_str()) && epsilon.parse::<f64>().unwrap() > 0.0,
            "{model}"
        );
        assert!((0.0..=1.0).contains(&ndcg.parse::<f64>().unwrap()));
    }
}

#[test]
fn the_exact_pipeline_opens_the_plain_sum_and_costs_what_the_fast_one_does() {
    let population = population(40);
    let plan = setting(30.0)
        .plan(Family::Spectral, 40, population.items)
        .unwrap();
    assert!(!plan.fallback);
    let exact = tacit_simulate::exact::train(&population.interactions, &plan, 3).unwrap();
    let fast = train(&population.capped(40), &plan, 3).unwrap();
    let public = |run: &tacit_simulate::train::Run| {
        run.releases
            .iter()
            .map(|release| (release.kind, release.contributors))
            .collect::<Vec<_>>()
    };
    // Lengths of later releases follow from the noisy counts; everything before any noise is the
    // same.
    assert_eq!(
        (public(&exact), &exact.releases[0]),
        (public(&fast), &fast.releases[0])
    );
    assert!(exact.model.factor_count() > 0 && exact.model != fast.model);
}

#[test]
fn a_page_needs_nothing_else_and_shows_every_model() {
    let outcome = tacit_simulate::run(&[population(60)], &sweep(), &|| ()).unwrap();
    let page = tacit_simulate::page::html(&outcome);
    for text in [
        "Against epsilon",
        "Against devices",
        "Against factors",
        "By length of history",
        "projection",
        "private popularity",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let loads_nothing =
        !page.contains("://") && !page.contains("src=") && !page.contains("<script");
    assert!(loads_nothing && !page.contains("NaN"));
}

#[test]
fn a_projection_to_fewer_devices_than_there_are_is_refused() {
    let sweep = Sweep {
        projected: vec![Some(50)],
        ..sweep()
    };
    let error = tacit_simulate::run(&[population(60)], &sweep, &|| ())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("--projected-users: 50 is fewer than the 60 users"),
        "{error}"
    );
}
