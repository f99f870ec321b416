//! Titles and categories of items that are already in the catalogue.
//!
//! A title file may name more items than the catalogue has; those are checked and left out.

use std::path::Path;

use crate::assemble::Assembly;
use crate::error::{DataError, Fault};
use crate::field;
use crate::find;
use crate::lines::Lines;
use crate::movielens::columns;
use crate::table::Table;

/// What MovieLens writes in place of a category.
const NO_CATEGORY: [&str; 2] = ["unknown", "(no genres listed)"];

/// Columns of `u.item` before the flags, one flag per genre.
const U_ITEM_TEXTS: usize = 5;

/// Reads the titles a folder has, if any.
pub(crate) fn read(folder: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    if let Some(file) = find(folder, "u.item") {
        let genres = find(folder, "u.genre")
            .map(|file| read_genres(&file))
            .transpose()?;
        return read_u_item(&file, genres, assembly);
    }
    if let Some(file) = find(folder, "movies.dat") {
        return read_movies_dat(&file, assembly);
    }
    match find(folder, "movies.csv") {
        Some(file) => read_movies_csv(&file, assembly),
        None => Ok(()),
    }
}

/// Reads `u.genre`: the names in the order of the flags of `u.item`.
fn read_genres(path: &Path) -> Result<Vec<String>, DataError> {
    let mut lines = Lines::open(path)?;
    let mut genres = Vec::new();
    while lines.advance()? {
        let line = lines.latin1();
        let [name, number] =
            columns(&line, "|", ["genre", "number"]).map_err(|fault| lines.fault(fault))?;
        if field::number_key("number", number).map_err(|fault| lines.fault(fault))? as usize
            != genres.len()
        {
            let problem = format!("number '{number}' is not the next one, {}", genres.len());
            return Err(lines.fault(Fault::new(problem, "number the genres from 0")));
        }
        genres.push(name.to_owned());
    }
    Ok(genres)
}

/// Reads `u.item`. Without `u.genre` the flags have no names and are skipped.
fn read_u_item(
    path: &Path,
    genres: Option<Vec<String>>,
    assembly: &mut Assembly,
) -> Result<(), DataError> {
    let mut lines = Lines::open(path)?;
    while lines.advance()? {
        let line = lines.latin1();
        u_item(&line, genres.as_deref(), assembly).map_err(|fault| lines.fault(fault))?;
    }
    Ok(())
}

fn u_item(line: &str, genres: Option<&[String]>, assembly: &mut Assembly) -> Result<(), Fault> {
    let fields: Vec<_> = line.split('|').collect();
    let (Some([item, title, ..]), Some(flags)) =
        (fields.get(..U_ITEM_TEXTS), fields.get(U_ITEM_TEXTS..))
    else {
        let problem = format!(
            "the line has {} columns separated by '|', not at least {U_ITEM_TEXTS}",
            fields.len()
        );
        return Err(Fault::new(
            problem,
            "give item, title, release, video release, address and one flag per genre",
        ));
    };
    let genres = genres.unwrap_or_default();
    if !genres.is_empty() && flags.len() != genres.len() {
        let problem = format!(
            "the line has {} genre flags, u.genre has {} genres",
            flags.len(),
            genres.len()
        );
        return Err(Fault::new(problem, "give one flag per genre"));
    }
    if let Some(bad) = flags.iter().find(|flag| !matches!(**flag, "0" | "1")) {
        return Err(Fault::new(
            format!("genre flag {} is not 0 or 1", crate::error::shown(bad)),
            "correct it",
        ));
    }
    let names = genres
        .iter()
        .zip(flags)
        .filter(|(_, flag)| **flag == "1")
        .map(|(name, _)| name.as_str());
    set(item, title, names, assembly)
}

fn read_movies_dat(path: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    let mut lines = Lines::open(path)?;
    while lines.advance()? {
        let line = lines.latin1();
        columns(&line, "::", ["item", "title", "genres"])
            .and_then(|[item, title, genres]| set(item, title, genres.split('|'), assembly))
            .map_err(|fault| lines.fault(fault))?;
    }
    Ok(())
}

fn read_movies_csv(path: &Path, assembly: &mut Assembly) -> Result<(), DataError> {
    const COLUMNS: [&str; 3] = ["movieId", "title", "genres"];
    let mut table = Table::open(path, &COLUMNS, COLUMNS.len())?;
    while table.advance()? {
        let [item, title, genres] = [0, 1, 2].map(|column| table.field(column));
        set(item, title, genres.split('|'), assembly).map_err(|fault| table.fault(fault))?;
    }
    Ok(())
}

fn set<'a>(
    item: &str,
    title: &str,
    categories: impl Iterator<Item = &'a str>,
    assembly: &mut Assembly,
) -> Result<(), Fault> {
    let key = field::key("item", item)?;
    let title = field::title(title)?;
    let named = categories.filter(|name| !name.is_empty() && !NO_CATEGORY.contains(name));
    let categories = named
        .map(|name| field::category(name).map(str::to_owned))
        .collect::<Result<_, _>>()?;
    if let Some(entry) = assembly.entry(key) {
        title.clone_into(&mut entry.title);
        entry.categories = categories;
    }
    Ok(())
}
