//! Which files of a place hold its interactions: public data sets are known by the names of their
//! files, everything else by its header.

use tacit_model::history::interaction::InteractionKind;

use crate::columnar::Columnar;
use crate::columns::Columns;
use crate::error::DataError;
use crate::input::Watch;
use crate::jester::Matrix;
use crate::lines::Lines;
use crate::place::{Entry, Kind, Place};
use crate::rows::{Records, Separated};

/// Files of interactions, in the order in which a folder is searched for them.
const KNOWN: [&str; 15] = [
    "interactions.csv",
    "interactions.parquet",
    "interactions.jsonl",
    "u.data",
    "ratings.dat",
    "ratings.csv",
    "ratings.parquet",
    "user_artists.dat",
    "user_ratedmovies-timestamps.dat",
    "bx-book-ratings.csv",
    "book-ratings.csv",
    "jester_ratings.dat",
    "events.csv",
    "reviews.csv",
    SHOP[0].0,
];

/// RetailRocket as recommender benchmarks publish it: one file for each kind of interaction, in the
/// order in which people usually do them, without times.
const SHOP: [(&str, InteractionKind); 3] = [
    ("view_ecommerce.dat", InteractionKind::View),
    ("add_to_cart_ecommerce.dat", InteractionKind::Cart),
    ("purchase_ecommerce.dat", InteractionKind::Purchase),
];

/// Endings of a file that may be the only one of its folder.
const ENDINGS: [&str; 10] = [
    ".inter", ".parquet", ".jsonl", ".ndjson", ".csv", ".tsv", ".data", ".dat", ".base", ".txt",
];

/// Endings of files of JSON lines.
const LINES: [&str; 3] = [".jsonl", ".ndjson", ".json"];

/// The files of interactions, each with what all of its rows are, where they do not say.
pub(crate) struct Shape {
    files: Vec<(Entry, Option<InteractionKind>)>,
}

/// What is done with the records of each file.
pub(crate) type EachFile<'a> =
    dyn FnMut(&mut dyn Records, Option<InteractionKind>) -> Result<(), DataError> + 'a;

/// Finds the files of interactions of a place.
///
/// # Errors
/// [`DataError::NotADataset`] when a folder or archive has none, or several that may be meant.
pub(crate) fn of(place: &Place) -> Result<Shape, DataError> {
    let single = |entry: &Entry| Shape {
        files: vec![(entry.clone(), None)],
    };
    if let (Kind::File, [only]) = (place.kind, place.files()) {
        return Ok(single(only));
    }
    if let Some(entry) = KNOWN.iter().find_map(|name| place.find(name)) {
        return if entry.name == SHOP[0].0 {
            shop(place)
        } else {
            Ok(single(entry))
        };
    }
    match only_one(place) {
        Some(entry) => Ok(single(entry)),
        None => Err(DataError::not_a_dataset(
            place.path(),
            "it has none of the files a data set is known by, nor a single file of data",
        )),
    }
}

/// The only file with the first of the endings that any file has.
fn only_one(place: &Place) -> Option<&Entry> {
    let with = |ending: &str| {
        let named = move |entry: &&Entry| entry.name.ends_with(ending);
        place.files().iter().filter(named).collect::<Vec<_>>()
    };
    let found = ENDINGS
        .into_iter()
        .map(with)
        .find(|found| !found.is_empty())?;
    match found[..] {
        [only] => Some(only),
        _ => None,
    }
}

fn shop(place: &Place) -> Result<Shape, DataError> {
    let file = |(name, kind): (&str, InteractionKind)| match place.find(name) {
        Some(entry) => Ok((entry.clone(), Some(kind))),
        None => Err(DataError::not_a_dataset(
            place.path(),
            &format!("it has {} but not {name}", SHOP[0].0),
        )),
    };
    Ok(Shape {
        files: SHOP.into_iter().map(file).collect::<Result<_, _>>()?,
    })
}

impl Shape {
    /// Hands the records of each file to `each`, and gives the columns of the first for people.
    pub(crate) fn read(
        &self,
        place: &Place,
        asked: Option<&Columns>,
        watch: Watch<'_>,
        each: &mut EachFile<'_>,
    ) -> Result<String, DataError> {
        let mut described = String::new();
        for (entry, kind) in &self.files {
            open(place, entry, asked, watch, &mut |records| {
                if described.is_empty() {
                    described = records.described();
                }
                each(records, *kind)
            })?;
        }
        Ok(described)
    }
}

/// Opens a file by its ending, and hands its records to `read`.
fn open(
    place: &Place,
    entry: &Entry,
    asked: Option<&Columns>,
    watch: Watch<'_>,
    read: &mut dyn FnMut(&mut dyn Records) -> Result<(), DataError>,
) -> Result<(), DataError> {
    if entry.name.ends_with(".parquet") {
        let unpacked = place.path_of(entry).ok_or_else(|| {
            let packed = "a Parquet file is not read from an archive: unpack it";
            DataError::unreadable(&entry.shown, std::io::Error::other(packed))
        })?;
        return read(&mut Columnar::open(&unpacked, asked, watch)?);
    }
    if entry.name.starts_with("jester") && entry.name.ends_with(".csv") {
        return place.read(entry, watch, |input| read(&mut Matrix::open(input)?));
    }
    if LINES.iter().any(|ending| entry.name.ends_with(ending)) {
        return place.read(entry, watch, |input| read(&mut Lines::open(input, asked)?));
    }
    place.read(entry, watch, |input| {
        read(&mut Separated::open(input, asked)?)
    })
}
