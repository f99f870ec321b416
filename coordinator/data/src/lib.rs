//! Data sets for the demo, the simulation and measurements: loaders for public and own files, and a
//! generator.
//!
//! This crate owns reading other people's files without trusting them, and splitting them into what
//! is learned from and what is held out. It writes nothing and downloads nothing. Everything here
//! is held centrally, which is the opposite of a deployment: there, an interaction never leaves the
//! device that made it. Read `tacit-model` next for what is learned.
//!
//! # What [`load`] reads
//!
//! A folder is recognised by the first of these it contains; every file may also be there as
//! `NAME.gz`.
//!
//! | file | data set | also read |
//! |---|---|---|
//! | `interactions.csv` | own data, below | `ncf_test.csv`, `ncf_negatives.csv`, titles |
//! | `u.data` | MovieLens 100K | `u.item`, `u.genre` |
//! | `ratings.dat` | MovieLens 1M | `movies.dat` |
//! | `ratings.csv` | MovieLens latest | `movies.csv` |
//! | `view_ecommerce.dat` | RetailRocket | `add_to_cart_ecommerce.dat`, `purchase_ecommerce.dat` |
//! | `Retailrocket_Ecommerce.zip` | the same, packed | |
//!
//! A path to one `.csv` or `.csv.gz` file is read as `interactions.csv`, without its neighbours.
//!
//! # The CSV format
//!
//! UTF-8, comma-separated, one interaction per line, first line exactly these five names (in any
//! order, and the rows in the same order):
//!
//! ```csv
//! user,item,timestamp,value,type
//! anna,film-17,978824268,5,rating
//! anna,film-3,978824301,,view
//! ben,"film, the",,2,purchase
//! ```
//!
//! | column | content | when empty |
//! |---|---|---|
//! | `user`, `item` | 1 to 128 bytes of text, no control characters, no negative number | refused |
//! | `timestamp` | whole seconds since 1970, up to the year 2100 | no time of this user is kept |
//! | `value` | stars of a rating, otherwise a count; at most 1000000 either way | 1 |
//! | `type` | `view`, `click`, `cart`, `purchase` or `rating` | `rating` with value, else `view` |
//!
//! A user of whom one time is missing has no recency.
//!
//! A rating without a value says that the item was used but not how it was liked, so it is loaded
//! as a view with value 1: nobody is given one star. Repeated lines are kept. Blank lines are
//! skipped. A byte order mark, Windows line ends and quoted fields are read; line breaks inside
//! quotes are not. Lines may come in any order.
//!
//! - `ncf_test.csv` has the columns `user,item` (the other three are allowed and ignored): what is
//!   held out.
//! - `ncf_negatives.csv` has `user,n1,...,n99`: the items each user's held-out item is ranked
//!   against.
//! - Titles and categories come from `u.item`, `movies.dat` or `movies.csv`
//!   (`movieId,title,genres`) in the folder; an item without a title is shown by its key.
//!
//! # Order, and what is held out
//!
//! Users and items are numbered in order of first appearance: interactions first, then the test
//! file, then the negatives. Items that occur only in the test file or in the negatives belong to
//! the catalogue; items that occur only in a title file do not.
//!
//! [`Split`] says what is held out. By default: with a test file, its pairs are. Without one, each
//! user's last interaction is (the later line when times are equal), provided every interaction of
//! the data set has a time; otherwise a seeded fifth of each user's distinct items, at least one. A
//! user with fewer than two distinct items keeps everything. A held-out item never remains in the
//! same user's training interactions.
//!
//! # Example
//!
//! ```
//! use tacit_data::{SyntheticSpec, synthetic};
//!
//! let data = synthetic(&SyntheticSpec { users: 20, items: 60, seed: 1 });
//! assert_eq!((data.users.len(), data.items.len()), (20, 60));
//! assert_eq!(data.items[8].title, "The Silent Cipher (1987)");
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod assemble;
mod error;
mod field;
mod holdout;
mod interactions;
mod lines;
mod movielens;
mod retailrocket;
mod synthetic;
mod table;
mod title;
mod words;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tacit_model::history::interaction::Interaction;
use tacit_types::ItemId;

use crate::assemble::Assembly;

pub use crate::error::DataError;
pub use crate::synthetic::{SyntheticSpec, synthetic, synthetic_ratings};

/// One item of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Name of the item in its source, 1 to 128 bytes.
    pub key: String,
    /// Title shown to people; the key where the source has none.
    pub title: String,
    /// Genres or the like, possibly none.
    pub categories: Vec<String>,
}

impl Item {
    /// Gives the item's public features: its categories, and the year and decade that its title
    /// ends with in parentheses, as `1995` and `1990s`.
    ///
    /// ```
    /// # let item = |title: &str| tacit_data::Item {
    /// #     key: "1".into(),
    /// #     title: title.into(),
    /// #     categories: vec!["Crime".into()],
    /// # };
    /// assert_eq!(item("Heat (1995)").tags(), ["Crime", "1990s", "1995"]);
    /// assert_eq!(item("Heat").tags(), ["Crime"]);
    /// ```
    pub fn tags(&self) -> Vec<String> {
        let mut tags = self.categories.clone();
        if let Some(year) = self.year() {
            tags.push(format!("{}s", year / 10 * 10));
            tags.push(year.to_string());
        }
        tags
    }

    fn year(&self) -> Option<u32> {
        let (_, year) = self.title.trim_end().strip_suffix(')')?.rsplit_once('(')?;
        year.parse()
            .ok()
            .filter(|year| (1800..=2100).contains(year))
    }
}

/// One data set: who did what, with which items, and what was held out.
///
/// `users`, `test` and `negatives` have the same length and order.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Name of the folder or file it came from.
    pub name: String,
    /// The catalogue: the item at index `i` is `ItemId(i)`.
    pub items: Vec<Item>,
    /// Training interactions per user, in input order.
    pub users: Vec<Vec<Interaction>>,
    /// Held-out items per user, possibly none.
    pub test: Vec<Vec<ItemId>>,
    /// The 99 published negatives per user, where the data set has them; none for a user without a
    /// line.
    ///
    /// As published: a held-out item may occur among its own user's negatives, so a ranking must
    /// skip it there.
    pub negatives: Option<Vec<Vec<ItemId>>>,
}

impl Dataset {
    /// Number of training interactions of all users.
    pub fn interaction_count(&self) -> usize {
        self.users.iter().map(Vec::len).sum()
    }
}

/// What is held out of each user's interactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// The published test file where there is one; otherwise the last item if the whole data set
    /// has times, and a random fifth if not.
    #[default]
    Published,
    /// The published test file where there is one; otherwise the last item of each user whose
    /// interactions have times.
    LeaveOneOut,
    /// A seeded fifth of each user's distinct items, to the nearest and at least one. A test file
    /// is not read.
    Random,
    /// The latest fifth of the items of each user whose interactions have times. A test file is not
    /// read.
    Time,
    /// Nothing: for a caller that holds out ratings with their values. A test file is not read.
    Nothing,
}

/// How to read a data set; the default reads all of it.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// File of `user,item` pairs to hold out, in place of the folder's own. The folder's negatives
    /// belong to its own test file and are left out with any other.
    pub test: Option<PathBuf>,
    /// Keeps only the first `users` users: the result is as if the files named no others.
    pub users: Option<usize>,
    /// What is held out.
    pub split: Split,
    /// Decides what is held out where there is neither a test file nor a time.
    pub seed: u64,
}

/// Reads the data set at `path`: see the crate documentation for what it may contain.
///
/// # Errors
/// [`DataError`], one line naming file, line, field and fix, for anything that is not exactly as
/// documented.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    if options.users == Some(0) {
        return Err(DataError::InvalidOption {
            option: "users",
            problem: "must be at least 1".into(),
        });
    }
    let mut assembly = Assembly::new(options.users.unwrap_or(usize::MAX));
    let source = Source::recognise(path)?;
    match source.format {
        Format::Interactions => interactions::read(&source.file, &mut assembly)?,
        Format::UData => movielens::read_u_data(&source.file, &mut assembly)?,
        Format::RatingsDat => movielens::read_ratings_dat(&source.file, &mut assembly)?,
        Format::RatingsCsv => movielens::read_ratings_csv(&source.file, &mut assembly)?,
        Format::Shop => retailrocket::read_folder(&source.file, &mut assembly)?,
        Format::ShopArchive => retailrocket::read_archive(&source.file, &mut assembly)?,
    }
    assembly.forget_partial_times();

    let reads_test = matches!(options.split, Split::Published | Split::LeaveOneOut);
    let own_test = source.neighbour("ncf_test.csv").filter(|_| reads_test);
    let chosen_test = options.test.as_deref().or(own_test.as_deref());
    let test = match chosen_test {
        Some(file) => {
            let test = interactions::read_test(file, &mut assembly)?;
            holdout::remove(&mut assembly.users, &test);
            test
        }
        None => holdout::choose(&mut assembly.users, options.split, options.seed)?,
    };
    let negatives = match source.neighbour("ncf_negatives.csv") {
        Some(file) if own_test.is_some() && same_file(chosen_test, own_test.as_deref()) => {
            Some(interactions::read_negatives(&file, &mut assembly)?)
        }
        _ => None,
    };
    if let Some(folder) = &source.folder {
        title::read(folder, &mut assembly)?;
    }
    Ok(Dataset {
        name: source.name,
        items: assembly.items,
        users: assembly.users,
        test,
        negatives,
    })
}

/// Whether both paths lead to one file.
fn same_file(a: Option<&Path>, b: Option<&Path>) -> bool {
    let resolve = |path: Option<&Path>| path.and_then(|path| path.canonicalize().ok());
    resolve(a).is_some_and(|a| Some(a) == resolve(b))
}

#[derive(Clone, Copy)]
enum Format {
    Interactions,
    UData,
    RatingsDat,
    RatingsCsv,
    Shop,
    ShopArchive,
}

/// Place and format of a data set.
struct Source {
    name: String,
    /// The file of interactions.
    file: PathBuf,
    format: Format,
    /// The folder, unless a single file was named.
    folder: Option<PathBuf>,
}

impl Source {
    const KNOWN: [(&'static str, Format); 6] = [
        ("interactions.csv", Format::Interactions),
        ("u.data", Format::UData),
        ("ratings.dat", Format::RatingsDat),
        ("ratings.csv", Format::RatingsCsv),
        (retailrocket::VIEWS, Format::Shop),
        (retailrocket::ARCHIVE, Format::ShopArchive),
    ];

    fn recognise(path: &Path) -> Result<Self, DataError> {
        let refuse = |problem: &str| Err(DataError::not_a_dataset(path, problem));
        let name = path
            .file_name()
            .and_then(OsStr::to_str)
            .unwrap_or("dataset")
            .to_owned();
        if path.is_dir() {
            let found = Self::KNOWN
                .iter()
                .find_map(|(name, format)| Some((find(path, name)?, *format)));
            let Some((file, format)) = found else {
                return refuse("the folder has none of the files a data set is known by");
            };
            return Ok(Self {
                name,
                file,
                format,
                folder: Some(path.to_owned()),
            });
        }
        if !path.exists() {
            return refuse("there is no such file or folder");
        }
        let Some(stem) = name
            .strip_suffix(".csv")
            .or_else(|| name.strip_suffix(".csv.gz"))
        else {
            return refuse("a single file must end in .csv or .csv.gz");
        };
        Ok(Self {
            name: stem.to_owned(),
            file: path.to_owned(),
            format: Format::Interactions,
            folder: None,
        })
    }

    /// Another file of the same folder. Only the documented format has any that change what is
    /// learned.
    fn neighbour(&self, name: &str) -> Option<PathBuf> {
        match self.format {
            Format::Interactions => find(self.folder.as_deref()?, name),
            _ => None,
        }
    }
}

/// The file of this name in the folder, plain or compressed.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))]
        .into_iter()
        .find(|path| path.exists())
}
