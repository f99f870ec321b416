//! Says in plain words what one line of the ledger means for one person.

use std::path::Path;

use tacit_privacy::record::Charge;
use tacit_privacy::{Tier, convert};

use crate::empty::EmptyRound;
use crate::error::VerifyError;
use crate::ledger::{Entry, Outcome};
use crate::report::{CURVE_DELTA, figures, format};
use crate::restored::RestoredLine;
use crate::summary;
use crate::verify::{Verified, verify};

/// Why a line cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The export does not verify, so what its lines say means nothing.
    #[error("this export does not verify: {0}")]
    Verify(#[from] VerifyError),
    /// The ledger is shorter.
    #[error("ledger.jsonl has no line {seq}: it has {lines} lines, counted from 0")]
    NoSuchLine {
        /// Line that was asked for.
        seq: u64,
        /// Lines there are.
        lines: u64,
    },
}

/// Verifies the export, then explains line `seq` of the coordinator's ledger.
///
/// # Errors
/// [`ExplainError`] when the export does not verify or has no such line.
pub fn explain(dir: &Path, seq: u64) -> Result<String, ExplainError> {
    let verified = verify(dir)?;
    if seq >= verified.lines {
        return Err(ExplainError::NoSuchLine {
            seq,
            lines: verified.lines,
        });
    }
    if seq == 0 {
        return Ok(genesis(&verified));
    }
    let entry = verified.entries.iter().find(|entry| entry.seq == seq);
    let empty = verified.empty.iter().find(|empty| empty.seq == seq);
    let mut restores = verified.restores.iter();
    let restored = restores.find(|restored| restored.seq == seq);
    Ok(match (entry, empty, restored) {
        (Some(entry), ..) => charged(&verified, entry),
        (None, Some(empty), _) => nobody_entered(empty),
        (None, None, Some(restored)) => went_back(restored),
        (None, None, None) => started_again(seq),
    })
}

fn genesis(verified: &Verified) -> String {
    let budget = verified.genesis.rho_budget;
    format!(
        "Line 0 starts the ledger of the task '{}' on {}.\n\
         Its first model was made from public information only, so it says nothing about you: it \
         cost nothing.\n\
         Over the whole task your device may lose at most rho {}, which is epsilon {} at delta \
         1e-5.\n\
         How epsilon follows from rho: {}.\n",
        verified.genesis.task,
        format::hour(verified.time_first),
        format::round_up(budget.to_f64_up(), 4),
        format::round_up(
            summary::epsilon(budget, verified.total_variation, CURVE_DELTA),
            4
        ),
        convert::CONVERSION,
    )
}

fn started_again(seq: u64) -> String {
    format!(
        "Line {seq} says that the coordinator started again on what it had stored.\nIt cost your \
         device nothing.\n"
    )
}

fn went_back(restored: &RestoredLine) -> String {
    format!(
        "Line {} says that the coordinator's state was put back from an older copy, on {}, and \
         that the ledger goes on from there in generation {}.\n\
         Both parties had signed {} lines. Of those after the copy nothing is left but what they \
         cost: the helper had countersigned {} tickets of them, and the lines that follow say what \
         each cost.\nIt cost your device nothing that it had not spent before.\n",
        restored.seq,
        format::hour(restored.time_bucket),
        restored.generation,
        restored.line.last_head.size,
        restored.line.lost,
    )
}

fn nobody_entered(empty: &EmptyRound) -> String {
    let line = &empty.line;
    format!(
        "Line {} is round {} of the task '{}', on {}. It ended without a contribution: {}.\n\
         The helper certified that no device ever entered it. It erased the round's key before it \
         signed that, so nothing of the round can ever be opened, and it cost the task nothing.\n\
         If your device had set its price aside, rho {}, it does not take that back: what was set \
         aside stays spent.\n",
        empty.seq,
        line.round,
        line.task,
        format::hour(empty.time_bucket),
        format::shortened(&line.reason, 200),
        format::round_up(line.ticket_rho.to_f64_up(), 4),
    )
}

fn charged(verified: &Verified, entry: &Entry) -> String {
    let charge = &entry.charge;
    let alone = summary::epsilon(charge.rho, charge.total_variation, CURVE_DELTA);
    let so_far: u128 = verified
        .entries
        .iter()
        .take_while(|e| e.seq <= entry.seq)
        .map(|e| e.charge.total_variation)
        .sum();
    let together = summary::epsilon(charge.rho_total, so_far, CURVE_DELTA);
    format!(
        "Line {} is round {} of the task '{}', on {}.\n{}\n{}\
         If your device took part, its own numbers were limited in size and hidden in noise \
         before they left it, and it paid rho {}. On its own that is epsilon {} at delta 1e-5; \
         with every round before it, epsilon {}.\n{}\n\
         If your device did not take part, this line cost it nothing.\n\
         {}\n{}\nHow epsilon follows from rho: {}.\n",
        entry.seq,
        charge.round,
        charge.task,
        format::hour(entry.time_bucket),
        what_happened(entry),
        what_was_found(verified, entry),
        format::round_up(charge.rho.to_f64_up(), 4),
        format::round_up(alone, 4),
        format::round_up(together, 4),
        odds(together),
        "This holds while coordinator and helper do not put their knowledge together; the ledger \
         shows the arithmetic, not their honesty.",
        numbers(charge),
        convert::CONVERSION,
    )
}

/// What rho follows from, with what the line leaves to the reader to derive.
fn numbers(charge: &Charge) -> String {
    let mechanism = &charge.mechanism;
    let share = mechanism.sigma2 as f64 / f64::from(mechanism.n_min);
    let s = format::nearest(share.sqrt(), 4);
    let (tau, shares) = match mechanism.tier {
        Tier::Helper => (
            ", and 2^-64 more (tau) for noise that is a sum of shares",
            format!(
                "{} shares of noise were counted on, each with a standard deviation s of {s} steps",
                mechanism.n_min
            ),
        ),
        Tier::Local => (
            "",
            format!("each device adds all of the noise, with a standard deviation s of {s} steps"),
        ),
    };
    format!(
        "Rho is B2_int / (2 sigma^2){tau}: B2_int {} and sigma^2 {}, in squared grid steps; the \
         clipping norm is {} steps; {shares}. What the samplers differ from ideal ones, {} in \
         total variation, is taken out of delta (1 + e^epsilon) times.",
        charge.squared_sensitivity,
        mechanism.sigma2,
        mechanism.steps,
        format::scientific_up(charge.total_variation as f64 * 2f64.powi(-128)),
    )
}

fn what_happened(entry: &Entry) -> String {
    let kind = format::kind(&entry.charge.kind);
    let noise = entry
        .charge
        .mechanism
        .sum_noise_std(entry.charge.mechanism.n_min);
    match &entry.outcome {
        Outcome::Released { .. } => format!(
            "{} devices contributed to one sum of {} numbers ({kind}). {} The noise on each \
             number of the sum is typically {} times the most one device can move all of them \
             together.",
            entry.contributors,
            entry.charge.mechanism.length,
            match entry.charge.mechanism.tier {
                Tier::Helper => "Only that sum was opened, never one device's part.",
                Tier::Local =>
                    "Each device's part was hidden in noise of its own before it left the device.",
            },
            format::nearest(noise, 3),
        ),
        Outcome::Abandoned { reason, answered } => format!(
            "The round was abandoned ({kind}; {} contributions had arrived): {}. {} It is counted \
             as paid, because devices may have sent their noised numbers.",
            entry.contributors,
            format::shortened(reason, 200),
            if *answered {
                "The helper had answered, so the sum could be opened."
            } else {
                "The helper never answered, so no sum could be opened."
            },
        ),
    }
}

/// The figures of an evaluation, a line each; nothing for other rounds.
fn what_was_found(verified: &Verified, entry: &Entry) -> String {
    let Some(evaluated) = verified
        .evaluations
        .iter()
        .find(|one| one.seq == entry.seq)
    else {
        return String::new();
    };
    let mut text =
        "Each device asked how the model would have ranked what its owner used last; from the \
         noisy sum of their answers follow, with standard errors:\n"
            .to_owned();
    for figure in figures(&evaluated.evaluation) {
        text += &format!("  {}: {}\n", figure.name, figure.text);
    }
    if evaluated.factors_dropped {
        text += "Popularity did better, so the model was published without its factors.\n";
    }
    text
}

/// What an epsilon means as odds, for somebody who had an even chance of guessing right.
fn odds(epsilon: f64) -> String {
    if !epsilon.is_finite() {
        return "No finite bound can be stated.".into();
    }
    let percent = (1000.0 / (1.0 + (-epsilon).exp())).ceil() / 10.0;
    format!(
        "In other words: somebody who sees everything released so far, and before could only toss \
         a coin about whether your device sent its own numbers or nothing at all, now guesses \
         right at most about {percent:.1} times in 100."
    )
}
