//! The signals that end a command. Once listened to they are no longer deadly, so that what was
//! made can be removed first.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Listens from its making on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Without it the process was started to outlive its terminal, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let hangup = SignalKind::hangup();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if is_ignored(hangup) {
                None
            } else {
                Some(signal(hangup)?)
            },
        })
    }

    /// Does `work`, unless a signal comes first: then drops it where it stands.
    pub(crate) async fn or_stop<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            // Before the work: Ctrl-C reaches child processes too, and their end is no surprise
            // then.
            biased;
            stopped = self.stopped() => Err(stopped),
            done = work => done,
        }
    }

    async fn stopped(&mut self) -> Failure {
        let hung_up = async {
            match &mut self.hangup {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Failure::Stopped(SignalKind::interrupt()),
            _ = self.terminate.recv() => Failure::Stopped(SignalKind::terminate()),
            _ = hung_up => Failure::Stopped(SignalKind::hangup()),
        }
    }
}

/// Whether this process was started with the signal ignored; not where the system cannot say.
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}
