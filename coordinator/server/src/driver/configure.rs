//! Drafts the next ticket.

use tacit_plan::TOTAL_VARIATION_MAX;
use tacit_privacy::noise::table::release_total_variation;
use tacit_round::head::{LoggedLine, SignedHead};
use tacit_round::seal::SCHEME_ID;
use tacit_round::ticket::{self, Ticket};

use super::Driver;
use crate::error::ServerError;

/// So many rounds without a model in a row pause the task. Those that somebody entered cost devices
/// budget; those that nobody did, although devices were there, are refused for a reason.
const ABANDONED_MAX: usize = 3;

/// What comes after what the ledger holds.
pub(super) enum Next {
    /// A ticket without its sealing key.
    Round(Box<Ticket>),
    /// Every planned release was made, or the budget is used up by those that were.
    Complete,
    /// Only an operator can go on; why.
    Paused(String),
}

impl Driver {
    /// The next ticket, unless there is none.
    pub(super) fn draft(&self) -> Result<Next, ServerError> {
        if self.ledger.abandoned_in_a_row() >= ABANDONED_MAX {
            return Ok(Next::Paused(format!(
                "the last {ABANDONED_MAX} rounds gave no model; read their reasons in the ledger, \
                 mend the cause, then start again"
            )));
        }
        if let Some(asked) = self.asked_before()? {
            return Ok(Next::Round(Box::new(asked)));
        }
        let remaining = self
            .plan
            .releases
            .get(self.ledger.releases()..)
            .unwrap_or_default();
        let Some(&(kind, share)) = remaining.first() else {
            return Ok(Next::Complete);
        };
        let left = self
            .plan
            .rho_budget
            .minus(self.ledger.spent())
            .unwrap_or_default();
        let needed = remaining
            .iter()
            .fold(tacit_privacy::Rho::ZERO, |sum, (_, rho)| sum.compose(*rho));
        // An abandoned round stays charged: what is left is shared out again in the same
        // proportions.
        let rho = if needed <= left {
            share
        } else {
            left.share(share.to_f64_up() / needed.to_f64_up())
        };
        if rho.units() < share.units() / 100 {
            tracing::warn!(event = "budget_used_up", left = %left);
            return Ok(self.without_budget());
        }
        let (model_in_hash, seq) = self.current()?;
        let mechanism = self
            .plan
            .mechanism(kind, rho, &self.model(model_in_hash)?)?;
        if self.ledger.total_variation() + release_total_variation(&mechanism) > TOTAL_VARIATION_MAX
        {
            return Err(ServerError::OperatorConfig(
                "task: too many or too large releases for the sampler's bound".into(),
            ));
        }
        let logged = self.logged(seq)?;
        let now = (self.now)();
        Ok(Next::Round(Box::new(Ticket {
            schema: ticket::SCHEMA,
            scheme_id: SCHEME_ID,
            task: self.task.clone(),
            round: self.next_number()?,
            kind,
            model_in_hash,
            logged,
            mechanism,
            dishonest_milli: self.plan.dishonest_milli,
            dropout_milli: self.plan.dropout_milli,
            delta_pico: self.plan.delta_pico,
            membership: self.membership,
            hold_out: self.plan.is_evaluated(),
            free_rounds: self.ledger.free_rounds(),
            deadline: now.plus_millis(self.deadline_ms),
            latest_deadline: now.plus_millis(self.latest_deadline_ms),
            sealing_key: String::new(),
        })))
    }

    /// A task that released something is complete without budget. One that released nothing is not:
    /// its model is the one it began with, which must take no other's place.
    fn without_budget(&self) -> Next {
        if self.ledger.releases() > 0 {
            return Next::Complete;
        }
        Next::Paused(format!(
            "abandoned rounds used up the budget (rho {} of {}, units of 2^-64) and nothing was \
             released; nothing is published: begin a new task once the cause is mended",
            self.ledger.spent(),
            self.plan.rho_budget
        ))
    }

    /// Whether every line stands under a head that both parties signed.
    pub(super) fn has_signed_head(&self) -> Result<bool, ServerError> {
        let heads = self.store.heads().wait()?;
        let lines = self.ledger.leaves().len() as u64;
        Ok(heads.last().is_some_and(|(size, _)| *size == lines))
    }

    /// The line at `seq` under the newest signed head.
    pub(super) fn logged(&self, seq: u64) -> Result<LoggedLine, ServerError> {
        let heads = self.store.heads().wait()?;
        let newest = heads
            .last()
            .ok_or_else(|| ServerError::Internal("no signed head".into()))?;
        let head: SignedHead = serde_json::from_str(&newest.1)
            .map_err(|error| ServerError::StorageUnavailable(error.to_string()))?;
        self.ledger
            .logged(seq, head)
            .ok_or_else(|| ServerError::Internal("no proof".into()))
    }
}
