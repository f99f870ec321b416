//! Where a task stands when the process starts.

use tacit_privacy::record::{Event, Genesis};
use tacit_round::coordinator::{Closing, Contribution, Coordinator, Effect, Reporting};
use tacit_round::lease::Leases;
use tacit_round::mask::PartialSum;
use tacit_round::ticket::ParsedTicket;

use super::{Driver, RoundInHand};
use crate::error::ServerError;
use crate::open_round::OpenRound;
use crate::storage::{Phase, StoredRound};

impl Driver {
    /// First start: the genesis line. Later starts: a line that says so.
    pub(super) fn recover(&mut self) -> Result<(), ServerError> {
        let event = if self.ledger.is_empty() {
            let genesis = self
                .start
                .take()
                .unwrap_or_else(|| self.plan.genesis())
                .to_bytes();
            Event::Genesis(Genesis {
                task: self.task.clone(),
                model_out_hash: self.objects.put(genesis).wait()?,
                catalogue_hash: self.catalogue,
                rho_budget: self.plan.rho_budget,
            })
        } else {
            self.check_catalogue()?;
            Event::Restarted {}
        };
        let (line, bytes) = self.ledger.next(event, (self.now)())?;
        self.store
            .append_line(line.seq, bytes.clone())
            .wait()?;
        self.ledger.note(line, bytes);
        Ok(())
    }

    /// The catalogue must be the one the ledger names: models are made with its categories.
    fn check_catalogue(&self) -> Result<(), ServerError> {
        let changed = self
            .ledger
            .lines()
            .iter()
            .any(|line| match &line.event {
                Event::Genesis(genesis) => genesis.catalogue_hash != self.catalogue,
                _ => false,
            });
        if !changed {
            return Ok(());
        }
        let problem = "task.catalogue: it differs from the one this state was started with; \
                       restore it or use a new state folder";
        Err(ServerError::OperatorConfig(problem.into()))
    }

    /// Where the open round stood when the process stopped.
    pub(super) fn resume(&mut self) -> Result<Option<(Coordinator, Option<Effect>)>, ServerError> {
        let Some(round) = self.store.round().wait()? else {
            return Ok(None);
        };
        let StoredRound {
            phase,
            ticket: signed,
            opened,
        } = round;
        let parsed = ParsedTicket::parse(signed)?;
        let ticket = parsed.content();
        if phase == Phase::Recorded {
            self.store.end_round().wait()?;
            return Ok(None);
        }
        let contributions: Vec<Contribution> = self
            .store
            .contributions()
            .wait()?
            .into_iter()
            .map(|(one, _)| one)
            .collect();
        let empty = || PartialSum::new(ticket.mechanism.sent_length());
        let sum = self
            .store
            .partial()
            .wait()?
            .and_then(|bytes| PartialSum::from_bytes(&bytes))
            .unwrap_or_else(empty);
        let received = contributions.len();
        tracing::info!(event = "round_resumed", round = ticket.round.0, received);
        self.open = Some(RoundInHand::new(parsed.clone(), sum));
        Ok(Some(match phase {
            Phase::Open => {
                let durable = self.store.leases(parsed.hash()).wait()?;
                let answered = contributions.iter().map(|one| one.device);
                let leases = Leases::resume(self.terms(ticket, opened)?, durable, answered);
                self.offer(OpenRound::new(parsed.clone(), opened, leases), received);
                let reporting = Reporting::resume(ticket, self.plan.cohort, contributions);
                (Coordinator::Reporting(reporting), None)
            }
            _ => {
                self.board
                    .set_counted(parsed.hash(), contributions.iter().copied());
                Closing::start(contributions.into_iter().map(|one| one.id).collect())
            }
        }))
    }
}
