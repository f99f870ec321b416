//! What a line of the release ledger means: the fields auditors recompute privacy loss from.
//!
//! A ledger is a sequence of [`Line`]s in canonical JSON. Each carries the SHA-256 of the exact
//! bytes of the line before it (the first carries zeros), so the chain runs over bytes and not over
//! meaning. The coordinator and the helper each keep one; every answered round has a line in both.

use serde::{Deserialize, Serialize};
use tacit_types::{Digest, RoundId, TaskId, Timestamp};

use crate::canonical::{self, NotCanonical};
use crate::mechanism::Mechanism;
use crate::rho::Rho;

/// Version of this format.
pub const SCHEMA: u32 = 2;

/// Who keeps a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    /// The coordinator: one line for every published version, every round without one, and every
    /// restart.
    Coordinator,
    /// The helper: one line for every ticket it countersigned and every answer it gave.
    Helper,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Random name of this ledger, made once.
    pub ledger_id: Digest,
    /// Raised by a restore from backup, so that a rollback shows.
    pub generation: u32,
    /// Position, from 0.
    pub seq: u64,
    /// SHA-256 of the previous line's bytes; zeros on the first.
    pub prev_hash: Digest,
    /// Who keeps this ledger.
    pub keeper: Keeper,
    /// Time in whole hours since the Unix epoch: coarse on purpose.
    pub time_bucket: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a line records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Version 0 of a model: made from public information only, rho 0.
    Genesis(Genesis),
    /// A noised sum was opened and a model version made from it.
    Release(Box<Release>),
    /// A round that devices may have spent on gave nothing. Its price stays.
    Abandoned(Box<Abandoned>),
    /// A round that no device entered, as the helper certified. It costs nothing.
    Empty(Empty),
    /// The keeper started again on existing state.
    Restarted {},
    /// The state was put back from an older copy, and a new generation begins.
    Restored(Restored),
    /// Helper: one ticket was countersigned, so that devices may have spent for it.
    Countersigned(Countersigned),
    /// Helper: one mask sum was handed out.
    Answered(Answered),
}

/// Fields of [`Event::Genesis`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// Task whose model this is.
    pub task: TaskId,
    /// SHA-256 of the model object.
    pub model_out_hash: Digest,
    /// SHA-256 of the catalogue object.
    pub catalogue_hash: Digest,
    /// Budget of one device over the whole task.
    pub rho_budget: Rho,
}

/// What one release was, from which its price follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Task.
    pub task: TaskId,
    /// Round.
    pub round: RoundId,
    /// What the vector means: the word of a [`tacit_types::Kind`].
    pub kind: String,
    /// SHA-256 of the ticket every device saw.
    pub ticket_hash: Digest,
    /// Model the devices started from.
    pub model_in_hash: Digest,
    /// Public numbers of the mechanism.
    pub mechanism: Mechanism,
    /// Largest squared norm B2_int, grid steps squared; follows from `mechanism`.
    #[serde(with = "decimal")]
    pub squared_sensitivity: u128,
    /// Total variation of all noise draws from the ideal, units of 2^-128; enters delta as (1 +
    /// e^epsilon) times this.
    #[serde(with = "decimal")]
    pub total_variation: u128,
    /// Price of this release.
    pub rho: Rho,
    /// Sum of the prices of every line of this ledger up to and including this one.
    pub rho_total: Rho,
    /// Assumed dishonest share f in thousandths.
    pub dishonest_milli: u32,
    /// Assumed dropout share p in thousandths.
    pub dropout_milli: u32,
    /// Place of this release among the task's charged ones, from 1: how often a device that joined
    /// all has taken part.
    pub participation_index: u32,
    /// Rounds since the charged release before it; 0 for the first.
    pub separation: u32,
    /// Sampler that made the noise.
    pub sampler: String,
    /// Generator the sampler drew from.
    pub rng: String,
    /// SHA-256 of the noise table's thresholds, 16 little-endian bytes each; follows from
    /// `mechanism`.
    pub table_hash: Digest,
    /// SHA-256 of the coordinator program that kept this line.
    pub build_hash: Digest,
    /// What is protected.
    pub unit: String,
    /// Which data sets count as neighbours.
    pub adjacency: String,
}

impl Charge {
    /// The only sampler of this schema: inversion of a table of 128-bit thresholds.
    pub const SAMPLER: &str = "table128";
    /// The only generator of this schema, seeded by the operating system for every release.
    pub const RNG: &str = "chacha20";
    /// Privacy unit of every release.
    pub const UNIT: &str = "device";
    /// Adjacency of every release.
    pub const ADJACENCY: &str = "zero-out";
}

/// Fields of [`Event::Release`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What was spent.
    #[serde(flatten)]
    pub charge: Charge,
    /// Contributions in the sum.
    pub contributors: u32,
    /// Digest of the sorted contribution ids.
    pub set_digest: Digest,
    /// Digest of the opened sum's bytes.
    pub sum_digest: Digest,
    /// SHA-256 of the helper's line for this answer.
    pub helper_line_hash: Digest,
    /// SHA-256 of the model made from the sum; after an evaluation, of the model that was evaluated
    /// or what it keeps of it.
    pub model_out_hash: Digest,
}

/// Fields of [`Event::Abandoned`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandoned {
    /// What may have been spent.
    #[serde(flatten)]
    pub charge: Charge,
    /// Contributions that had arrived.
    pub contributors: u32,
    /// Why, in words.
    pub reason: String,
}

/// Fields of [`Event::Empty`]. The helper never admitted a seed to the round and has erased its
/// key, so that nobody learns anything from it, and its price is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {
    /// Task.
    pub task: TaskId,
    /// Round.
    pub round: RoundId,
    /// SHA-256 of the ticket every device saw.
    pub ticket_hash: Digest,
    /// Price that the ticket states. A device that had spent for it is not given it back, so it
    /// counts in the most a device can have spent.
    pub ticket_rho: Rho,
    /// Rounds of this ledger that cost nothing, this one included.
    pub free_rounds: u32,
    /// Why the round ended, in words.
    pub reason: String,
    /// Generation in which the helper countersigned the ticket and certified.
    pub helper_generation: u32,
    /// The helper's signature that nobody entered the round and that it will never be answered; 64
    /// bytes in hexadecimal.
    pub certificate: String,
}

/// Fields of [`Event::Restored`], the first line of its generation. Lines that stood after the copy
/// was made are lost; what they cost is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The newest head that the helper had signed.
    pub last_head: TreeHead,
    /// Lines of the helper's ledger when this was written.
    pub helper_size: u64,
    /// Rounds of which the helper had countersigned a ticket that no line before this one ends:
    /// just so many lines follow that do, charged, or with the helper's certificate that nobody
    /// entered.
    pub lost: u32,
}

/// Fields of [`Event::Countersigned`]. The line is durable before the signature leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Countersigned {
    /// Task.
    pub task: TaskId,
    /// Round.
    pub round: RoundId,
    /// SHA-256 of the ticket.
    pub ticket_hash: Digest,
    /// Price of the ticket for a device that takes part.
    pub rho: Rho,
    /// Place of this ticket among those countersigned for the task, from 1: how often a device can
    /// have taken part at most.
    pub participation_index: u32,
}

/// Fields of [`Event::Answered`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Task.
    pub task: TaskId,
    /// Round.
    pub round: RoundId,
    /// Ticket all contributions were sealed under.
    pub ticket_hash: Digest,
    /// Contributions in the sum.
    pub contributors: u32,
    /// Digest of the sorted contribution ids.
    pub set_digest: Digest,
    /// Digest of the mask sum handed out.
    pub mask_digest: Digest,
}

impl Line {
    /// The exact bytes of this line, without a line end.
    ///
    /// # Errors
    /// [`NotCanonical`] never for a line built from these types; kept for honesty.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NotCanonical> {
        canonical::encode(self)
    }

    /// Reads the exact bytes of a line.
    ///
    /// # Errors
    /// [`NotCanonical`] when the bytes are anything but what [`Line::to_bytes`] gives. The schema
    /// is for the reader to check.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotCanonical> {
        canonical::decode(bytes)
    }

    /// What this line charged, if it is one that costs.
    pub fn charge(&self) -> Option<&Charge> {
        match &self.event {
            Event::Release(release) => Some(&release.charge),
            Event::Abandoned(abandoned) => Some(&abandoned.charge),
            Event::Genesis(_)
            | Event::Empty(_)
            | Event::Restarted {}
            | Event::Restored(_)
            | Event::Countersigned(_)
            | Event::Answered(_) => None,
        }
    }

    /// The round this line ended, if it ended one, and the hash of its ticket.
    pub fn ended(&self) -> Option<(RoundId, Digest)> {
        match &self.event {
            Event::Empty(empty) => Some((empty.round, empty.ticket_hash)),
            _ => self
                .charge()
                .map(|charge| (charge.round, charge.ticket_hash)),
        }
    }
}

/// Hours since the Unix epoch, the only time a ledger keeps.
pub fn time_bucket(now: Timestamp) -> u64 {
    now.0 / 3_600_000
}

/// A signed commitment to the first `size` lines, as exported in `heads/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeHead {
    /// Ledger it speaks of.
    pub ledger_id: Digest,
    /// Generation of that ledger.
    pub generation: u32,
    /// Number of lines.
    pub size: u64,
    /// Merkle root over the exact bytes of the lines ([`crate::merkle`]).
    pub root: Digest,
    /// Number of lines of the helper's ledger of the same task.
    pub helper_size: u64,
    /// SHA-256 of the last of them; zeros before the first.
    pub helper_last_hash: Digest,
}

/// `u128` as a decimal string: JSON numbers past 2^53 do not survive every reader.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|_| D::Error::custom("not a whole number in a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let mechanism = crate::mechanism::tests::example();
        Line {
            schema: SCHEMA,
            ledger_id: Digest([1; 32]),
            generation: 1,
            seq: 3,
            prev_hash: Digest([2; 32]),
            keeper: Keeper::Coordinator,
            time_bucket: 490_000,
            event: Event::Abandoned(Box::new(Abandoned {
                charge: Charge {
                    task: TaskId::new("films").unwrap(),
                    round: RoundId(2),
                    kind: "counts".into(),
                    ticket_hash: Digest([3; 32]),
                    model_in_hash: Digest([4; 32]),
                    squared_sensitivity: mechanism.squared_sensitivity(),
                    total_variation: 1 << 70,
                    rho: mechanism.rho(),
                    rho_total: mechanism.rho(),
                    mechanism,
                    dishonest_milli: 50,
                    dropout_milli: 50,
                    participation_index: 1,
                    separation: 0,
                    sampler: Charge::SAMPLER.into(),
                    rng: Charge::RNG.into(),
                    table_hash: Digest([5; 32]),
                    build_hash: Digest([6; 32]),
                    unit: Charge::UNIT.into(),
                    adjacency: Charge::ADJACENCY.into(),
                },
                contributors: 7,
                reason: "fewer than 95 contributions at the deadline".into(),
            })),
        }
    }

    #[test]
    fn a_line_survives_its_own_bytes_and_no_other_spelling_does() {
        let bytes = line().to_bytes().unwrap();
        assert_eq!(Line::from_bytes(&bytes).unwrap(), line());
        assert!(bytes.starts_with(br#"{"adjacency":"zero-out","build_hash":"0606"#));
        let text = String::from_utf8(bytes).unwrap();
        assert!(Line::from_bytes(text.replace("\"seq\":3", "\"seq\": 3").as_bytes()).is_err());
        assert!(Line::from_bytes(text.replacen('{', "{\"aa\":1,", 1).as_bytes()).is_err());
        for cut in 0..text.len() {
            assert!(Line::from_bytes(&text.as_bytes()[..cut]).is_err());
        }
    }

    #[test]
    fn only_lines_that_may_have_cost_something_carry_a_charge() {
        assert!(line().charge().is_some());
        let empty = Event::Empty(Empty {
            task: TaskId::new("films").unwrap(),
            round: RoundId(3),
            ticket_hash: Digest([3; 32]),
            ticket_rho: Rho::MAX,
            free_rounds: 1,
            reason: "nobody came".into(),
            helper_generation: 1,
            certificate: "00".repeat(64),
        });
        let empty = Line {
            event: empty,
            ..line()
        };
        assert!(empty.charge().is_none());
        let ticket = Digest([3; 32]);
        assert_eq!(empty.ended(), Some((RoundId(3), ticket)));
        assert_eq!(line().ended(), Some((RoundId(2), ticket)));
        assert!(
            Line {
                event: Event::Restarted {},
                ..line()
            }
            .charge()
            .is_none()
        );
    }
}
