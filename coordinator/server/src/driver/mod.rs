//! One thread that owns the round machine, the partial sum and the store: wait for one input, call
//! `handle`, run effects.
//!
//! Durability order of a round: ticket row, then offered; checkpoint, then acknowledged; set
//! closed, then helper asked; model object, then ledger line, then announced. After a crash
//! [`Driver::open`] reads where it stood and the same round goes on. A storage error ends the
//! process: what the disk holds is then unknown, and recovery reads it.
//!
//! One phase of the work a file: `inputs`, `recovery`, `configure`, `draft`, `report`, `close`,
//! `empty`, `settle`; `leases` says how many devices are selected, `ask` talks to the helper,
//! `follow` keeps its ledger, `restore` a state that is an older copy.

mod ask;
mod close;
mod configure;
mod draft;
mod empty;
mod follow;
mod inputs;
mod leases;
mod recovery;
mod report;
mod restore;
mod settle;
mod wait;

use std::sync::{Arc, MutexGuard, PoisonError};

use rand::TryRng;
use rand::rngs::SysRng;
use tacit_model::{Features, Model};
use tacit_plan::Plan;
use tacit_privacy::canonical;
use tacit_round::coordinator::{Coordinator, Effect, Input};
use tacit_round::keys::SigningKey;
use tacit_round::lease::Leases;
use tacit_round::mask::PartialSum;
use tacit_round::ticket::ParsedTicket;
use tacit_types::{Digest, TaskId, Timestamp};
use tacit_wire::Shutdown;
use tacit_wire::current::Current;
use tacit_wire::revoked::Revoked;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::board::{Board, Published};
use crate::census::{self, Census};
use crate::config::Config;
use crate::enrolment::Enrolment;
use crate::error::ServerError;
use crate::helper::{HelperAnswer, HelperClient};
use crate::ingest::{Arrival, Reply};
use crate::ledger::Ledger;
use crate::live::Offered;
use crate::open_round::OpenRound;
use crate::storage::{Accounts, Objects, Phase, Stores, TaskStore};

use configure::Next;
use draft::NotOpened;
pub use inputs::Inputs;

/// The driver.
pub struct Driver {
    task: TaskId,
    deadline_ms: u64,
    latest_deadline_ms: u64,
    membership: bool,
    plan: Plan,
    catalogue: Digest,
    features: Features,
    /// SHA-256 of the running program, for the ledger.
    build: Digest,
    /// The first model of an update, until it is in the ledger.
    start: Option<Model>,
    store: Arc<dyn TaskStore>,
    accounts: Arc<dyn Accounts>,
    objects: Arc<dyn Objects>,
    ledger: Ledger,
    state: std::path::PathBuf,
    export: std::path::PathBuf,
    /// Whether the operator says that this state is an older copy.
    restored: bool,
    /// Whether it was held against what the helper has signed.
    confirmed: bool,
    signing: SigningKey,
    helper: HelperClient,
    board: Arc<Board>,
    revoked: Current<Revoked>,
    policy: Current<Option<Offered>>,
    census: census::Shared,
    enrolment: Enrolment,
    arrivals: mpsc::Receiver<Arrival>,
    now: fn() -> Timestamp,
    shutdown: Shutdown,
    open: Option<RoundInHand>,
    /// How long the last round took, milliseconds, once there was one.
    last_round_ms: Option<u64>,
    /// Why the last draft was not opened, until that is dealt with.
    not_opened: Option<NotOpened>,
    /// Drafts in a row whose numbers the helper would not sign.
    advances: u32,
}

/// Whom the driver hears and tells.
pub struct Links {
    /// The other party.
    pub helper: HelperClient,
    /// What handlers may know.
    pub board: Arc<Board>,
    /// Devices that count no more.
    pub revoked: Current<Revoked>,
    /// The policy devices go by.
    pub policy: Current<Option<Offered>>,
    /// Who has checked in.
    pub census: census::Shared,
    /// Which tokens enrol.
    pub enrolment: Enrolment,
    /// What handlers took in.
    pub arrivals: mpsc::Receiver<Arrival>,
}

/// The round being worked on, outside the machine: bytes and answers.
struct RoundInHand {
    ticket: ParsedTicket,
    sum: PartialSum,
    /// Handlers whose contribution is in the sum and not yet durable.
    waiting: Vec<Reply>,
    answer: Option<HelperAnswer>,
}

impl RoundInHand {
    fn new(ticket: ParsedTicket, sum: PartialSum) -> Self {
        Self {
            ticket,
            sum,
            waiting: Vec::new(),
            answer: None,
        }
    }
}

/// Why a round stopped being driven.
#[derive(PartialEq)]
enum Ended {
    Finished,
    Stopped,
}

impl Driver {
    /// Opens state, keeping the plan of the first start and refusing other privacy parameters
    /// later. Blocks, as everything here does.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] for what the operator must fix; storage errors.
    pub fn open(
        config: &Config,
        inputs: Inputs,
        stores: Stores,
        links: Links,
        now: fn() -> Timestamp,
        shutdown: Shutdown,
    ) -> Result<Self, ServerError> {
        let Stores {
            task: store,
            accounts,
            objects,
        } = stores;
        let plan = inputs::keep_plan(&*store, inputs.planned)?;
        let ledger = Ledger::load(&*store, new_id()?)?;
        inputs::same_task(&ledger, &config.task.name)?;
        Ok(Self {
            task: config.task.name.clone(),
            deadline_ms: config.task.deadline_seconds * 1000,
            latest_deadline_ms: config.task.latest_deadline_seconds() * 1000,
            membership: config.task.membership,
            plan,
            catalogue: objects.put(inputs.catalogue).wait()?,
            features: inputs.features,
            build: inputs.build,
            start: inputs.start,
            store,
            accounts,
            objects,
            ledger,
            state: config.state.clone(),
            export: config.state.join("ledger"),
            restored: config.restored,
            confirmed: false,
            signing: inputs.signing,
            helper: links.helper,
            board: links.board,
            census: links.census,
            enrolment: links.enrolment,
            arrivals: links.arrivals,
            revoked: links.revoked,
            policy: links.policy,
            now,
            shutdown,
            open: None,
            last_round_ms: None,
            not_opened: None,
            advances: 0,
        })
    }

    /// Drives rounds until the task is complete, then keeps answering until shutdown.
    ///
    /// # Errors
    /// The first error that cannot be retried.
    pub fn run(mut self, runtime: &Handle) -> Result<(), ServerError> {
        // An older copy must offer nothing, and tell the accounts nothing. Where it would not, a
        // helper that is away is not waited for: the next head is held against it.
        let is_in_doubt = self.restored || self.has_open_round()? || self.accounts_are_newer()?;
        if is_in_doubt && !self.confirm(runtime)? {
            return Ok(());
        }
        self.recover()?;
        self.show_ledger();
        if !self.settle_owed(runtime)? {
            return Ok(());
        }
        // What is open comes before what is published: until then handlers ask devices to come
        // back, and none hears that it is too late for a round that goes on.
        let resumed = self.resume()?;
        self.announce(false)?;
        if let Some(begun) = resumed
            && self.drive(runtime, begun)? == Ended::Stopped
        {
            return Ok(());
        }

        while self.ensure_head(runtime)? {
            // Only now can it be shown where the newest model stands.
            self.announce(false)?;
            let draft = match self.draft()? {
                Next::Round(draft) if self.expects(&draft) => *draft,
                // Drafted again when they are there: the deadline counts from then on.
                Next::Round(draft) if self.wait_for_devices(runtime, &draft) => continue,
                Next::Round(_) => break,
                Next::Complete => return self.finish(runtime),
                Next::Paused(reason) => return self.pause(runtime, &reason),
            };
            if self.drive(runtime, Coordinator::configure(draft, self.plan.cohort))?
                == Ended::Stopped
            {
                break;
            }
        }
        Ok(())
    }

    /// The task is complete: keeps answering until shutdown.
    fn finish(&self, runtime: &Handle) -> Result<(), ServerError> {
        self.announce(true)?;
        let (task, rho) = (&self.task, self.ledger.spent());
        tracing::info!(event = "task_finished", task = %task, rho = %rho);
        runtime.block_on(self.shutdown.drain.cancelled());
        Ok(())
    }

    /// Nothing more can be done until an operator has looked: says so, and keeps answering until
    /// shutdown. What is published stays, and the task is not finished.
    fn pause(&self, runtime: &Handle, reason: &str) -> Result<(), ServerError> {
        self.announce(false)?;
        tracing::error!(event = "task_paused", task = %self.task, reason);
        runtime.block_on(self.shutdown.drain.cancelled());
        Ok(())
    }

    /// Runs one round to its end, or until shutdown.
    fn drive(
        &mut self,
        runtime: &Handle,
        (mut state, mut effect): (Coordinator, Option<Effect>),
    ) -> Result<Ended, ServerError> {
        loop {
            let performed = match effect {
                Some(effect) => self.perform(runtime, effect)?,
                None => Performed::Nothing,
            };
            let input = match (performed, &state) {
                (Performed::Input(input), _) => input,
                (Performed::Stopped, _) => return Ok(Ended::Stopped),
                (Performed::Nothing, Coordinator::Closed | Coordinator::Abandoned(_)) => {
                    return Ok(Ended::Finished);
                }
                (Performed::Nothing, Coordinator::Reporting(_))
                    if !self.shutdown.drain.is_cancelled() =>
                {
                    let (reporting, input) = self.report(runtime, state)?;
                    state = reporting;
                    input
                }
                (Performed::Nothing, _) => return Ok(Ended::Stopped),
            };
            (state, effect) = state.handle(input, (self.now)());
        }
    }

    /// Runs one effect; what it leads to is the machine's next input.
    fn perform(&mut self, runtime: &Handle, effect: Effect) -> Result<Performed, ServerError> {
        match effect {
            Effect::AskCountersign(draft) => return self.ask_countersign(runtime, &draft),
            Effect::Open(ticket) => self.open_round(*ticket)?,
            Effect::Acknowledge(ids) => {
                self.acknowledge(&ids)?;
                return Ok(Performed::Input(self.tick()));
            }
            Effect::AskHelper(set) => return self.ask_helper(runtime, &set),
            Effect::Record(answer) => {
                self.record(answer)?;
                return Ok(Performed::Input(Input::Recorded));
            }
            Effect::RecordAbandoned(reason) => return self.record_abandoned(runtime, &reason),
            Effect::Publish => {
                if !self.settle_round(runtime)? {
                    return Ok(Performed::Stopped);
                }
                self.store.end_round().wait()?;
                self.announce(false)?;
            }
            // Carried out where contributions arrive, before the next one is looked at.
            Effect::Decide(..) => {}
        }
        Ok(Performed::Nothing)
    }

    /// Makes a round durable, then offers its ticket.
    fn open_round(&mut self, ticket: ParsedTicket) -> Result<(), ServerError> {
        let opened = (self.now)();
        self.store
            .open_round(ticket.signed().clone(), opened)
            .wait()?;
        let content = ticket.content();
        tracing::info!(
            event = "round_opened",
            round = content.round.0,
            kind = content.kind.as_str()
        );
        let sum = PartialSum::new(content.mechanism.sent_length());
        let leases = Leases::new(self.terms(content, opened)?);
        self.offer(OpenRound::new(ticket.clone(), opened, leases), 0);
        self.open = Some(RoundInHand::new(ticket, sum));
        Ok(())
    }

    fn offer(&self, round: OpenRound, received: usize) {
        let received = u32::try_from(received).unwrap_or(u32::MAX);
        self.board.set_open(Some(round), received);
    }

    /// What handlers prove from that the ledger goes on.
    fn show_ledger(&self) {
        let restored = self.ledger.newest_restored();
        self.board.set_ledger(self.ledger.leaves(), restored);
    }

    fn announce(&self, finished: bool) -> Result<(), ServerError> {
        let (model, seq) = self.current()?;
        let (logged, genesis) = match self.has_signed_head()? {
            true => {
                let shown = |seq| Ok::<_, ServerError>(canonical::encode(&self.logged(seq)?)?);
                (Some(shown(seq)?.into()), Some(shown(0)?.into()))
            }
            false => (None, None),
        };
        self.board.set_published(Published {
            model,
            logged,
            genesis,
            catalogue: self.catalogue,
            round: self.ledger.last_round(),
            rounds_planned: u32::try_from(self.plan.releases.len()).unwrap_or(u32::MAX),
            finished,
        });
        Ok(())
    }

    fn current(&self) -> Result<(Digest, u64), ServerError> {
        self.ledger
            .current_model()
            .ok_or_else(|| ServerError::Internal("no model was ever published".into()))
    }

    fn model(&self, hash: Digest) -> Result<Model, ServerError> {
        Model::from_bytes(&self.objects.get(hash).wait()?).map_err(|error| {
            ServerError::StorageUnavailable(format!("object {hash} is not a model: {error}"))
        })
    }

    fn has_open_round(&self) -> Result<bool, ServerError> {
        let round = self.store.round().wait()?;
        Ok(round.is_some_and(|round| round.phase == Phase::Open))
    }

    fn census(&self) -> MutexGuard<'_, Census> {
        self.census
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn in_hand(&mut self) -> Result<&mut RoundInHand, ServerError> {
        self.open.as_mut().ok_or_else(no_round)
    }
}

/// What an effect led to.
enum Performed {
    Input(Input),
    Nothing,
    Stopped,
}

/// A name for a ledger that begins.
fn new_id() -> Result<Digest, ServerError> {
    let mut id = [0; 32];
    SysRng
        .try_fill_bytes(&mut id)
        .map_err(|error| ServerError::Internal(format!("no randomness: {error}")))?;
    Ok(Digest(id))
}

fn no_round() -> ServerError {
    ServerError::Internal("no round in hand".into())
}
