//! Final bytes made the only way there is, from a permit to a seal.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tacit_privacy::ledger::spend;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::{DeviceBudget, Mechanism, MemoryLedger, Rho, Tier};
use tacit_round::contribute::{SealedUpdate, contribute};
use tacit_round::rehearsal::Rehearsal;
use tacit_types::{ItemGradient, Kind, RoundId, TaskId, Timestamp};

/// What a device that did nothing sends for a round of `length` numbers.
pub(crate) fn sealed(task: &TaskId, round: RoundId, length: u32) -> SealedUpdate {
    let mechanism = Mechanism {
        tier: Tier::Helper,
        length,
        row_width: 1,
        row_cap_milli: 1000,
        history_max: 10,
        nnz_max: 16,
        steps: 64,
        sigma2: 5120,
        n_min: 5,
        cohort_max: 100,
        helper_noise: false,
    };
    let (task, mut system) = (task.clone(), UnwrapErr(SysRng));
    let rehearsal = Rehearsal::new(task, round, Kind::Counts, mechanism, false, &mut system);
    let ticket = rehearsal.ticket();
    let Ok(permit) = spend(
        &mut MemoryLedger::default(),
        DeviceBudget::lifetime(Rho::MAX),
        &ticket.task,
        round,
        ticket.hash(),
        &ticket.mechanism,
        Timestamp(0),
    );
    let zeros = ItemGradient::new(vec![0.0; length as usize]);
    let table = NoiseTable::new(&ticket.mechanism);
    contribute(ticket, permit.unwrap(), zeros, &table, None).unwrap()
}
