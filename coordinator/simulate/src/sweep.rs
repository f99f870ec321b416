//! Many simulations: every combination of the options, over all seeds, each with its references.

use std::collections::BTreeMap;

use tacit_model::family::Family;
use tacit_model::family::weighted::WeightedTerms;
use tacit_model::history::preference::History;
use tacit_plan::Plan;
use tacit_privacy::convert;
use tacit_types::Epsilon;

use crate::central::{Central, trained_ials, tuned_ease};
use crate::error::SimulateError;
use crate::exact;
use crate::neural;
use crate::outcome::{Outcome, Point, ReleaseLine, Row};
use crate::population::Population;
use crate::quality::Figures;
use crate::reference;
use crate::setting::Setting;
use crate::throughput::Throughput;
use crate::train::{self, Run};
use crate::weighted;

/// Factors of central iALS where the task trains none.
const FACTORS_FOR_FALLBACK: u32 = 8;

/// Whom the guarantee would be for, and against whom.
pub const STATEMENT: &str = "one device, zero-out adjacency, helper tier: coordinator at most \
                             curious, helper does not collude";

/// What to combine.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What is trained.
    pub family: Family,
    /// What was held out, for the record.
    pub split: String,
    /// What all combinations share; its epsilon, factors, rounds and clipping norm are replaced by
    /// those below.
    pub base: Setting,
    /// Budgets.
    pub epsilons: Vec<Epsilon>,
    /// Numbers of factors; `None` leaves it to the planner.
    pub factors: Vec<Option<u32>>,
    /// Rounds; `None` leaves it to the planner.
    pub rounds: Vec<Option<u32>>,
    /// Clipping norms of weighted squares; `None` leaves it to the library.
    pub clip_norms: Vec<Option<f64>>,
    /// Devices the users stand for; `None` for as many as there are.
    pub projected: Vec<Option<u32>>,
    /// Seeds of noise, rounding and dropouts.
    pub seeds: Vec<u64>,
    /// Half-life devices rank with.
    pub half_life: Option<f32>,
    /// Whether every device makes its real bytes, in place of noise drawn once.
    pub exact: bool,
    /// Whether central recommenders are trained, to stand beside.
    pub central: bool,
}

impl Sweep {
    /// Counts the trainings that [`run`] tells of for this number of `populations`: those under
    /// noise, and one a population for the central recommenders.
    pub fn trainings(&self, populations: usize) -> usize {
        let trained = self.factors.len() * self.rounds.len() * self.clip_norms.len();
        let points = self.epsilons.len() * trained * self.projected.len();
        populations * (points * self.seeds.len() + usize::from(self.central))
    }

    /// Every combination but the seed, in the order of the options.
    fn settings(&self) -> Vec<(Option<u32>, Setting)> {
        let mut settings = Vec::new();
        for &projected in &self.projected {
            for &clip_norm in &self.clip_norms {
                for &rounds in &self.rounds {
                    for &factors in &self.factors {
                        let base = Setting {
                            factors,
                            rounds,
                            clip_norm,
                            ..self.base.clone()
                        };
                        let each = self.epsilons.iter().map(|&epsilon| Setting {
                            epsilon,
                            ..base.clone()
                        });
                        settings.extend(each.map(|setting| (projected, setting)));
                    }
                }
            }
        }
        settings
    }
}

/// Runs every combination on every population. `done` hears of each training under noise.
///
/// # Errors
/// [`SimulateError`] before anything is trained when some combination makes no plan.
pub fn run(
    populations: &[Population],
    sweep: &Sweep,
    done: &dyn Fn(),
) -> Result<Outcome, SimulateError> {
    let plans: Vec<Vec<(Combination, Plan)>> = populations
        .iter()
        .map(|population| plans(population, sweep))
        .collect::<Result<_, _>>()?;
    let mut throughput = Throughput::default();
    let mut points = Vec::new();
    for (population, plans) in populations.iter().zip(plans) {
        let mut bench = Bench::new(population, sweep);
        for (asked, plan) in plans {
            let (point, spent) = bench.point(&asked, &plan, done)?;
            points.push(point);
            throughput = throughput.and(spent);
        }
    }
    let largest = populations.iter().max_by_key(|one| one.users());
    Ok(Outcome {
        data: largest.map(|one| one.name.clone()).unwrap_or_default(),
        reading: largest
            .map(|one| one.reading.clone())
            .unwrap_or_default(),
        family: sweep.family.as_str(),
        split: sweep.split.clone(),
        mode: if sweep.exact {
            exact::MODE
        } else {
            train::MODE
        },
        statement: STATEMENT,
        conversion: convert::CONVERSION,
        delta: sweep.base.delta.get(),
        dropout: sweep.base.dropout,
        dishonest: sweep.base.dishonest,
        history_max: sweep.base.history_max,
        half_life: sweep.half_life,
        seeds: sweep.seeds.clone(),
        points,
        throughput,
    })
}

/// One combination.
struct Combination {
    projected: Option<u32>,
    setting: Setting,
}

fn plans(
    population: &Population,
    sweep: &Sweep,
) -> Result<Vec<(Combination, Plan)>, SimulateError> {
    let users = population.users();
    let planned = |(projected, setting): (Option<u32>, Setting)| {
        if let Some(few) = projected.filter(|&projected| projected < users) {
            let problem = format!(
                "{few} is fewer than the {users} users there are: give fewer users instead"
            );
            return Err(SimulateError::Input(format!(
                "--projected-users: {problem}"
            )));
        }
        if sweep.family == Family::Rating {
            return Err(SimulateError::Input(
                "ratings are predicted, not ranked: see `rating`".into(),
            ));
        }
        if sweep.family == Family::Neural && !population.features.tell_apart() {
            let problem = "a network learns from categories, and they tell no item from another";
            return Err(SimulateError::Input(format!("--model neural: {problem}")));
        }
        if setting.clip_norm.is_some() && sweep.family != Family::Weighted {
            let problem = "only weighted squares have a clipping norm: --model weighted";
            return Err(SimulateError::Input(format!("--clip-norm: {problem}")));
        }
        if projected.is_some() && sweep.exact {
            let problem = "only devices that exist make real bytes: leave it out, or --exact";
            return Err(SimulateError::Input(format!(
                "--projected-users: {problem}"
            )));
        }
        let devices = projected.unwrap_or(users);
        let plan = setting.plan(sweep.family, devices, population.items)?;
        Ok((Combination { projected, setting }, plan))
    };
    sweep.settings().into_iter().map(planned).collect()
}

/// One population with what is computed once for many combinations.
struct Bench<'a> {
    population: &'a Population,
    sweep: &'a Sweep,
    /// What enters the devices' vectors.
    histories: Vec<History>,
    random: Figures,
    ease: Option<Figures>,
    noise_free: BTreeMap<(Option<u32>, Option<u32>), Figures>,
    central: BTreeMap<u32, Central>,
}

impl<'a> Bench<'a> {
    fn new(population: &'a Population, sweep: &'a Sweep) -> Self {
        let random = reference::random(population, sweep.seeds.first().copied().unwrap_or(0));
        let histories = population.capped(sweep.base.history_max);
        let ease = sweep.central.then(|| tuned_ease(population)).flatten();
        Self {
            population,
            sweep,
            histories,
            random,
            ease,
            noise_free: BTreeMap::new(),
            central: BTreeMap::new(),
        }
    }

    fn point(
        &mut self,
        asked: &Combination,
        plan: &Plan,
        done: &dyn Fn(),
    ) -> Result<(Point, Throughput), SimulateError> {
        let mut throughput = Throughput::default();
        let (mut federated, mut popular, mut featured) = (Vec::new(), Vec::new(), Vec::new());
        let mut first: Option<Run<Figures>> = None;
        let (population, histories) = (self.population, &self.histories);
        for &seed in &self.sweep.seeds {
            let run = self.train(plan, seed)?;
            federated.push(run.model.clone());
            let list = reference::private_popularity(population, histories, plan, seed)?;
            popular.push(list);
            featured.extend(reference::counts_with_features(
                population,
                histories,
                plan,
                self.sweep.half_life,
                seed,
            )?);
            throughput = throughput.and(run.throughput);
            first.get_or_insert(run);
            done();
        }
        let popularity = u32::from(plan.model == Family::Weighted);
        let factors = if plan.fallback {
            FACTORS_FOR_FALLBACK
        } else {
            plan.recipe.factors + popularity
        };
        let mut rows = vec![
            Row::of("random", std::slice::from_ref(&self.random)),
            Row::of("private_popularity", &popular),
        ];
        if !featured.is_empty() {
            rows.push(Row::of("counts_features", &featured));
        }
        rows.push(Row::of("federated", &federated));
        let noise_free = self.noise_free(&asked.setting, factors)?;
        rows.push(Row::of("noise_free", &[noise_free]));
        if self.sweep.central {
            rows.extend(self.central(factors, done));
        }
        Ok((self.describe(asked, plan, first.as_ref(), rows), throughput))
    }

    /// Trains once under noise and measures the model.
    fn train(&self, plan: &Plan, seed: u64) -> Result<Run<Figures>, SimulateError> {
        let (population, half_life) = (self.population, self.sweep.half_life);
        let run = if self.sweep.exact {
            exact::train_featured(&population.interactions, &population.features, plan, seed)?
        } else {
            train::train_featured(&self.histories, &population.features, plan, seed)?
        };
        Ok(run.map(|model| reference::ranked_with(population, &model, half_life)))
    }

    fn noise_free(&mut self, setting: &Setting, factors: u32) -> Result<Figures, SimulateError> {
        let family = self.sweep.family;
        let asked = if family == Family::Weighted {
            Some(factors)
        } else {
            setting.factors
        };
        let key = (asked, setting.rounds);
        if let Some(known) = self.noise_free.get(&key) {
            return Ok(known.clone());
        }
        let (population, half_life) = (self.population, self.sweep.half_life);
        let figures = match family {
            Family::Weighted => {
                let rounds = setting
                    .rounds
                    .unwrap_or(weighted::ROUNDS_WITHOUT_NOISE);
                let terms = WeightedTerms::default().unclipped(self.sweep.base.history_max);
                let model = weighted::without_noise(
                    &self.histories,
                    population.items,
                    factors.max(2),
                    rounds,
                    terms,
                )?;
                reference::ranked_with(population, &model, half_life)
            }
            Family::Neural => {
                let model = neural::without_noise(
                    &self.histories,
                    &population.features,
                    asked,
                    setting.rounds,
                )?;
                reference::ranked_with(population, &model, half_life)
            }
            Family::Spectral | Family::Rating => {
                let model = reference::without_noise(
                    &self.histories,
                    population.items,
                    Some(&population.features),
                    asked,
                    setting.rounds,
                )?;
                reference::ranked_with(population, &model, half_life)
            }
        };
        self.noise_free.insert(key, figures.clone());
        Ok(figures)
    }

    /// The rows of the central recommenders.
    fn central(&mut self, factors: u32, done: &dyn Fn()) -> Vec<Row> {
        let (population, half_life) = (self.population, self.sweep.half_life);
        let seed = self.sweep.seeds.first().copied().unwrap_or(0);
        let is_first = self.central.is_empty();
        let known = self
            .central
            .entry(factors)
            .or_insert_with(|| trained_ials(population, factors, half_life, seed));
        if is_first {
            done();
        }
        let recent = known.ials_recent.as_ref();
        let figures = [
            ("central_ials", Some(&known.ials)),
            ("central_ials_recent", recent),
            ("central_ease", self.ease.as_ref()),
        ];
        let row = |(model, figures): (_, Option<&Figures>)| {
            Some(Row::of(model, std::slice::from_ref(figures?)))
        };
        figures.into_iter().filter_map(row).collect()
    }

    fn describe(
        &self,
        asked: &Combination,
        plan: &Plan,
        run: Option<&Run<Figures>>,
        rows: Vec<Row>,
    ) -> Point {
        let recipe = &plan.recipe;
        let line = |release: &crate::train::Release| ReleaseLine {
            kind: release.kind,
            length: release.mechanism.length,
            steps: release.mechanism.steps,
            contributors: release.contributors,
            noise_std: release.mechanism.sum_noise_std(release.contributors),
            rho: release.mechanism.rho().to_f64_up(),
        };
        let spent = |run: &Run<Figures>| {
            convert::epsilon(run.rho(), run.total_variation(), asked.setting.delta)
        };
        Point {
            users: self.population.users(),
            items: self.population.items,
            projected_users: asked.projected,
            epsilon_asked: asked.setting.epsilon.get(),
            factors_asked: asked.setting.factors,
            rounds_asked: asked.setting.rounds,
            clip_norm: (self.sweep.family == Family::Weighted).then_some(recipe.clip_norm),
            epsilon: run.map_or(0.0, spent),
            rho: run.map_or(0.0, |run| run.rho().to_f64_up()),
            signal: plan.signal,
            fallback: plan.fallback,
            n_min: plan.n_min,
            factors: recipe.factors,
            rounds: recipe.rounds,
            head: recipe.head,
            releases: run
                .map(|run| run.releases.iter().map(line).collect())
                .unwrap_or_default(),
            evaluation: run.and_then(|run| run.evaluation.clone()),
            rows,
        }
    }
}
