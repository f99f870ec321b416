//! Fast mode: a whole job with the noise of each release drawn once on its sum.
//!
//! Invariant: nothing here touches a `SpendPermit` or a `PrivateUpdate`; what comes out is a model, for measuring.

use rand::RngExt;
use tacit_model::preference::History;
use tacit_model::recipe::Recipe;
use tacit_model::spectral::SpectralModel;
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::{Mechanism, Rho};
use tacit_round::ticket::Kind;
use tacit_server::apply::{OpenedSum, Settings, apply};
use tacit_server::job::Job;

use crate::clock;
use crate::error::SimulateError;
use crate::noise;
use crate::streams::{Purpose, stream};
use crate::sum::{Ask, device_sum};

/// How the noise is made, for the record.
pub const MODE: &str = "fast: every device rounded, noise drawn once on each sum from a seeded public sampler";

/// One simulated job.
pub struct Run {
    /// What devices would rank with.
    pub model: SpectralModel,
    /// What was released, in order.
    pub releases: Vec<Release>,
    /// Work done on factor gradients.
    pub throughput: Throughput,
}

/// One simulated release.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// What was summed.
    pub kind: Kind,
    /// Its public numbers.
    pub mechanism: Mechanism,
    /// Devices in the sum; a projection counts the devices it stands for.
    pub contributors: u32,
}

/// Devices simulated, and the processor time their factor gradients took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throughput {
    /// Factor gradients computed, rounded and added.
    pub devices: u64,
    /// Processor seconds of all threads.
    pub cpu_seconds: f64,
}

impl Throughput {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { devices: self.devices + other.devices, cpu_seconds: self.cpu_seconds + other.cpu_seconds }
    }

    /// Devices per processor second; `None` before any.
    pub fn rate(&self) -> Option<f64> {
        (self.devices > 0 && self.cpu_seconds > 0.0).then(|| self.devices as f64 / self.cpu_seconds)
    }
}

impl Run {
    /// Before the first release.
    pub(crate) fn start(job: &Job) -> Self {
        Self { model: SpectralModel::genesis(job.items), releases: Vec::new(), throughput: Throughput::default() }
    }

    /// Whether no factor gradient was released yet.
    pub(crate) fn before_gradients(&self) -> bool {
        self.releases.iter().all(|release| release.kind != Kind::FactorGradient)
    }

    /// Price of all releases together.
    pub fn rho(&self) -> Rho {
        self.releases.iter().fold(Rho::ZERO, |sum, release| sum.compose(release.mechanism.rho()))
    }

    /// Distance of all noise from the ideal, units of 2^-128, as a deployment's samplers would have it.
    pub fn total_variation(&self) -> u128 {
        self.releases.iter().map(|release| release_total_variation(&release.mechanism)).sum()
    }
}

/// Runs a planned job on `histories`, one per device.
///
/// When `job.cohort` is larger than the population, the run is a projection: each user stands for `job.cohort / users`
/// devices like them, so the sum is that much larger and the noise that much smaller beside it. Rounding is made
/// correspondingly finer, so that it too is what so many devices would leave.
///
/// # Errors
/// [`SimulateError::Job`] when a release has no sound mechanism.
pub fn train(histories: &[History], job: &Job, seed: u64) -> Result<Run, SimulateError> {
    let mut run = Run::start(job);
    for (release, &(kind, rho)) in (0u32..).zip(&job.releases) {
        let mechanism = job.mechanism(kind, rho, &run.model)?;
        let present = present(histories.len(), job, seed, release);
        let opening = Opening { histories, job, kind, mechanism: &mechanism, seed, release, model: &run.model };
        let (values, contributors, spent) = opening.open(&present);
        let opened = OpenedSum { kind, mechanism: &mechanism, contributors, values: &values };
        let settings = Settings { recipe: &job.recipe, first: run.before_gradients(), seed };
        run.model = apply(&run.model, &opened, &settings);
        run.releases.push(Release { kind, mechanism, contributors });
        if kind == Kind::FactorGradient {
            run.throughput = run.throughput.and(spent);
        }
    }
    Ok(run)
}

/// Who does not drop out of a release, ascending.
pub(crate) fn present(users: usize, job: &Job, seed: u64, release: u32) -> Vec<u32> {
    let dropout = f64::from(job.dropout_milli) / 1000.0;
    let mut rng = stream(seed, Purpose::Dropout, release, 0);
    (0u32..).take(users).filter(|_| rng.random::<f64>() >= dropout).collect()
}

/// One release on its way to its opened sum.
struct Opening<'a> {
    histories: &'a [History],
    job: &'a Job,
    kind: Kind,
    mechanism: &'a Mechanism,
    model: &'a SpectralModel,
    seed: u64,
    release: u32,
}

impl Opening<'_> {
    /// The noised sum in grid steps, the contributors it stands for, and the work.
    fn open(&self, present: &[u32]) -> (Vec<i32>, u32, Throughput) {
        let stands_for = f64::from(self.job.cohort) / self.histories.len().max(1) as f64;
        let projected = stands_for > 1.0;
        // Rounding n vectors on a grid finer by sqrt(N/n) and scaling by N/n leaves the variance of rounding N vectors.
        let steps = if projected { scaled(self.mechanism.steps, stands_for.sqrt()) } else { self.mechanism.steps };
        let grid = Mechanism { steps, ..self.mechanism.clone() };
        let ask = Ask { kind: self.kind, model: self.model, mechanism: &grid, seed: self.seed, release: self.release };
        let start = clock::cpu_seconds();
        let mut sum = device_sum(self.histories, present, &ask);
        let spent = Throughput { devices: present.len() as u64, cpu_seconds: clock::cpu_seconds() - start };
        let mut contributors = u32::try_from(present.len()).unwrap_or(u32::MAX);
        if projected {
            let scale = stands_for * f64::from(self.mechanism.steps) / f64::from(steps);
            sum.iter_mut().for_each(|value| *value = nearest(f64::from(*value) * scale));
            contributors = scaled(contributors, stands_for);
        }
        (noise::add(sum, self.mechanism, contributors, self.seed, self.release), contributors, spent)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
fn scaled(count: u32, by: f64) -> u32 {
    (f64::from(count) * by).round() as u32
}

#[allow(clippy::cast_possible_truncation, reason = "`as` saturates; the mechanism's check leaves room")]
fn nearest(value: f64) -> i32 {
    value.round() as i32
}

/// Trains `recipe` on everybody without noise, on the finest grid that keeps the sum in 32 bits.
pub fn train_without_noise(histories: &[History], items: u32, recipe: &Recipe, seed: u64) -> SpectralModel {
    let everybody: Vec<u32> = (0u32..).take(histories.len()).collect();
    let contributors = u32::try_from(histories.len()).unwrap_or(u32::MAX);
    let mut model = SpectralModel::genesis(items);
    let head = (recipe.head > 0).then_some(Kind::HeadGram);
    let gradients = (0..recipe.rounds).map(|_| Kind::FactorGradient);
    let mut first = true;
    for (release, kind) in (0u32..).zip([Kind::Counts].into_iter().chain(head).chain(gradients)) {
        let mechanism = noiseless(kind, &model, contributors);
        let ask = Ask { kind, model: &model, mechanism: &mechanism, seed, release };
        let values = device_sum(histories, &everybody, &ask);
        let opened = OpenedSum { kind, mechanism: &mechanism, contributors, values: &values };
        model = apply(&model, &opened, &Settings { recipe, first, seed });
        first &= kind != Kind::FactorGradient;
    }
    model
}

/// A grid without noise. Its norm bound is the loosest, so nothing is rounded twice.
fn noiseless(kind: Kind, model: &SpectralModel, contributors: u32) -> Mechanism {
    let (length, row_width) = match kind {
        Kind::Counts => (model.catalogue_len() as usize, 1),
        Kind::HeadGram => (model.head_gram_len(), 1),
        Kind::FactorGradient => (model.gradient_len(), model.factor_count()),
    };
    let (length, row_width) = (u32::try_from(length).unwrap_or(u32::MAX), u32::try_from(row_width).unwrap_or(u32::MAX));
    Mechanism {
        tier: tacit_privacy::Tier::Helper,
        length,
        row_width: row_width.max(1),
        row_cap_milli: 1000,
        history_max: u32::MAX,
        nnz_max: length,
        steps: ((1u32 << 30) / contributors.max(1)).clamp(1, 1 << 20),
        sigma2: 0,
        n_min: 1,
        cohort_max: contributors,
        helper_noise: false,
    }
}
