//! Spooled bytes made the only way there is, from a permit to a mask; the seed stays unsealed
//! because nobody opens it here.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tacit_privacy::ledger::spend;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::{DeviceBudget, Mechanism, MemoryLedger, NoiseSeed, Rho, Tier, clip, privatise};
use tacit_round::mask::mask;
use tacit_round::seal::{Binding, MaskSeed};
use tacit_sdk::store::Spooled;
use tacit_types::{ContributionId, Digest, ItemGradient, RoundId, TaskId, Timestamp};

/// What a device that did nothing spools for a round of `length` numbers.
pub(crate) fn spooled(task: &TaskId, round: RoundId, ticket: Digest, length: u32) -> Spooled {
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
    let budget = DeviceBudget::lifetime(Rho::MAX);
    let permit = spend(
        &mut MemoryLedger::default(),
        budget,
        task,
        round,
        ticket,
        &mechanism,
        Timestamp(0),
    )
    .unwrap()
    .unwrap();
    let zeros = clip(ItemGradient::new(vec![0.0; length as usize]), &mechanism);
    let update = privatise(
        zeros,
        permit,
        &NoiseTable::new(&mechanism),
        NoiseSeed::from_os().unwrap(),
    );
    let contribution = ContributionId([3; 16]);
    let masked = mask(
        update,
        &MaskSeed::draw(&mut UnwrapErr(SysRng)),
        contribution,
    );
    let digest = masked.digest();
    let binding = Binding {
        task,
        round,
        ticket,
        length,
        contribution,
        digest,
    };
    Spooled::new(
        &masked,
        vec![4; 1328],
        &binding,
        Timestamp(1_800_000_000_000),
    )
}
