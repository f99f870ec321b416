//! `--data` and what belongs to it, the same for every command that reads a data set.

use std::cell::Cell;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use tacit_data::{Columns, Dataset, LoadOptions, Reading, Split};
use tacit_model::family::rating::Scale;

use crate::failure::Failure;
use crate::say;

/// Files are read without a bar up to here: they take a moment.
const BAR_FROM_BYTES: u64 = 32 << 20;

/// What is read, and how.
#[derive(clap::Args)]
pub(crate) struct DataOptions {
    /// Interactions: a file, or a folder or zip archive that has them; generated without it.
    ///
    /// Read as downloaded: MovieLens 100K to 32M, Amazon reviews, Book-Crossing, Goodbooks, Jester,
    /// HetRec Last.fm, RetailRocket, RecBole .inter. Read in any case: text with a header, its
    /// fields parted by commas, semicolons, tabs, '::' or bars, perhaps quoted; Parquet; JSON
    /// lines. Each may be compressed (.gz) or in an archive. The columns user and item are needed;
    /// value (stars or a count above 0), time (seconds to nanoseconds since 1970, or ISO 8601) and
    /// type (view, click, cart, purchase, rating, ...) may be missing or empty. Usual names of
    /// columns are known: `user_id`, movieId, rating, timestamp, ...
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Pairs of user and item to evaluate on, in any format of --data, in place of a split.
    #[arg(long, requires = "data")]
    pub(crate) test: Option<PathBuf>,
    /// Which column is what, where names are not known: by name, or by place from 1 where there is
    /// no header. Columns that are not named are not read.
    #[arg(
        long,
        requires = "data",
        value_name = "user=NAME,item=NAME,value=NAME,time=NAME,type=NAME"
    )]
    columns: Option<Columns>,
    /// Least and largest rating, as in 1..5; a rating outside is refused. Without it, those of the
    /// data.
    #[arg(
        long,
        requires = "data",
        value_name = "LEAST..LARGEST",
        allow_hyphen_values = true
    )]
    scale: Option<String>,
}

impl DataOptions {
    /// Loads what `--data` leads to, at most the first `users` users; `None` without `--data`.
    pub(crate) fn load(
        &self,
        users: Option<usize>,
        split: Split,
        seed: u64,
    ) -> Result<Option<Dataset>, Failure> {
        let Some(path) = &self.data else {
            return Ok(None);
        };
        let options = LoadOptions {
            test: self.test.clone(),
            users,
            split,
            seed,
            columns: self.columns.clone(),
            scale: self.scale.as_deref().map(parsed_scale).transpose()?,
        };
        let bar = Bar::default();
        let data = tacit_data::load_watched(path, &options, &|read, size| bar.show(read, size));
        bar.finish();
        let data = data.map_err(Failure::input)?;
        for note in &data.reading.notes {
            say::note(format_args!("note: {note}"));
        }
        Ok(Some(data))
    }
}

/// The scale ratings are predicted on.
pub(crate) fn scale_of(reading: &Reading) -> Result<Scale, Failure> {
    let Some([low, high]) = reading.scale else {
        return Err(Failure::input(
            "--model rating needs ratings: give --data with a column of ratings",
        ));
    };
    Scale::new(low, high).ok_or_else(|| {
        Failure::input(format!(
            "--model rating: every rating is {low}; give the scale as in --scale 1..5"
        ))
    })
}

fn parsed_scale(text: &str) -> Result<[f64; 2], Failure> {
    let ends = text.split_once("..").and_then(|(low, high)| {
        let [low, high] = [low, high].map(|end| end.trim().parse::<f64>().ok());
        Some([low?, high?])
    });
    ends.filter(|[low, high]| Scale::new(*low, *high).is_some())
        .ok_or_else(|| {
            Failure::input(format!(
                "--scale '{text}' is no scale; give the least and the largest rating, as in 1..5"
            ))
        })
}

/// Shows how far a long file is read.
#[derive(Default)]
struct Bar {
    bar: std::cell::OnceCell<ProgressBar>,
    size: Cell<u64>,
}

impl Bar {
    fn show(&self, read: u64, size: u64) {
        if size < BAR_FROM_BYTES {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let bar = ProgressBar::new(size);
            let style =
                ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes} read, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        if self.size.replace(size) != size {
            bar.set_length(size);
        }
        bar.set_position(read);
    }

    fn finish(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
