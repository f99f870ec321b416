//! The helper machine against sets and seeds that are not what they should be: each refused for its
//! own reason.

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tacit_round::helper::{HelperRefusal, HelperRound, SealedSeed, Terms, complete_draft};
use tacit_round::mask::set_digest;
use tacit_round::member::Member;
use tacit_round::seal::{Binding, MaskSeed, OpeningKey, seal};
use tacit_types::{Commitment, ContributionId, Digest};
use zeroize::Zeroizing;

use crate::deployment::*;

/// A helper's round of at least 4 and at most 6 contributions.
struct Round {
    helper: HelperRound,
    hash: Digest,
}

fn round(membership: bool, key: u64) -> Round {
    let terms = Terms {
        issuer: Some(crate::deployment::key(7).public()),
        ..terms()
    };
    let key = OpeningKey::draw(&mut ChaCha20Rng::seed_from_u64(key));
    let mut draft = draft(mechanism(6, 3), 100);
    draft.membership = membership;
    let ticket = complete_draft(draft, &key, &terms).unwrap();
    let hash = digest(&ticket.to_bytes().unwrap());
    Round {
        helper: HelperRound::new(ticket, hash, key, terms.issuer),
        hash,
    }
}

/// Member number `number`, enrolled by the issuer with key `issuer`.
fn member(number: u8, issuer: u8) -> Member {
    Member::issue(&key(issuer), Zeroizing::new([number; 32]))
}

impl Round {
    fn seed(&self, name: u8, mask: u64, member: Option<&Member>) -> SealedSeed {
        let ticket = self.helper.ticket();
        let (contribution, masked) = (ContributionId([name; 16]), Commitment([name; 32]));
        let binding = Binding {
            task: &ticket.task,
            round: ticket.round,
            ticket: self.hash,
            length: LENGTH,
            contribution,
            commitment: masked,
        };
        let mask_seed = MaskSeed::draw(&mut ChaCha20Rng::seed_from_u64(mask));
        let sealing_key = ticket.sealing_key_bytes().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1000 + mask);
        let sealed = seal(&mask_seed, member, &sealing_key, &binding, &mut rng).unwrap();
        SealedSeed {
            contribution,
            sealed,
            commitment: masked,
        }
    }

    fn seeds(&self, count: u8) -> Vec<SealedSeed> {
        (1..=count)
            .map(|name| self.seed(name, u64::from(name), None))
            .collect()
    }

    fn refusal(&self, set: &[SealedSeed]) -> Option<HelperRefusal> {
        self.helper.open_set(set).err()
    }
}

#[test]
fn a_set_that_is_not_whole_sound_and_different_is_refused_with_its_reason() {
    use HelperRefusal::{BadSeed, Repeated, SetTooLarge, SetTooSmall};
    let (round, elsewhere) = (round(false, 1), round(false, 2));
    let good = round.seeds(4);
    for got in 0..4 {
        assert_eq!(
            round.refusal(&good[..got]),
            Some(SetTooSmall { got, need: 4 })
        );
    }
    assert_eq!(round.refusal(&round.seeds(7)), Some(SetTooLarge));
    let second = Some(BadSeed(ContributionId([2; 16])));
    type Change = fn(&mut Vec<SealedSeed>, &Round, &Round);
    let cases: [(&str, Change, Option<HelperRefusal>); 7] = [
        (
            "one twice",
            |set, _, _| set.push(set[0].clone()),
            Some(Repeated),
        ),
        (
            "one seed under two names",
            |set, round, _| set[1] = round.seed(2, 1, None),
            Some(Repeated),
        ),
        (
            "garbage",
            |set, _, _| set[1].sealed = vec![7; set[1].sealed.len()],
            second.clone(),
        ),
        (
            "cut short",
            |set, _, _| set[1].sealed.truncate(1168),
            second.clone(),
        ),
        (
            "another key and ticket",
            |set, _, other| set[1] = other.seed(2, 2, None),
            second.clone(),
        ),
        (
            "another's commitment",
            |set, _, _| set[1].commitment = set[2].commitment,
            second.clone(),
        ),
        (
            "another's seed",
            |set, _, _| set[1].sealed = set[2].sealed.clone(),
            second,
        ),
    ];
    for (name, change, reason) in cases {
        let mut set = good.clone();
        change(&mut set, &round, &elsewhere);
        assert_eq!(round.refusal(&set), reason, "{name}");
    }
    assert_eq!(
        round.helper.open_set(&good).unwrap().set_digest,
        set_digest(good.iter().map(|one| one.contribution))
    );
}

#[test]
fn only_members_count_and_each_once() {
    use HelperRefusal::{NotMember, SecondOfMember};
    let round = round(true, 1);
    let of = |name: u8, member: &Member| round.seed(name, u64::from(name), Some(member));
    let good: Vec<_> = (1..=4)
        .map(|name| of(name, &member(name, 7)))
        .collect();
    assert!(round.helper.open_set(&good).is_ok());
    let looked: Vec<_> = good
        .iter()
        .map(|seed| round.helper.look(seed).unwrap().member)
        .collect();
    assert!(looked.iter().all(Option::is_some) && looked[0] != looked[1]);
    let fifth = ContributionId([5; 16]);
    for (name, seed, reason) in [
        ("no proof", round.seed(5, 5, None), NotMember(fifth)),
        (
            "enrolled by somebody else",
            of(5, &member(5, 8)),
            NotMember(fifth),
        ),
        ("enrolled by itself", of(5, &member(5, 5)), NotMember(fifth)),
    ] {
        assert_eq!(round.helper.look(&seed), Err(reason.clone()), "{name}");
        assert_eq!(
            round.refusal(&[good.clone(), vec![seed]].concat()),
            Some(reason),
            "{name}"
        );
    }
    let again = of(5, &member(1, 7));
    assert_eq!(
        round.refusal(&[good, vec![again]].concat()),
        Some(SecondOfMember(fifth))
    );
}

#[test]
fn a_proof_is_as_long_as_none_and_is_not_looked_at_where_none_is_asked_for() {
    let round = round(false, 1);
    let (with, without) = (
        round.seed(1, 1, Some(&member(1, 8))),
        round.seed(1, 1, None),
    );
    assert_eq!(with.sealed.len(), without.sealed.len());
    assert_eq!(round.helper.look(&with), round.helper.look(&without));
    assert_eq!(round.helper.look(&with).unwrap().member, None);
}

#[test]
fn what_a_helper_does_not_stand_for_it_does_not_countersign() {
    let key = OpeningKey::draw(&mut ChaCha20Rng::seed_from_u64(1));
    let issuer = Some(crate::deployment::key(7).public());
    for (membership, issuer, membership_required, words) in [
        (true, None, false, Some("knows no issuer")),
        (false, issuer, true, Some("members only")),
        (true, issuer, true, None),
        (true, issuer, false, None),
        (false, issuer, false, None),
    ] {
        let mut draft = draft(mechanism(6, 3), 100);
        draft.membership = membership;
        let terms = Terms {
            issuer,
            membership_required,
            ..terms()
        };
        let refused = complete_draft(draft, &key, &terms)
            .err()
            .map(|error| error.to_string());
        assert!(
            match (&refused, words) {
                (Some(refused), Some(words)) => refused.contains(words),
                (refused, words) => refused.is_none() && words.is_none(),
            },
            "{refused:?}"
        );
    }
}
