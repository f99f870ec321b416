//! A coordinator's state in memory, on a machine whose power fails at the call it is told to.
//!
//! What a call wrote is durable when it is answered, as with any store; what was not yet durable
//! when the power fails is forgotten. Between the two lie the cases a real disk cannot be brought
//! to at will: written and forgotten, durable and unheard of. What it cannot find: a disk that says
//! it has synchronised and has not.

mod shared;
mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tacit_server::ServerError;
use tacit_server::storage::{Answer, Stores};
use tacit_types::Digest;

/// What goes wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is refused and changes nothing; the next is answered again.
    Refused,
    /// The power fails before what the call wrote is durable.
    Forgotten,
    /// The power fails when it is durable, before the caller hears of it.
    Unheard,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Forgotten, Self::Unheard];
}

/// The machine. Clones are the same one.
#[derive(Clone, Default)]
pub struct Lossy(Arc<Mutex<Machine>>);

#[derive(Default)]
struct Machine {
    /// What is durable.
    disk: Disk,
    /// Calls so far, of all stores.
    calls: usize,
    fault: Option<(usize, Fault)>,
    off: bool,
}

#[derive(Clone, Default)]
struct Disk {
    task: task::Task,
    counted: shared::Counted,
    objects: BTreeMap<Digest, Vec<u8>>,
}

impl Lossy {
    /// A new machine on which something goes wrong at call number `at`, from 1.
    pub fn failing(at: usize, fault: Fault) -> Self {
        let machine = Machine {
            fault: Some((at, fault)),
            ..Machine::default()
        };
        Self(Arc::new(Mutex::new(machine)))
    }

    /// Everything a coordinator keeps, on this machine.
    pub fn stores(&self) -> Stores {
        Stores {
            task: Arc::new(self.clone()),
            accounts: Arc::new(self.clone()),
            objects: Arc::new(self.clone()),
        }
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        self.with(|machine| machine.calls)
    }

    /// Turns the power on again.
    pub fn restart(&self) {
        self.with(|machine| machine.off = false);
    }

    fn call<T>(&self, work: impl FnOnce(&mut Disk) -> Result<T, ServerError>) -> Answer<T> {
        Answer::ready(self.with(|machine| machine.call(work)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Machine) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Machine {
    /// One call, whole or not at all.
    fn call<T>(
        &mut self,
        work: impl FnOnce(&mut Disk) -> Result<T, ServerError>,
    ) -> Result<T, ServerError> {
        if self.off {
            return Err(failed("the power is off"));
        }

        self.calls += 1;
        let fault = self.fault.filter(|(at, _)| *at == self.calls);
        let fault = fault.map(|(_, fault)| fault);
        if fault == Some(Fault::Refused) {
            return Err(failed("the disk refused"));
        }

        let mut written = self.disk.clone();
        let done = work(&mut written)?;
        self.off = fault.is_some();
        if fault != Some(Fault::Forgotten) {
            self.disk = written;
        }
        if self.off {
            return Err(failed("the power failed"));
        }
        Ok(done)
    }
}

fn failed(problem: &str) -> ServerError {
    ServerError::StorageUnavailable(problem.to_owned())
}
