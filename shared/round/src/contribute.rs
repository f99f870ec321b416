//! What a device sends, composed once: clip, round, add noise, name, mask, seal.
//!
//! An installation, the auditor's canaries and the exact simulation all call [`contribute`], so
//! what is measured and simulated is what ships. Its result is the last link of the chain that
//! `tacit-privacy` begins:
//!
//! ```text
//! PrivateUpdate --mask(seed)--> MaskedUpdate --seal(seed)--> SealedUpdate
//! ```

use rand::TryRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::{NoiseSeed, PrivateUpdate, SpendPermit, clip, privatise};
use tacit_types::{Commitment, ContributionId, Digest, ItemGradient, RoundId, TaskId, Timestamp};

use crate::commitment::CommitmentKey;
use crate::mask::{MaskedUpdate, mask};
use crate::member::Member;
use crate::seal::{Binding, MaskSeed, seal};
use crate::ticket::Ticket;

/// Final bytes of one contribution: a masked update, and the seed of its mask sealed to the helper.
///
/// Made by [`contribute`] only, so whatever is one was paid for, noised and masked:
///
/// ```
/// fn sent(update: &tacit_round::contribute::SealedUpdate) -> (&[u8], &[u8]) {
///     (update.masked(), update.sealed())
/// }
/// ```
/// ```compile_fail,E0616
/// fn replaced(update: &mut tacit_round::contribute::SealedUpdate) {
///     update.sealed = vec![];
/// }
/// ```
/// ```compile_fail,E0277
/// fn unsealed(update: tacit_round::mask::MaskedUpdate) -> tacit_round::contribute::SealedUpdate {
///     update.into()
/// }
/// ```
pub struct SealedUpdate {
    task: TaskId,
    round: RoundId,
    ticket: Digest,
    contribution: ContributionId,
    deadline: Timestamp,
    sealed: Vec<u8>,
    commitment: Commitment,
    commitment_key: CommitmentKey,
    masked: MaskedUpdate,
}

/// Why no final bytes were made; the spend is then forfeited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContributeError {
    /// The operating system fails to give random bytes.
    #[error("the operating system gives no randomness")]
    NoRandomness,
    /// Nobody can seal to the key in the ticket.
    #[error("the ticket's sealing key is not a key")]
    NotASealingKey,
}

/// Makes the final bytes of one release, using the permit up.
///
/// `vector` is clipped to the ticket's mechanism, zeros if it has another length. `table` is the
/// noise table of that mechanism. The helper alone is shown `member`, and only when the ticket asks
/// for one.
///
/// # Errors
/// [`ContributeError`]; the spend is then forfeited.
///
/// # Panics
/// If the permit was granted, or the table built, for another mechanism than the ticket's: nothing
/// is released.
///
/// # Guarantees
/// Rounding and noise, the name of the contribution, mask, commitment and seal are drawn from the
/// operating system, in this order, and no caller can put a generator of its own in their place:
/// whoever knows a mask's seed reads the device's share. The seeds are erased before this returns.
pub fn contribute(
    ticket: &Ticket,
    permit: SpendPermit,
    vector: ItemGradient,
    table: &NoiseTable,
    member: Option<&Member>,
) -> Result<SealedUpdate, ContributeError> {
    let clipped = clip(vector, &ticket.mechanism);
    let noise = NoiseSeed::from_os().map_err(|_| ContributeError::NoRandomness)?;
    let update = privatise(clipped, permit, table, noise);

    let mut id = [0; ContributionId::LEN];
    SysRng
        .try_fill_bytes(&mut id)
        .map_err(|_| ContributeError::NoRandomness)?;
    mask_and_seal(ticket, update, ContributionId(id), member)
}

fn mask_and_seal(
    ticket: &Ticket,
    update: PrivateUpdate,
    contribution: ContributionId,
    member: Option<&Member>,
) -> Result<SealedUpdate, ContributeError> {
    // The operating system has just answered; it does not stop giving randomness later.
    let mut system = UnwrapErr(SysRng);
    let ticket_hash = update.ticket();
    let seed = MaskSeed::draw(&mut system);
    let masked = mask(update, &seed, contribution);
    let commitment_key = CommitmentKey::draw(&mut system);
    let binding = Binding {
        task: &ticket.task,
        round: ticket.round,
        ticket: ticket_hash,
        length: ticket.mechanism.sent_length(),
        contribution,
        commitment: masked.commit(&commitment_key),
    };
    let bad_key = ContributeError::NotASealingKey;
    let sealing_key = ticket.sealing_key_bytes().ok_or(bad_key)?;
    let member = member.filter(|_| ticket.membership);
    let sealed = seal(&seed, member, &sealing_key, &binding, &mut system).map_err(|_| bad_key)?;
    Ok(SealedUpdate {
        task: ticket.task.clone(),
        round: ticket.round,
        ticket: ticket_hash,
        contribution,
        deadline: ticket.latest_deadline,
        sealed,
        commitment: binding.commitment,
        commitment_key,
        masked,
    })
}

impl SealedUpdate {
    /// Task of the round answered.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// The round answered.
    pub fn round(&self) -> RoundId {
        self.round
    }

    /// Hash of the ticket answered.
    pub fn ticket(&self) -> Digest {
        self.ticket
    }

    /// Name of the contribution.
    pub fn contribution(&self) -> ContributionId {
        self.contribution
    }

    /// The ticket's deadline: from then on these bytes are not sent any more.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Sealed mask seed.
    pub fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// Commitment to [`Self::masked`].
    pub fn commitment(&self) -> Commitment {
        self.commitment
    }

    /// Key of the commitment, for the coordinator only.
    pub fn commitment_key(&self) -> &CommitmentKey {
        &self.commitment_key
    }

    /// Masked ring elements, little-endian.
    pub fn masked(&self) -> &[u8] {
        self.masked.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use tacit_privacy::ledger::spend;
    use tacit_privacy::{DeviceBudget, Mechanism, MemoryLedger, Rho, Tier};
    use tacit_types::Kind;
    use zeroize::Zeroizing;

    use super::*;
    use crate::keys::SigningKey;
    use crate::rehearsal::{OpenError, Rehearsal};
    use crate::seal::{Opener, SealError};

    const LENGTH: u32 = 1000;

    /// Shares of 4 grid steps of noise on a grid of 1024.
    fn round() -> Rehearsal {
        let mechanism = Mechanism {
            tier: Tier::Helper,
            length: LENGTH,
            row_width: 1,
            row_cap_milli: 1000,
            history_max: 10,
            nnz_max: 10,
            steps: 1024,
            sigma2: 16 * 5,
            n_min: 5,
            cohort_max: 100,
            helper_noise: false,
        };
        let task = TaskId::new("films").unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        Rehearsal::new(task, RoundId(1), Kind::Counts, mechanism, false, &mut rng)
    }

    fn permit(ticket: &Ticket) -> SpendPermit {
        let Ok(permit) = spend(
            &mut MemoryLedger::default(),
            DeviceBudget::lifetime(Rho::MAX),
            &ticket.task,
            ticket.round,
            ticket.hash(),
            &ticket.mechanism,
            Timestamp(0),
        );
        permit.unwrap()
    }

    /// Answers `ticket` with the largest vector there is, all of it in the first coordinate.
    fn answer(ticket: &Ticket, member: Option<&Member>) -> Result<SealedUpdate, ContributeError> {
        let mut vector = vec![0.0; LENGTH as usize];
        vector[0] = 5.0;
        let table = NoiseTable::new(&ticket.mechanism);
        contribute(
            ticket,
            permit(ticket),
            ItemGradient::new(vector),
            &table,
            member,
        )
    }

    #[test]
    fn what_a_device_sends_opens_to_its_clipped_vector_and_its_noise() {
        let round = round();
        let (one, two) = (
            answer(round.ticket(), None).unwrap(),
            answer(round.ticket(), None),
        );
        let two = two.unwrap();
        assert_eq!(
            (one.task(), one.round()),
            (&round.ticket().task, RoundId(1))
        );
        assert_eq!(one.ticket(), round.ticket().hash());
        assert!(one.contribution() != two.contribution() && one.masked() != two.masked());

        let mut sums = round.nothing();
        let mut add = |sent: &SealedUpdate| {
            sums.add(
                sent.contribution(),
                sent.masked(),
                sent.commitment_key(),
                sent.sealed(),
            )
        };
        let shares = [add(&one).unwrap(), add(&two).unwrap()];
        let sum: Vec<i32> = shares[0]
            .iter()
            .zip(&shares[1])
            .map(|(x, y)| x + y)
            .collect();
        assert_eq!(sums.open(), sum);
        for mut share in shares {
            share[0] -= 1024;
            // The table ends at 16 standard deviations of 4 steps.
            assert!(share.iter().all(|noise| noise.abs() <= 65));
            assert!(share.iter().any(|noise| *noise != 0));
        }
    }

    #[test]
    fn a_seal_opens_for_its_own_bytes_and_name_only_and_what_does_not_open_is_not_added() {
        let round = round();
        let sent = answer(round.ticket(), None).unwrap();
        let (name, masked, sealed) = (sent.contribution(), sent.masked(), sent.sealed());
        let mut sums = round.nothing();
        let other = ContributionId([0; 16]);
        for (name, masked) in [(other, masked), (name, &masked[4..]), (name, &masked[1..])] {
            let refused = sums.add(name, masked, sent.commitment_key(), sealed);
            assert_eq!(refused, Err(OpenError::Sealed(SealError)));
        }
        assert_eq!(sums.open(), [0; LENGTH as usize]);
    }

    #[test]
    fn membership_is_proved_only_where_the_ticket_asks_for_it() {
        let issuer = SigningKey::from_seed(&Zeroizing::new([1; 32]));
        let member = Member::issue(&issuer, Zeroizing::new([2; 32]));
        let key = crate::seal::OpeningKey::draw(&mut ChaCha20Rng::seed_from_u64(2));
        for membership in [false, true] {
            let ticket = Ticket {
                membership,
                sealing_key: hex::encode(key.sealing_key()),
                ..round().ticket().clone()
            };
            let sent = answer(&ticket, Some(&member)).unwrap();
            let binding = Binding {
                task: &ticket.task,
                round: ticket.round,
                ticket: ticket.hash(),
                length: LENGTH,
                contribution: sent.contribution(),
                commitment: sent.commitment(),
            };
            let (_, proof) = key.open(sent.sealed(), &binding).unwrap();
            let proved = proof.verifies(&issuer.public(), &binding.associated_data());
            assert_eq!(proved, membership);
        }
    }

    #[test]
    fn a_ticket_without_a_sealing_key_makes_no_bytes() {
        for sealing_key in ["", "no key", "00"] {
            let ticket = Ticket {
                sealing_key: sealing_key.into(),
                ..round().ticket().clone()
            };
            let refused = answer(&ticket, None).err();
            assert_eq!(
                refused,
                Some(ContributeError::NotASealingKey),
                "{sealing_key}"
            );
        }
    }
}
