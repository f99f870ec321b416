//! What an operator may change under a daemon that serves: read again when asked (SIGHUP) and when
//! a file has changed, held against each other by the code that a start uses, and taken whole or
//! not at all. What was in force before a refused reload stays, and both are said in one line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::follow::Stamp;
use crate::listener::Shutdown;

/// How often the files are looked at. One that changed is read at the second look that finds it the
/// same, so that a copy under way is rarely read.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// Where the configuration of a daemon comes from.
pub struct Source<C> {
    read: Box<dyn Fn() -> Result<C, String> + Send + Sync>,
    taken: Box<dyn Fn(&C) + Send + Sync>,
    asked: Arc<Notify>,
}

impl<C> Source<C> {
    /// A file that `read` reads again whenever `asked` is notified; `taken` hears what is in force
    /// then.
    pub fn new(
        asked: Arc<Notify>,
        read: impl Fn() -> Result<C, String> + Send + Sync + 'static,
        taken: impl Fn(&C) + Send + Sync + 'static,
    ) -> Self {
        Self {
            read: Box::new(read),
            taken: Box::new(taken),
            asked,
        }
    }

    /// Nobody asks, and nothing is read again but files that change.
    pub fn fixed() -> Self {
        let read = || Err("there is no configuration file".to_owned());
        Self::new(Arc::default(), read, |_| ())
    }
}

/// A daemon that can take over what its files say now.
pub trait Reloads: Send + Sync + 'static {
    /// Its configuration.
    type Config: Clone + Send + Sync + 'static;

    /// The files whose change is taken over.
    fn files(&self, config: &Self::Config) -> Vec<PathBuf>;

    /// Takes over what `next` and its files say, all or nothing, and gives what is in force then:
    /// keys that need a restart stay as in `running`.
    ///
    /// # Errors
    /// One line that names file, field and fix.
    fn take(&self, running: &Self::Config, next: Self::Config) -> Result<Self::Config, String>;

    /// Whether `next` differs from `running` in what only a restart changes.
    fn needs_restart(&self, running: &Self::Config, next: &Self::Config) -> bool;
}

/// Reloads until the drain.
pub async fn run<D: Reloads>(
    daemon: D,
    source: Source<D::Config>,
    running: D::Config,
    shutdown: Shutdown,
) {
    let asked = source.asked.clone();
    let stamps = stamps(&daemon.files(&running));
    let mut state = State {
        taken: stamps.clone(),
        seen: stamps,
        daemon,
        source,
        running,
    };

    loop {
        let by_hand = tokio::select! {
            () = asked.notified() => true,
            () = sleep(LOOKED_EVERY) => false,
            () = shutdown.drain.cancelled() => return,
        };
        let turn = tokio::task::spawn_blocking(move || {
            state.turn(by_hand);
            state
        });
        match turn.await {
            Ok(after) => state = after,
            // The runtime stops.
            Err(_) => return,
        }
    }
}

struct State<D: Reloads> {
    daemon: D,
    source: Source<D::Config>,
    running: D::Config,
    /// Files as they were at the last reload, whether it was taken or refused.
    taken: Vec<Stamp>,
    /// Files as they were at the last look.
    seen: Vec<Stamp>,
}

impl<D: Reloads> State<D> {
    fn turn(&mut self, by_hand: bool) {
        let now = stamps(&self.daemon.files(&self.running));
        let settled = now == self.seen;
        self.seen.clone_from(&now);
        if !by_hand && (now == self.taken || !settled) {
            return;
        }

        self.taken = now;
        match self.reload(by_hand) {
            Ok(restart_needed) => tracing::info!(event = "reloaded", restart_needed),
            Err(error) => tracing::error!(
                event = "reload_refused",
                error,
                "what was in force before stays"
            ),
        }
    }

    /// Takes over what the files say now; whether something in them waits for a restart.
    fn reload(&mut self, by_hand: bool) -> Result<bool, String> {
        let next = match by_hand {
            true => (self.source.read)()?,
            false => self.running.clone(),
        };
        let restart_needed = self.daemon.needs_restart(&self.running, &next);
        let stamps = stamps(&self.daemon.files(&next));
        self.running = self.daemon.take(&self.running, next)?;
        (self.source.taken)(&self.running);
        (self.taken, self.seen) = (stamps.clone(), stamps);
        Ok(restart_needed)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|path| Stamp::of(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::current::Current;

    /// Holds one file's text, and takes any but "bad".
    struct Text(Current<String>);

    impl Reloads for Text {
        type Config = (PathBuf, u8);

        fn files(&self, config: &Self::Config) -> Vec<PathBuf> {
            vec![config.0.clone()]
        }

        fn take(&self, running: &Self::Config, next: Self::Config) -> Result<Self::Config, String> {
            let text = fs::read_to_string(&next.0).map_err(|error| error.to_string())?;
            if text == "bad" {
                return Err(text);
            }
            self.0.set(text);
            Ok((next.0, running.1))
        }

        fn needs_restart(&self, running: &Self::Config, next: &Self::Config) -> bool {
            running.1 != next.1
        }
    }

    fn state(path: &Path, text: &Current<String>) -> State<Text> {
        let (path, again) = (path.to_owned(), path.to_owned());
        let stamps = stamps(std::slice::from_ref(&path));
        State {
            daemon: Text(text.clone()),
            source: Source::new(Arc::default(), move || Ok((again.clone(), 2)), |_| ()),
            running: (path, 1),
            taken: stamps.clone(),
            seen: stamps,
        }
    }

    /// HOSTILE 75, k17: a file is read when it has come to rest; one that is refused changes
    /// nothing, and is tried again when it changes or somebody asks.
    #[test]
    fn a_changed_file_is_taken_once_it_rests_and_a_bad_one_leaves_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        let text = Current::from("old".to_owned());
        let mut state = state(&path, &text);
        let mut after = |write: Option<&str>, by_hand: bool| {
            if let Some(write) = write {
                fs::write(&path, write).unwrap();
            }
            state.turn(by_hand);
            text.get().to_string()
        };

        assert_eq!(after(Some("half of i"), false), "old", "it still changes");
        assert_eq!(after(Some("new"), false), "old");
        assert_eq!(after(None, false), "new");
        assert_eq!(after(Some("bad"), false), "new");
        assert_eq!(after(None, false), "new", "refused");
        assert_eq!(after(Some("newer"), true), "newer", "asked for");
        let needs = state.daemon.needs_restart(&state.running, &(path, 2));
        assert!(needs && state.running.1 == 1, "what needs a restart waits");
    }
}
