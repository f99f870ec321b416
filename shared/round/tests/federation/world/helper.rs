//! The helper of a [`World`]: what it signed and answered is durable before it is said.

use tacit_round::coordinator::Answer;
use tacit_round::helper::{HelperRefusal, HelperRound, SealedSeed, complete_draft};
use tacit_round::keys::Context;
use tacit_round::mask::set_digest;
use tacit_round::seal::OpeningKey;
use tacit_round::ticket::Ticket;
use tacit_types::Digest;

use super::{Message, World};
use crate::deployment::{digest, helper_key, terms};

impl World {
    pub(super) fn start_helper(&mut self) {
        let helper = &mut self.helper;
        helper.live = match (&helper.ticket, &helper.key) {
            (Some((bytes, _)), Some(secret)) => {
                let key = OpeningKey::from_secret(secret).unwrap();
                Some(HelperRound::new(
                    Ticket::from_bytes(bytes).unwrap(),
                    digest(bytes),
                    key,
                    None,
                ))
            }
            _ => None,
        };
    }

    /// Key, ticket and signature are durable before anything is said; the same draft gets the same
    /// answer.
    pub(super) fn countersign(&mut self, draft: &Ticket) {
        let bytes = draft.to_bytes().unwrap();
        if self.helper.ticket.is_none() {
            let key = OpeningKey::draw(&mut self.rng);
            let ticket = complete_draft(draft.clone(), &key, &terms())
                .unwrap()
                .to_bytes()
                .unwrap();
            let signature = helper_key().sign(Context::Ticket, &ticket);
            self.helper.key = Some(key.secret().to_vec());
            (self.helper.draft, self.helper.ticket) =
                (Some(bytes.clone()), Some((ticket, signature)));
            self.start_helper();
        }
        assert_eq!(
            self.helper.draft.as_ref(),
            Some(&bytes),
            "a second draft for one round"
        );
        let (ticket, signature) = self.helper.ticket.clone().unwrap();
        self.network
            .push(Message::Countersigned(ticket, signature));
    }

    /// At most one answer a round, durable before it is said, and only for a set that is large
    /// enough.
    pub(super) fn answer(&mut self, ticket: Digest, seeds: &[SealedSeed]) {
        let set = set_digest(seeds.iter().map(|seed| seed.contribution));
        if self.helper.answer.is_none() {
            let round = self.helper.live.as_ref().unwrap();
            assert_eq!(digest(&round.ticket().to_bytes().unwrap()), ticket);
            let small = round.open_set(&seeds[..self.set_min() - 1]).err();
            assert!(matches!(small, Some(HelperRefusal::SetTooSmall { .. })));
            let opened = round
                .open_set(seeds)
                .unwrap_or_else(|refusal| panic!("an honest set is refused: {refusal}"));
            assert_eq!(opened.set_digest, set);
            assert!(
                opened
                    .fingerprints
                    .iter()
                    .all(|seed| self.helper.used.insert(*seed)),
                "a seed was used twice"
            );
            let contributors = u32::try_from(seeds.len()).unwrap();
            let mask_sum = round.mask_sum(opened.seeds());
            self.helper.answer = Some((
                Answer {
                    set_digest: set,
                    contributors,
                },
                mask_sum,
            ));
        }
        let (answer, mask_sum) = self.helper.answer.clone().unwrap();
        assert_eq!(
            answer.set_digest, set,
            "the helper was asked for two sets of one round"
        );
        self.network.push(Message::Answered(answer, mask_sum));
    }
}
