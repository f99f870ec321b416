//! What is planned: the request a planner gets from the options of a simulation. Nothing here
//! prices.

use tacit_model::family::Family;
use tacit_model::family::rating::Scale;
use tacit_plan::{Plan, PlanError, PlanRequest, plan};
use tacit_types::{Delta, Epsilon};

/// Public numbers of one simulated task, apart from its family, its devices and its items.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Privacy budget of one device over the task.
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

impl Setting {
    /// What a coordinator with these numbers in its configuration asks the planner.
    pub fn request(&self, model: Family, devices: u32, items: u32) -> PlanRequest {
        PlanRequest {
            model,
            scale: Scale::STARS,
            cohort: devices,
            items,
            epsilon: self.epsilon,
            delta: self.delta,
            dropout: self.dropout,
            dishonest: self.dishonest,
            history_max: self.history_max,
            helper_noise: false,
            factors: self.factors,
            rounds: self.rounds,
            clip_norm: self.clip_norm,
            carried: None,
            evaluation: self.evaluation,
            participation: None,
        }
    }

    /// The plan of [`Self::request`].
    ///
    /// # Errors
    /// [`PlanError`] when the numbers make no plan.
    pub fn plan(&self, model: Family, devices: u32, items: u32) -> Result<Plan, PlanError> {
        plan(&self.request(model, devices, items))
    }
}
