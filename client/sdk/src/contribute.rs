//! From interactions to final bytes: gradient, clip, round, noise, mask, seal. No network and no
//! storage.

use std::sync::{Arc, Mutex};

use rand::TryRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tacit_model::Model;
use tacit_model::history::interaction::Interaction;
use tacit_model::history::preference::without_latest;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::{Mechanism, NoiseSeed, SpendPermit, clip, privatise};
use tacit_round::mask::mask;
use tacit_round::member::Member;
use tacit_round::seal::{Binding, MaskSeed, seal};
use tacit_round::ticket::Ticket;
use tacit_types::{ContributionId, ItemGradient, Kind};

use crate::error::SdkError;
use crate::store::Spooled;

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

/// Makes the final bytes of one release, using the permit up. `member` is shown to the helper only,
/// and only when the ticket asks for it.
///
/// Rounding, noise and mask seeds are drawn from the operating system and erased before this
/// returns.
///
/// # Errors
/// [`SdkError::Stop`] when the operating system gives no randomness or the ticket's sealing key is
/// not one; the spend is then forfeited.
pub fn contribute(
    ticket: &Ticket,
    permit: SpendPermit,
    vector: ItemGradient,
    tables: &TableCache,
    member: Option<&Member>,
) -> Result<Spooled, SdkError> {
    let random = |_| SdkError::Stop("the operating system gives no randomness".into());
    let table = tables.get(&ticket.mechanism);
    let clipped = clip(vector, &ticket.mechanism);
    let update = privatise(
        clipped,
        permit,
        &table,
        NoiseSeed::from_os().map_err(random)?,
    );
    let ticket_hash = update.ticket();

    let mut id = [0; ContributionId::LEN];
    SysRng.try_fill_bytes(&mut id).map_err(random)?;
    let contribution = ContributionId(id);
    // The operating system has just answered; it does not stop giving randomness later.
    let mut rng = UnwrapErr(SysRng);
    let seed = MaskSeed::draw(&mut rng);
    let masked = mask(update, &seed, contribution);
    let binding = Binding {
        task: &ticket.task,
        round: ticket.round,
        ticket: ticket_hash,
        length: ticket.mechanism.length,
        contribution,
        digest: masked.digest(),
    };
    let bad_key = || SdkError::Stop("the ticket's sealing key is not a key".into());
    let sealing_key = ticket.sealing_key_bytes().ok_or_else(bad_key)?;
    let member = member.filter(|_| ticket.membership);
    let sealed = seal(&seed, member, &sealing_key, &binding, &mut rng).map_err(|_| bad_key())?;
    Ok(Spooled::new(&masked, sealed, &binding, ticket.deadline))
}

/// The noise table of the latest mechanism, shared by devices of one process because it is public.
#[derive(Clone, Default)]
pub struct TableCache(Arc<Mutex<Option<Arc<NoiseTable>>>>);

impl TableCache {
    fn get(&self, mechanism: &Mechanism) -> Arc<NoiseTable> {
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
