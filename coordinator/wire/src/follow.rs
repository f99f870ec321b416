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
    let mut seen = None;
    let mut failed = Failed::default();
    loop {
        if let Some(path) = path.get().as_ref() {
            let there = (path.clone(), Stamp::of(path));
            let changed = seen.as_ref() != Some(&there);
            if changed || failed.is_due() {
                failed.note(take(path, &list).await);
                seen = Some(there);
            }
        }

        tokio::select! {
            () = sleep(LOOKED_EVERY) => {}
            () = shutdown.drain.cancelled() => return,
        }
    }
}

/// Looks until a list that could not be read is read again: what failed may have been the system,
/// and the file may stay as it is.
const AGAIN_AFTER: u32 = 10;

/// Why a list was not read, and when it is tried again.
#[derive(Default)]
struct Failed(Option<(String, u32)>);

impl Failed {
    /// Whether it is time.
    fn is_due(&mut self) -> bool {
        let looks = self.0.as_mut().map(|(_, looks)| looks);
        looks.is_some_and(|looks| {
            *looks = looks.saturating_sub(1);
            *looks == 0
        })
    }

    /// Speaks of a failure, once for each of its kind.
    fn note(&mut self, taken: Result<(), String>) {
        let before = self.0.take().map(|(error, _)| error);
        let Err(error) = taken else { return };
        if before.as_ref() != Some(&error) {
            tracing::error!(
                event = "revocations_not_read",
                %error,
                "the list before stays in force"
            );
        }
        self.0 = Some((error, AGAIN_AFTER));
    }
}

async fn take(path: &Path, list: &Current<Revoked>) -> Result<(), String> {
    let from = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || Revoked::read(&from)).await;
    match reading {
        Ok(Ok(same)) if *list.get() == same => {}
        Ok(Ok(revoked)) => {
            let entries = revoked.len();
            list.set(revoked);
            tracing::info!(event = "revocations_read", entries);
        }
        Ok(Err(error)) => return Err(error.to_string()),
        // The runtime stops.
        Err(_) => {}
    }
    Ok(())
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
