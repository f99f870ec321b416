//! What is planned: the coordinator's own planner, from the options of a simulation. Nothing else
//! here plans or prices.

use tacit_model::family::Family;
use tacit_model::family::rating::Scale;
use tacit_server::ServerError;
use tacit_server::config::Task;
use tacit_server::job::Job;
use tacit_types::{Delta, Epsilon, TaskId};

/// Public numbers of one simulated job, besides how many devices and items there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Privacy budget of one device over the job.
    pub epsilon: Epsilon,
    /// Failure probability of that statement.
    pub delta: Delta,
    /// Share of devices that drop out of each round: assumed, and acted out.
    pub dropout: f64,
    /// Share of devices assumed dishonest: it raises everybody's noise; simulated devices are
    /// honest.
    pub dishonest: f64,
    /// History cap of a device's vector.
    pub history_max: u32,
    /// Item factors, instead of the planner's choice.
    pub factors: Option<u32>,
    /// Rounds of factor gradients, instead of the planner's choice.
    pub rounds: Option<u32>,
    /// Clipping norm of weighted squares, instead of the library's choice.
    pub clip_norm: Option<f64>,
    /// Share of the budget for evaluating the model on the devices; 0 for none.
    pub evaluation: f64,
}

/// [`plan_for`] the default model.
///
/// # Errors
/// As [`plan_for`].
pub fn plan(devices: u32, items: u32, setting: &Setting) -> Result<Job, ServerError> {
    plan_for(Family::Spectral, devices, items, setting)
}

/// Plans the job as a coordinator with these numbers in its configuration would.
///
/// # Errors
/// [`ServerError::OperatorConfig`] when the numbers make no job.
pub fn plan_for(
    model: Family,
    devices: u32,
    items: u32,
    setting: &Setting,
) -> Result<Job, ServerError> {
    Job::plan(&task(model, devices, setting)?, items)
}

/// Plans the update of so many factors of an earlier job.
///
/// # Errors
/// As [`plan_for`].
pub fn plan_update(
    devices: u32,
    items: u32,
    setting: &Setting,
    carried: u32,
) -> Result<Job, ServerError> {
    Job::plan_update(
        &task(Family::Spectral, devices, setting)?,
        items,
        Some(carried),
    )
}

fn task(model: Family, devices: u32, setting: &Setting) -> Result<Task, ServerError> {
    let name = TaskId::new("simulation")
        .map_err(|error| ServerError::OperatorConfig(error.to_string()))?;
    Ok(Task {
        name,
        model,
        scale: [Scale::STARS.low, Scale::STARS.high],
        catalogue: "catalogue.txt".into(),
        epsilon: setting.epsilon,
        delta: setting.delta,
        cohort: devices,
        dropout: setting.dropout,
        dishonest: setting.dishonest,
        deadline_seconds: 600,
        history_max: setting.history_max,
        helper_noise: false,
        membership: false,
        rounds: setting.rounds,
        factors: setting.factors,
        clip_norm: setting.clip_norm,
        start: None,
        evaluation: setting.evaluation,
    })
}
