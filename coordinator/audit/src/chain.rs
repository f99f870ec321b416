//! What holds for every line of either ledger: canonical bytes, position, chain, name, generation,
//! keeper, time.

use tacit_privacy::canonical;
use tacit_privacy::record::{Keeper, Line, SCHEMA};
use tacit_types::Digest;

use crate::error::VerifyError;

/// Follows one ledger line by line.
pub(crate) struct Chain {
    file: &'static str,
    keeper: Keeper,
    ledger_id: Option<Digest>,
    generation: u32,
    next: u64,
    last_hash: Digest,
    time_bucket: u64,
}

impl Chain {
    pub(crate) fn new(file: &'static str, keeper: Keeper) -> Self {
        let last_hash = Digest([0; 32]);
        Self {
            file,
            keeper,
            ledger_id: None,
            generation: 0,
            next: 0,
            last_hash,
            time_bucket: 0,
        }
    }

    /// Takes the next line's exact bytes.
    pub(crate) fn accept(&mut self, bytes: &[u8]) -> Result<Line, VerifyError> {
        let wrong = |problem: String| VerifyError::line(self.file, self.next, problem);
        let line = Line::from_bytes(bytes).map_err(|error| wrong(error.to_string()))?;
        self.check(&line).map_err(wrong)?;
        self.ledger_id = Some(line.ledger_id);
        self.generation = line.generation;
        self.time_bucket = line.time_bucket;
        self.last_hash = canonical::digest(bytes);
        self.next += 1;
        Ok(line)
    }

    fn check(&self, line: &Line) -> Result<(), String> {
        if line.schema != SCHEMA {
            return Err(format!(
                "schema is {} and this verifier knows {SCHEMA}",
                line.schema
            ));
        }
        if line.keeper != self.keeper {
            return Err(
                format!("is kept by {:?}, not by {:?}", line.keeper, self.keeper).to_lowercase(),
            );
        }
        if line.seq != self.next {
            return Err(format!("seq is {}", line.seq));
        }
        if line.prev_hash != self.last_hash {
            return Err("prev_hash is not the hash of the line before".into());
        }
        if self.ledger_id.is_some_and(|id| id != line.ledger_id) {
            return Err("ledger_id changes inside the ledger".into());
        }
        if line.generation < self.generation {
            return Err(format!(
                "generation falls from {} to {}",
                self.generation, line.generation
            ));
        }
        if line.time_bucket < self.time_bucket {
            return Err(format!(
                "time_bucket falls from {} to {}",
                self.time_bucket, line.time_bucket
            ));
        }
        Ok(())
    }

    /// Lines accepted so far.
    pub(crate) fn len(&self) -> u64 {
        self.next
    }

    /// SHA-256 of the last accepted line; zeros before the first.
    pub(crate) fn last_hash(&self) -> Digest {
        self.last_hash
    }

    /// Name of this ledger; zeros before the first line.
    pub(crate) fn ledger_id(&self) -> Digest {
        self.ledger_id.unwrap_or(Digest([0; 32]))
    }

    /// Generation of the last accepted line.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }
}
