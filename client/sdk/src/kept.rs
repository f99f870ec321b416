//! Models kept for offline use: one a task in `models/TASK.bin`, and `models/serving`, which names
//! the task whose model recommendations come from. Until a task has given one, `model.bin` serves,
//! if the app ships it.
//!
//! A task's own model is what the next one's drift is judged by, whatever other tasks do. Only the
//! serving task's and the newest one's stay on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use tacit_privacy::canonical;
use tacit_types::{Digest, TaskId};

use crate::error::SdkError;
use crate::files::{self, Found};

const FOLDER: &str = "models";
const SERVING: &str = "serving";
/// What an app may ship.
const SHIPPED: &str = "model.bin";

/// Where the model of a task is kept.
pub(crate) fn of_task(folder: &Path, task: &TaskId) -> PathBuf {
    folder.join(FOLDER).join(format!("{task}.bin"))
}

/// Where the model lies that recommendations come from.
///
/// # Errors
/// [`SdkError::Stop`] when the file that names its task is damaged.
pub(crate) fn serving(folder: &Path) -> Result<PathBuf, SdkError> {
    Ok(match serving_task(folder)? {
        Some(task) => of_task(folder, &task),
        None => folder.join(SHIPPED),
    })
}

/// Whether the serving model is the one of this hash; a damaged pointer names none.
///
/// # Errors
/// As [`read`].
pub(crate) fn serving_is(folder: &Path, hash: Digest) -> Result<bool, SdkError> {
    let Ok(path) = serving(folder) else {
        return Ok(false);
    };
    Ok(read(&path, hash)?.is_some())
}

/// The bytes kept at `path`, if they are the model of this hash. What the owner put there instead,
/// be it a pipe, is no model.
///
/// # Errors
/// What the operating system says when it does not give what is there.
pub(crate) fn read(path: &Path, hash: Digest) -> Result<Option<Vec<u8>>, SdkError> {
    let Found::File(bytes) = files::look(path)? else {
        return Ok(None);
    };
    Ok((canonical::digest(&bytes) == hash).then_some(bytes))
}

/// Keeps a task's model and lets it serve. Survives power loss when this returns.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn keep(folder: &Path, task: &TaskId, bytes: &[u8]) -> Result<(), SdkError> {
    files::create_folder(&folder.join(FOLDER))?;
    files::write(&of_task(folder, task), bytes)?;
    serve(folder, task)
}

/// Keeps a task's model without waiting for the disk, and lets it serve if it `serves`.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn keep_unsynced(
    folder: &Path,
    task: &TaskId,
    bytes: &[u8],
    serves: bool,
) -> Result<(), SdkError> {
    files::create_folder(&folder.join(FOLDER))?;
    files::write_unsynced(&of_task(folder, task), bytes)?;
    if serves {
        serve(folder, task)
    } else {
        forget_others(folder, task)
    }
}

fn serve(folder: &Path, task: &TaskId) -> Result<(), SdkError> {
    // A damaged pointer is written again.
    if serving_task(folder).ok().flatten().as_ref() != Some(task) {
        files::write(&pointer(folder), task.as_str().as_bytes())?;
    }
    forget_others(folder, task)
}

fn pointer(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join(SERVING)
}

fn serving_task(folder: &Path) -> Result<Option<TaskId>, SdkError> {
    let path = pointer(folder);
    if !files::is_there(&path)? {
        return Ok(None);
    }
    let name = String::from_utf8(files::read(&path)?);
    let task = name.ok().and_then(|name| TaskId::new(name).ok());
    let named = task.ok_or_else(|| files::stop(&path, "does not name a task"))?;
    Ok(Some(named))
}

/// Erases the models of tasks that neither serve nor are `newest`.
fn forget_others(folder: &Path, newest: &TaskId) -> Result<(), SdkError> {
    let models = folder.join(FOLDER);
    let kept = [serving(folder)?, of_task(folder, newest)];
    let failed = |error: std::io::Error| files::failed(&models, error);
    for entry in fs::read_dir(&models).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "bin") && !kept.contains(&path) {
            fs::remove_file(&path).map_err(|error| files::failed(&path, error))?;
        }
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join(FOLDER)).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    fn task(name: &str) -> TaskId {
        TaskId::new(name).unwrap()
    }

    #[test]
    fn the_newest_task_that_gave_a_model_serves_and_no_other_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(serving(folder).unwrap(), folder.join(SHIPPED));
        keep(folder, &task("one"), b"one").unwrap();
        assert!(serving_is(folder, canonical::digest(b"one")).unwrap());

        // A task that has released nothing keeps its model beside the one that serves.
        keep_unsynced(folder, &task("two"), b"two", false).unwrap();
        assert!(serving_is(folder, canonical::digest(b"one")).unwrap());
        assert_eq!(names(folder), ["one.bin", "serving", "two.bin"]);

        keep_unsynced(folder, &task("three"), b"three", true).unwrap();
        assert!(serving_is(folder, canonical::digest(b"three")).unwrap());
        assert_eq!(names(folder), ["serving", "three.bin"]);
    }

    #[test]
    fn a_damaged_pointer_is_an_error_and_the_next_model_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        keep(folder, &task("one"), b"one").unwrap();
        fs::write(pointer(folder), "../../etc").unwrap();
        let damaged = serving(folder).unwrap_err().to_string();
        assert!(
            damaged.ends_with("serving: does not name a task"),
            "{damaged}"
        );

        keep(folder, &task("one"), b"more").unwrap();
        assert!(serving_is(folder, canonical::digest(b"more")).unwrap());
    }
}
