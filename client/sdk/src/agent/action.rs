//! One action: what was interrupted, the check-in, and each effect the device machine asks for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tacit_model::Model;
use tacit_privacy::noise::TableCache;
use tacit_privacy::record::TreeHead;
use tacit_privacy::{Rho, SpendPermit, ledger};
use tacit_round::continuity::Continuity;
use tacit_round::contribute::contribute;
use tacit_round::device::{Accepted, Device, Effect, Input, Offer, Outcome, Status};
use tacit_round::member::Member;
use tacit_round::policy::{LogMark, TicketRefusal};
use tacit_round::refusal::RefusalCode;
use tacit_round::ticket::Ticket;
use tacit_types::{ItemGradient, RoundId, TaskId, Timestamp};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::step::Step;
use crate::deployment::Deployment;
use crate::error::SdkError;
use crate::policies;
use crate::reason::Reason;
use crate::store::{Histories, Pause, Spooled, Store};
use crate::transport::{CheckIn, Connection, Lease, Sent};

/// Everything one action holds.
pub(super) struct Action {
    pub(super) folder: Arc<Path>,
    /// As the app shipped it.
    pub(super) shipped: Arc<Deployment>,
    /// As this installation knows it by now.
    pub(super) deployment: Arc<Deployment>,
    pub(super) tables: TableCache,
    pub(super) connection: Connection,
    /// Taken out while a blocking task uses it.
    pub(super) store: Option<Store>,
    pub(super) member: Option<Arc<Member>>,
    /// What the coordinator says this device was counted for.
    pub(super) counted: Rho,
    /// When the step began.
    pub(super) begun: Instant,
    /// Until when its lease may be spent on; `None` without one.
    pub(super) spend_until: Option<Instant>,
    /// When what it spools is to be sent.
    pub(super) pause: Pause,
    pub(super) permit: Option<SpendPermit>,
    pub(super) spooled: Option<Spooled>,
    /// The model of the round, with its bytes as they are kept.
    pub(super) model: Option<(Vec<u8>, Arc<Model>)>,
    /// What the app will hear.
    pub(super) step: Step,
}

impl Action {
    /// Resumes what was interrupted, then checks in and takes part in the open round if there is
    /// one. What was done is in [`Self::step`].
    pub(super) async fn run(&mut self, now: Timestamp) -> Result<(), SdkError> {
        let unfinished = self.with_store(|store| store.unfinished()).await?;
        if let Some((task, round, status)) = unfinished {
            self.drive(Device::restore(task, round, status), now)
                .await?;
            if self.step.outcome.is_some() {
                return self.note_refusal().await;
            }
        }

        let mut answer = self.check_in(false).await?;
        match answer.lease.take() {
            Some(lease) => {
                self.answer(lease, now).await?;
                self.note_refusal().await
            }
            None if answer.finished => self.take_published(&answer).await,
            None => Ok(()),
        }
    }

    /// Checks in, for a round or only because it `receives`; takes over policy and count.
    pub(super) async fn check_in(&mut self, receives: bool) -> Result<CheckIn, SdkError> {
        let serial = self.deployment.policy().serial;
        let refusal = self.with_store(|store| store.refusal()).await?;
        let checking = self.connection.check_in(serial, refusal, receives);
        let mut answer = checking.await?;
        if !answer.policy.is_empty() {
            let offered = std::mem::take(&mut answer.policy);
            self.take_policy(offered).await?;
        }
        self.step.retry_after = answer.retry_after;
        self.step.not_selected = answer.not_selected;
        self.counted = answer.counted;
        self.raise_spent().await?;
        Ok(answer)
    }

    /// Goes by the policy that is offered if it is a later one of the publisher's.
    async fn take_policy(&mut self, offered: Bytes) -> Result<(), SdkError> {
        let (folder, shipped) = (self.folder.clone(), self.shipped.clone());
        let taking = move || policies::take(&folder, shipped.in_force(), &offered);
        let mut deployment = Deployment::clone(&self.deployment);
        deployment.go_by(blocking(taking).await?);
        self.deployment = Arc::new(deployment);
        Ok(())
    }

    /// Answers the ticket of a lease, unless its round was answered before.
    async fn answer(&mut self, lease: Lease, now: Timestamp) -> Result<(), SdkError> {
        self.hold(&lease, now);
        let deployment = self.deployment.clone();
        let policy = deployment.policy();
        // Only read here, not yet believed: what it says decides what to ask for, and the machine
        // checks it all.
        let ticket = match Device::read(lease.ticket, policy) {
            Ok(ticket) => ticket,
            Err(refusal) => return self.refuse(refusal),
        };
        let content = ticket.content();
        // The helper would refuse what this device spends for.
        if content.membership && self.member.is_none() {
            return self.refuse(TicketRefusal::NotMember);
        }
        let Some(seen) = self.seen_before(content).await? else {
            return Ok(());
        };
        let deadline = content.latest_deadline;
        let shown = self.shown(seen, &content.logged.head.head).await?;

        let offer = Offer {
            ticket,
            seen,
            shown,
        };
        let begun = Device::Idle.handle(Input::Offered(Box::new(offer)), policy, now);
        self.drive(begun, now).await?;
        if self.step.outcome == Some(Outcome::TicketRefused(TicketRefusal::Expired)) {
            let by_ms = now.millis_since(deadline);
            self.step.later = Some(Reason::ClockAhead { by_ms });
        }
        Ok(())
    }

    /// Keeps why the ticket was refused for the next check-in, or that it was not.
    async fn note_refusal(&mut self) -> Result<(), SdkError> {
        let Some(outcome) = &self.step.outcome else {
            return Ok(());
        };
        let refusal = RefusalCode::of(outcome);
        self.with_store(move |store| store.set_refusal(refusal))
            .await
    }

    fn refuse(&mut self, refusal: TicketRefusal) -> Result<(), SdkError> {
        self.step.outcome = Some(Outcome::TicketRefused(refusal));
        Ok(())
    }

    /// The newest point remembered of the ticket's ledger; `None` when this device has taken part
    /// in its round already and waits for the next.
    async fn seen_before(&mut self, ticket: &Ticket) -> Result<Option<LogMark>, SdkError> {
        let (task, round) = (ticket.task.clone(), ticket.round);
        self.with_store(move |store| {
            let answered = store.status(&task, round)?.is_some();
            let mark = store.mark(&task)?;
            Ok((!answered).then_some(mark))
        })
        .await
    }

    /// What the coordinator shows of the ledger under a head: that it goes on from the point seen.
    /// Nothing when nothing needs to be shown.
    pub(super) async fn shown(
        &mut self,
        seen: LogMark,
        head: &TreeHead,
    ) -> Result<Continuity, SdkError> {
        let moved = head.size > seen.size || head.generation > seen.generation;
        if seen.size > 0 && moved {
            self.connection.consistency(seen.size, head.size).await
        } else {
            Ok(Continuity::default())
        }
    }

    /// Runs effects, each before the machine hears of anything else, until it is done or has to
    /// wait.
    async fn drive(
        &mut self,
        (mut device, mut effect): (Device, Option<Effect>),
        now: Timestamp,
    ) -> Result<(), SdkError> {
        let deployment = self.deployment.clone();
        while let Some(running) = effect.take() {
            if let Some(input) = self.perform(running, now).await? {
                (device, effect) = device.handle(input, deployment.policy(), now);
            }
        }
        if let Device::Done(outcome) = device {
            self.step.outcome = Some(outcome);
        }
        Ok(())
    }

    /// Runs one effect; what it leads to is the machine's next input.
    async fn perform(&mut self, effect: Effect, now: Timestamp) -> Result<Option<Input>, SdkError> {
        let input = match effect {
            Effect::Judge(accepted) => self.judge(accepted).await?,
            Effect::Reserve(accepted) => self.reserve(accepted, now).await?,
            Effect::Contribute(accepted) => self.contribute(accepted).await?,
            Effect::Send(task, round) => return self.send(task, round, now).await,
            Effect::Remember(task, mark) => {
                self.with_store(move |store| store.set_mark(&task, mark))
                    .await?;
                return Ok(None);
            }
            Effect::Finish(task, round, status) => {
                self.with_store(move |store| store.finish(&task, round, status))
                    .await?;
                return Ok(None);
            }
        };
        Ok(Some(input))
    }

    /// Makes the spend durable, with the point of the release ledger its ticket stands at.
    async fn reserve(
        &mut self,
        accepted: Arc<Accepted>,
        now: Timestamp,
    ) -> Result<Input, SdkError> {
        self.may_spend()?;
        let budget = self.deployment.policy().budget();
        let counted = self.counted;
        let spend = move |store: &mut Store| {
            let ticket = accepted.ticket.content();
            let backed = store.backed(Some((&ticket.task, accepted.mark.rho_total)))?;
            store.raise_spent(counted, backed)?;
            ledger::spend(
                &mut store.spending(accepted.mark).believing(counted),
                budget,
                &ticket.task,
                ticket.round,
                accepted.ticket.hash(),
                &ticket.mechanism,
                now,
            )
        };
        match self.with_store(spend).await? {
            Ok(permit) => {
                self.permit = Some(permit);
                Ok(Input::Reserved)
            }
            Err(refusal) => Ok(Input::Refused(refusal)),
        }
    }

    /// Makes the final bytes of a reserved round durable.
    async fn contribute(&mut self, accepted: Arc<Accepted>) -> Result<Input, SdkError> {
        self.keep_round_model(accepted.ticket.content())
            .await?;
        let bug = || SdkError::Bug("a contribution without a permit or a model".into());
        let permit = self.permit.take().ok_or_else(bug)?;
        let model = self.model.clone().ok_or_else(bug)?.1;
        let (tables, member) = (self.tables.clone(), self.member.clone());
        let pause = self.pause;
        let make = move |store: &mut Store| {
            let ticket = accepted.ticket.content();
            // Spent already, so it sends in any case: a history that cannot be read, or that the
            // model's code fails on, counts as an empty one, or silence would tell of it.
            let histories = store.histories().unwrap_or_default();
            let vector = or_nothing(|| vector(ticket, &model, &histories));
            let table = tables.get(&ticket.mechanism);
            let update = contribute(ticket, permit, vector, &table, member.as_deref());
            let update = update.map_err(|error| SdkError::Stop(error.to_string()))?;
            store.spool(&update, pause)
        };
        self.spooled = Some(self.with_store(make).await?);
        Ok(Input::Spooled)
    }

    /// Sends the spooled bytes at their time, or gives them up when their ticket's latest deadline
    /// has passed while nobody could be reached. `None` when their time is too far off.
    async fn send(
        &mut self,
        task: TaskId,
        round: RoundId,
        now: Timestamp,
    ) -> Result<Option<Input>, SdkError> {
        let spooled = match self.spooled.take() {
            Some(spooled) => spooled,
            None => {
                let task = task.clone();
                self.with_store(move |store| store.spooled(&task, round))
                    .await?
            }
        };
        if now >= spooled.deadline() {
            return Ok(Some(Input::TooLate));
        }
        if !self.paused(&spooled, now).await {
            return Ok(None);
        }
        // The owner may have opted out or forgotten something since.
        if !self.still_wanted(task, round).await? {
            return Ok(Some(Input::TooLate));
        }

        self.step.bytes_up += (spooled.masked().len() + spooled.sealed().len()) as u64;
        match self.connection.contribute(&spooled).await {
            Ok((sent, retry_after)) => {
                self.step.retry_after = retry_after;
                Ok(Some(match sent {
                    Sent::Accepted => Input::Acknowledged,
                    Sent::TooLate | Sent::Refused => Input::TooLate,
                }))
            }
            Err(SdkError::RetryLater {
                after,
                reason,
                detail,
            }) => {
                tracing::debug!(event = "contribution_not_sent", detail);
                self.step.retry_after = after;
                self.step.later = Some(reason);
                Ok(Some(Input::Unreachable))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether this contribution still waits in the store to be sent.
    async fn still_wanted(&mut self, task: TaskId, round: RoundId) -> Result<bool, SdkError> {
        let status = move |store: &mut Store| store.status(&task, round);
        Ok(self.with_store(status).await? == Some(Status::Spooled))
    }

    /// Takes over what the coordinator counted, as far as the ledgers seen so far back it.
    pub(super) async fn raise_spent(&mut self) -> Result<(), SdkError> {
        let counted = self.counted;
        let raise = move |store: &mut Store| {
            let backed = store.backed(None)?;
            store.raise_spent(counted, backed)
        };
        self.with_store(raise).await
    }

    /// Runs storage work off the runtime's threads.
    pub(super) async fn with_store<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<T, SdkError> + Send + 'static,
    ) -> Result<T, SdkError> {
        let in_use = || SdkError::Bug("the store is in use".into());
        let mut store = self.store.take().ok_or_else(in_use)?;
        let (store, result) = blocking(move || {
            let result = work(&mut store);
            Ok((store, result))
        })
        .await?;
        self.store = Some(store);
        result
    }
}

/// Runs work that waits for the disk or computes for long off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SdkError> + Send + 'static,
) -> Result<T, SdkError> {
    spawn_blocking(work)
        .await
        .map_err(|error| SdkError::Bug(format!("a task stopped: {error}")))?
}

/// This device's unprotected vector for a ticket, one for all owners who contribute; `None` if the
/// model gives none of its kind.
fn vector(ticket: &Ticket, model: &Model, histories: &Histories) -> Option<ItemGradient> {
    let history_max = ticket.mechanism.history_max as usize;
    model.joint_vector(ticket.kind, histories.all(), history_max, ticket.hold_out)
}

/// What `vector` computes, or a vector of no length, which clipping turns into zeros, if it panics
/// or there is none.
fn or_nothing(vector: impl FnOnce() -> Option<ItemGradient>) -> ItemGradient {
    // Nothing it may have left half done is looked at again.
    let computed = catch_unwind(AssertUnwindSafe(vector)).ok().flatten();
    computed.unwrap_or_else(|| ItemGradient::new(Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_that_cannot_be_computed_becomes_one_that_clips_to_zeros() {
        let three = || Some(ItemGradient::new(vec![1.0; 3]));
        assert_eq!(or_nothing(three).len(), 3);
        assert_eq!(or_nothing(|| None).len(), 0);
        assert_eq!(
            or_nothing(|| panic!("an interaction nobody thought of")).len(),
            0
        );
    }
}
