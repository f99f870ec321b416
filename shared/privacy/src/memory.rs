//! The one device ledger that is not durable.

use std::convert::Infallible;

use crate::ledger::{LedgerStore, Reservation};
use crate::rho::Rho;

/// A device ledger in memory: it enforces budget and round like any other, and survives nothing.
///
/// For devices that nobody owns: those of simulations, audits, benchmarks and tests. A permit it
/// backs is worth no more than the process. An installation cannot send with one, because its
/// store spools a release only where its own durable ledger has reserved the round.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    lines: Vec<Reservation>,
    counted: Rho,
}

impl MemoryLedger {
    /// An empty ledger of an identity that others have counted for `counted`, as after a restore
    /// from an old copy.
    pub fn restored(counted: Rho) -> Self {
        Self {
            lines: Vec::new(),
            counted,
        }
    }

    /// Every reservation made, in order.
    pub fn lines(&self) -> &[Reservation] {
        &self.lines
    }
}

impl LedgerStore for MemoryLedger {
    type Error = Infallible;

    fn reservations(&self) -> Result<Vec<Reservation>, Infallible> {
        Ok(self.lines.clone())
    }

    fn counted(&self) -> Result<Rho, Infallible> {
        Ok(self.counted)
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<(), Infallible> {
        self.lines.push(reservation.clone());
        Ok(())
    }
}
