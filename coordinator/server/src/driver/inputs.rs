//! What the driver needs from the operator, read before anything is written, and kept for later
//! starts.

use std::path::Path;

use tacit_model::Model;
use tacit_model::family::Family;
use tacit_model::family::catalogue::Catalogue;
use tacit_model::family::features::Features;
use tacit_model::family::limits::FACTORS_MAX;
use tacit_model::family::spectral::{SpectralModel, growth};
use tacit_plan::{Plan, PlanRequest, plan};
use tacit_proto::OBJECT_BYTES_MAX;
use tacit_round::keys::SigningKey;
use tacit_types::{Digest, TaskId};
use tacit_wire::files;

use crate::config::{Config, Task};
use crate::error::ServerError;
use crate::ledger::Ledger;
use crate::storage::TaskStore;

/// Where the plan is kept; the name it was first stored under, and so it stays.
const PLAN: &str = "job";

/// What the driver needs from the operator's files, read before anything is written.
pub struct Inputs {
    pub(super) signing: SigningKey,
    pub(super) catalogue: Vec<u8>,
    pub(super) features: Features,
    pub(crate) planned: Plan,
    pub(super) build: Digest,
    /// What an update starts from.
    pub(super) start: Option<Model>,
}

impl Inputs {
    /// Reads signing key and catalogue and plans the task.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the file or key.
    pub fn read(config: &Config) -> Result<Self, ServerError> {
        let signing = SigningKey::from_seed(&files::read_seed(&config.signing.key)?);
        let path = config.task.catalogue.display();
        let wrong = |problem: String| {
            ServerError::OperatorConfig(format!("task.catalogue '{path}': {problem}"))
        };
        let catalogue =
            files::read_large(&config.task.catalogue).map_err(|error| wrong(error.to_string()))?;
        if catalogue.len() > OBJECT_BYTES_MAX {
            let has = catalogue.len().div_ceil(1 << 20);
            let most = OBJECT_BYTES_MAX >> 20;
            let problem = format!("it has {has} MiB and devices fetch {most} at most");
            return Err(wrong(problem));
        }
        let read = Catalogue::parse(&catalogue).map_err(wrong)?;
        let items = read.items();
        let features = read.features().map_err(wrong)?;
        if config.task.model == Family::Neural && !features.tell_apart() {
            let problem = "a network learns from categories, and they tell no item from another; \
                           write id<TAB>title<TAB>category|category";
            return Err(wrong(problem.into()));
        }
        let start = config
            .task
            .start
            .as_ref()
            .map(|path| start(path, &config.task, items))
            .transpose()?;
        let carried = start
            .as_ref()
            .map(|model| u32::try_from(model.factor_count()).unwrap_or(u32::MAX));
        let planned = plan(&PlanRequest {
            carried,
            ..config.task.request(items)?
        })?;
        let bytes = model_bytes(&planned, &features);
        if bytes > OBJECT_BYTES_MAX {
            let (has, most) = (bytes.div_ceil(1 << 20), OBJECT_BYTES_MAX >> 20);
            return Err(wrong(format!(
                "a model of it takes {has} MiB and devices fetch {most} at most; use fewer \
                 categories"
            )));
        }
        let start = start.map(Model::from);
        Ok(Self {
            signing,
            catalogue,
            features,
            planned,
            build: build_hash()?,
            start,
        })
    }
}

impl Inputs {
    /// What a new task would release.
    pub fn planned(&self) -> &Plan {
        &self.planned
    }
}

/// Most bytes of a model of this task: factors and a few numbers for each item, and features where
/// they go along.
fn model_bytes(plan: &Plan, features: &Features) -> usize {
    let columns = plan.recipe.factors + plan.recipe.feature_columns;
    let factors = (features.items() * columns as usize).min(FACTORS_MAX);
    let described = match plan.model {
        Family::Spectral | Family::Weighted => 0,
        Family::Rating => 4 * features.values().len(),
        Family::Neural => {
            8 * features
                .values()
                .iter()
                .filter(|value| **value != 0.0)
                .count()
                + (1 << 18)
        }
    };
    16 * features.items() + 4 * factors + described
}

/// The learned factors of an earlier task's model, for the catalogue as it is now.
fn start(path: &Path, task: &Task, items: u32) -> Result<SpectralModel, ServerError> {
    let wrong = |problem: &str| {
        ServerError::OperatorConfig(format!("task.start '{}': {problem}", path.display()))
    };
    let bytes = files::read_large(path).map_err(|error| wrong(&error.to_string()))?;
    let Ok(Model::Spectral(previous)) = Model::from_bytes(&bytes) else {
        return Err(wrong(
            "not a spectral model; give the last one of an earlier task's export, \
             ledger/models/<hash>.bin",
        ));
    };
    if previous.catalogue_len() > items {
        let more = format!(
            "it has {} items and task.catalogue {items}; a catalogue only grows",
            previous.catalogue_len()
        );
        return Err(wrong(&more));
    }
    growth::grown(&previous, items, task.factors.unwrap_or(u32::MAX)).ok_or_else(|| {
        wrong("it has no learned factors, or too many for this catalogue; leave task.start out")
    })
}

/// SHA-256 of the running program.
fn build_hash() -> Result<Digest, ServerError> {
    let unreadable =
        |error: std::io::Error| ServerError::Internal(format!("the running program: {error}"));
    let program = std::env::current_exe()
        .and_then(std::fs::read)
        .map_err(unreadable)?;
    Ok(tacit_privacy::canonical::digest(&program))
}

/// A state folder belongs to the task its ledger began with.
pub(super) fn same_task(ledger: &Ledger, name: &TaskId) -> Result<(), ServerError> {
    match ledger.task() {
        Some(began) if began != name => Err(ServerError::OperatorConfig(format!(
            "task.name: this state began with the task '{began}', not '{name}'; restore the name, \
             or give the new task a state folder of its own"
        ))),
        _ => Ok(()),
    }
}

/// Keeps the plan of the first start; a configuration that asks for another task is refused.
pub(super) fn keep_plan(store: &dyn TaskStore, planned: Plan) -> Result<Plan, ServerError> {
    match store.meta::<Plan>(PLAN)? {
        Some(kept) if kept.same_terms(&planned) => Ok(kept),
        Some(_) => Err(ServerError::OperatorConfig(
            "task: privacy parameters, cohort or catalogue differ from those this state was \
             started with; restore them or use a new state folder"
                .into(),
        )),
        None => {
            store.set_meta(PLAN, &planned)?;
            Ok(planned)
        }
    }
}
