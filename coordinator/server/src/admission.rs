//! Asks the helper which seeds open: one message at a time, with every seed that came in while the
//! last was on its way.
//!
//! The helper makes what it admits durable before it answers, so asking seed by seed would cost one
//! disk synchronisation each. Here they share it, and each upload still gets its own answer.
//!
//! Uploads hold their slots while they wait here. A helper that does not answer costs one wait of
//! ten seconds (`PATIENCE`); from then on it counts as away, and one upload after another tries
//! whether it is back while all others are told at once to come back later.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacit_privacy::canonical;
use tacit_round::helper::SealedSeed;
use tacit_types::{DeviceId, Digest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::error::ServerError;

/// Most seeds of one message, and most that wait.
pub const SEEDS_MAX: usize = 256;
/// Different seeds one device may have looked at in one round. An honest device has one.
const TRIES_MAX: usize = 8;
/// The helper answers within this time or counts as away.
const PATIENCE: Duration = Duration::from_secs(10);
/// A helper that is away is not asked for this long.
const PAUSE: Duration = Duration::from_secs(1);

/// What becomes of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its seed opens and is nobody else's.
    Admitted,
    /// Never with these bytes.
    Refused,
    /// The helper did not answer; the same bytes may be sent again.
    Away,
}

/// A seed in the queue.
pub struct Waiting {
    ticket: Digest,
    seed: SealedSeed,
    reply: oneshot::Sender<Verdict>,
}

/// What is known of the helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Helper {
    /// It answered last time.
    Here,
    /// It did not, a moment ago.
    Away,
    /// It did not; the next upload tries again.
    Untried,
    /// An upload is trying.
    Tried,
}

/// What is known of the helper, shared by those who ask and the one who puts the questions.
#[derive(Clone)]
struct Presence(Arc<Mutex<Helper>>);

impl Presence {
    fn get(&self) -> MutexGuard<'_, Helper> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to ask, kept until the answer is there; `None` when the helper counts as away.
    fn may_ask(&self) -> Option<Try<'_>> {
        let mut helper = self.get();
        match *helper {
            Helper::Here => {}
            Helper::Untried => *helper = Helper::Tried,
            Helper::Away | Helper::Tried => return None,
        }
        Some(Try(self))
    }
}

/// Leave to ask. Where it was to try and ends without an answer, the next upload tries.
struct Try<'a>(&'a Presence);

impl Drop for Try<'_> {
    fn drop(&mut self) {
        let mut helper = self.0.get();
        if *helper == Helper::Tried {
            *helper = Helper::Untried;
        }
    }
}

/// The questions, for [`run`].
pub struct Queue {
    waiting: mpsc::Receiver<Waiting>,
    helper: Presence,
}

/// Where uploads ask.
pub struct Admission {
    queue: mpsc::Sender<Waiting>,
    helper: Presence,
    /// The round being taken, and what each device had looked at in it.
    tries: Mutex<(Digest, HashMap<DeviceId, BTreeSet<Digest>>)>,
}

impl Admission {
    /// The asking side, and the queue that [`run`] empties.
    pub fn new() -> (Self, Queue) {
        let (queue, waiting) = mpsc::channel(SEEDS_MAX);
        let helper = Presence(Arc::new(Mutex::new(Helper::Here)));
        let asking = Self {
            queue,
            helper: helper.clone(),
            tries: Mutex::new((Digest([0; 32]), HashMap::new())),
        };
        (asking, Queue { waiting, helper })
    }

    /// Whether asking now would be answered [`Verdict::Away`] at once.
    pub fn is_away(&self) -> bool {
        matches!(*self.helper.get(), Helper::Away | Helper::Tried)
    }

    /// Asks whether this device's seed opens. A device that tries too many is refused without
    /// asking.
    pub async fn ask(&self, device: DeviceId, ticket: Digest, seed: SealedSeed) -> Verdict {
        if !self.may_try(device, ticket, canonical::digest(&seed.sealed)) {
            return Verdict::Refused;
        }
        let Some(_leave) = self.helper.may_ask() else {
            return Verdict::Away;
        };
        let (reply, answered) = oneshot::channel();
        if self
            .queue
            .send(Waiting {
                ticket,
                seed,
                reply,
            })
            .await
            .is_err()
        {
            return Verdict::Away;
        }
        answered.await.unwrap_or(Verdict::Away)
    }

    /// Without this bound one device could fill what the helper remembers of a round.
    fn may_try(&self, device: DeviceId, ticket: Digest, sealed: Digest) -> bool {
        let mut tries = self
            .tries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if tries.0 != ticket {
            *tries = (ticket, HashMap::new());
        }
        let seen = tries.1.entry(device).or_default();
        seen.contains(&sealed) || (seen.len() < TRIES_MAX && seen.insert(sealed))
    }
}

/// Empties the queue until every asker is gone. `admit` puts seeds of one ticket to the helper and
/// gives one answer for each.
pub async fn run<F: Future<Output = Result<Vec<bool>, ServerError>>>(
    queue: Queue,
    admit: impl Fn(Digest, Vec<SealedSeed>) -> F,
) {
    empty(queue, admit, PATIENCE, PAUSE).await;
}

/// As [`run`], with other times.
async fn empty<F: Future<Output = Result<Vec<bool>, ServerError>>>(
    mut queue: Queue,
    admit: impl Fn(Digest, Vec<SealedSeed>) -> F,
    patience: Duration,
    pause: Duration,
) {
    let mut waiting = Vec::with_capacity(SEEDS_MAX);
    while queue.waiting.recv_many(&mut waiting, SEEDS_MAX).await > 0 {
        // An upload that was given up needs no answer.
        waiting.retain(|one: &Waiting| !one.reply.is_closed());
        // Nearly always one ticket: an older one is left over from a round that has just closed.
        while let Some(ticket) = waiting.first().map(|one| one.ticket) {
            let (seeds, replies): (Vec<_>, Vec<_>) = waiting
                .extract_if(.., |one| one.ticket == ticket)
                .map(|one| (one.seed, one.reply))
                .unzip();
            let answered = timeout(patience, admit(ticket, seeds)).await.ok();
            let verdicts = verdicts(answered, replies.len());
            let away = verdicts.contains(&Verdict::Away);
            *queue.helper.get() = if away { Helper::Away } else { Helper::Here };
            for (reply, verdict) in replies.into_iter().zip(verdicts) {
                let _ = reply.send(verdict);
            }
            if away {
                queue.send_away(&mut waiting);
                sleep(pause).await;
                *queue.helper.get() = Helper::Untried;
            }
        }
    }
}

impl Queue {
    /// Tells everybody who waits that the helper is away.
    fn send_away(&mut self, waiting: &mut Vec<Waiting>) {
        let queued = std::iter::from_fn(|| self.waiting.try_recv().ok());
        for one in waiting.drain(..).chain(queued) {
            let _ = one.reply.send(Verdict::Away);
        }
    }
}

/// One verdict for each seed. An answer for another number of seeds is worth nothing.
fn verdicts(answered: Option<Result<Vec<bool>, ServerError>>, count: usize) -> Vec<Verdict> {
    match answered {
        Some(Ok(opens)) if opens.len() == count => opens
            .into_iter()
            .map(|opens| {
                if opens {
                    Verdict::Admitted
                } else {
                    Verdict::Refused
                }
            })
            .collect(),
        Some(Err(ServerError::HelperRefused(_))) => vec![Verdict::Refused; count],
        _ => vec![Verdict::Away; count],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use tacit_types::{Commitment, ContributionId};
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

    const TICKET: Digest = Digest([1; 32]);

    fn seed(name: u8) -> SealedSeed {
        SealedSeed {
            contribution: ContributionId([name; 16]),
            sealed: vec![name],
            commitment: Commitment([name; 32]),
        }
    }

    fn device(name: u8) -> DeviceId {
        DeviceId([name; 16])
    }

    /// Asks for seeds 1 to `count`, each of its own device, in order, once `run` is polled.
    fn ask_all(admission: &Arc<Admission>, count: u8) -> JoinSet<(u8, Verdict)> {
        let mut asking = JoinSet::new();
        for name in 1..=count {
            let admission = admission.clone();
            asking.spawn(
                async move { (name, admission.ask(device(name), TICKET, seed(name)).await) },
            );
        }
        asking
    }

    #[tokio::test]
    async fn what_comes_in_meanwhile_goes_together_and_each_gets_its_own_answer() {
        let (admission, queue) = Admission::new();
        let (admission, sizes, gate) = (
            Arc::new(admission),
            Mutex::new(Vec::new()),
            Semaphore::new(0),
        );
        let admit = |_, seeds: Vec<SealedSeed>| {
            sizes.lock().unwrap().push(seeds.len());
            let gate = &gate;
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(seeds
                    .iter()
                    .map(|seed| seed.sealed[0] % 2 == 0)
                    .collect())
            }
        };
        let first = ask_all(&admission, 1);
        let asking = async {
            while sizes.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            let rest = ask_all(&admission, 40);
            while admission.queue.capacity() > SEEDS_MAX - 40 {
                tokio::task::yield_now().await;
            }
            gate.add_permits(2);
            drop(admission);
            (first.join_all().await, rest.join_all().await)
        };
        let ((first, rest), ()) = tokio::join!(asking, run(queue, admit));
        assert_eq!(first, [(1, Verdict::Refused)]);
        for (name, verdict) in rest {
            assert_eq!(
                verdict,
                if name % 2 == 0 {
                    Verdict::Admitted
                } else {
                    Verdict::Refused
                }
            );
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 40]);
    }

    #[tokio::test]
    async fn when_the_helper_fails_everybody_who_waits_is_told_to_come_back() {
        type Answer = fn() -> Result<Vec<bool>, ServerError>;
        let cases: [(Answer, Verdict); 3] = [
            (
                || Err(ServerError::HelperUnavailable("gone".into())),
                Verdict::Away,
            ),
            (|| Ok(vec![true]), Verdict::Away),
            (
                || Err(ServerError::HelperRefused("unknown round".into())),
                Verdict::Refused,
            ),
        ];
        for (answer, expected) in cases {
            let (admission, queue) = Admission::new();
            let asking = ask_all(&Arc::new(admission), 3);
            while !asking.is_empty() && queue.waiting.len() < 3 {
                tokio::task::yield_now().await;
            }
            let admit = |_, _| std::future::ready(answer());
            empty(queue, admit, PATIENCE, Duration::ZERO).await;
            assert!(
                asking
                    .join_all()
                    .await
                    .iter()
                    .all(|(_, verdict)| *verdict == expected)
            );
        }
    }

    #[tokio::test]
    async fn a_device_that_tries_too_many_seeds_is_refused_without_asking() {
        let (admission, queue) = Admission::new();
        let asking = async {
            for name in 0..=20 {
                let verdict = admission.ask(device(1), TICKET, seed(name)).await;
                assert_eq!(
                    verdict == Verdict::Admitted,
                    usize::from(name) < TRIES_MAX,
                    "{name}"
                );
            }
            assert_eq!(
                admission.ask(device(1), TICKET, seed(0)).await,
                Verdict::Admitted,
                "the same bytes again"
            );
            assert_eq!(
                admission.ask(device(2), TICKET, seed(20)).await,
                Verdict::Admitted
            );
            assert_eq!(
                admission
                    .ask(device(1), Digest([2; 32]), seed(20))
                    .await,
                Verdict::Admitted,
                "another round"
            );
            drop(admission);
        };
        tokio::join!(
            asking,
            run(queue, |_, seeds| std::future::ready(Ok(vec![
                true;
                seeds.len()
            ])))
        );
    }

    /// HOSTILE 22, 111: a helper that says nothing costs its patience once. Then uploads hear at
    /// once that it is away, one at a time tries, and one that is given up leaves that to the next.
    #[tokio::test]
    async fn a_silent_helper_is_waited_for_once_and_noticed_when_it_is_back() {
        let (patience, pause) = (Duration::from_millis(500), Duration::from_millis(300));
        let (admission, queue) = Admission::new();
        let (admission, asked, back) = (
            Arc::new(admission),
            AtomicU32::new(0),
            AtomicBool::new(false),
        );
        let admit = |_, seeds: Vec<SealedSeed>| {
            asked.fetch_add(1, Ordering::Relaxed);
            let back = back.load(Ordering::Relaxed);
            async move {
                if !back {
                    std::future::pending::<()>().await;
                }
                Ok(vec![true; seeds.len()])
            }
        };
        let asking = async {
            let first = ask_all(&admission, 40).join_all().await;
            assert!(
                first
                    .iter()
                    .all(|(_, verdict)| *verdict == Verdict::Away)
            );
            assert!(admission.is_away());
            let sealed = |name| admission.ask(device(name), TICKET, seed(name));
            assert_eq!(sealed(50).await, Verdict::Away, "at once");
            assert!(asked.load(Ordering::Relaxed) <= 2);

            while admission.is_away() {
                sleep(pause).await;
            }
            let given_up = timeout(Duration::from_millis(20), sealed(51)).await;
            assert!(given_up.is_err() && !admission.is_away());
            let (tries, other) = tokio::join!(sealed(52), sealed(53));
            assert_eq!((tries, other), (Verdict::Away, Verdict::Away));

            back.store(true, Ordering::Relaxed);
            while sealed(54).await != Verdict::Admitted {
                sleep(pause).await;
            }
            let rest = ask_all(&admission, 40).join_all().await;
            assert!(
                rest.iter()
                    .all(|(_, verdict)| *verdict == Verdict::Admitted)
            );
            drop(admission);
        };
        tokio::join!(asking, empty(queue, admit, patience, pause));
    }
}
