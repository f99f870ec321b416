//! Checks the sums of evaluations, which are exported themselves, and reads the figures off them
//! again.

use std::collections::HashSet;
use std::path::Path;

use tacit_model::Model;
use tacit_model::measure::evaluation::layout::LENGTH;
use tacit_model::measure::evaluation::{Evaluation, evaluate, keeps_factors};
use tacit_privacy::canonical;
use tacit_types::{Digest, Kind};

use crate::error::VerifyError;
use crate::files;
use crate::ledger::{self, Entry, Ledger, Outcome};

const FOLDER: &str = "sums";

/// What one evaluation found, and the line it stands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// Position in the ledger.
    pub seq: u64,
    /// Its figures.
    pub evaluation: Evaluation,
    /// Whether the model was published without its factors, because it lost to popularity.
    pub factors_dropped: bool,
}

/// Reads the sum of every evaluation that the ledger names; files that no line names are worth a
/// warning.
pub(crate) fn check(
    dir: &Path,
    ledger: &Ledger,
    warnings: &mut Vec<String>,
) -> Result<Vec<Evaluated>, VerifyError> {
    let (mut found, mut named) = (Vec::new(), HashSet::new());
    for entry in ledger
        .entries
        .iter()
        .filter(|entry| entry.charge.kind == Kind::Metrics.as_str())
    {
        let Outcome::Released {
            sum_digest,
            model_out_hash,
            ..
        } = &entry.outcome
        else {
            continue;
        };
        let name = format!("{sum_digest}.bin");
        let file = format!("{FOLDER}/{name}");
        let bytes = files::read_small(dir, &file)?;
        if canonical::digest(&bytes) != *sum_digest {
            return Err(VerifyError::file(file, "its SHA-256 is not its name"));
        }
        let sum = read(&bytes, entry)
            .ok_or_else(|| VerifyError::file(file, "is not a sum of the line's length"))?;
        let noise_std = entry
            .charge
            .mechanism
            .sum_noise_std(entry.contributors);
        let problem = |problem: &str| VerifyError::line(ledger::FILE, entry.seq, problem);
        let evaluation = evaluate(&sum, noise_std, entry.contributors)
            .ok_or_else(|| problem("an evaluation has another length"))?;
        let factors_dropped = *model_out_hash != entry.charge.model_in_hash;
        decided(dir, entry, *model_out_hash, &sum, noise_std).map_err(problem)?;
        found.push(Evaluated {
            seq: entry.seq,
            evaluation,
            factors_dropped,
        });
        named.insert(name);
    }
    if dir.join(FOLDER).is_dir() {
        let extra = files::names(dir, FOLDER)?
            .into_iter()
            .filter(|name| !named.contains(name));
        warnings.extend(extra.map(|name| format!("{FOLDER}/{name} is named by no line")));
    }
    Ok(found)
}

/// The sum in clipping norms.
fn read(bytes: &[u8], entry: &Entry) -> Option<Vec<f64>> {
    let mechanism = &entry.charge.mechanism;
    let (words, rest) = bytes.as_chunks::<4>();
    let fits = words.len() == LENGTH && words.len() == mechanism.length as usize && rest.is_empty();
    let value = |word: &[u8; 4]| f64::from(i32::from_le_bytes(*word)) / f64::from(mechanism.steps);
    fits.then(|| words.iter().map(value).collect())
}

/// Whether what was published follows from the sum: the evaluated model, or that model without its
/// factors. Which of the two thresholds held depends on the plan's signal, which no line carries,
/// so what either allows passes.
fn decided(
    dir: &Path,
    entry: &Entry,
    published: Digest,
    sum: &[f64],
    noise_std: f64,
) -> Result<(), &'static str> {
    let evaluated = entry.charge.model_in_hash;
    let bytes = files::read_model(dir, evaluated).ok();
    let model = bytes.and_then(|bytes| Model::from_bytes(&bytes).ok());
    if published == evaluated {
        let has_factors = model.is_some_and(|model| model.without_factors() != model);
        let lost = !keeps_factors(sum, noise_std, false);
        return if has_factors && lost {
            Err("keeps factors that lost to popularity")
        } else {
            Ok(())
        };
    }
    let without = model.map(|model| canonical::digest(&model.without_factors().to_bytes()));
    if without != Some(published) {
        return Err("its model is neither the evaluated one nor that one without its factors");
    }
    if keeps_factors(sum, noise_std, true) {
        Err("drops factors that beat popularity")
    } else {
        Ok(())
    }
}
