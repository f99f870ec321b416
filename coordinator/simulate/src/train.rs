//! Fast mode: a whole task with the noise of each release drawn once on its sum.
//!
//! Invariant: nothing here touches a `SpendPermit` or a `PrivateUpdate`. A run gives a model, for
//! measuring.

use tacit_model::family::recipe::Recipe;
use tacit_model::family::spectral::SpectralModel;
use tacit_model::family::{Owner, Spared};
use tacit_model::history::preference::History;
use tacit_model::measure::evaluation::Evaluation;
use tacit_model::release::{OpenedSum, Step};
use tacit_model::{Features, Model};
use tacit_plan::{Plan, Shape, apply, opened_sum};
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::{Mechanism, Rho};
use tacit_round::ticket::Kind;

use crate::error::SimulateError;
use crate::evaluated::{Evaluated, direct};
use crate::release::{Opened, Opening, everybody, noiseless, present};
use crate::sum::{Ask, sparse};
use crate::throughput::Throughput;

/// How the noise is made, for the record.
pub const MODE: &str =
    "fast: every device rounded, noise drawn once on each sum from a seeded public sampler";

/// One simulated task.
pub struct Run<M = Model> {
    /// What devices would rank with.
    pub model: M,
    /// What was released, in order.
    pub releases: Vec<Release>,
    /// What the devices' own evaluation found, if the plan has one.
    pub evaluation: Option<Evaluated>,
    /// Work done on factor gradients.
    pub throughput: Throughput,
}

/// One simulated release.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// What was summed.
    pub kind: &'static str,
    /// Its public numbers.
    pub mechanism: Mechanism,
    /// Devices in the sum; a projection counts the devices it stands for.
    pub contributors: u32,
}

impl Run {
    /// Before the first release.
    pub(crate) fn start(model: Model) -> Self {
        Self {
            model,
            releases: Vec::new(),
            evaluation: None,
            throughput: Throughput::default(),
        }
    }
}

impl Run {
    /// Makes one release of the protocol and applies it as `step` says.
    pub(crate) fn release(
        &mut self,
        owners: &[Owner<'_>],
        plan: &Plan,
        (kind, rho): (Kind, Rho),
        step: &Step<'_>,
    ) -> Result<(), SimulateError> {
        let (release, seed) = (self.next_release(), step.seed);
        let mechanism = plan.mechanism(kind, rho, &self.model)?;
        let present = present(owners.len(), plan, seed, release);
        let asked = Asked {
            kind,
            mechanism: &mechanism,
            cohort: plan.cohort,
            seed,
            release,
        };
        let opened = open(owners, &self.model, &asked, &present);
        let sum = summed(kind, &mechanism, &opened);
        let next = apply(&self.model, &sum, step)?;
        if let Some(private) = sum.evaluation() {
            self.evaluated(owners, private, &next);
        }
        self.model = next;
        let gradient = matches!(
            kind,
            Kind::FactorGradient | Kind::WeightedGradient | Kind::LayerGradient
        );
        let counted = if gradient {
            opened.spent
        } else {
            Throughput::default()
        };
        self.record(kind.as_str(), mechanism, opened.contributors, counted);
        Ok(())
    }
}

impl Run {
    /// Notes an evaluation of the model: its figures under noise, and those in the clear.
    pub(crate) fn evaluated(&mut self, owners: &[Owner<'_>], private: Evaluation, next: &Model) {
        let factors_dropped = next.factor_count() < self.model.factor_count();
        let found = |direct| Evaluated {
            private,
            direct,
            factors_dropped,
        };
        self.evaluation = direct(owners, &self.model).map(found);
    }
}

impl<M> Run<M> {
    /// Number of the next release.
    pub(crate) fn next_release(&self) -> u32 {
        u32::try_from(self.releases.len()).unwrap_or(u32::MAX)
    }

    /// Notes a release.
    pub(crate) fn record(
        &mut self,
        kind: &'static str,
        mechanism: Mechanism,
        contributors: u32,
        spent: Throughput,
    ) {
        self.releases.push(Release {
            kind,
            mechanism,
            contributors,
        });
        self.throughput = self.throughput.and(spent);
    }

    /// The same releases with something made of the model.
    pub fn map<T>(self, of: impl FnOnce(M) -> T) -> Run<T> {
        let Self {
            model,
            releases,
            evaluation,
            throughput,
        } = self;
        Run {
            model: of(model),
            releases,
            evaluation,
            throughput,
        }
    }

    /// Price of all releases together.
    pub fn rho(&self) -> Rho {
        self.releases.iter().fold(Rho::ZERO, |sum, release| {
            sum.compose(release.mechanism.rho())
        })
    }

    /// Distance of all noise from the ideal, units of 2^-128, as a deployment's samplers would have
    /// it.
    pub fn total_variation(&self) -> u128 {
        self.releases
            .iter()
            .map(|release| release_total_variation(&release.mechanism))
            .sum()
    }
}

/// Runs a plan on `histories`, one per device.
///
/// When `plan.cohort` is larger than the population, the run is a projection: each user stands for
/// `plan.cohort / users` devices like them. The sum is larger by that factor, so the noise is
/// smaller in comparison; the grid is made finer until rounding errs as much as `plan.cohort`
/// devices would.
///
/// # Errors
/// [`SimulateError::Plan`] when a release has no sound mechanism.
pub fn train(histories: &[History], plan: &Plan, seed: u64) -> Result<Run, SimulateError> {
    let owners: Vec<Owner<'_>> = histories.iter().map(Owner::from).collect();
    train_owners(&owners, plan.genesis(), plan, seed)
}

/// [`train`] for a catalogue that says something about its items.
///
/// # Errors
/// As [`train`].
pub fn train_featured(
    histories: &[History],
    features: &Features,
    plan: &Plan,
    seed: u64,
) -> Result<Run, SimulateError> {
    let owners: Vec<Owner<'_>> = histories.iter().map(Owner::from).collect();
    releases(&owners, plan.genesis(), Some(features), plan, seed)
}

/// [`train`] from a given model, with devices that may also know ratings.
///
/// # Errors
/// As [`train`].
pub fn train_owners(
    owners: &[Owner<'_>],
    genesis: Model,
    plan: &Plan,
    seed: u64,
) -> Result<Run, SimulateError> {
    releases(owners, genesis, None, plan, seed)
}

/// All releases of a plan.
pub(crate) fn releases(
    owners: &[Owner<'_>],
    genesis: Model,
    features: Option<&Features>,
    plan: &Plan,
    seed: u64,
) -> Result<Run, SimulateError> {
    let mut run = Run::start(genesis);
    // What an evaluation asks for is not trained on.
    let evaluated = plan.is_evaluated();
    let spared: Vec<Spared> = owners
        .iter()
        .filter(|_| evaluated)
        .map(Owner::hold_out)
        .collect();
    let trained: Vec<Owner<'_>> = spared.iter().map(Spared::owner).collect();
    for (place, &release) in plan.releases.iter().enumerate() {
        let trains = evaluated && release.0 != Kind::Metrics;
        let step = Step {
            features,
            ..plan.step(place, seed)
        };
        run.release(if trains { &trained } else { owners }, plan, release, &step)?;
    }
    Ok(run)
}

/// Trains `recipe` on everybody without noise, on the finest grid that keeps the sum in 32 bits.
///
/// # Errors
/// [`SimulateError::Plan`] never, as long as devices give what their model asks for.
pub fn train_without_noise(
    histories: &[History],
    items: u32,
    features: Option<&Features>,
    recipe: &Recipe,
    seed: u64,
) -> Result<Model, SimulateError> {
    let owners: Vec<Owner<'_>> = histories.iter().map(Owner::from).collect();
    let head = (recipe.head > 0).then_some(Kind::HeadGram);
    let gradients = (0..recipe.rounds).map(|_| Kind::FactorGradient);
    let kinds = [Kind::Counts].into_iter().chain(head).chain(gradients);
    Free {
        owners: &owners,
        features,
        recipe,
        seed,
    }
    .train(SpectralModel::genesis(items).into(), kinds)
}

/// A training without noise.
pub(crate) struct Free<'a> {
    pub(crate) owners: &'a [Owner<'a>],
    /// What the catalogue says about its items.
    pub(crate) features: Option<&'a Features>,
    pub(crate) recipe: &'a Recipe,
    pub(crate) seed: u64,
}

impl Free<'_> {
    /// Releases these kinds one after the other.
    pub(crate) fn train(
        &self,
        genesis: Model,
        kinds: impl Iterator<Item = Kind>,
    ) -> Result<Model, SimulateError> {
        let Self {
            owners,
            features,
            recipe,
            seed,
        } = *self;
        let (mut model, mut first, everybody) = (genesis, true, everybody(owners.len()));
        let mut kinds = (0u32..).zip(kinds).peekable();
        while let Some((release, kind)) = kinds.next() {
            let shape = Shape::of(kind, &model, u32::MAX);
            let shape =
                shape.ok_or_else(|| SimulateError::Broken(format!("no {kind} of this model")))?;
            let mechanism = noiseless(&shape, owners.len());
            let asked = Asked {
                kind,
                mechanism: &mechanism,
                cohort: 0,
                seed,
                release,
            };
            let opened = open(owners, &model, &asked, &everybody);
            let after = kinds.peek().map(|(_, kind)| *kind);
            let step = Step {
                recipe,
                first,
                next: after,
                features,
                seed,
                in_doubt: false,
            };
            model = apply(&model, &summed(kind, &mechanism, &opened), &step)?;
            first &= !matches!(kind, Kind::FactorGradient | Kind::LayerGradient);
        }
        Ok(model)
    }
}

/// One release of the protocol.
struct Asked<'a> {
    kind: Kind,
    mechanism: &'a Mechanism,
    cohort: u32,
    seed: u64,
    release: u32,
}

/// Its opened sum over those present.
fn open(owners: &[Owner<'_>], model: &Model, asked: &Asked<'_>, present: &[u32]) -> Opened {
    let Asked {
        kind,
        mechanism,
        cohort,
        seed,
        release,
    } = *asked;
    let ask = Ask {
        kind,
        model,
        mechanism,
        seed,
        release,
    };
    let opening = Opening {
        users: owners.len(),
        cohort,
        mechanism,
        seed,
        release,
    };
    opening.open(present, |user| sparse(&owners[user as usize], &ask))
}

/// What the server sees of it.
fn summed(kind: Kind, mechanism: &Mechanism, opened: &Opened) -> OpenedSum {
    opened_sum(kind, mechanism, opened.contributors, &opened.values)
}

/// The spectral model of a run that trains one.
pub(crate) fn spectral(model: &Model) -> Result<&SpectralModel, SimulateError> {
    model
        .spectral()
        .ok_or_else(|| SimulateError::Broken("not a spectral model".into()))
}
