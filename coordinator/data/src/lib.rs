//! Data sets for the demo, the simulation and measurements: loaders for public and own files, and a
//! generator.
//!
//! This crate owns reading other people's files without trusting them, and splitting them into what
//! is learned from and what is held out. It writes nothing and downloads nothing. Everything here
//! is held centrally, which is the opposite of a deployment: there, an interaction never leaves the
//! device that made it. Read `tacit-model` next for what is learned.
//!
//! # What [`load()`] reads
//!
//! `README.md` in this crate's folder documents the format: separated files with a header, Parquet,
//! JSON lines, and public data sets as they are downloaded, each plain, compressed or in a zip
//! archive.
//!
//! ```csv
//! user,item,timestamp,value,type
//! anna,film-17,978824268,5,rating
//! anna,film-3,978824301,,view
//! ben,"film, the",,2,purchase
//! ```
//!
//! One loader reads data, test files and what devices record ([`recorded()`]): `place` (folder,
//! file or archive), `shape` (which of its files), `input` (bytes, bounded), `table` or `columnar`
//! (records), `header` (which column is what), `rows` with `field` and `time` (one interaction),
//! `assemble` (users and catalogue).
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
mod columnar;
mod columns;
mod error;
mod field;
mod header;
mod holdout;
mod input;
mod jester;
mod lines;
mod load;
mod pairs;
mod place;
mod reading;
mod recorded;
mod rows;
mod shape;
mod synthetic;
mod table;
mod time;
mod title;
mod words;

use std::path::PathBuf;

use tacit_model::history::interaction::Interaction;
use tacit_types::ItemId;

pub use crate::columns::Columns;
pub use crate::error::DataError;
pub use crate::load::{load, load_watched};
pub use crate::reading::Reading;
pub use crate::recorded::recorded;
pub use crate::synthetic::{SyntheticSpec, synthetic, synthetic_ratings};

/// One item of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Name of the item in its source, 1 to 512 bytes.
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
        let (_, year) = self
            .title
            .trim_end()
            .strip_suffix(')')?
            .rsplit_once('(')?;
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
    /// How the files were understood.
    pub reading: Reading,
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
    /// Which column is what, in place of the names that are known; a test file has the same.
    pub columns: Option<Columns>,
    /// Least and largest rating; a rating outside is refused. Without it, those of the data.
    pub scale: Option<[f64; 2]>,
}
