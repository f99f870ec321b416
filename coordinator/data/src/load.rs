//! Loads a data set: interactions first, then what is held out, then titles.

use std::path::Path;

use tacit_types::ItemId;

use crate::assemble::Assembly;
use crate::error::{DataError, Fault};
use crate::holdout::{self, HeldOut};
use crate::input::Watch;
use crate::place::{Entry, Kind, Place};
use crate::reading::Reading;
use crate::rows::{Records, RowReader};
use crate::{Dataset, LoadOptions, Split, pairs, shape, title};

/// Reads the data set at `path`: `README.md` in this crate's folder says what it may contain.
///
/// # Errors
/// [`DataError`], one line naming file, line, field and fix, for anything that is not as
/// documented.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    load_watched(path, options, &|_, _| ())
}

/// Loads like [`load`], and tells `watch` as it goes how many bytes of the file that is being read
/// have been read, and how many there are.
///
/// # Errors
/// As [`load`].
pub fn load_watched(
    path: &Path,
    options: &LoadOptions,
    watch: &dyn Fn(u64, u64),
) -> Result<Dataset, DataError> {
    check(options)?;
    let place = Place::open(path)?;
    let mut loading = Loading {
        place: &place,
        options,
        watch,
        assembly: Assembly::new(options.users.unwrap_or(usize::MAX)),
        rows: RowReader::with_scale(options.scale),
        reading: Reading::default(),
    };
    loading.interactions()?;
    let held_out = loading.held_out()?;
    let negatives = loading.negatives(held_out.is_own)?;
    title::read(
        &place,
        &mut loading.assembly,
        &mut loading.rows.tally,
        watch,
    )?;
    loading
        .reading
        .notes
        .extend(loading.rows.tally.notes());
    Ok(Dataset {
        name: place.name.clone(),
        items: loading.assembly.items,
        users: loading.assembly.users,
        test: held_out.test,
        negatives,
        reading: loading.reading,
    })
}

fn check(options: &LoadOptions) -> Result<(), DataError> {
    if options.users == Some(0) {
        return Err(DataError::InvalidOption {
            option: "users",
            problem: "must be at least 1".into(),
        });
    }
    match options.scale {
        Some([low, high]) if !(low.is_finite() && high.is_finite() && low < high) => {
            Err(DataError::InvalidOption {
                option: "scale",
                problem: format!(
                    "{low} to {high} is no scale; give the least and the largest rating"
                ),
            })
        }
        _ => Ok(()),
    }
}

/// A data set on its way.
struct Loading<'a> {
    place: &'a Place,
    options: &'a LoadOptions,
    watch: Watch<'a>,
    assembly: Assembly,
    rows: RowReader,
    reading: Reading,
}

/// What is tested on, and whether that is what the data set itself publishes.
struct Tested {
    test: Vec<Vec<ItemId>>,
    is_own: bool,
}

impl Loading<'_> {
    fn interactions(&mut self) -> Result<(), DataError> {
        let asked = self.options.columns.as_ref();
        let (assembly, rows) = (&mut self.assembly, &mut self.rows);
        let shape = shape::of(self.place)?;
        let described = shape.read(self.place, asked, self.watch, &mut |records, kind| {
            rows.kind = kind;
            all(records, assembly, rows)
        })?;
        self.reading.columns = described;
        self.reading.times = rows.times.summary().unwrap_or_else(|| "none".into());
        self.reading.scale = rows.scale();
        let [missing, all] = assembly.forget_partial_times();
        if missing > 0 && missing < all {
            self.reading.notes.push(format!(
                "{missing} of {all} interactions have no time, so no time of their users is used"
            ));
        }
        Ok(())
    }

    /// Takes what is tested on out of the interactions.
    fn held_out(&mut self) -> Result<Tested, DataError> {
        let reads_test = matches!(self.options.split, Split::Published | Split::LeaveOneOut);
        let own = self.neighbour("ncf_test.csv").filter(|_| reads_test);
        let own_path = own
            .as_ref()
            .and_then(|entry| self.place.path_of(entry));
        if let Some(path) = &self.options.test {
            let place = Place::open(path)?;
            let test = self.test_file(&place)?;
            let is_own = same_file(path, own_path.as_deref());
            return Ok(Tested { test, is_own });
        }
        if let Some(entry) = own {
            let test = self.published_test(&entry)?;
            return Ok(Tested { test, is_own: true });
        }
        let (split, seed) = (self.options.split, self.options.seed);
        let HeldOut { test, split } = holdout::choose(&mut self.assembly.users, split, seed)?;
        let timed = self.reading.times != "none";
        self.reading.random_split = split == holdout::RANDOM;
        if timed && self.reading.random_split && self.options.split == Split::Published {
            self.reading.notes.push(
                "times are missing, so a random fifth of everybody's items is held out, and not \
                 each user's last"
                    .into(),
            );
        }
        split.clone_into(&mut self.reading.split);
        Ok(Tested {
            test,
            is_own: false,
        })
    }

    fn test_file(&mut self, place: &Place) -> Result<Vec<Vec<ItemId>>, DataError> {
        let asked = self.options.columns.as_ref();
        let mut test = vec![Vec::new(); self.assembly.users.len()];
        let (assembly, rows) = (&mut self.assembly, &mut self.rows);
        shape::of(place)?.read(place, asked, self.watch, &mut |records, _| {
            pairs::test(records, assembly, rows, &mut test)
        })?;
        holdout::remove(&mut self.assembly.users, &test);
        self.reading.split = format!("the pairs of {}", place.name);
        Ok(test)
    }

    fn published_test(&mut self, entry: &Entry) -> Result<Vec<Vec<ItemId>>, DataError> {
        let mut test = vec![Vec::new(); self.assembly.users.len()];
        let (assembly, rows) = (&mut self.assembly, &mut self.rows);
        self.place.read(entry, self.watch, |input| {
            pairs::published(input, assembly, rows, &mut test)
        })?;
        holdout::remove(&mut self.assembly.users, &test);
        self.reading.split = format!("the published pairs of {}", entry.name);
        Ok(test)
    }

    /// The published negatives belong to the published test, and to no other.
    fn negatives(&mut self, is_own: bool) -> Result<Option<Vec<Vec<ItemId>>>, DataError> {
        let Some(entry) = self.neighbour("ncf_negatives.csv").filter(|_| is_own) else {
            return Ok(None);
        };
        let (assembly, tally) = (&mut self.assembly, &mut self.rows.tally);
        let read = self.place.read(&entry, self.watch, |input| {
            pairs::negatives(input, assembly, tally)
        })?;
        Ok(Some(read))
    }

    /// Another file of the same folder or archive. Only Tacit's own format has any that change what
    /// is learned.
    fn neighbour(&self, name: &str) -> Option<Entry> {
        let own = ["interactions.csv", "interactions.parquet"];
        let is_own = own.iter().any(|name| self.place.find(name).is_some());
        (is_own && self.place.kind != Kind::File)
            .then(|| self.place.find(name).cloned())
            .flatten()
    }
}

/// Reads all interactions of one file.
fn all(
    records: &mut dyn Records,
    assembly: &mut Assembly,
    rows: &mut RowReader,
) -> Result<(), DataError> {
    let mut any = false;
    while records.advance()? {
        add(records, assembly, rows).map_err(|fault| records.fault(fault))?;
        any = true;
    }
    rows.tally.latin1 += records.latin1();
    if !any {
        return Err(records.no_records());
    }
    rows.check_not_rated()
        .map_err(|fault| records.fault(fault))
}

fn add(records: &dyn Records, assembly: &mut Assembly, rows: &mut RowReader) -> Result<(), Fault> {
    let row = rows.row(records)?;
    if !row.kind.is_use() {
        rows.tally.no_use += 1;
        return Ok(());
    }
    assembly.add(&row)
}

/// Whether both paths lead to one file.
fn same_file(a: &Path, b: Option<&Path>) -> bool {
    let resolved = a.canonicalize().ok();
    resolved.is_some() && resolved == b.and_then(|b| b.canonicalize().ok())
}
