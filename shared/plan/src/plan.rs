//! What a task releases, in which order and at what price: fixed before its first round and stored
//! for as long as it runs.
//!
//! [`crate::plan()`] makes a plan. Here it is read: which model its task starts from, which
//! mechanism a release has, and how the sum of that release is applied.

use serde::{Deserialize, Serialize};
use tacit_model::Model;
use tacit_model::family::Family;
use tacit_model::family::rating::{RatingModel, Scale};
use tacit_model::family::recipe::{Recipe, SIGNAL_UNSURE};
use tacit_model::family::spectral::SpectralModel;
use tacit_model::release::Step;
use tacit_privacy::{Mechanism, Rho};
use tacit_types::Kind;

use crate::error::PlanError;
use crate::mechanism::{Crowd, Shape, mechanism_for};

/// The plan of one task.
///
/// The coordinator stores it as JSON, so a field keeps its name and meaning for good, and a field
/// that is added gets a default. Shares, scale and delta are whole numbers, so that the terms of
/// two plans compare exactly after one of them was written and read. What the planner made of the
/// terms (`releases`, `recipe`, `signal`, `fallback`) is stored with them: a newer planner never
/// changes a running task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Family of the trained model.
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
    /// Honest, surviving noise shares assumed: floor(cohort (1 - p) (1 - f)).
    pub n_min: u32,
    /// Whether the helper adds the whole noise once more.
    pub helper_noise: bool,
    /// Assumed dropout share p, thousandths.
    pub dropout_milli: u32,
    /// Assumed dishonest share f, thousandths.
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
    /// Releases in order, each with the most it may cost.
    pub releases: Vec<(Kind, Rho)>,
    /// How the model is trained, with the operator's choices in it.
    pub recipe: Recipe,
    /// Signal-to-noise ratio q of what is expected to arrive.
    pub signal: f64,
    /// Whether q is too small to train factors, so that only the first statistic is released.
    pub fallback: bool,
}

impl Plan {
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

    /// How the release at place `release` of [`Self::releases`] is applied, for a catalogue without
    /// features. `seed` is public.
    pub fn step(&self, release: usize, seed: u64) -> Step<'_> {
        let mut before = self.releases.iter().take(release);
        let trained_before = before.any(|(kind, _)| trains_factors(*kind));
        let next = self.releases.get(release + 1).map(|(kind, _)| *kind);
        Step {
            recipe: &self.recipe,
            first: self.carried.is_none() && !trained_before,
            next,
            features: None,
            seed,
            in_doubt: self.signal < SIGNAL_UNSURE,
        }
    }

    /// Whether the model is evaluated, so that devices hold out their owners' latest item.
    pub fn is_evaluated(&self) -> bool {
        self.releases
            .iter()
            .any(|(kind, _)| *kind == Kind::Metrics)
    }

    /// Mechanism of a release of `kind` that costs at most `rho` and starts from `model`: the
    /// planned one, for the rows and factors that are left.
    ///
    /// # Errors
    /// [`PlanError::NotGiven`] for a kind the model does not give; any other when the numbers make
    /// no sound mechanism.
    pub fn mechanism(&self, kind: Kind, rho: Rho, model: &Model) -> Result<Mechanism, PlanError> {
        let shape = Shape::of(kind, model, self.history_max).ok_or(PlanError::NotGiven(kind))?;
        let crowd = Crowd {
            cohort: self.cohort,
            n_min: self.n_min,
            helper_noise: self.helper_noise,
        };
        mechanism_for(rho, &shape, &crowd)
    }
}

/// Whether a release of this kind moves factors, so that a later one carries them on.
fn trains_factors(kind: Kind) -> bool {
    matches!(kind, Kind::FactorGradient | Kind::LayerGradient)
}

/// The scale of tasks that were stored before they could name one.
fn stars_milli() -> [i64; 2] {
    [1_000, 5_000]
}
