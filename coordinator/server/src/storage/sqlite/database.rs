//! A database and the one thread that works on it.
//!
//! Calls wait in line, and those that wait together share a transaction: one synchronisation of the
//! disk then answers many. Each has a savepoint of its own, so that one that fails takes nothing of
//! the others along.

use std::iter;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use crate::error::ServerError;
use crate::storage::Answer;

/// Calls that may wait; the next is refused.
const QUEUE_MAX: usize = 4096;
/// Most calls of one transaction.
const GROUP_MAX: usize = 256;

/// What begins a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    /// Takes the right to write at once, so that all waiting for another process is done here.
    Writing,
    /// Takes no right, so that no other process is waited for.
    Reading,
}

impl Begin {
    fn sql(self) -> &'static str {
        match self {
            Self::Writing => "BEGIN IMMEDIATE",
            Self::Reading => "BEGIN",
        }
    }
}

/// The database, as everybody but its thread sees it. The thread ends with it.
pub(super) struct Database {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// The work of one call, inside the transaction unless that could not begin.
type Job = Box<dyn FnOnce(Result<&Connection, ServerError>) -> Reply + Send>;

/// Answers the call once it is known whether the transaction is durable.
type Reply = Box<dyn FnOnce(Result<(), ServerError>)>;

impl Database {
    pub(super) fn new(db: Connection, begin: Begin) -> Result<Self, ServerError> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let work = move || {
            while let Ok(first) = jobs.recv() {
                transact(&db, begin, gather(first, &jobs));
            }
        };
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(work)?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Hands the work over. It is whole or absent, and durable when it is answered.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, ServerError> + Send + 'static,
    ) -> Answer<T> {
        let (reply, answer) = Answer::pending();
        let job: Job = Box::new(move |db| {
            let done = db.and_then(|db| in_savepoint(db, work));
            Box::new(move |durable| {
                // Whoever asked may be gone.
                let _ = reply.send(durable.and(done));
            })
        });

        let queue = self.queue.as_ref().expect("taken when dropped only");
        match queue.try_send(job) {
            Err(TrySendError::Full(_)) => {
                let problem = format!("{QUEUE_MAX} calls wait for it already");
                Answer::ready(Err(ServerError::StorageBusy(problem)))
            }
            // A job that nobody takes drops its reply, which is an answer too.
            Ok(()) | Err(TrySendError::Disconnected(_)) => answer,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // Whoever waited for its last answers has heard of a panic by now.
            let _ = thread.join();
        }
    }
}

/// The first call and those that wait behind it.
fn gather(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let waiting = jobs.try_iter().take(GROUP_MAX - 1);
    iter::once(first).chain(waiting).collect()
}

/// Runs a group in one transaction, and answers it.
fn transact(db: &Connection, begin: Begin, group: Vec<Job>) {
    let begun = db
        .execute_batch(begin.sql())
        .map_err(ServerError::from);
    let inside = begun.as_ref().map(|()| db);
    let replies: Vec<Reply> = group
        .into_iter()
        .map(|job| job(inside.map_err(Clone::clone)))
        .collect();

    let durable = begun.and_then(|()| commit(db));
    for reply in replies {
        reply(durable.clone());
    }
}

fn commit(db: &Connection) -> Result<(), ServerError> {
    let committed = db.execute_batch("COMMIT");
    if committed.is_err() && !db.is_autocommit() {
        // A failure of this one leaves the transaction to be refused by the next.
        let _ = db.execute_batch("ROLLBACK");
    }
    Ok(committed?)
}

fn in_savepoint<T>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, ServerError>,
) -> Result<T, ServerError> {
    if db.is_autocommit() {
        // A full disk takes the whole transaction back, not one statement.
        let problem = "a call before this one ended the transaction";
        return Err(ServerError::StorageUnavailable(problem.into()));
    }

    db.execute_batch("SAVEPOINT call")?;
    let done = work(db);
    let end = match &done {
        Ok(_) => "RELEASE call",
        Err(_) => "ROLLBACK TO call; RELEASE call",
    };
    let ended = db.execute_batch(end);
    // What the work met says more than what became of its savepoint.
    let done = done?;
    ended?;
    Ok(done)
}
