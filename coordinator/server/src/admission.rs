//! Asks the helper which seeds open: one message at a time, with every seed that came in while the
//! last was on its way.
//!
//! The helper makes what it admits durable before it answers, so asking seed by seed would cost one
//! disk synchronisation each. Here they share it, and each upload still gets its own answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tacit_privacy::canonical;
use tacit_round::helper::SealedSeed;
use tacit_types::{DeviceId, Digest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::error::ServerError;

/// Most seeds of one message, and most that wait.
pub const SEEDS_MAX: usize = 256;
/// Different seeds one device may have looked at in one round. An honest device has one.
const TRIES_MAX: usize = 8;
/// The helper answers within this time or counts as away.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Where uploads ask.
pub struct Admission {
    queue: mpsc::Sender<Waiting>,
    /// The round being taken, and what each device had looked at in it.
    tries: Mutex<(Digest, HashMap<DeviceId, BTreeSet<Digest>>)>,
}

impl Admission {
    /// The asking side, and the queue that [`run`] empties.
    pub fn new() -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, waiting) = mpsc::channel(SEEDS_MAX);
        (
            Self {
                queue,
                tries: Mutex::new((Digest([0; 32]), HashMap::new())),
            },
            waiting,
        )
    }

    /// Asks whether this device's seed opens. A device that tries too many is refused without
    /// asking.
    pub async fn ask(&self, device: DeviceId, ticket: Digest, seed: SealedSeed) -> Verdict {
        if !self.may_try(device, ticket, canonical::digest(&seed.sealed)) {
            return Verdict::Refused;
        }
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
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
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
    mut queue: mpsc::Receiver<Waiting>,
    admit: impl Fn(Digest, Vec<SealedSeed>) -> F,
) {
    let mut waiting = Vec::with_capacity(SEEDS_MAX);
    while queue.recv_many(&mut waiting, SEEDS_MAX).await > 0 {
        // An upload that was given up needs no answer.
        waiting.retain(|one: &Waiting| !one.reply.is_closed());
        // Nearly always one ticket: an older one is left over from a round that has just closed.
        while let Some(ticket) = waiting.first().map(|one| one.ticket) {
            let (seeds, replies): (Vec<_>, Vec<_>) = waiting
                .extract_if(.., |one| one.ticket == ticket)
                .map(|one| (one.seed, one.reply))
                .unzip();
            let verdicts = verdicts(
                timeout(PATIENCE, admit(ticket, seeds)).await.ok(),
                replies.len(),
            );
            for (reply, verdict) in replies.into_iter().zip(verdicts) {
                let _ = reply.send(verdict);
            }
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
    use std::sync::Arc;

    use tacit_types::ContributionId;
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

    const TICKET: Digest = Digest([1; 32]);

    fn seed(name: u8) -> SealedSeed {
        SealedSeed {
            contribution: ContributionId([name; 16]),
            sealed: vec![name],
            digest: Digest([name; 32]),
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
                Ok(seeds.iter().map(|seed| seed.sealed[0] % 2 == 0).collect())
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
            while !asking.is_empty() && queue.len() < 3 {
                tokio::task::yield_now().await;
            }
            run(queue, |_, _| std::future::ready(answer())).await;
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
                admission.ask(device(1), Digest([2; 32]), seed(20)).await,
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
}
