//! The release ledger in memory: what the next line says, and the tree over all lines.

use tacit_privacy::Rho;
use tacit_privacy::canonical::digest;
use tacit_privacy::merkle;
use tacit_privacy::record::{Event, Keeper, Line, SCHEMA, TreeHead, time_bucket};
use tacit_round::head::{LoggedLine, SignedHead};
use tacit_round::policy::published;
use tacit_round::restore;
use tacit_types::{Digest, TaskId, Timestamp};

use crate::board::Restored;
use crate::error::ServerError;
use crate::standing::HelperEnd;
use crate::storage::LedgerStore;

/// The ledger. Lines are appended in the store first and noted here after.
pub struct Ledger {
    id: Digest,
    lines: Vec<Line>,
    bytes: Vec<Vec<u8>>,
    leaves: Vec<Digest>,
}

impl Ledger {
    /// Reads the ledger, checking its chain; a new one gets the random `new_id`.
    ///
    /// # Errors
    /// [`ServerError::StorageUnavailable`] naming the line that is damaged: never guess, refuse to
    /// start.
    pub fn load(store: &dyn LedgerStore, new_id: Digest) -> Result<Self, ServerError> {
        let mut ledger = Self {
            id: new_id,
            lines: vec![],
            bytes: vec![],
            leaves: vec![],
        };
        for (seq, bytes) in store.lines().wait()?.into_iter().enumerate() {
            let damaged =
                |what: &str| ServerError::StorageUnavailable(format!("ledger line {seq}: {what}"));
            let line = Line::from_bytes(&bytes);
            let line = line.map_err(|error| damaged(&error.to_string()))?;
            if seq == 0 {
                ledger.id = line.ledger_id;
            }
            if line.seq != seq as u64
                || line.prev_hash != ledger.last_hash()
                || line.ledger_id != ledger.id
            {
                return Err(damaged("it does not follow the line before it"));
            }
            ledger.note(line, bytes);
        }
        Ok(ledger)
    }

    /// The next line saying `event`, with its exact bytes.
    ///
    /// # Errors
    /// [`ServerError::Internal`] never for well-formed events.
    pub fn next(&self, event: Event, now: Timestamp) -> Result<(Line, Vec<u8>), ServerError> {
        self.next_of(self.generation(), event, now)
    }

    /// The next line, of this generation.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_of(
        &self,
        generation: u32,
        event: Event,
        now: Timestamp,
    ) -> Result<(Line, Vec<u8>), ServerError> {
        let last = self.lines.last().map_or(0, |line| line.time_bucket);
        let line = Line {
            schema: SCHEMA,
            ledger_id: self.id,
            generation,
            seq: self.lines.len() as u64,
            prev_hash: self.last_hash(),
            keeper: Keeper::Coordinator,
            // A clock that went back must not make the ledger go back.
            time_bucket: time_bucket(now).max(last),
            event,
        };
        let bytes = line.to_bytes()?;
        Ok((line, bytes))
    }

    /// Notes a line that is durable.
    pub fn note(&mut self, line: Line, bytes: Vec<u8>) {
        self.leaves.push(merkle::leaf(&bytes));
        self.lines.push(line);
        self.bytes.push(bytes);
    }

    fn last_hash(&self) -> Digest {
        self.bytes
            .last()
            .map_or(Digest([0; 32]), |bytes| digest(bytes))
    }

    /// Generation of the newest line; 1 before the first.
    pub fn generation(&self) -> u32 {
        self.lines.last().map_or(1, |line| line.generation)
    }

    /// The newest line that says this ledger was restored.
    pub fn newest_restored(&self) -> Option<Restored> {
        let (seq, _) = restore::newest(&self.lines)?;
        let line = self.bytes.get(usize::try_from(seq).ok()?)?;
        Some(Restored {
            seq,
            line: line.clone(),
        })
    }

    /// Every line.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Exact bytes of every line.
    pub fn bytes(&self) -> &[Vec<u8>] {
        &self.bytes
    }

    /// Whether nothing was ever recorded.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What all lines so far cost one device that took part in everything.
    pub fn spent(&self) -> Rho {
        self.lines
            .iter()
            .filter_map(Line::charge)
            .fold(Rho::ZERO, |sum, charge| sum.compose(charge.rho))
    }

    /// Hashes of the lines that cost something, the newest first.
    pub fn charged(&self) -> impl Iterator<Item = Digest> {
        let lines = self.lines.iter().zip(&self.bytes).rev();
        let charged = lines.filter(|(line, _)| line.charge().is_some());
        charged.map(|(_, bytes)| digest(bytes))
    }

    /// Ticket of the newest line that charges.
    pub fn newest_charged_ticket(&self) -> Option<Digest> {
        let charge = self.lines.iter().rev().find_map(Line::charge);
        charge.map(|charge| charge.ticket_hash)
    }

    /// Sampler distance of all lines so far, units of 2^-128.
    pub fn total_variation(&self) -> u128 {
        self.lines
            .iter()
            .filter_map(Line::charge)
            .map(|charge| charge.total_variation)
            .sum()
    }

    /// The task it began with.
    pub fn task(&self) -> Option<&TaskId> {
        self.lines.iter().find_map(|line| match &line.event {
            Event::Genesis(genesis) => Some(&genesis.task),
            _ => None,
        })
    }

    /// Number of releases that made a model.
    pub fn releases(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| matches!(line.event, Event::Release(_)))
            .count()
    }

    /// Rounds without a model since the last release or restart, charged or not.
    pub fn abandoned_in_a_row(&self) -> usize {
        let events = self.lines.iter().rev().map(|line| &line.event);
        events
            .take_while(|event| matches!(event, Event::Abandoned(_) | Event::Empty(_)))
            .count()
    }

    /// Rounds that cost nothing, because nobody entered them.
    pub fn free_rounds(&self) -> u32 {
        let empty = self
            .lines
            .iter()
            .filter(|line| matches!(line.event, Event::Empty(_)));
        u32::try_from(empty.count()).unwrap_or(u32::MAX)
    }

    /// Number of the newest round, 0 before the first.
    pub fn last_round(&self) -> u32 {
        self.lines
            .iter()
            .filter_map(Line::ended)
            .map(|(round, _)| round.0)
            .max()
            .unwrap_or(0)
    }

    /// Newest published model and the position of the line that published it.
    pub fn current_model(&self) -> Option<(Digest, u64)> {
        self.lines
            .iter()
            .rev()
            .find_map(|line| published(line).map(|model| (model, line.seq)))
    }

    /// Random name of this ledger.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Commitment to every line so far, and to the helper's.
    pub fn head(&self, helper: HelperEnd) -> TreeHead {
        TreeHead {
            ledger_id: self.id,
            generation: self.generation(),
            size: self.leaves.len() as u64,
            root: merkle::root(&self.leaves),
            helper_size: helper.size,
            helper_last_hash: helper.last_hash,
        }
    }

    /// Leaf hashes of every line so far.
    pub fn leaves(&self) -> &[Digest] {
        &self.leaves
    }

    /// Line `seq` with its proof under `head`, which must be the newest.
    pub fn logged(&self, seq: u64, head: SignedHead) -> Option<LoggedLine> {
        let index = usize::try_from(seq).ok()?;
        Some(LoggedLine {
            line: String::from_utf8(self.bytes.get(index)?.clone()).ok()?,
            seq,
            proof: merkle::inclusion_proof(&self.leaves, index)?,
            head,
        })
    }
}
