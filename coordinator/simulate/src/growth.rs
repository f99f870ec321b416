//! An incremental spectral task: the catalogue grew, and one round with carry starts from the basis
//! of the task before.

use rand::seq::SliceRandom;
use tacit_data::Dataset;
use tacit_model::family::spectral::growth::grown;
use tacit_model::family::{Family, Owner};
use tacit_model::history::interaction::Interaction;
use tacit_model::history::preference::History;
use tacit_model::{Features, Model};
use tacit_plan::{PlanRequest, plan};
use tacit_types::ItemId;

use crate::error::SimulateError;
use crate::setting::Setting;
use crate::streams::{Purpose, stream};
use crate::train::{Run, releases, spectral};

/// Renumbers a data set so that random items come last, as if a catalogue had grown by them.
#[must_use]
pub fn renumbered(mut data: Dataset, seed: u64) -> Dataset {
    let mut order: Vec<usize> = (0..data.items.len()).collect();
    order.shuffle(&mut stream(seed, Purpose::Growth, 0, 0));
    let mut place = vec![ItemId(0); order.len()];
    (0u32..)
        .zip(&order)
        .for_each(|(new, &old)| place[old] = ItemId(new));
    let moved = |item: &mut ItemId| *item = place[item.0 as usize];
    data.items = order
        .iter()
        .map(|&old| data.items[old].clone())
        .collect();
    data.users
        .iter_mut()
        .flatten()
        .for_each(|one| moved(&mut one.item));
    data.test.iter_mut().flatten().for_each(moved);
    data.negatives
        .iter_mut()
        .flatten()
        .flatten()
        .for_each(moved);
    data
}

/// What devices knew when the catalogue had `items` items.
pub fn earlier(interactions: &[Vec<Interaction>], items: u32, history_max: u32) -> Vec<History> {
    interactions
        .iter()
        .map(|own| History::new(own, items, history_max as usize))
        .collect()
}

/// Updates `previous` on a catalogue that grew to `items`: the task a coordinator plans for `[task]
/// start`.
///
/// # Errors
/// [`SimulateError::Plan`] when the numbers make no plan; [`SimulateError::Input`] when there is
/// nothing to update.
pub fn update(
    previous: &Model,
    histories: &[History],
    items: u32,
    features: Option<&Features>,
    setting: &Setting,
    seed: u64,
) -> Result<Run, SimulateError> {
    let start = grown(
        spectral(previous)?,
        items,
        setting.factors.unwrap_or(u32::MAX),
    );
    let start = start.ok_or_else(|| {
        SimulateError::Input("the earlier model has no factors to carry over".into())
    })?;
    let devices = u32::try_from(histories.len()).unwrap_or(u32::MAX);
    let carried = u32::try_from(start.factor_count()).unwrap_or(u32::MAX);
    let plan = plan(&PlanRequest {
        carried: Some(carried),
        ..setting.request(Family::Spectral, devices, items)
    })?;
    let owners: Vec<Owner<'_>> = histories.iter().map(Owner::from).collect();
    releases(&owners, start.into(), features, &plan, seed)
}
