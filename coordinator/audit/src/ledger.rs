//! Replays the coordinator's ledger: every price recomputed, every total summed again.

use std::path::Path;

use tacit_privacy::merkle;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::record::{Charge, Event, Genesis, Keeper, Line};
use tacit_privacy::{Mechanism, Rho};
use tacit_types::{Digest, RoundId, TaskId};

use crate::chain::Chain;
use crate::empty::{EmptyRound, EmptyRounds};
use crate::error::VerifyError;
use crate::files::Lines;
use crate::restored::Restores;

pub(crate) const FILE: &str = "ledger.jsonl";
/// Most outcomes of all noise tables together, about half a minute's work: a thousand releases of
/// shares with a standard deviation of 512 grid steps. A table's time grows with its share's
/// deviation, which the one who wrote the export chose.
const OUTCOMES_MAX: u64 = 1 << 24;

/// One line that cost something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the ledger.
    pub seq: u64,
    /// Hours since the Unix epoch.
    pub time_bucket: u64,
    /// What was spent.
    pub charge: Charge,
    /// Contributions in the sum, or those that had arrived when the round was abandoned.
    pub contributors: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a round that was paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A sum was opened and a model made from it.
    Released {
        /// Digest of the sorted contribution ids.
        set_digest: Digest,
        /// SHA-256 of the opened sum.
        sum_digest: Digest,
        /// SHA-256 of the helper's line for this answer.
        helper_line_hash: Digest,
        /// SHA-256 of the model.
        model_out_hash: Digest,
    },
    /// Nothing was published; the price stays.
    Abandoned {
        /// The coordinator's reason, in words.
        reason: String,
        /// Whether the helper had answered, so that the coordinator could open the sum.
        answered: bool,
    },
}

impl Entry {
    /// Whether a model came of it.
    pub fn is_release(&self) -> bool {
        matches!(self.outcome, Outcome::Released { .. })
    }
}

/// A round of the coordinator's ledger that is over.
pub(crate) struct Ended {
    pub(crate) seq: u64,
    pub(crate) round: RoundId,
    pub(crate) ticket_hash: Digest,
    /// Price of its ticket.
    pub(crate) rho: Rho,
}

/// What a replay of `ledger.jsonl` gives.
pub(crate) struct Ledger {
    pub(crate) chain: Chain,
    pub(crate) genesis: Genesis,
    pub(crate) time_first: u64,
    pub(crate) time_last: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) empty: EmptyRounds,
    /// The newest round of any line.
    last_round: Option<RoundId>,
    pub(crate) restarts: Vec<u64>,
    pub(crate) restores: Restores,
    pub(crate) rho_total: Rho,
    pub(crate) total_variation: u128,
    pub(crate) leaves: Vec<Digest>,
    pub(crate) generations: Vec<u32>,
    /// Outcomes of all noise tables made so far.
    outcomes: u64,
    /// Every model the ledger names, with the line that names it.
    pub(crate) models: Vec<(u64, Digest)>,
    model: Digest,
}

impl Ledger {
    /// Reads and checks the whole file.
    pub(crate) fn read(dir: &Path) -> Result<Self, VerifyError> {
        let mut lines = Lines::open(dir, FILE)?;
        let first = lines
            .next()
            .ok_or_else(|| VerifyError::file(FILE, "has no lines"))??;
        let mut ledger = Self::begin(&first)?;
        for bytes in lines {
            ledger.take(&bytes?)?;
        }
        let last = ledger.chain.len() - 1;
        let whole = ledger.restores.whole();
        whole.map_err(|problem| VerifyError::line(FILE, last, problem))?;
        Ok(ledger)
    }

    fn begin(bytes: &[u8]) -> Result<Self, VerifyError> {
        let mut chain = Chain::new(FILE, Keeper::Coordinator);
        let line = chain.accept(bytes)?;
        let Event::Genesis(genesis) = line.event else {
            return Err(VerifyError::line(FILE, 0, "is not the genesis line"));
        };
        Ok(Self {
            chain,
            time_first: line.time_bucket,
            time_last: line.time_bucket,
            entries: Vec::new(),
            empty: EmptyRounds::default(),
            last_round: None,
            restarts: Vec::new(),
            restores: Restores::default(),
            rho_total: Rho::ZERO,
            total_variation: 0,
            leaves: vec![merkle::leaf(bytes)],
            generations: vec![line.generation],
            outcomes: 0,
            models: vec![(0, genesis.model_out_hash)],
            model: genesis.model_out_hash,
            genesis,
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let line = self.chain.accept(bytes)?;
        self.leaves.push(merkle::leaf(bytes));
        self.time_last = line.time_bucket;
        let seq = line.seq;
        self.record(line)
            .map_err(|problem| VerifyError::line(FILE, seq, problem))
    }

    fn record(&mut self, line: Line) -> Result<(), String> {
        let before = self.generations.last().copied().unwrap_or(0);
        let is_lost = self.restores.take(&line, before, self.last_round)?;
        self.generations.push(line.generation);
        let (seq, time_bucket) = (line.seq, line.time_bucket);
        let entry = match line.event {
            Event::Genesis(_) => return Err("is a second genesis line".into()),
            Event::Restored(_) => return Ok(()),
            Event::Countersigned(_) | Event::Answered(_) => {
                return Err("is a helper's line".into());
            }
            Event::Restarted {} => {
                self.restarts.push(seq);
                return Ok(());
            }
            Event::Empty(line) => {
                self.check_next(&line.task, line.round)?;
                return self.empty.take(EmptyRound {
                    seq,
                    time_bucket,
                    line,
                });
            }
            Event::Release(release) => {
                let release = *release;
                let set_min = release
                    .charge
                    .mechanism
                    .set_min(release.charge.dishonest_milli);
                if release.contributors < set_min {
                    return Err(format!(
                        "contributors is {} and must be at least {set_min}",
                        release.contributors
                    ));
                }
                let outcome = Outcome::Released {
                    set_digest: release.set_digest,
                    sum_digest: release.sum_digest,
                    helper_line_hash: release.helper_line_hash,
                    model_out_hash: release.model_out_hash,
                };
                Entry {
                    seq,
                    time_bucket,
                    charge: release.charge,
                    contributors: release.contributors,
                    outcome,
                }
            }
            Event::Abandoned(abandoned) => {
                let abandoned = *abandoned;
                let outcome = Outcome::Abandoned {
                    reason: abandoned.reason,
                    answered: false,
                };
                Entry {
                    seq,
                    time_bucket,
                    charge: abandoned.charge,
                    contributors: abandoned.contributors,
                    outcome,
                }
            }
        };
        self.spend(entry, is_lost)
    }

    /// Takes a line that cost something. A round lost in a restore had another model.
    fn spend(&mut self, entry: Entry, is_lost: bool) -> Result<(), String> {
        check_charge(&entry.charge, entry.contributors)?;
        let charge = &entry.charge;
        let known = self
            .entries
            .iter()
            .rev()
            .find(|before| same_noise(&before.charge, charge));
        let table_hash = match known {
            Some(before) => before.charge.table_hash,
            None => {
                self.outcomes = with_table(self.outcomes, &charge.mechanism)?;
                NoiseTable::new(&charge.mechanism).digest()
            }
        };
        constant(
            "table_hash",
            &charge.table_hash.to_string(),
            &table_hash.to_string(),
        )?;
        if charge.model_in_hash != self.model && !is_lost {
            return Err("model_in_hash is not the latest model before it".into());
        }
        self.check_next(&charge.task, charge.round)?;
        self.check_participation(charge)?;
        self.rho_total = self.add(charge)?;
        let total = self
            .total_variation
            .checked_add(charge.total_variation);
        self.total_variation = total.ok_or("total_variation is too large to sum")?;
        if let Outcome::Released { model_out_hash, .. } = entry.outcome {
            self.model = model_out_hash;
            self.models.push((entry.seq, model_out_hash));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Every round that is over: first those that cost something.
    pub(crate) fn ended(&self) -> Vec<Ended> {
        let charged = self.entries.iter().map(|entry| Ended {
            seq: entry.seq,
            round: entry.charge.round,
            ticket_hash: entry.charge.ticket_hash,
            rho: entry.charge.rho,
        });
        let empty = self.empty.all().iter().map(|empty| Ended {
            seq: empty.seq,
            round: empty.line.round,
            ticket_hash: empty.line.ticket_hash,
            rho: empty.line.ticket_rho,
        });
        charged.chain(empty).collect()
    }

    /// A round is of the ledger's task, and comes after every round before it.
    fn check_next(&mut self, task: &TaskId, round: RoundId) -> Result<(), String> {
        if *task != self.genesis.task {
            return Err(format!(
                "task is {task} and the genesis line's is {}",
                self.genesis.task
            ));
        }
        if self.last_round.is_some_and(|before| round <= before) {
            return Err(format!(
                "round {round} does not come after the one before it"
            ));
        }
        self.last_round = Some(round);
        Ok(())
    }

    /// Place and separation follow from the charged lines before.
    fn check_participation(&self, charge: &Charge) -> Result<(), String> {
        let before = self.entries.last().map(|entry| entry.charge.round.0);
        let (index, separation) = (
            self.entries.len() + 1,
            before.map_or(0, |round| charge.round.0.wrapping_sub(round)),
        );
        same(
            "participation_index",
            charge.participation_index.into(),
            index as u128,
        )?;
        same("separation", charge.separation.into(), separation.into())
    }

    /// The total with this charge: what the line must say, and within the budget. Sums units, which
    /// cannot saturate.
    fn add(&self, charge: &Charge) -> Result<Rho, String> {
        let units = self.rho_total.units() + charge.rho.units();
        if charge.rho_total.units() != units {
            return Err(format!(
                "rho_total is {} but the lines so far add up to {units}",
                charge.rho_total
            ));
        }
        if units > self.genesis.rho_budget.units() {
            return Err(format!(
                "rho_total is {units} and passes the budget of {}",
                self.genesis.rho_budget
            ));
        }
        Ok(charge.rho_total)
    }
}

/// Outcomes of all tables with one more, which reaches 16 standard deviations to either side.
fn with_table(outcomes: u64, mechanism: &Mechanism) -> Result<u64, String> {
    let variance = mechanism.sigma2.div_ceil(mechanism.n_min.into());
    let all = outcomes.saturating_add(32 * variance.isqrt());
    if all > OUTCOMES_MAX {
        Err("asks for more different noise tables than any task needs".into())
    } else {
        Ok(all)
    }
}

/// Recomputes everything that follows from a charge's own numbers.
fn check_charge(charge: &Charge, contributors: u32) -> Result<(), String> {
    let mechanism = &charge.mechanism;
    mechanism
        .check()
        .map_err(|error| format!("mechanism: {error}"))?;
    if charge.dishonest_milli > 999 || charge.dropout_milli > 999 {
        return Err("dishonest_milli and dropout_milli must be below 1000".into());
    }
    same(
        "squared_sensitivity",
        charge.squared_sensitivity,
        mechanism.squared_sensitivity(),
    )?;
    same("rho", charge.rho.units(), mechanism.rho().units())?;
    same(
        "total_variation",
        charge.total_variation,
        release_total_variation(mechanism),
    )?;
    if contributors > mechanism.cohort_max {
        return Err(format!(
            "contributors is {contributors} and cohort_max {}",
            mechanism.cohort_max
        ));
    }
    constant("sampler", &charge.sampler, Charge::SAMPLER)?;
    constant("rng", &charge.rng, Charge::RNG)?;
    constant("unit", &charge.unit, Charge::UNIT)?;
    constant("adjacency", &charge.adjacency, Charge::ADJACENCY)
}

/// Whether both drew from the same table.
fn same_noise(one: &Charge, other: &Charge) -> bool {
    let variance = |charge: &Charge| (charge.mechanism.sigma2, charge.mechanism.n_min);
    variance(one) == variance(other)
}

fn same(field: &str, said: u128, computed: u128) -> Result<(), String> {
    if said == computed {
        Ok(())
    } else {
        Err(format!("{field} is {said} but its numbers give {computed}"))
    }
}

fn constant(field: &str, said: &str, expected: &str) -> Result<(), String> {
    if said == expected {
        Ok(())
    } else {
        Err(format!("{field} is {:.60} and must be {expected}", said))
    }
}

#[cfg(test)]
mod tests {
    use tacit_privacy::Tier;

    use super::*;

    #[test]
    fn a_thousand_usual_tables_are_fine_and_a_hundred_of_the_largest_are_not() {
        let mechanism = |s: u64| Mechanism {
            tier: Tier::Helper,
            length: 32,
            row_width: 32,
            row_cap_milli: 1000,
            history_max: 1,
            nnz_max: 32,
            steps: 64,
            sigma2: s * s * 100,
            n_min: 100,
            cohort_max: 200,
            helper_noise: false,
        };
        let all = |s: u64, tables: u32| {
            (0..tables).try_fold(0, |outcomes, _| with_table(outcomes, &mechanism(s)))
        };
        assert!(all(128, 1_000).is_ok() && all(1 << 13, 64).is_ok());
        assert!(all(1 << 13, 100).unwrap_err().contains("noise tables"));
    }
}
