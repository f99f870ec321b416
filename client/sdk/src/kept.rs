//! What recommendations come from, kept for offline use: models and catalogues, each under its own
//! hash in `models/`, and `models/serving`, which names the pair that serves.
//!
//! What is read is held against its hash, so what was damaged or half written counts as missing,
//! and is fetched again. Model and catalogue serve from one renaming on: that of the pointer, once
//! both are durable. Only the serving pair and the newest model stay on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use tacit_privacy::canonical;
use tacit_types::{Digest, TaskId};

use crate::error::SdkError;
use crate::files::{self, Found};

const FOLDER: &str = "models";
const SERVING: &str = "serving";
/// Stands in the pointer for a catalogue that is not known.
const NONE: &str = "-";
/// How often the pointer is read while another process changes it.
const READS: usize = 3;

/// What recommendations come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// The task it is a model of.
    pub(crate) task: TaskId,
    /// Hash of the model.
    pub(crate) model: Digest,
    /// Hash of its catalogue, once that was fetched.
    pub(crate) catalogue: Option<Digest>,
}

impl Serving {
    fn to_text(&self) -> String {
        let catalogue = self.catalogue.map(|hash| hash.to_string());
        let catalogue = catalogue.as_deref().unwrap_or(NONE);
        format!("{} {} {catalogue}\n", self.task, self.model)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let task = words.next()?;
        let model = words.next()?;
        let catalogue = words.next()?;
        let hash = |word: &str| Digest::try_from(word.to_owned()).ok();
        Some(Self {
            task: TaskId::new(task).ok()?,
            model: hash(model)?,
            catalogue: match catalogue {
                NONE => None,
                catalogue => Some(hash(catalogue)?),
            },
        })
    }

    /// Whether all it names is there and whole.
    ///
    /// # Errors
    /// What the operating system says when it does not give what is there.
    pub(crate) fn is_whole(&self, folder: &Path) -> Result<bool, SdkError> {
        let named = [Some(self.model), self.catalogue];
        for hash in named.into_iter().flatten() {
            if read(folder, hash)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What serves, with its bytes.
pub(crate) struct Served {
    pub(crate) serving: Serving,
    pub(crate) model: Vec<u8>,
    /// `None` while it is not known, or damaged.
    pub(crate) catalogue: Option<Vec<u8>>,
}

/// Where a model or a catalogue is kept.
pub(crate) fn path(folder: &Path, hash: Digest) -> PathBuf {
    folder.join(FOLDER).join(format!("{hash}.bin"))
}

/// What the pointer names. A damaged one names nothing.
///
/// # Errors
/// What the operating system says when it does not give what is there.
pub(crate) fn serving(folder: &Path) -> Result<Option<Serving>, SdkError> {
    let Found::File(bytes) = files::look(&pointer(folder))? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).ok();
    Ok(text.and_then(|text| Serving::parse(&text)))
}

/// What serves, unless there is nothing or its model is damaged.
///
/// # Errors
/// As [`serving`].
pub(crate) fn served(folder: &Path) -> Result<Option<Served>, SdkError> {
    // The next pair may take the place of this one between the two readings.
    for _ in 0..READS {
        let Some(named) = serving(folder)? else {
            return Ok(None);
        };
        if let Some(model) = read(folder, named.model)? {
            let catalogue = named.catalogue.map(|hash| read(folder, hash));
            return Ok(Some(Served {
                serving: named,
                model,
                catalogue: catalogue.transpose()?.flatten(),
            }));
        }
        if serving(folder)?.as_ref() == Some(&named) {
            break;
        }
    }
    Ok(None)
}

/// The bytes kept under a hash; `None` when they are not there or not what it names. What the owner
/// put there instead, be it a pipe, is neither model nor catalogue.
///
/// # Errors
/// As [`serving`].
pub(crate) fn read(folder: &Path, hash: Digest) -> Result<Option<Vec<u8>>, SdkError> {
    let Found::File(bytes) = files::look(&path(folder, hash))? else {
        return Ok(None);
    };
    Ok((canonical::digest(&bytes) == hash).then_some(bytes))
}

/// Keeps a task's model with its catalogue, and lets both serve. Survives power loss when this
/// returns.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails; what served before serves on.
pub(crate) fn adopt(
    folder: &Path,
    task: &TaskId,
    model: &[u8],
    catalogue: Option<&[u8]>,
) -> Result<(), SdkError> {
    files::create_folder(&folder.join(FOLDER))?;
    let serving = Serving {
        task: task.clone(),
        model: put(folder, model)?,
        catalogue: catalogue.map(|bytes| put(folder, bytes)).transpose()?,
    };
    files::write(&pointer(folder), serving.to_text().as_bytes())?;
    forget_others(folder, serving.model)
}

/// Keeps a model that does not serve, without waiting for the disk.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn keep(folder: &Path, bytes: &[u8]) -> Result<(), SdkError> {
    let model = canonical::digest(bytes);
    files::create_folder(&folder.join(FOLDER))?;
    files::write_unsynced(&path(folder, model), bytes)?;
    forget_others(folder, model)
}

/// Makes bytes durable under their hash.
fn put(folder: &Path, bytes: &[u8]) -> Result<Digest, SdkError> {
    let hash = canonical::digest(bytes);
    files::write(&path(folder, hash), bytes)?;
    Ok(hash)
}

fn pointer(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join(SERVING)
}

/// Erases what neither serves nor is the `newest` model.
fn forget_others(folder: &Path, newest: Digest) -> Result<(), SdkError> {
    let models = folder.join(FOLDER);
    let serving = serving(folder)?;
    let catalogue = serving.as_ref().and_then(|serving| serving.catalogue);
    let named = [
        Some(newest),
        serving.map(|serving| serving.model),
        catalogue,
    ];
    let kept: Vec<PathBuf> = named
        .into_iter()
        .flatten()
        .map(|hash| path(folder, hash))
        .collect();
    let failed = |error: std::io::Error| files::failed(&models, error);
    for entry in fs::read_dir(&models).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_kept = path.extension().is_none_or(|ending| ending != "bin");
        if !is_kept && !kept.contains(&path) {
            fs::remove_file(&path).map_err(|error| files::failed(&path, error))?;
        }
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_of(folder: &Path) -> usize {
        let entries = fs::read_dir(folder.join(FOLDER)).unwrap();
        entries.count() - 1
    }

    fn task(name: &str) -> TaskId {
        TaskId::new(name).unwrap()
    }

    #[test]
    fn the_adopted_pair_serves_and_only_the_newest_model_stays_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(served(folder).unwrap().is_none());
        adopt(folder, &task("one"), b"one", Some(b"items")).unwrap();
        let model = |folder: &Path| served(folder).unwrap().unwrap().model;
        assert_eq!(model(folder), b"one");

        // What a task starts from is kept beside the pair that serves.
        keep(folder, b"two").unwrap();
        assert_eq!((model(folder), files_of(folder)), (b"one".to_vec(), 3));
        keep(folder, b"three").unwrap();
        assert_eq!(files_of(folder), 3);

        adopt(folder, &task("four"), b"four", Some(b"more items")).unwrap();
        let served = served(folder).unwrap().unwrap();
        assert_eq!(
            (served.serving.task, served.model),
            (task("four"), b"four".to_vec())
        );
        assert_eq!(served.catalogue.as_deref(), Some(&b"more items"[..]));
        assert_eq!(files_of(folder), 2);
        adopt(folder, &task("five"), b"five", None).unwrap();
        assert_eq!(files_of(folder), 1);
    }

    /// HOSTILE 152: whatever an interrupted write or an owner leaves, nothing serves that was not
    /// adopted, and the next adoption mends it.
    #[test]
    fn a_damaged_pointer_or_model_serves_nothing_until_the_next_is_adopted() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (one, items) = (canonical::digest(b"one"), canonical::digest(b"items"));
        let mend = || adopt(folder, &task("one"), b"one", Some(b"items")).unwrap();
        let whole = format!("one {one} {items}\n");
        let cut = |left: usize| whole[..whole.len() - left].to_owned();
        for damaged in [
            cut(whole.len()),
            cut(100),
            cut(10),
            cut(1),
            "../../etc\n".into(),
        ] {
            mend();
            fs::write(pointer(folder), &damaged).unwrap();
            assert!(served(folder).unwrap().is_none(), "{damaged}");
        }
        let is_whole = || {
            serving(folder)
                .unwrap()
                .unwrap()
                .is_whole(folder)
                .unwrap()
        };
        for damaged in ["", "on", "One", "one more"] {
            mend();
            fs::write(path(folder, one), damaged).unwrap();
            assert!(served(folder).unwrap().is_none(), "{damaged}");
            assert!(!is_whole());
        }
        // A list goes on without the titles.
        mend();
        fs::write(path(folder, items), "other items").unwrap();
        assert_eq!(served(folder).unwrap().unwrap().catalogue, None);
        assert!(!is_whole());
        mend();
        assert!(is_whole());
    }
}
