//! What the store and the agent ask of the model: this device's vector, before it is made private.

use std::sync::{Arc, Mutex};

use tacit_model::Model;
use tacit_model::history::interaction::Interaction;
use tacit_model::history::preference::without_latest;
use tacit_privacy::Mechanism;
use tacit_privacy::noise::NoiseTable;
use tacit_round::ticket::Ticket;
use tacit_types::{ItemGradient, Kind};

/// Whether the ticket asks for exactly the vector this model gives: length, row width and support.
pub fn fits(ticket: &Ticket, model: &Model) -> bool {
    let (length, row_width) = (
        ticket.mechanism.length as usize,
        ticket.mechanism.row_width as usize,
    );
    model
        .extent(ticket.kind)
        .is_some_and(|extent| extent.length() == length && extent.row_width == row_width)
}

/// This device's unprotected vector for a ticket that [`fits`]; zeros for any other, because what
/// was spent for is sent.
pub fn gradient(ticket: &Ticket, model: &Model, interactions: &[Interaction]) -> ItemGradient {
    let mechanism = &ticket.mechanism;
    let held_out = ticket.hold_out && ticket.kind != Kind::Metrics;
    let spared = held_out.then(|| without_latest(interactions, model.catalogue_len()));
    let interactions = spared.as_deref().unwrap_or(interactions);
    let vector = model.vector(ticket.kind, interactions, mechanism.history_max as usize);
    vector.unwrap_or_else(|| ItemGradient::new(vec![0.0; mechanism.length as usize]))
}

/// The noise table of the latest mechanism, shared by devices of one process because it is public.
#[derive(Clone, Default)]
pub struct TableCache(Arc<Mutex<Option<Arc<NoiseTable>>>>);

impl TableCache {
    /// The table of `mechanism`, built unless it is the latest.
    pub fn get(&self, mechanism: &Mechanism) -> Arc<NoiseTable> {
        let mut cached = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*cached {
            Some(table) if table.fits(mechanism) => table.clone(),
            _ => cached.insert(Arc::new(NoiseTable::new(mechanism))).clone(),
        }
    }
}
