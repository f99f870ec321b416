//! A state that was put back from an older copy: noticed before anything is offered, and taken up
//! only when the operator says so (PRIVACY.md, section 11, rule 3).
//!
//! What stood after the copy was made is lost. What it cost is not: the helper says which tickets
//! it countersigned, and each gets a line, charged unless the helper certifies that nobody entered.

use tacit_privacy::canonical::digest;
use tacit_privacy::record::{Abandoned, Countersigned, Empty, Event, Restored, TreeHead};
use tacit_privacy::{Rho, merkle};
use tacit_round::restore;
use tacit_round::ticket::{ParsedTicket, SignedTicket};
use tacit_types::Digest;
use tokio::runtime::Handle;

use super::Driver;
use super::ask::Asked;
use crate::error::ServerError;
use crate::export;
use crate::standing::{HelperEnd, HelperLine, Standing};
use crate::storage::{Phase, Resumed, StoredRound};

/// Why a lost round is charged, as auditors read it.
const REASON: &str = "lost in a restore from a copy";
/// Accounts that are taken over at once.
const PIECE: usize = 10_000;

/// A ticket that the helper countersigned.
struct Signed {
    line: Countersigned,
    ticket: SignedTicket,
    /// Contributions in the sum, if the helper answered it.
    contributors: u32,
}

impl Driver {
    /// Holds this state against what the helper has signed, once after each start. An older copy
    /// is restored if the operator said so, and refused if not. False when stopped first.
    pub(super) fn confirm(&mut self, runtime: &Handle) -> Result<bool, ServerError> {
        if self.confirmed {
            return Ok(true);
        }
        let from = HelperEnd::of(&self.store.helper_lines().wait()?).size;
        let Some(standing) = self.standing(runtime, from)? else {
            return Ok(false);
        };
        match (self.behind(&standing)?, self.restored) {
            (None, false) => {}
            (None, true) => tracing::warn!(
                event = "nothing_to_restore",
                "this state is as new as what the helper has signed; start without --restored"
            ),
            (Some(problem), false) => return Err(self.old_copy(&problem)),
            (Some(problem), true) => {
                let Some(newest) = standing.newest else {
                    return Err(self.old_copy("the helper has signed no head of its ledger"));
                };
                tracing::warn!(event = "restoring", problem);
                if !self.restore(runtime, newest)? {
                    return Ok(false);
                }
            }
        }
        self.confirmed = true;
        Ok(true)
    }

    fn old_copy(&self, problem: &str) -> ServerError {
        let folder = self.state.display();
        ServerError::OperatorConfig(format!(
            "state = '{folder}': coordinator.sqlite is an older copy: {problem}; put the newest \
             back, or start once with --restored, which charges every round since"
        ))
    }

    pub(super) fn standing(
        &self,
        runtime: &Handle,
        from: u64,
    ) -> Result<Option<Standing>, ServerError> {
        let (helper, ledger) = (self.helper.clone(), self.ledger.id());
        let known = self.store.helper_lines().wait()?;
        let whole = HelperEnd::of(&known).size;
        let newest = known.iter().rev().find(|line| line.seq < whole);
        match self.until_answered(runtime, || helper.standing(ledger, from, newest))? {
            Asked::Answer(standing) => Ok(Some(standing)),
            Asked::Refused(reason) => Err(ServerError::HelperRefused(reason)),
            Asked::Stopped => Ok(None),
        }
    }

    /// In what the helper has signed more than this state knows of; `None` when in nothing.
    fn behind(&self, standing: &Standing) -> Result<Option<String>, ServerError> {
        if let Some(newest) = &standing.newest
            && let Some(problem) = self.behind_head(newest)
        {
            return Ok(Some(problem));
        }
        if self.accounts_are_newer()? {
            return Ok(Some("the accounts of all tasks know a later line".into()));
        }

        let round = self.store.round().wait()?;
        let opened = round
            .as_ref()
            .map(|round| ParsedTicket::parse(round.ticket.clone()))
            .transpose()?;
        let opened = opened.map_or(0, |ticket| ticket.content().round.0);
        let asked = self.last_asked()?.max(opened);
        let known = asked.max(self.ledger.last_round());
        Ok(standing
            .lines
            .iter()
            .find_map(|line| match &line.line.event {
                Event::Countersigned(signed) if signed.round.0 > known => Some(format!(
                    "the helper has countersigned round {}, and it ends with round {known}",
                    signed.round
                )),
                Event::Answered(answered) if !self.awaits(answered.ticket_hash, round.as_ref()) => {
                    Some(format!(
                        "the helper has answered round {}, and it never asked",
                        answered.round
                    ))
                }
                _ => None,
            }))
    }

    /// The record of used tokens lies beside the accounts: where these are no newer, it may have
    /// been put back too.
    fn void_tokens(&self) -> Result<(), ServerError> {
        let voided = self.enrolment.void_tokens((self.now)());
        let count = voided.map_err(|error| ServerError::StorageUnavailable(error.to_string()))?;
        tracing::warn!(
            event = "tokens_voided",
            count,
            "whichever were used since the copy looks unused; make new ones"
        );
        Ok(())
    }

    /// Whether the accounts of all tasks have heard of a line that this ledger does not have. Just
    /// after a restore they have not heard of it yet.
    pub(super) fn accounts_are_newer(&self) -> Result<bool, ServerError> {
        let settled = self.accounts.settled(self.task.clone());
        let Some(settled) = settled.wait()?.filter(|line| *line != Digest([0; 32])) else {
            return Ok(false);
        };
        let unknown = self.ledger.charged().all(|line| line != settled);
        Ok(unknown && !self.is_just_restored())
    }

    /// Whether no line charges anything since the newest restore.
    fn is_just_restored(&self) -> bool {
        let lines = self.ledger.lines();
        let Some((seq, restored)) = restore::newest(lines) else {
            return false;
        };
        let charged = lines.iter().rev().find(|line| line.charge().is_some());
        charged.is_none_or(|line| line.seq <= seq + u64::from(restored.lost))
    }

    fn behind_head(&self, newest: &TreeHead) -> Option<String> {
        let restored = restore::newest(self.ledger.lines());
        if restored.is_some_and(|(_, restored)| restored.last_head == *newest) {
            // It is restored already; the helper has not signed that yet.
            return None;
        }
        let leaves = self.ledger.leaves();
        let signed = usize::try_from(newest.size).unwrap_or(usize::MAX);
        match leaves.get(..signed) {
            None => Some(format!(
                "it has {} lines, and the helper has signed {signed}",
                leaves.len()
            )),
            Some(leaves) if merkle::root(leaves) != newest.root => {
                Some("its lines are not those the helper has signed".into())
            }
            Some(_) => None,
        }
    }

    /// Whether the answer for a ticket is one this state asked for.
    fn awaits(&self, ticket: Digest, round: Option<&StoredRound>) -> bool {
        let mut ended = self
            .ledger
            .lines()
            .iter()
            .filter_map(tacit_privacy::record::Line::ended);
        ended.any(|(_, ended)| ended == ticket)
            || round.is_some_and(|round| {
                round.phase != Phase::Open && digest(&round.ticket.bytes) == ticket
            })
    }

    /// Begins the next generation after `newest`: its first line, and those of every lost round,
    /// in one commit. Stopped anywhere before it, this begins anew.
    fn restore(&mut self, runtime: &Handle, newest: TreeHead) -> Result<bool, ServerError> {
        let Some(standing) = self.standing(runtime, 0)? else {
            return Ok(false);
        };
        let signed = self.signed(&standing.lines)?;
        let lost = restore::lost(self.ledger.lines(), signed.iter().map(|one| &one.line));
        let lost: Vec<Digest> = lost.into_iter().map(|line| line.ticket_hash).collect();
        let newer = self.accounts_are_newer()?;
        let Some(rho) = self.take_accounts(runtime, newer)? else {
            return Ok(false);
        };
        if !newer {
            self.void_tokens()?;
        }
        let generation = newest.generation + 1;
        let first = Event::Restored(Restored {
            last_head: newest,
            helper_size: standing.size,
            lost: u32::try_from(lost.len()).unwrap_or(u32::MAX),
        });
        let mut lines = vec![self.next_restored(generation, first)?];
        let mut tickets = Vec::with_capacity(lost.len());
        for hash in lost {
            let Some(signed) = signed.iter().find(|one| one.line.ticket_hash == hash) else {
                continue;
            };
            let Some(event) = self.lost_round(runtime, signed)? else {
                return Ok(false);
            };
            lines.push(self.next_restored(generation, event)?);
            tickets.push(signed.ticket.clone());
        }

        // Heads of what is lost are no part of the export any more.
        export::forget_heads(&self.export)?;
        let lost = tickets.len();
        let resumed = Resumed {
            lines,
            tickets,
            rho,
            forget: super::draft::DRAFT,
        };
        self.store.restore(resumed).wait()?;
        tracing::warn!(event = "restored", generation, lost);
        Ok(true)
    }

    /// The next line of the new generation, noted already.
    fn next_restored(
        &mut self,
        generation: u32,
        event: Event,
    ) -> Result<(u64, Vec<u8>), ServerError> {
        let (line, bytes) = self.ledger.next_of(generation, event, (self.now)())?;
        let seq = line.seq;
        self.ledger.note(line, bytes.clone());
        Ok((seq, bytes))
    }

    /// Every ticket of the helper's lines, signed by this coordinator too, as it was before.
    fn signed(&self, lines: &[HelperLine]) -> Result<Vec<Signed>, ServerError> {
        let answered = |ticket: Digest| {
            let mut events = lines.iter().map(|line| &line.line.event);
            events.find_map(|event| match event {
                Event::Answered(answered) if answered.ticket_hash == ticket => {
                    Some(answered.contributors)
                }
                _ => None,
            })
        };
        let mut tickets = Vec::new();
        for line in lines {
            let Event::Countersigned(signed) = &line.line.event else {
                continue;
            };
            tickets.extend(
                line.signed_ticket(&self.signing)?
                    .map(|ticket| Signed {
                        line: signed.clone(),
                        ticket,
                        contributors: answered(signed.ticket_hash).unwrap_or(0),
                    }),
            );
        }
        Ok(tickets)
    }

    /// What becomes of a lost round. The helper ends it in any case; `None` when stopped first.
    fn lost_round(&self, runtime: &Handle, signed: &Signed) -> Result<Option<Event>, ServerError> {
        let ticket = ParsedTicket::parse(signed.ticket.clone())?;
        let (helper, hash) = (self.helper.clone(), ticket.hash());
        let free = self.ledger.free_rounds() < self.free_rounds_max();
        let certified = self.until_answered(runtime, || async {
            match free {
                true => helper.certify_empty(hash).await,
                false => helper.abandon(hash).await.map(|()| None),
            }
        })?;
        let certified = match certified {
            Asked::Answer(certified) => certified,
            Asked::Refused(_) => None,
            Asked::Stopped => return Ok(None),
        };
        Ok(Some(match certified {
            Some((certificate, by)) => Event::Empty(Empty {
                task: signed.line.task.clone(),
                round: signed.line.round,
                ticket_hash: hash,
                ticket_rho: signed.line.rho,
                free_rounds: self.ledger.free_rounds() + 1,
                reason: REASON.to_owned(),
                helper_generation: certificate.generation,
                certificate: by.to_string(),
            }),
            None => Event::Abandoned(Box::new(Abandoned {
                charge: self.charge(&ticket),
                contributors: signed.contributors,
                reason: REASON.to_owned(),
            })),
        }))
    }

    /// Takes over what the accounts of all tasks count for this one, where that is more; they are
    /// not always put back with this state. Gives what is still to be counted for the contributors
    /// of the open round: nothing, if the accounts are `newer` and have heard of a later line.
    /// `None` when stopped first.
    fn take_accounts(&self, runtime: &Handle, newer: bool) -> Result<Option<Rho>, ServerError> {
        let mut after = None;
        loop {
            let ask = || self.accounts.totals(self.task.clone(), after, PIECE);
            let Some(totals) = self.until_free(runtime, ask)? else {
                return Ok(None);
            };
            after = totals.last().map(|(device, _)| *device);
            if after.is_none() {
                break;
            }
            self.store.raise(totals).wait()?;
        }

        let round = self.store.round().wait()?;
        match round.filter(|round| !newer && round.phase != Phase::Recorded) {
            None => Ok(Some(Rho::ZERO)),
            Some(round) => {
                let ticket = ParsedTicket::parse(round.ticket)?;
                Ok(Some(ticket.content().mechanism.rho()))
            }
        }
    }
}
