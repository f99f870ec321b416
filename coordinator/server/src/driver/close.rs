//! Ends a round: the helper's answer, the next model, the ledger line; or the line that says it was
//! abandoned.

use tacit_model::release::{OpenedSum, Step};
use tacit_plan::{apply, opened_sum};
use tacit_privacy::canonical::digest;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::record::{Abandoned, Charge, Event, Release};
use tacit_round::coordinator::{Answer, Input};
use tacit_round::mask::PartialSum;
use tacit_round::ticket::ParsedTicket;
use tacit_types::{ContributionId, DeviceId, Kind};
use tokio::runtime::Handle;

use super::ask::Asked;
use super::empty::Entered;
use super::{Driver, Performed, no_round};
use crate::error::ServerError;
use crate::helper::HelperAnswer;
use crate::storage::{Recorded, SignedLine};

impl Driver {
    pub(super) fn ask_helper(
        &mut self,
        runtime: &Handle,
        set: &[ContributionId],
    ) -> Result<Performed, ServerError> {
        self.close_leases()?;
        self.board.set_open(None, self.board.received());
        self.store.close_round().wait()?;
        let (helper, ticket) = (self.helper.clone(), self.in_hand()?.ticket.hash());
        let contributions = self.store.contributions().wait()?;
        debug_assert_eq!(contributions.len(), set.len());
        self.board
            .set_counted(ticket, contributions.iter().map(|(one, _)| *one));
        if self.is_spoiled(contributions.iter().map(|(one, _)| one.device))? {
            let reason = "more of its devices were revoked than it assumes to be dishonest";
            return Ok(Performed::Input(Input::HelperRefused(reason.into())));
        }
        let seeds: Vec<_> = contributions
            .into_iter()
            .map(|(_, seed)| seed)
            .collect();
        let asked = self.until_answered(runtime, || helper.release(ticket, &seeds))?;
        Ok(match asked {
            Asked::Answer(answer) => {
                let input = Answer {
                    set_digest: answer.answered.set_digest,
                    contributors: answer.answered.contributors,
                };
                self.in_hand()?.answer = Some(answer);
                Performed::Input(Input::Answered(input))
            }
            Asked::Refused(reason) => Performed::Input(Input::HelperRefused(reason)),
            Asked::Stopped => Performed::Stopped,
        })
    }

    /// Whether so many devices of a set were revoked since they were folded that their noise may be
    /// missing: more than the share the ticket allows for. What they sent cannot be taken out.
    fn is_spoiled(&mut self, set: impl Iterator<Item = DeviceId>) -> Result<bool, ServerError> {
        let revoked = self.revoked.get();
        let (mut size, mut out) = (0_u64, 0_u64);
        for device in set {
            size += 1;
            out += u64::from(revoked.has_device(device));
        }
        let dishonest_milli = self.in_hand()?.ticket.content().dishonest_milli;
        Ok(1000 * out > u64::from(dishonest_milli) * size)
    }

    /// Opens the sum, stores the next model, then makes the ledger line durable.
    pub(super) fn record(&mut self, answer: Answer) -> Result<(), ServerError> {
        let round = self.open.take().ok_or_else(no_round)?;
        let helper = round
            .answer
            .as_ref()
            .ok_or_else(|| ServerError::Internal("no answer to record".into()))?;
        let mask =
            PartialSum::from_bytes(&helper.mask_sum).and_then(|mask| round.sum.unmask(&mask));
        let mut sum = mask
            .ok_or_else(|| ServerError::HelperRefused("a mask sum of the wrong length".into()))?;
        let ticket = round.ticket.content();
        // What stood behind a short vector was zeros and noise.
        sum.truncate(ticket.mechanism.length as usize);
        let model = self.model(ticket.model_in_hash)?;
        let id = self.ledger.id().0;
        let seed = u64::from_le_bytes(id[..8].try_into().unwrap_or_default());
        let contributors = answer.contributors;
        let opened = opened_sum(ticket.kind, &ticket.mechanism, contributors, &sum);
        let step = Step {
            features: Some(&self.features),
            ..self.plan.step(self.ledger.releases(), seed)
        };
        let next = apply(&model, &opened, &step)?;
        let words = sum.iter().map(|value| value.to_le_bytes());
        let bytes: Vec<u8> = words.flatten().collect();
        if ticket.kind == Kind::Metrics {
            // Public once released: what was found must follow from it for everybody.
            self.objects.put(bytes.clone()).wait()?;
            log_evaluation(&opened, next.factor_count() < model.factor_count());
        }
        let release = Event::Release(Box::new(Release {
            charge: self.charge(&round.ticket),
            contributors,
            set_digest: answer.set_digest,
            sum_digest: digest(&bytes),
            helper_line_hash: digest(&helper.line),
            model_out_hash: self.objects.put(next.to_bytes()).wait()?,
        }));
        let (line, bytes) = self.ledger.next(release, (self.now)())?;
        let recorded = Recorded {
            seq: line.seq,
            line: bytes.clone(),
            rho: ticket.mechanism.rho(),
            helper: Some(signed_line(helper)),
        };
        self.store.record(recorded).wait()?;
        tracing::info!(
            event = "round_released",
            round = ticket.round.0,
            contributors
        );
        self.ledger.note(line, bytes);
        Ok(())
    }

    /// A round that was never offered cost nothing, and neither did one that the helper certifies
    /// as never entered. Any other is charged and recorded.
    pub(super) fn record_abandoned(
        &mut self,
        runtime: &Handle,
        reason: &str,
    ) -> Result<Performed, ServerError> {
        tracing::warn!(event = "round_abandoned", reason);
        let Some(round) = self.open.take() else {
            return self.end_unopened(reason).map(|()| Performed::Nothing);
        };
        self.close_leases()?;
        self.board.set_open(None, 0);
        let contributions = self.store.contributions().wait()?;
        if contributions.is_empty() {
            match self.ask_entered(runtime, &round)? {
                Entered::Nobody(certificate, by) => {
                    self.record_empty(&round, reason, certificate, by)?;
                    return Ok(Performed::Nothing);
                }
                Entered::Perhaps => {}
                Entered::Unknown => return Ok(Performed::Stopped),
            }
        }

        let event = Event::Abandoned(Box::new(Abandoned {
            charge: self.charge(&round.ticket),
            contributors: u32::try_from(contributions.len()).unwrap_or(u32::MAX),
            reason: reason.to_owned(),
        }));
        let (line, bytes) = self.ledger.next(event, (self.now)())?;
        let recorded = Recorded {
            seq: line.seq,
            line: bytes.clone(),
            rho: round.ticket.content().mechanism.rho(),
            helper: round.answer.as_ref().map(signed_line),
        };
        self.store.record(recorded).wait()?;
        self.ledger.note(line, bytes);
        if !self.settle_round(runtime)? {
            return Ok(Performed::Stopped);
        }

        self.store.end_round().wait()?;
        let (helper, hash) = (self.helper.clone(), round.ticket.hash());
        // The key also dies when the helper's own limit of open rounds is reached.
        let _ = runtime.block_on(helper.abandon(hash));
        Ok(Performed::Nothing)
    }

    /// What a round with this ticket costs, as the next line of the ledger.
    pub(super) fn charge(&self, parsed: &ParsedTicket) -> Charge {
        let ticket = parsed.content();
        let rho = ticket.mechanism.rho();
        let charged = || {
            self.ledger
                .lines()
                .iter()
                .filter_map(tacit_privacy::record::Line::charge)
        };
        let before = charged()
            .next_back()
            .map_or(ticket.round, |charge| charge.round);
        Charge {
            task: ticket.task.clone(),
            round: ticket.round,
            kind: ticket.kind.as_str().to_owned(),
            ticket_hash: parsed.hash(),
            model_in_hash: ticket.model_in_hash,
            mechanism: ticket.mechanism.clone(),
            squared_sensitivity: ticket.mechanism.squared_sensitivity(),
            total_variation: release_total_variation(&ticket.mechanism),
            rho,
            rho_total: self.ledger.spent().compose(rho),
            dishonest_milli: ticket.dishonest_milli,
            dropout_milli: ticket.dropout_milli,
            participation_index: u32::try_from(charged().count() + 1).unwrap_or(u32::MAX),
            separation: ticket.round.0.saturating_sub(before.0),
            sampler: Charge::SAMPLER.to_owned(),
            rng: Charge::RNG.to_owned(),
            table_hash: NoiseTable::new(&ticket.mechanism).digest(),
            build_hash: self.build,
            unit: Charge::UNIT.to_owned(),
            adjacency: Charge::ADJACENCY.to_owned(),
        }
    }
}

/// The helper's line of an answer, to be kept.
fn signed_line(answer: &HelperAnswer) -> SignedLine {
    SignedLine {
        seq: answer.seq,
        bytes: answer.line.clone(),
        signature: answer.signature,
    }
}

/// For operators who watch; auditors get the same from the exported sum.
fn log_evaluation(opened: &OpenedSum, factors_dropped: bool) {
    let Some(found) = opened.evaluation() else {
        return;
    };
    // A figure that nobody answered for is left out of the line.
    tracing::info!(
        event = "model_evaluated",
        hr_at_10 = found.hr_at_10.map(|hr| hr.value),
        standard_error = found.hr_at_10.map(|hr| hr.error),
        factors_dropped
    );
}
