//! One open round in memory: its ticket, its key, who waits for its answer, and how many seeds it
//! has admitted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tacit_round::helper::HelperRound;

/// Seeds admitted for each place in the cohort. Uploads may break off after their seed was
/// admitted; a coordinator that bounds the tries of a device stays far below.
const ADMITTED_PER_PLACE: usize = 16;

/// An open round.
pub(crate) struct OpenRound {
    /// Opens whole sets.
    pub(crate) round: HelperRound,
    /// Held while an answer is computed, so that a second call waits instead of computing it again.
    pub(crate) answering: Arc<tokio::sync::Mutex<()>>,
    /// Rows of this round in the store. Changed only while the store is locked.
    admitted: AtomicUsize,
}

impl OpenRound {
    /// An open round and the number of seeds it has admitted.
    pub(crate) fn new(round: HelperRound, admitted: usize) -> Self {
        Self {
            round,
            answering: Arc::default(),
            admitted: AtomicUsize::new(admitted),
        }
    }

    /// How many more seeds it admits.
    pub(crate) fn room(&self) -> usize {
        let places = self.round.ticket().mechanism.cohort_max as usize;
        (ADMITTED_PER_PLACE * places).saturating_sub(self.admitted.load(Ordering::Relaxed))
    }

    /// Takes note of newly admitted seeds.
    pub(crate) fn note_admitted(&self, count: usize) {
        self.admitted.fetch_add(count, Ordering::Relaxed);
    }
}
