//! One noise table for many releases.

use std::sync::{Arc, Mutex, PoisonError};

use super::table::NoiseTable;
use crate::mechanism::Mechanism;

/// The noise table of the latest mechanism, shared by the devices of one process because it is
/// public.
#[derive(Clone, Default)]
pub struct TableCache(Arc<Mutex<Option<Arc<NoiseTable>>>>);

impl TableCache {
    /// The table of `mechanism`, which is built unless it is the latest.
    ///
    /// # Panics
    /// As [`NoiseTable::new`].
    pub fn get(&self, mechanism: &Mechanism) -> Arc<NoiseTable> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some(table) if table.fits(mechanism) => table.clone(),
            _ => latest
                .insert(Arc::new(NoiseTable::new(mechanism)))
                .clone(),
        }
    }
}
