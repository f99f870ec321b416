//! What a task releases, in which order and at what price: fixed before its first round and kept with the ledger.

use serde::{Deserialize, Serialize};
use tacit_accounting::mechanism_for;
use tacit_model::recipe::{Recipe, signal_to_noise};
use tacit_model::spectral::SpectralModel;
use tacit_privacy::{Mechanism, Rho, convert};
use tacit_round::ticket::Kind;

use crate::config::Task;
use crate::error::ServerError;

/// Room for the sampler's total variation over a whole task, in units of 2^-128: 2^70 of them are 3.5e-18, against a delta
/// of 1e-5 or 1e-8. Every release is checked against it.
pub const TOTAL_VARIATION_MAX: u128 = 1 << 70;

/// Privacy numbers of a task; kept at its start and never changed while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Items in the catalogue.
    pub items: u32,
    /// Budget of one device over the task.
    pub rho_budget: Rho,
    /// Devices a round takes.
    pub cohort: u32,
    /// Honest, surviving shares assumed.
    pub n_min: u32,
    /// Assumed dropout share, thousandths.
    pub dropout_milli: u32,
    /// Assumed dishonest share, thousandths.
    pub dishonest_milli: u32,
    /// Delta the epsilon is stated at, units of 1e-12.
    pub delta_pico: u64,
    /// History cap.
    pub history_max: u32,
    /// Releases in order, each with its share of the budget.
    pub releases: Vec<(Kind, Rho)>,
    /// Signal-to-noise ratio q.
    pub signal: f64,
    /// Whether q is too small to train factors.
    pub fallback: bool,
    /// Factors asked for instead of the planner's choice.
    pub factors: Option<u32>,
    /// Rounds asked for instead of the planner's choice.
    pub rounds: Option<u32>,
}

impl Job {
    /// Plans a task from public numbers.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] when no honest device would be left under the assumptions, or delta is too small.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by Config::check")]
    pub fn plan(task: &Task, items: u32) -> Result<Self, ServerError> {
        let milli = |share: f64| (share * 1000.0).round() as u32;
        let (dropout_milli, dishonest_milli) = (milli(task.dropout), milli(task.dishonest));
        let survivors = u64::from(task.cohort) * u64::from(1000 - dropout_milli) * u64::from(1000 - dishonest_milli);
        let n_min = u32::try_from(survivors / 1_000_000).unwrap_or(0);
        if n_min < 2 {
            let problem = "task.cohort: fewer than 2 honest devices remain under task.dropout and task.dishonest";
            return Err(ServerError::OperatorConfig(problem.into()));
        }
        let rho_budget = convert::rho_for(task.epsilon, TOTAL_VARIATION_MAX, task.delta).ok_or_else(|| {
            ServerError::OperatorConfig("task.delta is below what the noise samplers may be off by: raise it".into())
        })?;
        let signal = signal_to_noise(f64::from(task.cohort), rho_budget.to_f64_up(), f64::from(items));
        let planned = Recipe::for_signal(signal, items);
        let mut job = Self {
            items,
            rho_budget,
            cohort: task.cohort,
            n_min,
            dropout_milli,
            dishonest_milli,
            delta_pico: (task.delta.get() * 1e12).round() as u64,
            history_max: task.history_max,
            releases: Vec::new(),
            signal,
            fallback: planned.is_none(),
            factors: task.factors,
            rounds: task.rounds,
        };
        job.releases = job.plan_releases();
        Ok(job)
    }

    /// The recipe of this job: the planner's row with the operator's choices put in.
    pub fn recipe(&self) -> Recipe {
        let Some(mut recipe) = Recipe::for_signal(self.signal, self.items) else { return Recipe::counts_only() };
        recipe.factors = self.factors.unwrap_or(recipe.factors).min(self.items);
        recipe.rounds = self.rounds.unwrap_or(recipe.rounds);
        recipe
    }

    fn plan_releases(&self) -> Vec<(Kind, Rho)> {
        let recipe = self.recipe();
        let mut releases = vec![(Kind::Counts, self.rho_budget.share(recipe.counts_share))];
        if recipe.head > 0 {
            releases.push((Kind::HeadGram, self.rho_budget.share(recipe.head_share)));
        }
        let round = self.rho_budget.share(recipe.round_share());
        releases.extend((0..recipe.rounds).map(|_| (Kind::FactorGradient, round)));
        releases
    }

    /// Mechanism of one release against the model it starts from.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] when the numbers make no sound mechanism, in words.
    pub fn mechanism(&self, kind: Kind, rho: Rho, model: &SpectralModel) -> Result<Mechanism, ServerError> {
        let clamp = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let history = self.history_max.min(self.items);
        let (length, row_width, nonzero) = match kind {
            Kind::Counts => (model.catalogue_len(), 1, u64::from(history)),
            Kind::HeadGram => {
                let touched = u64::from(history).min(model.head_items().len() as u64);
                (clamp(model.head_gram_len()), 1, touched * (touched + 1) / 2)
            }
            Kind::FactorGradient => {
                let factors = clamp(model.factor_count());
                (clamp(model.gradient_len()), factors, u64::from(history) * u64::from(factors))
            }
        };
        let nnz_max = u32::try_from(nonzero).unwrap_or(u32::MAX).min(length);
        mechanism_for(rho, length, row_width, nnz_max, self.history_max, self.cohort, self.n_min, false)
            .map_err(|error| ServerError::OperatorConfig(format!("task: {error}")))
    }
}
