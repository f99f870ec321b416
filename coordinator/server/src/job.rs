//! The durable record of a task's plan: what it releases, in which order and at what price, fixed
//! before its first round.

use serde::{Deserialize, Serialize};
use tacit_model::Model;
use tacit_model::family::Family;
use tacit_model::family::rating::{RatingModel, Scale};
use tacit_model::family::recipe::{Recipe, SIGNAL_UNSURE};
use tacit_model::family::spectral::SpectralModel;
use tacit_model::release::Step;
use tacit_plan::{Crowd, PlanRequest, Shape, mechanism_for, plan};
use tacit_privacy::{Mechanism, Rho};
use tacit_round::ticket::Kind;

use crate::config::Task;
use crate::error::ServerError;

/// Privacy numbers of a task; kept at its start and never changed while it runs.
///
/// Its terms are whole numbers, so that they compare exactly after they were written and read. What
/// the planner made of them (`releases`, `recipe`, `signal`, `fallback`) is kept too: a newer
/// planner never changes a running task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What is trained.
    #[serde(default)]
    pub model: Family,
    /// Ends of the scale of ratings, thousandths.
    #[serde(default = "stars_milli")]
    pub scale_milli: [i64; 2],
    /// Items in the catalogue.
    pub items: u32,
    /// Budget of one device over the task.
    pub rho_budget: Rho,
    /// Devices a round takes.
    pub cohort: u32,
    /// Honest, surviving shares assumed.
    pub n_min: u32,
    /// Whether the helper adds the whole noise once more.
    pub helper_noise: bool,
    /// Assumed dropout share, thousandths.
    pub dropout_milli: u32,
    /// Assumed dishonest share, thousandths.
    pub dishonest_milli: u32,
    /// Delta the epsilon is stated at, units of 1e-12.
    pub delta_pico: u64,
    /// History cap.
    pub history_max: u32,
    /// Factors asked for instead of the planner's choice.
    pub factors: Option<u32>,
    /// Rounds asked for instead of the planner's choice.
    pub rounds: Option<u32>,
    /// Clipping norm of weighted squares asked for instead of the library's choice.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Factors carried over from an earlier task's model; none for a task that starts from nothing.
    #[serde(default)]
    pub carried: Option<u32>,
    /// Share of the budget asked for to evaluate the model, thousandths.
    #[serde(default)]
    pub evaluation_milli: u32,
    /// Releases in order, each with its share of the budget.
    pub releases: Vec<(Kind, Rho)>,
    /// What is trained.
    pub recipe: Recipe,
    /// Signal-to-noise ratio q.
    pub signal: f64,
    /// Whether q is too small to train factors.
    pub fallback: bool,
}

impl Job {
    /// Plans a task from public numbers.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the key, when there is no sound plan.
    pub fn plan(task: &Task, items: u32) -> Result<Self, ServerError> {
        Self::plan_update(task, items, None)
    }

    /// [`Self::plan`] for a task that goes on from so many factors of an earlier one.
    ///
    /// # Errors
    /// As [`Self::plan`].
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a delta is from 0 to 0.1, a scale bounded"
    )]
    pub fn plan_update(task: &Task, items: u32, carried: Option<u32>) -> Result<Self, ServerError> {
        let request = PlanRequest {
            carried,
            ..task.request(items)
        };
        let plan = plan(&request).map_err(|error| ServerError::of_plan(&error))?;
        let scale = task
            .scale()
            .ok_or_else(|| ServerError::OperatorConfig("task.scale: not a scale".into()))?;
        Ok(Self {
            model: task.model,
            scale_milli: [scale.low, scale.high].map(|end| (end * 1000.0).round() as i64),
            items,
            rho_budget: plan.rho_budget,
            cohort: plan.crowd.cohort,
            n_min: plan.crowd.n_min,
            helper_noise: plan.crowd.helper_noise,
            dropout_milli: request.dropout_milli(),
            dishonest_milli: request.dishonest_milli(),
            delta_pico: (task.delta.get() * 1e12).round() as u64,
            history_max: task.history_max,
            factors: task.factors,
            rounds: task.rounds,
            clip_norm: task.clip_norm,
            carried,
            evaluation_milli: request.evaluation_milli(),
            releases: plan
                .releases
                .iter()
                .map(|release| (release.kind, release.rho))
                .collect(),
            recipe: Recipe {
                clip_norm: task.clip_norm.unwrap_or(plan.recipe.clip_norm),
                ..plan.recipe
            },
            signal: plan.q,
            fallback: plan.fallback,
        })
    }

    /// Whether `other` was planned on the same terms, whatever the planner made of them.
    pub fn same_terms(&self, other: &Self) -> bool {
        let Self {
            releases,
            recipe,
            signal,
            fallback,
            ..
        } = self.clone();
        *self
            == Self {
                releases,
                recipe,
                signal,
                fallback,
                ..other.clone()
            }
    }

    /// The model a task starts from, unless it goes on from an earlier one.
    pub fn genesis(&self) -> Model {
        match self.model {
            Family::Spectral | Family::Weighted | Family::Neural => {
                SpectralModel::genesis(self.items).into()
            }
            Family::Rating => Model::Rating(RatingModel::genesis(self.items, self.scale())),
        }
    }

    /// The scale of ratings.
    pub fn scale(&self) -> Scale {
        let [low, high] = self.scale_milli.map(|end| end as f64 / 1000.0);
        Scale::new(low, high).unwrap_or(Scale::STARS)
    }

    /// How the release at this place in [`Self::releases`] is applied, without features; `seed` is
    /// public.
    pub fn step(&self, release: usize, seed: u64) -> Step<'_> {
        let before = self.releases.iter().take(release);
        let trains = |kind: Kind| matches!(kind, Kind::FactorGradient | Kind::LayerGradient);
        let first = self.carried.is_none() && before.filter(|(kind, _)| trains(*kind)).count() == 0;
        let next = self.releases.get(release + 1).map(|(kind, _)| *kind);
        Step {
            recipe: &self.recipe,
            first,
            next,
            features: None,
            seed,
            in_doubt: self.signal < SIGNAL_UNSURE,
        }
    }

    /// Whether the model is evaluated, so that devices hold out their owners' latest item.
    pub fn is_evaluated(&self) -> bool {
        self.releases.iter().any(|(kind, _)| *kind == Kind::Metrics)
    }

    /// Mechanism of one release against the model it starts from: the planned one, for the rows and
    /// factors that are left.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] when the numbers make no sound mechanism, in words;
    /// [`ServerError::Internal`] for a kind the model does not give.
    pub fn mechanism(&self, kind: Kind, rho: Rho, model: &Model) -> Result<Mechanism, ServerError> {
        let shape = Shape::of(kind, model, self.history_max);
        let shape =
            shape.ok_or_else(|| ServerError::Internal(format!("no {kind} of this model")))?;
        let crowd = Crowd {
            cohort: self.cohort,
            n_min: self.n_min,
            helper_noise: self.helper_noise,
        };
        mechanism_for(rho, &shape, &crowd).map_err(|error| ServerError::of_plan(&error))
    }
}

/// What tasks had before they could name a scale.
fn stars_milli() -> [i64; 2] {
    [1_000, 5_000]
}

#[cfg(test)]
mod tests {
    use tacit_model::family::spectral::server;
    use tacit_model::family::weighted::WeightedTerms;
    use tacit_model::{Features, family::neural};
    use tacit_types::{Delta, Epsilon, TaskId};

    use super::*;

    /// The numbers of the built-in demo.
    fn demo() -> Task {
        Task {
            name: TaskId::new("demo").unwrap(),
            model: Family::Spectral,
            scale: [1.0, 5.0],
            catalogue: "catalogue.txt".into(),
            epsilon: Epsilon::new(8.0).unwrap(),
            delta: Delta::new(1e-5).unwrap(),
            cohort: 1_500,
            dropout: 0.05,
            dishonest: 0.05,
            deadline_seconds: 600,
            history_max: 1024,
            rounds: None,
            factors: None,
            clip_norm: None,
            start: None,
            evaluation: 0.03,
            helper_noise: false,
            membership: false,
        }
    }

    /// A model with nothing pruned: its releases are exactly the planned ones.
    fn unpruned(job: &Job, kind: Kind) -> Model {
        let recipe = Recipe {
            coverage: 1.0,
            ..job.recipe.clone()
        };
        let counts: Vec<f64> = (0..job.items)
            .map(|rank| f64::from(10_000 - rank))
            .collect();
        let counted = server::apply_counts(&counts, 0.0, &recipe);
        match kind {
            Kind::Counts => job.genesis(),
            Kind::HeadGram => counted.into(),
            Kind::FactorGradient | Kind::Metrics => {
                server::random_init(&counted, &recipe, 1).into()
            }
            Kind::WeightedGradient => Model::weighted_start(
                &server::random_init(&counted, &recipe, 1),
                WeightedTerms::default(),
            ),
            Kind::LayerGradient => {
                // As many different items as there are, so that no direction is missing.
                let categories: Vec<_> = (0..job.items)
                    .map(|item| vec![format!("{}", item % 300)])
                    .collect();
                let features = Features::from_categories(&categories).unwrap();
                Model::Neural(neural::server::start(&counted, &features, &recipe, 1))
            }
            Kind::RatingBias => Model::Rating(RatingModel::genesis(job.items, job.scale())),
        }
    }

    #[test]
    fn the_coordinator_runs_what_the_planner_prints() {
        for (model, helper_noise) in [
            (Family::Spectral, false),
            (Family::Spectral, true),
            (Family::Weighted, false),
            (Family::Rating, false),
            (Family::Neural, false),
        ] {
            let task = Task {
                model,
                helper_noise,
                ..demo()
            };
            let (job, plan) = (
                Job::plan(&task, 400).unwrap(),
                plan(&task.request(400)).unwrap(),
            );
            assert!(
                plan.epsilon <= 8.0 && plan.epsilon > 7.99,
                "{}",
                plan.epsilon
            );
            assert_eq!(job.releases.len(), plan.releases.len());
            for (&(kind, rho), planned) in job.releases.iter().zip(&plan.releases) {
                assert_eq!((kind, rho), (planned.kind, planned.rho));
                let mechanism = job.mechanism(kind, rho, &unpruned(&job, kind)).unwrap();
                assert_eq!(mechanism, planned.mechanism, "{kind}");
                assert_eq!(mechanism.helper_noise, helper_noise);
            }
        }
    }

    #[test]
    fn a_kept_job_is_known_by_its_terms_alone() {
        let planned = Job::plan(&demo(), 400).unwrap();
        let kept: Job = serde_json::from_str(&serde_json::to_string(&planned).unwrap()).unwrap();
        assert!(kept.same_terms(&planned));
        let newer = Job {
            signal: 1.0,
            fallback: true,
            recipe: Recipe::counts_only(),
            ..planned.clone()
        };
        assert!(kept.same_terms(&newer));
        let changes: [fn(&mut Task); 9] = [
            |task| task.model = Family::Weighted,
            |task| task.scale = [0.5, 5.0],
            |task| task.epsilon = Epsilon::new(8.1).unwrap(),
            |task| task.cohort = 1_501,
            |task| task.helper_noise = true,
            |task| task.rounds = Some(1),
            |task| task.history_max = 1023,
            |task| task.clip_norm = Some(7.0),
            |task| task.evaluation = 0.0,
        ];
        for change in changes {
            let mut task = demo();
            change(&mut task);
            assert!(!kept.same_terms(&Job::plan(&task, 400).unwrap()));
        }
        assert!(!kept.same_terms(&Job::plan(&demo(), 401).unwrap()));
    }

    /// Stored plans of every family, of an update, and of every number the operator may choose:
    /// what `Job::plan` made of them, exactly as the store keeps it.
    const STORED: &str = include_str!("../../../shared/plan/tests/golden/plans.jsonl");

    #[test]
    fn a_stored_plan_is_read_and_written_byte_for_byte() {
        let families: Vec<Family> = STORED
            .lines()
            .map(|line| {
                let read: Job = serde_json::from_str(line).unwrap();
                assert_eq!(serde_json::to_string(&read).unwrap(), line);
                read.model
            })
            .collect();
        let all = [
            Family::Spectral,
            Family::Weighted,
            Family::Rating,
            Family::Neural,
        ];
        assert!(all.iter().all(|family| families.contains(family)));
    }

    #[test]
    fn a_plan_stored_before_a_field_existed_still_reads() {
        let first = STORED.lines().next().unwrap();
        let mut older: serde_json::Value = serde_json::from_str(first).unwrap();
        let plan = older.as_object_mut().unwrap();
        for later in [
            "model",
            "scale_milli",
            "clip_norm",
            "carried",
            "evaluation_milli",
        ] {
            assert!(plan.remove(later).is_some(), "{later}");
        }
        let recipe = plan["recipe"].as_object_mut().unwrap();
        for later in ["feature_columns", "clip_norm"] {
            assert!(recipe.remove(later).is_some(), "{later}");
        }
        let read: Job = serde_json::from_value(older).unwrap();
        assert_eq!((read.model, read.scale()), (Family::Spectral, Scale::STARS));
        assert_eq!((read.clip_norm, read.carried), (None, None));
        assert_eq!(read.evaluation_milli, 0);
        assert_eq!(read.recipe.feature_columns, 0);
    }

    #[test]
    fn what_cannot_be_planned_names_its_key() {
        let refused = |task: &Task| Job::plan(task, 400).unwrap_err().to_string();
        assert!(
            refused(&Task {
                dropout: 0.9995,
                ..demo()
            })
            .starts_with("task.cohort: fewer than 2 honest")
        );
        let wide = Job::plan(
            &Task {
                factors: Some(512),
                ..demo()
            },
            200_000,
        )
        .unwrap_err()
        .to_string();
        assert!(
            wide.starts_with("task.factors: must be from 1 to 512 and, times the items,"),
            "{wide}"
        );
    }
}
