//! One thread that owns the round machine, the partial sum and the store: wait for one input, call `handle`, run effects.
//!
//! Durability order of a round: ticket row, then offered; checkpoint, then acknowledged; set closed, then helper asked;
//! model object, then ledger line, then announced. After a crash [`Driver::open`] reads where it stood and the same round
//! goes on. A storage error ends the process: what the disk holds is then unknown, and recovery reads it.

use std::sync::Arc;
use std::time::Duration;

use tacit_model::spectral::SpectralModel;
use tacit_privacy::canonical::digest;
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::record::{Abandoned, Charge, Event, Genesis, Release};
use tacit_round::coordinator::{Answer, Closing, Contribution, Coordinator, Effect, Input, Reporting, Verdict};
use tacit_round::head::{self, SignedHead};
use tacit_round::keys::SigningKey;
use tacit_round::mask::PartialSum;
use tacit_round::seal::SCHEME_ID;
use tacit_round::ticket::{self, SignedTicket, Ticket};
use tacit_types::{ContributionId, Digest, RoundId, TaskId, Timestamp};
use tacit_wire::{Shutdown, files};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::apply::{OpenedSum, Settings, apply};
use crate::board::{Board, OpenRound, Published};
use crate::config::Config;
use crate::error::ServerError;
use crate::export;
use crate::helper::{HelperAnswer, HelperClient};
use crate::ingest::{Accepted, Arrival, gather};
use crate::job::{Job, TOTAL_VARIATION_MAX};
use crate::ledger::Ledger;
use crate::objects::Objects;
use crate::store::{NewContribution, Phase, Store};

/// So many abandoned rounds in a row stop the task: each one costs every device budget and gives nothing.
const ABANDONED_MAX: usize = 3;
/// Where the number of the last drafted round is kept.
const DRAFTED: &str = "drafted";
/// Pause between attempts to reach the helper.
const HELPER_RETRY: Duration = Duration::from_millis(500);
/// Longest wait before the driver looks at clock and shutdown again.
const PATIENCE: Duration = Duration::from_millis(200);

/// The driver.
pub struct Driver {
    task: TaskId,
    deadline_ms: u64,
    job: Job,
    catalogue: Digest,
    store: Store,
    objects: Objects,
    ledger: Ledger,
    export: std::path::PathBuf,
    signing: SigningKey,
    helper: HelperClient,
    board: Arc<Board>,
    arrivals: mpsc::Receiver<Arrival>,
    now: fn() -> Timestamp,
    shutdown: Shutdown,
    open: Option<RoundInHand>,
}

/// What the driver needs from the operator's files, read before anything is written.
pub struct Inputs {
    signing: SigningKey,
    catalogue: Vec<u8>,
    planned: Job,
}

impl Inputs {
    /// Reads signing key and catalogue and plans the task.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the file or key.
    pub fn read(config: &Config) -> Result<Self, ServerError> {
        let signing = SigningKey::from_seed(&files::read_seed(&config.signing.key)?);
        let path = config.task.catalogue.display();
        let catalogue = std::fs::read(&config.task.catalogue)
            .map_err(|error| ServerError::OperatorConfig(format!("task.catalogue '{path}': {error}")))?;
        let items = catalogue.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
        let items =
            u32::try_from(items).ok().filter(|items| (1..=tacit_privacy::mechanism::LENGTH_MAX).contains(items));
        let items = items.ok_or_else(|| {
            ServerError::OperatorConfig(format!(
                "task.catalogue '{path}': it must have from 1 to 4194304 lines, one an item"
            ))
        })?;
        let planned = Job::plan(&config.task, items)?;
        Ok(Self { signing, catalogue, planned })
    }
}

/// The round being worked on, outside the machine: bytes and answers.
struct RoundInHand {
    signed: SignedTicket,
    ticket: Ticket,
    sum: PartialSum,
    answer: Option<HelperAnswer>,
}

/// Why a round stopped being driven.
enum Ended {
    Finished,
    Stopped,
}

impl Driver {
    /// Opens state, keeping the plan of the first start and refusing other privacy parameters later.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] for what the operator must fix; storage errors.
    pub fn open(
        config: &Config,
        inputs: Inputs,
        helper: HelperClient,
        board: Arc<Board>,
        arrivals: mpsc::Receiver<Arrival>,
        now: fn() -> Timestamp,
        shutdown: Shutdown,
    ) -> Result<Self, ServerError> {
        let store = Store::open(&config.state)?;
        let job = keep_job(&store, inputs.planned)?;
        let mut new_id = [0; 32];
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut new_id)
            .map_err(|error| ServerError::Internal(format!("no randomness: {error}")))?;
        let ledger = Ledger::load(&store, Digest(new_id))?;
        let objects = Objects::open(&config.state.join("objects"))?;
        Ok(Self {
            task: config.task.name.clone(),
            deadline_ms: config.task.deadline_seconds * 1000,
            job,
            catalogue: objects.put(&inputs.catalogue)?,
            store,
            objects,
            ledger,
            export: config.state.join("ledger"),
            signing: inputs.signing,
            helper,
            board,
            arrivals,
            now,
            shutdown,
            open: None,
        })
    }

    /// Where published objects lie.
    pub fn objects(&self) -> Objects {
        self.objects.clone()
    }

    /// Drives rounds until the task is complete, then keeps answering until shutdown.
    ///
    /// # Errors
    /// The first error that cannot be retried.
    pub fn run(mut self, runtime: &Handle) -> Result<(), ServerError> {
        self.recover()?;
        self.announce(false)?;
        let mut next = self.resume()?;
        loop {
            let ended = match next.take() {
                Some((state, effects)) => self.drive(runtime, state, effects)?,
                None if !self.ensure_head(runtime)? => Ended::Stopped,
                None => match self.draft()? {
                    Some(draft) => {
                        let (state, effects) = Coordinator::configure(draft);
                        self.drive(runtime, state, effects)?
                    }
                    None => {
                        self.announce(true)?;
                        tracing::info!(event = "task_finished", task = %self.task, rho = %self.ledger.spent());
                        runtime.block_on(self.shutdown.drain.cancelled());
                        Ended::Stopped
                    }
                },
            };
            if matches!(ended, Ended::Stopped) {
                return Ok(());
            }
        }
    }

    /// First start: the genesis line. Later starts: a line that says so.
    fn recover(&mut self) -> Result<(), ServerError> {
        let event = if self.ledger.is_empty() {
            let genesis = SpectralModel::genesis(self.job.items).to_bytes();
            Event::Genesis(Genesis {
                task: self.task.clone(),
                model_out_hash: self.objects.put(&genesis)?,
                catalogue_hash: self.catalogue,
                rho_budget: self.job.rho_budget,
            })
        } else {
            Event::Restarted {}
        };
        let (line, bytes) = self.ledger.next(event, (self.now)())?;
        self.store.append_line(line.seq, &bytes)?;
        self.ledger.note(line, bytes);
        Ok(())
    }

    /// Where the open round stood when the process stopped.
    fn resume(&mut self) -> Result<Option<(Coordinator, Vec<Effect>)>, ServerError> {
        let Some((phase, signed, opened)) = self.store.round()? else { return Ok(None) };
        let ticket = Ticket::from_bytes(&signed.bytes)?;
        if phase == Phase::Recorded {
            self.store.end_round()?;
            return Ok(None);
        }
        let contributions: Vec<Contribution> = self.store.contributions()?.into_iter().map(|(one, _)| one).collect();
        let empty = || PartialSum::new(ticket.mechanism.length);
        let sum = self.store.partial()?.and_then(|bytes| PartialSum::from_bytes(&bytes)).unwrap_or_else(empty);
        let received = contributions.len();
        tracing::info!(event = "round_resumed", round = ticket.round.0, received);
        self.open = Some(RoundInHand { signed: signed.clone(), ticket: ticket.clone(), sum, answer: None });
        Ok(Some(match phase {
            Phase::Open => {
                self.offer(&signed, &ticket, Timestamp(opened), received);
                (Coordinator::Reporting(Reporting::resume(&ticket, contributions)), vec![])
            }
            _ => Closing::start(contributions.into_iter().map(|one| one.id).collect()),
        }))
    }

    /// The next ticket without its sealing key; `None` when the task is complete or its budget is.
    fn draft(&self) -> Result<Option<Ticket>, ServerError> {
        if self.ledger.abandoned_in_a_row() >= ABANDONED_MAX {
            let problem = format!(
                "the last {ABANDONED_MAX} rounds were abandoned and stay charged; read their reasons in the ledger, \
                 mend the cause, then start again"
            );
            return Err(ServerError::OperatorConfig(problem));
        }
        let remaining = self.job.releases.get(self.ledger.releases()..).unwrap_or_default();
        let Some(&(kind, share)) = remaining.first() else { return Ok(None) };
        let left = self.job.rho_budget.minus(self.ledger.spent()).unwrap_or_default();
        let needed = remaining.iter().fold(tacit_privacy::Rho::ZERO, |sum, (_, rho)| sum.compose(*rho));
        // An abandoned round stays charged: what is left is shared out again in the same proportions.
        let rho = if needed <= left { share } else { left.share(share.to_f64_up() / needed.to_f64_up()) };
        if rho.units() < share.units() / 100 {
            tracing::warn!(event = "budget_used_up", left = %left);
            return Ok(None);
        }
        let (model_in_hash, seq) = self.current()?;
        let mechanism = self.job.mechanism(kind, rho, &self.model(model_in_hash)?)?;
        if self.ledger.total_variation() + release_total_variation(&mechanism) > TOTAL_VARIATION_MAX {
            return Err(ServerError::OperatorConfig(
                "task: too many or too large releases for the sampler's bound".into(),
            ));
        }
        let drafted = self.store.meta::<RoundId>(DRAFTED)?.unwrap_or(RoundId(0));
        let heads = self.store.heads()?;
        let newest = heads.last().ok_or_else(|| ServerError::Internal("no signed head".into()))?;
        let head: SignedHead =
            serde_json::from_str(&newest.1).map_err(|error| ServerError::StorageUnavailable(error.to_string()))?;
        let logged = self.ledger.logged(seq, head).ok_or_else(|| ServerError::Internal("no proof".into()))?;
        Ok(Some(Ticket {
            schema: ticket::SCHEMA,
            scheme_id: SCHEME_ID,
            task: self.task.clone(),
            round: RoundId(self.ledger.last_round().max(drafted.0) + 1),
            kind,
            model_in_hash,
            logged,
            mechanism,
            dishonest_milli: self.job.dishonest_milli,
            dropout_milli: self.job.dropout_milli,
            delta_pico: self.job.delta_pico,
            deadline: (self.now)().plus_millis(self.deadline_ms),
            sealing_key: String::new(),
        }))
    }

    /// Runs one round to its end, or until shutdown.
    fn drive(
        &mut self,
        runtime: &Handle,
        mut state: Coordinator,
        mut effects: Vec<Effect>,
    ) -> Result<Ended, ServerError> {
        loop {
            let input = match effects.pop() {
                Some(effect) => match self.perform(runtime, effect)? {
                    Some(Performed::Input(input)) => input,
                    Some(Performed::Stopped) => return Ok(Ended::Stopped),
                    None => continue,
                },
                None => match state {
                    Coordinator::Closed | Coordinator::Abandoned(_) => return Ok(Ended::Finished),
                    Coordinator::Reporting(_) if !self.shutdown.drain.is_cancelled() => {
                        (state, effects) = self.report(runtime, state)?;
                        continue;
                    }
                    _ => return Ok(Ended::Stopped),
                },
            };
            (state, effects) = state.handle(input, (self.now)());
        }
    }

    /// One turn of reporting: gather, fold, checkpoint, acknowledge.
    fn report(&mut self, runtime: &Handle, mut state: Coordinator) -> Result<(Coordinator, Vec<Effect>), ServerError> {
        let arrived = gather(runtime, &mut self.arrivals, PATIENCE);
        if arrived.is_empty() {
            return Ok(state.handle(Input::Tick, (self.now)()));
        }
        let (mut fresh, mut waiting) = (Vec::new(), Vec::new());
        for arrival in arrived {
            let (next, verdict) = self.decide(state, &arrival);
            state = next;
            match verdict {
                Verdict::Fold => {
                    self.fold(&arrival)?;
                    fresh.push(NewContribution { contribution: arrival.contribution, sealed: arrival.sealed.to_vec() });
                    waiting.push(arrival.reply);
                }
                // Its first copy is durable already or is in this very checkpoint.
                Verdict::Duplicate => waiting.push(arrival.reply),
                Verdict::Late => answer(arrival.reply, Accepted::TooLate),
                Verdict::Conflict => {
                    tracing::warn!(event = "conflicting_contribution");
                    answer(arrival.reply, Accepted::Conflict);
                }
            }
        }
        if !fresh.is_empty() {
            let sum = self.in_hand()?.sum.to_bytes();
            self.store.checkpoint(&fresh, &sum)?;
        }
        let ids = fresh.iter().map(|one| one.contribution.id).collect();
        let (state, effects) = state.handle(Input::Durable(ids), (self.now)());
        self.board.set_received(self.board.received() + u32::try_from(fresh.len()).unwrap_or(0));
        waiting.into_iter().for_each(|reply| answer(reply, Accepted::Yes));
        Ok((state, effects))
    }

    fn decide(&self, state: Coordinator, arrival: &Arrival) -> (Coordinator, Verdict) {
        let current = self.open.as_ref().is_some_and(|round| round.signed.hash() == arrival.ticket);
        if !current {
            return (state, Verdict::Late);
        }
        let (state, effects) = state.handle(Input::Arrived(arrival.contribution), (self.now)());
        let verdict = effects.into_iter().find_map(|effect| match effect {
            Effect::Decide(_, verdict) => Some(verdict),
            _ => None,
        });
        (state, verdict.unwrap_or(Verdict::Late))
    }

    fn fold(&mut self, arrival: &Arrival) -> Result<(), ServerError> {
        let round = self.open.as_mut().ok_or_else(no_round)?;
        if round.sum.add(&arrival.masked) {
            Ok(())
        } else {
            Err(ServerError::Internal("a contribution of the wrong length reached the driver".into()))
        }
    }

    /// Runs one effect; what it leads to is the machine's next input.
    fn perform(&mut self, runtime: &Handle, effect: Effect) -> Result<Option<Performed>, ServerError> {
        match effect {
            Effect::AskCountersign(draft) => self.ask_countersign(runtime, &draft).map(Some),
            Effect::Open(signed) => {
                let ticket = Ticket::from_bytes(&signed.bytes)?;
                let opened = (self.now)();
                self.store.open_round(&signed, opened.0)?;
                tracing::info!(event = "round_opened", round = ticket.round.0, kind = ticket.kind.as_str());
                let sum = PartialSum::new(ticket.mechanism.length);
                self.offer(&signed, &ticket, opened, 0);
                self.open = Some(RoundInHand { signed: *signed, ticket, sum, answer: None });
                Ok(None)
            }
            Effect::AskHelper(set) => self.ask_helper(runtime, &set).map(Some),
            Effect::Record(answer) => {
                self.record(answer)?;
                Ok(Some(Performed::Input(Input::Recorded)))
            }
            Effect::RecordAbandoned(reason) => {
                self.record_abandoned(runtime, &reason)?;
                Ok(None)
            }
            Effect::Publish => {
                self.store.end_round()?;
                self.announce(false)?;
                Ok(None)
            }
            Effect::Acknowledge(_) | Effect::Decide(..) => Ok(None),
        }
    }

    fn ask_countersign(&mut self, runtime: &Handle, draft: &Ticket) -> Result<Performed, ServerError> {
        // Durable before the helper hears of it: a round number is countersigned once, whatever happens in between.
        self.store.set_meta(DRAFTED, &draft.round)?;
        let bytes = draft.to_bytes()?;
        let helper = self.helper.clone();
        self.until_answered(runtime, || {
            let (helper, bytes) = (helper.clone(), bytes.clone());
            async move { helper.countersign(bytes).await }
        })
        .map(|answer| match answer {
            Asked::Answer((bytes, signature)) => {
                Performed::Input(Input::Countersigned(SignedTicket::new(bytes, signature, &self.signing)))
            }
            Asked::Refused(reason) => Performed::Input(Input::HelperRefused(reason)),
            Asked::Stopped => Performed::Stopped,
        })
    }

    fn ask_helper(&mut self, runtime: &Handle, set: &[ContributionId]) -> Result<Performed, ServerError> {
        self.board.set_open(None, self.board.received());
        self.store.close_round()?;
        let (helper, ticket) = (self.helper.clone(), self.in_hand()?.signed.hash());
        let contributions = self.store.contributions()?;
        debug_assert_eq!(contributions.len(), set.len());
        self.board.set_counted(ticket, contributions.iter().map(|(one, _)| *one));
        let seeds: Vec<_> = contributions.into_iter().map(|(_, seed)| seed).collect();
        let asked = self.until_answered(runtime, || helper.release(ticket, &seeds))?;
        Ok(match asked {
            Asked::Answer(answer) => {
                let input =
                    Answer { set_digest: answer.answered.set_digest, contributors: answer.answered.contributors };
                self.open.as_mut().ok_or_else(no_round)?.answer = Some(answer);
                Performed::Input(Input::Answered(input))
            }
            Asked::Refused(reason) => Performed::Input(Input::HelperRefused(reason)),
            Asked::Stopped => Performed::Stopped,
        })
    }

    /// Opens the sum, stores the next model, then makes the ledger line durable.
    fn record(&mut self, answer: Answer) -> Result<(), ServerError> {
        let round = self.open.take().ok_or_else(no_round)?;
        let helper = round.answer.as_ref().ok_or_else(|| ServerError::Internal("no answer to record".into()))?;
        let mask = PartialSum::from_bytes(&helper.mask_sum).and_then(|mask| round.sum.unmask(&mask));
        let sum = mask.ok_or_else(|| ServerError::HelperRefused("a mask sum of the wrong length".into()))?;
        let ticket = &round.ticket;
        let model = self.model(ticket.model_in_hash)?;
        let first = !self.ledger.lines().iter().any(|line| {
            matches!(&line.event, Event::Release(release)
            if release.charge.kind == ticket::Kind::FactorGradient.as_str())
        });
        let seed = u64::from_le_bytes(self.ledger.id().0[..8].try_into().unwrap_or_default());
        let contributors = answer.contributors;
        let opened = OpenedSum { kind: ticket.kind, mechanism: &ticket.mechanism, contributors, values: &sum };
        let next = apply(&model, &opened, &Settings { recipe: &self.job.recipe(), first, seed });
        let release = Event::Release(Box::new(Release {
            charge: self.charge(&round),
            contributors,
            set_digest: answer.set_digest,
            sum_digest: digest(&sum.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()),
            helper_line_hash: digest(&helper.line),
            model_out_hash: self.objects.put(&next.to_bytes())?,
        }));
        let (line, bytes) = self.ledger.next(release, (self.now)())?;
        self.store.record(line.seq, &bytes, Some((helper.seq, &helper.line, &helper.signature)))?;
        tracing::info!(event = "round_released", round = ticket.round.0, contributors);
        self.ledger.note(line, bytes);
        Ok(())
    }

    /// A round that was never offered cost nothing; any other is charged and recorded.
    fn record_abandoned(&mut self, runtime: &Handle, reason: &str) -> Result<(), ServerError> {
        tracing::warn!(event = "round_abandoned", reason);
        let Some(round) = self.open.take() else {
            return Err(ServerError::HelperRefused(reason.to_owned()));
        };
        self.board.set_open(None, 0);
        let event = Event::Abandoned(Box::new(Abandoned {
            charge: self.charge(&round),
            contributors: u32::try_from(self.store.contributions()?.len()).unwrap_or(u32::MAX),
            reason: reason.to_owned(),
        }));
        let (line, bytes) = self.ledger.next(event, (self.now)())?;
        let helper = round.answer.as_ref().map(|answer| (answer.seq, answer.line.as_slice(), &answer.signature));
        self.store.record(line.seq, &bytes, helper)?;
        self.ledger.note(line, bytes);
        self.store.end_round()?;
        let (helper, hash) = (self.helper.clone(), round.signed.hash());
        // The key also dies when the helper's own limit of open rounds is reached.
        let _ = runtime.block_on(helper.abandon(hash));
        Ok(())
    }

    fn charge(&self, round: &RoundInHand) -> Charge {
        let ticket = &round.ticket;
        let rho = ticket.mechanism.rho();
        Charge {
            task: ticket.task.clone(),
            round: ticket.round,
            kind: ticket.kind.as_str().to_owned(),
            ticket_hash: round.signed.hash(),
            model_in_hash: ticket.model_in_hash,
            mechanism: ticket.mechanism.clone(),
            squared_sensitivity: ticket.mechanism.squared_sensitivity(),
            total_variation: release_total_variation(&ticket.mechanism),
            rho,
            rho_total: self.ledger.spent().compose(rho),
            dishonest_milli: ticket.dishonest_milli,
            dropout_milli: ticket.dropout_milli,
            sampler: Charge::SAMPLER.to_owned(),
            unit: Charge::UNIT.to_owned(),
            adjacency: Charge::ADJACENCY.to_owned(),
        }
    }

    /// Makes sure both parties have signed the newest head, and writes the export. False when stopped first.
    fn ensure_head(&mut self, runtime: &Handle) -> Result<bool, ServerError> {
        let head = self.ledger.head();
        if self.store.heads()?.last().is_some_and(|(size, _)| *size == head.size) {
            return Ok(true);
        }
        let coordinator_signature = head::sign(&head, &self.signing)?;
        let helper = self.helper.clone();
        let asked = self.until_answered(runtime, || helper.countersign_head(&head, &coordinator_signature))?;
        let helper_signature = match asked {
            Asked::Answer(signature) => signature,
            Asked::Refused(reason) => return Err(ServerError::HelperRefused(format!("the ledger head: {reason}"))),
            Asked::Stopped => return Ok(false),
        };
        let size = head.size;
        let signed = SignedHead { head, coordinator_signature, helper_signature };
        let json = String::from_utf8(tacit_privacy::canonical::encode(&signed)?)
            .map_err(|error| ServerError::Internal(error.to_string()))?;
        self.store.keep_head(size, &json)?;
        export::write(&self.export, &self.store, &self.ledger, &self.objects, &self.signing, &self.helper)?;
        Ok(true)
    }

    /// Repeats a question to the helper until it is answered, refused, or the daemon stops.
    fn until_answered<T, F: Future<Output = Result<T, ServerError>>>(
        &self,
        runtime: &Handle,
        ask: impl Fn() -> F,
    ) -> Result<Asked<T>, ServerError> {
        runtime.block_on(async {
            loop {
                let answered = tokio::select! {
                    answered = ask() => answered,
                    () = self.shutdown.drain.cancelled() => return Ok(Asked::Stopped),
                };
                match answered {
                    Ok(answer) => return Ok(Asked::Answer(answer)),
                    Err(ServerError::HelperRefused(reason)) => return Ok(Asked::Refused(reason)),
                    Err(ServerError::HelperUnavailable(error)) => {
                        tracing::warn!(event = "helper_unavailable", error);
                        tokio::time::sleep(HELPER_RETRY).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }

    fn offer(&self, signed: &SignedTicket, ticket: &Ticket, opened: Timestamp, received: usize) {
        let round = OpenRound { signed: signed.clone(), ticket: ticket.clone(), hash: signed.hash(), opened };
        self.board.set_open(Some(round), u32::try_from(received).unwrap_or(u32::MAX));
    }

    fn announce(&self, finished: bool) -> Result<(), ServerError> {
        self.board.set_published(Published {
            model: self.current()?.0,
            catalogue: self.catalogue,
            round: self.ledger.last_round(),
            rounds_planned: u32::try_from(self.job.releases.len()).unwrap_or(u32::MAX),
            finished,
        });
        Ok(())
    }

    fn current(&self) -> Result<(Digest, u64), ServerError> {
        self.ledger.current_model().ok_or_else(|| ServerError::Internal("no model was ever published".into()))
    }

    fn model(&self, hash: Digest) -> Result<SpectralModel, ServerError> {
        let missing = || ServerError::StorageUnavailable(format!("model {hash} is missing or damaged"));
        SpectralModel::from_bytes(&self.objects.get(hash).ok_or_else(missing)?).map_err(|_| missing())
    }

    fn in_hand(&self) -> Result<&RoundInHand, ServerError> {
        self.open.as_ref().ok_or_else(no_round)
    }
}

/// What an effect led to.
enum Performed {
    Input(Input),
    Stopped,
}

/// How a question to the helper ended.
enum Asked<T> {
    Answer(T),
    Refused(String),
    Stopped,
}

/// A handler that has gone away needs no answer: its device will send the same bytes again.
fn answer(reply: oneshot::Sender<Accepted>, accepted: Accepted) {
    let _ = reply.send(accepted);
}

fn no_round() -> ServerError {
    ServerError::Internal("no round in hand".into())
}

/// Keeps the plan of the first start; a configuration that plans another task is refused.
fn keep_job(store: &Store, planned: Job) -> Result<Job, ServerError> {
    match store.meta::<Job>("job")? {
        Some(kept) if kept == planned => Ok(kept),
        Some(_) => Err(ServerError::OperatorConfig(
            "task: privacy parameters, cohort or catalogue differ from those this state was started with; \
             restore them or use a new state folder"
                .into(),
        )),
        None => {
            store.set_meta("job", &planned)?;
            Ok(planned)
        }
    }
}
