//! Notices that a file has changed, and reads the list of who is revoked again when it has.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use crate::current::Current;
use crate::listener::Shutdown;
use crate::revoked::Revoked;

/// How often the list is looked at: what it says holds within a second.
const LOOKED_EVERY: Duration = Duration::from_millis(200);

/// Reads a list again whenever its file has changed, until the drain. A list that cannot be read
/// leaves the one before in force, and is spoken of once.
///
/// `path` is where the list is, if there is one.
pub async fn revocations(
    path: Current<Option<PathBuf>>,
    list: Current<Revoked>,
    shutdown: Shutdown,
) {
    let mut read = None;
    loop {
        if let Some(path) = path.get().as_ref() {
            let there = (path.clone(), Stamp::of(path));
            if read.as_ref() != Some(&there) {
                take(path, &list).await;
                read = Some(there);
            }
        }

        tokio::select! {
            () = sleep(LOOKED_EVERY) => {}
            () = shutdown.drain.cancelled() => return,
        }
    }
}

async fn take(path: &Path, list: &Current<Revoked>) {
    let from = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || Revoked::read(&from)).await;
    match reading {
        Ok(Ok(same)) if *list.get() == same => {}
        Ok(Ok(revoked)) => {
            let entries = revoked.len();
            list.set(revoked);
            tracing::info!(event = "revocations_read", entries);
        }
        Ok(Err(error)) => tracing::error!(
            event = "revocations_not_read",
            %error,
            "the list before stays in force"
        ),
        // The runtime stops.
        Err(_) => {}
    }
}

/// What tells one version of a file from another, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<[i64; 5]>);

impl Stamp {
    pub(crate) fn of(path: &Path) -> Self {
        let found = fs::metadata(path).ok();
        Self(found.map(|found| {
            let number = |value: u64| value.cast_signed();
            [
                number(found.ino()),
                number(found.len()),
                found.mtime(),
                found.mtime_nsec(),
                // Changed permissions may make it readable.
                found.ctime() ^ found.ctime_nsec(),
            ]
        }))
    }
}
