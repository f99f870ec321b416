//! Where an app puts what it tells, and finds what was answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// What one call answers a caller of C.
const DONE: i32 = 0;
const FAILED: i32 = -1;
const PANICKED: i32 = -2;

static DESK: Mutex<Desk> = Mutex::new(Desk {
    told: Vec::new(),
    answered: Vec::new(),
});

/// Both heaps of bytes.
pub(crate) struct Desk {
    told: Vec<u8>,
    answered: Vec<u8>,
}

impl Desk {
    /// The next text that was told, which ends with a zero byte.
    pub(crate) fn text(&mut self) -> String {
        let end = self.told.iter().position(|byte| *byte == 0);
        let end = end.unwrap_or(self.told.len());
        let text: Vec<u8> = self.told.drain(..end).collect();
        self.told.drain(..self.told.len().min(1));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The next number that was told, in decimal digits; 0 for anything else.
    pub(crate) fn number(&mut self) -> u64 {
        self.text().parse().unwrap_or(0)
    }

    /// All that was told and not read yet.
    #[cfg(any(not(feature = "store"), feature = "train"))]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.told)
    }
}

/// Runs one call: reads what was told, leaves an answer, and lets no panic through.
pub(crate) fn call(work: impl FnOnce(&mut Desk) -> Result<String, String>) -> i32 {
    let mut desk = DESK.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = catch_unwind(AssertUnwindSafe(|| work(&mut desk)));
    let (answer, code) = match ended {
        Ok(Ok(answer)) => (answer, DONE),
        Ok(Err(problem)) => (problem, FAILED),
        Err(_) => (String::new(), PANICKED),
    };
    desk.told.clear();
    desk.answered = answer.into_bytes();
    code
}

/// Tells one byte more.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_tell(byte: u8) {
    let mut desk = DESK.lock().unwrap_or_else(PoisonError::into_inner);
    desk.told.push(byte);
}

/// One byte of the last answer; -1 behind its end.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_answer(at: usize) -> i32 {
    let desk = DESK.lock().unwrap_or_else(PoisonError::into_inner);
    desk.answered
        .get(at)
        .map_or(-1, |byte| i32::from(*byte))
}
