//! Documents that are signed or sealed. The targets hold the fixed keys, so they also try what a
//! dishonest signer could sign.

use std::sync::LazyLock;

use tacit_privacy::canonical::{self, digest};
use tacit_privacy::convert;
use tacit_privacy::merkle;
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::record::{Line, TreeHead};
use tacit_round::continuity::Continuity;
use tacit_round::device::Device;
use tacit_round::head::{LoggedLine, SignedHead};
use tacit_round::helper::{Terms, complete_draft};
use tacit_round::keys::{Context, SignatureBytes};
use tacit_round::policy::{LogMark, Policy, TicketRefusal};
use tacit_round::seal::{Binding, Opener, SEALED_LEN, SEALING_KEY_LEN};
use tacit_round::signed_policy::SignedPolicy;
use tacit_round::ticket::{ParsedTicket, SignedTicket, Ticket};
use tacit_types::{Commitment, ContributionId, Delta, Digest, RoundId, TaskId};

use super::parties::{self, COORDINATOR, HELPER, NOW, OPENING, PUBLISHER, SEALED};

static POLICY: LazyLock<Policy> = LazyLock::new(parties::policy);
static GENUINE: LazyLock<ParsedTicket> = LazyLock::new(|| {
    let bytes = parties::ticket().to_bytes();
    let signed = parties::sign_ticket(&bytes.expect("a ticket can be written"));
    ParsedTicket::parse(signed).expect("it was just written")
});
static LEAVES: LazyLock<Vec<Digest>> = LazyLock::new(parties::leaves);

/// Bytes offered as a ticket, unsigned, signed by both parties, and as a draft to the helper.
///
/// # Panics
/// When an unsigned ticket is taken, or a signed one past the policy, or one that does not write
/// back to its bytes.
pub fn ticket(bytes: &[u8]) {
    let parsed = Ticket::from_bytes(bytes);
    if let Ok(ticket) = &parsed {
        assert_eq!(
            ticket.to_bytes().as_deref(),
            Ok(bytes),
            "accepted in another spelling"
        );
    }
    let nothing = SignatureBytes([0; 64]);
    let unsigned = SignedTicket {
        bytes: bytes.to_vec(),
        coordinator_signature: nothing,
        helper_signature: nothing,
    };
    let refused = Device::read(unsigned, &POLICY)
        .and_then(|ticket| POLICY.check(&ticket, LogMark::default(), &Continuity::default(), NOW));
    assert_eq!(refused, Err(TicketRefusal::Signature));

    let nothing = LogMark::default();
    let ledger_id = parties::LEDGER;
    let seen = LogMark {
        ledger_id,
        generation: 1,
        size: 2,
        root: merkle::root(&LEAVES[..2]),
        model_seq: 1,
        ..nothing
    };
    let proof = merkle::consistency_proof(&LEAVES, 2).expect("the ledger has two lines");
    let signed = Device::read(parties::sign_ticket(bytes), &POLICY).ok();
    let shown = Continuity::from(proof);
    let mark = |ticket| POLICY.check(ticket, seen, &shown, NOW).ok();
    if let Some((ticket, mark)) = signed
        .as_ref()
        .and_then(|one| Some((one.content(), mark(one)?)))
    {
        assert_eq!(Ok(ticket), parsed.as_ref());
        assert!(
            ticket.mechanism.check().is_ok() && ticket.mechanism.rho() <= POLICY.rho_release_max
        );
        assert!(
            mark.generation >= seen.generation
                && mark.size >= seen.size
                && mark.model_seq >= seen.model_seq
        );
    }
    let Ok(draft) = parsed else { return };
    let terms = Terms {
        honest_min: 2,
        issuer: None,
        membership_required: false,
    };
    if let Ok(ticket) = complete_draft(draft.clone(), &OPENING, &terms) {
        assert!(ticket.completes(&draft));
    }
}

/// Bytes offered as a signed policy, and as a policy that its publisher signed.
///
/// # Panics
/// When a policy is opened that the publisher did not sign, or takes a ticket it must not.
pub fn policy(bytes: &[u8]) {
    if let Ok(signed) = serde_json::from_slice::<SignedPolicy>(bytes) {
        let genuine = PUBLISHER.public().verifies(
            Context::Policy,
            signed.policy.as_bytes(),
            &signed.signature,
        );
        assert!(
            genuine || signed.open(&PUBLISHER.public()).is_err(),
            "opened without a signature"
        );
    }
    let Ok(policy) = canonical::decode::<Policy>(bytes) else {
        return;
    };
    let signed = SignedPolicy::new(&policy, &PUBLISHER).expect("a policy can be written");
    assert_eq!(
        signed.policy.as_bytes(),
        bytes,
        "accepted in another spelling"
    );
    assert_eq!(signed.open(&PUBLISHER.public()), Ok(policy.clone()));
    if policy
        .check(&GENUINE, LogMark::default(), &Continuity::default(), NOW)
        .is_ok()
    {
        let ticket = GENUINE.content();
        let mechanism = &ticket.mechanism;
        assert!(mechanism.rho() <= policy.rho_release_max && ticket.round.0 <= policy.rounds_max);
        assert!((policy.honest_min..=policy.honest_max).contains(&mechanism.n_min));
        assert!(mechanism.history_max <= policy.history_max);
    }
}

/// Bytes offered as a ledger line, and the arithmetic that auditors do on its numbers.
///
/// # Panics
/// When a line does not write back to its bytes, or a sound mechanism has no sound price.
pub fn ledger_line(bytes: &[u8]) {
    let Ok(line) = Line::from_bytes(bytes) else {
        return;
    };
    assert_eq!(
        line.to_bytes().as_deref(),
        Ok(bytes),
        "accepted in another spelling"
    );
    let Some(charge) = line.charge() else { return };
    let (mechanism, delta) = (&charge.mechanism, Delta::new(1e-5).expect("a delta"));
    let (rho, total) = (mechanism.rho(), charge.rho.compose(charge.rho_total));
    assert!(
        total >= charge.rho && total >= charge.rho_total,
        "a sum is below one of its parts"
    );
    assert!(
        convert::epsilon(total, charge.total_variation, delta) >= 0.0,
        "an epsilon that is not a number"
    );
    let set_min = mechanism.set_min(charge.dishonest_milli);
    if mechanism.check().is_ok() {
        assert!(
            rho.units() > 0
                && mechanism.squared_sensitivity() >= u128::from(mechanism.steps).pow(2)
        );
        assert!(
            mechanism
                .sigma2_for(rho)
                .is_some_and(|sigma2| sigma2 <= mechanism.sigma2),
            "a price nothing can have"
        );
        assert!(set_min >= mechanism.n_min && release_total_variation(mechanism) > 0);
    }
}

/// Sealed bytes, then the binding to open them under: round, ticket, length, contribution,
/// commitment, task.
///
/// # Panics
/// When anything opens but the genuine seed under the genuine binding, or that does not.
pub fn sealed_seed(bytes: &[u8]) {
    let whole = OPENING.open(bytes, &parties::binding());
    assert_eq!(whole.is_ok(), bytes == SEALED.as_slice());
    if let Some((sealed, rest)) = bytes.split_at_checked(SEALED_LEN)
        && let Some((task, binding)) = read_binding(rest)
    {
        let binding = Binding {
            task: &task,
            ..binding
        };
        let genuine = sealed == SEALED.as_slice() && binding == parties::binding();
        assert_eq!(OPENING.open(sealed, &binding).is_ok(), genuine);
    }
    // A ticket's key comes from the helper, whom the device does not trust to send a key.
    if let Some((key, _)) = bytes.split_at_checked(SEALING_KEY_LEN) {
        let opens = |sealed: Vec<u8>| OPENING.open(&sealed, &parties::binding()).is_ok();
        assert_eq!(
            parties::sealed_to(key).is_some_and(opens),
            key == OPENING.sealing_key()
        );
    }
}

fn read_binding(bytes: &[u8]) -> Option<(TaskId, Binding<'static>)> {
    let (round, rest) = bytes.split_first_chunk()?;
    let (ticket, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (contribution, rest) = rest.split_first_chunk()?;
    let (commitment, task) = rest.split_first_chunk()?;
    let binding = Binding {
        round: RoundId(u32::from_le_bytes(*round)),
        ticket: Digest(*ticket),
        length: u32::from_le_bytes(*length),
        contribution: ContributionId(*contribution),
        commitment: Commitment(*commitment),
        ..parties::binding()
    };
    Some((TaskId::new(str::from_utf8(task).ok()?).ok()?, binding))
}

/// Bytes offered as a head, as a logged line, and as an inclusion proof: index, size, then sibling
/// hashes.
///
/// # Panics
/// When a head or a line is believed that is not in the genuine ledger.
pub fn tree_head(bytes: &[u8]) {
    let (coordinator, helper) = (COORDINATOR.public(), HELPER.public());
    if let Ok(head) = canonical::decode::<TreeHead>(bytes) {
        assert!(parties::sign_head(head).verifies(&coordinator, &helper));
    }
    if let Ok(signed) = canonical::decode::<SignedHead>(bytes) {
        assert!(
            !signed.verifies(&coordinator, &helper)
                || signed == parties::sign_head(parties::tree_head())
        );
    }
    if let Ok(logged) = canonical::decode::<LoggedLine>(bytes) {
        assert_eq!(
            canonical::encode(&logged).as_deref(),
            Ok(bytes),
            "accepted in another spelling"
        );
        assert!(!logged.verifies(&coordinator, &helper) || is_genuine(&logged));
        // The same proof under a head that a dishonest pair signs.
        let head = parties::sign_head(logged.head.head.clone());
        let under_root = LoggedLine { head, ..logged };
        let genuine_root = under_root.head.head == parties::tree_head();
        assert!(
            !under_root.verifies(&coordinator, &helper) || !genuine_root || is_genuine(&under_root)
        );
    }
    inclusion(bytes);
}

fn is_genuine(logged: &LoggedLine) -> bool {
    let leaf = merkle::leaf(logged.line.as_bytes());
    usize::try_from(logged.seq).is_ok_and(|seq| LEAVES.get(seq) == Some(&leaf))
}

/// The leaf is the first of the genuine ledger: only its own proof may hold under the genuine size
/// and root.
fn inclusion(bytes: &[u8]) -> Option<()> {
    let (index, rest) = bytes.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (index, size) = (u64::from_le_bytes(*index), u64::from_le_bytes(*size));
    let proof: Vec<Digest> = rest
        .chunks(Digest::LEN)
        .filter_map(|hash| Digest::from_slice(hash).ok())
        .collect();
    let holds = merkle::verify_inclusion(LEAVES[0], index, size, &proof, merkle::root(&LEAVES));
    if size == LEAVES.len() as u64 {
        let genuine = index == 0 && Some(proof) == merkle::inclusion_proof(&LEAVES, 0);
        assert_eq!(holds, genuine);
    }
    // Under another root, where any outcome but a panic will do.
    let _ = merkle::verify_inclusion(
        digest(bytes),
        index,
        size,
        &[digest(rest); 64],
        digest(bytes),
    );
    Some(())
}
