//! Replays the helper's ledger and matches it one to one with the coordinator's.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use tacit_privacy::canonical;
use tacit_privacy::record::{Answered, Countersigned, Event, Keeper, Restored, TreeHead};
use tacit_round::keys::{Context, PublicKey, SignatureBytes};
use tacit_types::{Digest, RoundId, TaskId};

use crate::chain::Chain;
use crate::error::VerifyError;
use crate::files::Lines;
use crate::ledger::{self, Ended, Entry, Outcome};
use crate::restored::RestoredLine;

pub(crate) const FILE: &str = "helper.jsonl";
const SIGNATURES: &str = "helper.sig";

/// One answer and where it stands.
struct Answer {
    seq: u64,
    hash: Digest,
    answered: Answered,
}

/// A ticket that was countersigned, and where that stands.
pub(crate) struct Signed {
    pub(crate) seq: u64,
    pub(crate) line: Countersigned,
}

/// What a replay of `helper.jsonl` gives.
pub(crate) struct HelperLedger {
    pub(crate) chain: Chain,
    pub(crate) restarts: u64,
    /// SHA-256 of every line.
    pub(crate) hashes: Vec<Digest>,
    /// In order; each round once.
    pub(crate) countersigned: Vec<Signed>,
    by_ticket: HashMap<Digest, usize>,
    answers: Vec<Answer>,
    by_round: HashMap<(TaskId, RoundId), usize>,
}

impl HelperLedger {
    /// Reads and checks every line and its signature.
    pub(crate) fn read(dir: &Path, key: &PublicKey) -> Result<Self, VerifyError> {
        let chain = Chain::new(FILE, Keeper::Helper);
        let mut ledger = Self {
            chain,
            restarts: 0,
            hashes: Vec::new(),
            countersigned: Vec::new(),
            by_ticket: HashMap::new(),
            answers: Vec::new(),
            by_round: HashMap::new(),
        };
        let mut signatures = Lines::open(dir, SIGNATURES)?;
        for bytes in Lines::open(dir, FILE)? {
            let (bytes, seq) = (bytes?, ledger.chain.len());
            let signature = signatures.next().transpose()?;
            check_signature(key, &bytes, signature.as_deref())
                .map_err(|problem| VerifyError::line(SIGNATURES, seq, problem))?;
            ledger.take(&bytes)?;
        }
        match signatures.next() {
            None => Ok(ledger),
            Some(_) => Err(VerifyError::line(
                SIGNATURES,
                ledger.chain.len(),
                "signs no line of helper.jsonl",
            )),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let line = self.chain.accept(bytes)?;
        self.hashes.push(self.chain.last_hash());
        let wrong = |problem: String| Err(VerifyError::line(FILE, line.seq, problem));
        match line.event {
            Event::Countersigned(ticket) => {
                let (index, place) = (ticket.participation_index, self.countersigned.len() + 1);
                if index as usize != place {
                    return wrong(format!(
                        "participation_index is {index} and it is the countersigned ticket {place}"
                    ));
                }
                self.by_ticket
                    .insert(ticket.ticket_hash, self.countersigned.len());
                self.countersigned.push(Signed {
                    seq: line.seq,
                    line: ticket,
                });
                Ok(())
            }
            Event::Answered(answered) => {
                if self.ticket(answered.ticket_hash).is_none() {
                    return wrong("answers a ticket that was not countersigned before".into());
                }
                let key = (answered.task.clone(), answered.round);
                if self.by_round.insert(key, self.answers.len()).is_some() {
                    return wrong(format!(
                        "round {} was answered on an earlier line",
                        answered.round
                    ));
                }
                self.answers.push(Answer {
                    seq: line.seq,
                    hash: canonical::digest(bytes),
                    answered,
                });
                Ok(())
            }
            Event::Restarted {} => {
                self.restarts += 1;
                Ok(())
            }
            Event::Genesis(_)
            | Event::Release(_)
            | Event::Abandoned(_)
            | Event::Empty(_)
            | Event::Restored(_) => wrong("is a coordinator's line".into()),
        }
    }

    /// The countersignature of a ticket.
    fn ticket(&self, hash: Digest) -> Option<&Countersigned> {
        let signed = self.countersigned.get(*self.by_ticket.get(&hash)?)?;
        Some(&signed.line)
    }

    /// Checks that the ticket of every round of the ledger, priced so, was countersigned.
    pub(crate) fn check_tickets(&self, rounds: &[Ended]) -> Result<(), VerifyError> {
        for round in rounds {
            let wrong = |problem: &str| Err(VerifyError::line(ledger::FILE, round.seq, problem));
            let Some(signed) = self.ticket(round.ticket_hash) else {
                return wrong("helper.jsonl does not say that its ticket was countersigned");
            };
            if signed.round != round.round || signed.rho != round.rho {
                return wrong("round or price differs from the countersigned line in helper.jsonl");
            }
        }
        Ok(())
    }

    /// Checks what a head says of this ledger.
    pub(crate) fn check_end(&self, head: &TreeHead) -> Result<(), String> {
        let size = head.helper_size;
        let last = size
            .checked_sub(1)
            .map_or(Some(Digest([0; 32])), |last| {
                let last = usize::try_from(last).ok()?;
                self.hashes.get(last).copied()
            });
        match last {
            None => Err(format!(
                "helper_size is {size} and helper.jsonl has {} lines",
                self.chain.len()
            )),
            Some(hash) if hash != head.helper_last_hash => Err(format!(
                "helper_last_hash is not the hash of the last of the first {size} lines of \
                 helper.jsonl"
            )),
            Some(_) => Ok(()),
        }
    }

    /// Tickets that stand in no line of the ledger.
    pub(crate) fn unopened(&self, rounds: &[Ended]) -> impl Iterator<Item = &Signed> {
        let ended: HashSet<Digest> = rounds.iter().map(|round| round.ticket_hash).collect();
        let all = self.countersigned.iter();
        all.filter(move |signed| !ended.contains(&signed.line.ticket_hash))
    }

    /// Answers given.
    pub(crate) fn answers(&self) -> usize {
        self.answers.len()
    }

    /// Matches answers and charges one to one, and notes which abandoned rounds had been answered.
    ///
    /// A round stands at most once in each ledger (both replays check it), so matching by round is
    /// one to one.
    pub(crate) fn match_with(&self, entries: &mut [Entry]) -> Result<(), VerifyError> {
        let mut matched = vec![false; self.answers.len()];
        for entry in entries {
            let found = self
                .by_round
                .get(&(entry.charge.task.clone(), entry.charge.round))
                .copied();
            let answer = found.and_then(|index| self.answers.get(index));
            let agrees = agree(entry, answer);
            agrees.map_err(|problem| VerifyError::line(ledger::FILE, entry.seq, problem))?;
            if let Outcome::Abandoned { answered, .. } = &mut entry.outcome {
                *answered = answer.is_some();
            }
            if let Some(flag) = found.and_then(|index| matched.get_mut(index)) {
                *flag = true;
            }
        }
        match self
            .answers
            .iter()
            .zip(matched)
            .find(|(_, matched)| !matched)
        {
            None => Ok(()),
            Some((answer, _)) => Err(VerifyError::line(
                FILE,
                answer.seq,
                format!(
                    "round {} was answered, but ledger.jsonl has neither a release nor an \
                     abandoned line for it",
                    answer.answered.round
                ),
            )),
        }
    }
}

fn check_signature(key: &PublicKey, line: &[u8], signature: Option<&[u8]>) -> Result<(), String> {
    let text = signature.ok_or("is missing")?;
    let text = String::from_utf8(text.to_vec()).map_err(|_| "is not text")?;
    let signature = SignatureBytes::try_from(text).map_err(|error| error.to_string())?;
    let holds = key.verifies(Context::Line, line, &signature);
    if holds {
        Ok(())
    } else {
        Err("is not the helper's signature of that line of helper.jsonl".into())
    }
}

/// Checks that coordinator and helper tell one round alike.
fn agree(entry: &Entry, answer: Option<&Answer>) -> Result<(), String> {
    match (&entry.outcome, answer) {
        (Outcome::Released { .. }, None) => Err("helper.jsonl has no answer for this round".into()),
        (
            Outcome::Released {
                helper_line_hash,
                set_digest,
                ..
            },
            Some(answer),
        ) => {
            let said = &answer.answered;
            let at = answer.seq;
            if *helper_line_hash != answer.hash {
                return Err(format!(
                    "helper_line_hash is not the hash of helper.jsonl line {at}"
                ));
            }
            if said.contributors != entry.contributors {
                return Err(format!(
                    "contributors is {} and {} on helper.jsonl line {at}",
                    entry.contributors, said.contributors
                ));
            }
            if said.set_digest != *set_digest {
                return Err(format!("set_digest differs from helper.jsonl line {at}"));
            }
            same_ticket(entry, answer)
        }
        (Outcome::Abandoned { .. }, Some(answer)) => same_ticket(entry, answer),
        (Outcome::Abandoned { .. }, None) => Ok(()),
    }
}

fn same_ticket(entry: &Entry, answer: &Answer) -> Result<(), String> {
    if entry.charge.ticket_hash == answer.answered.ticket_hash {
        Ok(())
    } else {
        Err(format!(
            "ticket_hash differs from helper.jsonl line {}",
            answer.seq
        ))
    }
}

/// Checks that no ticket which the helper had countersigned was left out of a restore.
pub(crate) fn check_restores(
    restores: &[RestoredLine],
    ended: &[Ended],
    helper: &HelperLedger,
) -> Result<(), VerifyError> {
    let ended: HashSet<Digest> = ended.iter().map(|round| round.ticket_hash).collect();
    for restored in restores {
        let wrong = |problem| VerifyError::line(ledger::FILE, restored.seq, problem);
        check_restore(restored, &ended, helper).map_err(wrong)?;
    }
    Ok(())
}

fn check_restore(
    restored: &RestoredLine,
    ended: &HashSet<Digest>,
    helper: &HelperLedger,
) -> Result<(), String> {
    let Restored {
        last_head,
        helper_size,
        ..
    } = &restored.line;
    helper.check_end(last_head)?;
    if *helper_size < last_head.helper_size || *helper_size > helper.chain.len() {
        return Err(format!(
            "helper_size is {helper_size} and helper.jsonl has {} lines",
            helper.chain.len()
        ));
    }
    let since = helper
        .countersigned
        .iter()
        .filter(|signed| signed.seq < *helper_size && Some(signed.line.round) > restored.after);
    for signed in since {
        if !ended.contains(&signed.line.ticket_hash) {
            return Err(format!(
                "the restore leaves out the ticket of round {}, which was countersigned before it",
                signed.line.round
            ));
        }
    }
    Ok(())
}
