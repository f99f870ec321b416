//! Titles and categories of items that are already in the catalogue.
//!
//! They are display text: what is not as documented is left out and counted, and refuses nothing. A
//! title file may name more items than the catalogue has.

use crate::assemble::Assembly;
use crate::columns::plain;
use crate::error::DataError;
use crate::field::{CATEGORY_MAX, TITLE_MAX, display};
use crate::header::Separator;
use crate::input::{Input, Watch, read_failure, text};
use crate::place::Place;
use crate::reading::Tally;
use crate::table::Table;

/// What MovieLens writes in place of a category.
const NO_CATEGORY: [&str; 2] = ["unknown", "(no genres listed)"];

/// Columns of `u.item` before the flags, one flag per genre.
const U_ITEM_TEXTS: usize = 5;

/// Title files with a header, in the order in which they are looked for.
const WITH_HEADER: [&str; 6] = [
    "movies.csv",
    "books.csv",
    "bx-books.csv",
    "bx_books.csv",
    "artists.dat",
    "items.csv",
];

/// Names of their columns, plain; the first that is there is read.
const ITEM: [&str; 7] = [
    "movieid", "itemid", "bookid", "isbn", "artistid", "item", "id",
];
const TITLE: [&str; 5] = ["title", "booktitle", "movietitle", "itemname", "name"];
const CATEGORIES: [&str; 5] = ["genres", "genre", "categories", "category", "class"];

/// Reads the titles a place has, if any.
pub(crate) fn read(
    place: &Place,
    assembly: &mut Assembly,
    tally: &mut Tally,
    watch: Watch<'_>,
) -> Result<(), DataError> {
    if let Some(items) = place.find("u.item") {
        let genres = match place.find("u.genre") {
            Some(genres) => place.read(genres, watch, read_genres)?,
            None => Vec::new(),
        };
        return place.read(items, watch, |input| {
            lines(input, tally, |line, tally| {
                u_item(line, &genres, assembly, tally)
            })
        });
    }
    if let Some(movies) = place.find("movies.dat") {
        let is_item = |line: &str| line.contains("::");
        return place.read(movies, watch, |input| {
            lines(input, tally, |line, tally| {
                is_item(line) && movies_dat(line, assembly, tally)
            })
        });
    }
    let recbole = || {
        place
            .files()
            .iter()
            .find(|file| file.name.ends_with(".item"))
    };
    let known = WITH_HEADER.iter().find_map(|name| place.find(name));
    match known.or_else(recbole) {
        Some(file) => place.read(file, watch, |input| with_header(input, assembly, tally)),
        None => Ok(()),
    }
}

/// Hands each line that is not blank to `read`, which says whether it is as documented.
fn lines(
    mut input: Input<'_>,
    tally: &mut Tally,
    mut read: impl FnMut(&str, &mut Tally) -> bool,
) -> Result<(), DataError> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        number += 1;
        let more = input.reader.read_line(&mut line);
        if !more.map_err(|error| read_failure(&input.file, number, &line, error))? {
            return Ok(());
        }
        // Latin-1 is what these files are published in, so nothing was guessed.
        let line = text(&line, &mut 0);
        if !line.is_empty() && !read(&line, tally) {
            tally.titles_left_out += 1;
        }
    }
}

/// Reads `u.genre`: the names in the order of the flags of `u.item`.
fn read_genres(input: Input<'_>) -> Result<Vec<String>, DataError> {
    let mut genres = Vec::new();
    lines(input, &mut Tally::default(), |line, _| {
        let name = line.split('|').next().unwrap_or_default();
        genres.push(name.to_owned());
        true
    })?;
    Ok(genres)
}

/// Reads a line of `u.item`. Flags that are not one for each genre have no names and are skipped.
fn u_item(line: &str, genres: &[String], assembly: &mut Assembly, tally: &mut Tally) -> bool {
    let fields: Vec<&str> = line.split('|').collect();
    let (Some([item, title, ..]), Some(flags)) =
        (fields.get(..U_ITEM_TEXTS), fields.get(U_ITEM_TEXTS..))
    else {
        return false;
    };
    let named = genres.len() == flags.len();
    let flagged = genres
        .iter()
        .zip(flags)
        .filter(|(_, flag)| named && **flag == "1");
    set(
        item,
        title,
        flagged.map(|(name, _)| name.as_str()),
        assembly,
        tally,
    );
    named || genres.is_empty()
}

/// Reads `item::title::genres`; a title may have colons of its own.
fn movies_dat(line: &str, assembly: &mut Assembly, tally: &mut Tally) -> bool {
    let parts = line.split_once("::").and_then(|(item, rest)| {
        let (title, genres) = rest.rsplit_once("::")?;
        Some((item, title, genres))
    });
    if let Some((item, title, genres)) = parts {
        set(item, title, genres.split('|'), assembly, tally);
    }
    parts.is_some()
}

/// Where item, title and categories are.
type TitleColumns = [Option<usize>; 3];

/// Reads a separated file whose header names an item and a title; without them it says nothing.
fn with_header(
    input: Input<'_>,
    assembly: &mut Assembly,
    tally: &mut Tally,
) -> Result<(), DataError> {
    let opened = Table::open(input, None, |fields, _: Separator| {
        let plain: Vec<String> = fields.iter().map(|field| plain(field)).collect();
        let find = |names: &[&str]| {
            let place = |name: &&str| plain.iter().position(|field| field == name);
            names.iter().find_map(place)
        };
        Ok(([find(&ITEM), find(&TITLE), find(&CATEGORIES)], true))
    })?;
    let (mut table, columns): (Table<'_>, TitleColumns) = (opened.table, opened.layout);
    loop {
        match table.advance() {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(DataError::Malformed { .. }) if !table.has_failed() => {
                tally.titles_left_out += 1;
                continue;
            }
            Err(error) => return Err(error),
        }
        let [item, title, categories] = columns.map(|place| table.field(place));
        // RecBole parts the words of a list by blanks, MovieLens by bars.
        let bars = categories.contains('|');
        let by_tabs = opened.separator == Separator::Byte(b'\t');
        let parted = |c: char| c == '|' || (by_tabs && !bars && c == ' ');
        if !title.is_empty() {
            set(item, title, categories.split(parted), assembly, tally);
        }
    }
}

fn set<'a>(
    item: &str,
    title: &str,
    categories: impl Iterator<Item = &'a str>,
    assembly: &mut Assembly,
    tally: &mut Tally,
) {
    let Some(entry) = assembly.entry(item.trim()) else {
        return;
    };
    let title = display(title, TITLE_MAX, &mut tally.controls);
    if !title.is_empty() {
        entry.title = title.into_owned();
    }
    let named = categories.map(str::trim);
    let named = named.filter(|name| !name.is_empty() && !NO_CATEGORY.contains(name));
    entry.categories = named
        .map(|name| display(name, CATEGORY_MAX, &mut tally.controls).into_owned())
        .collect();
}
