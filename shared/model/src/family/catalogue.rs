//! The published catalogue: one item a line, `id<TAB>title<TAB>category|category`; the categories
//! may be empty.
//!
//! The number of a line, empty ones not counted, is the index of its item, which is all that models
//! and messages know. The id is the app's own name for the item and keeps its index for good: a
//! later catalogue [continues](Catalogue::continues) the one before. In a catalogue whose first
//! line has no second tab, lines are `title<TAB>category|category`, the tab and what follows may be
//! left out, and the id is the index in decimal digits.
//!
//! Everything here is public: the hash of these bytes stands in the release ledger.

use std::collections::{BTreeSet, HashMap};
use std::str;

use tacit_types::ItemId;

use crate::family::features::Features;
use crate::family::limits::CATALOGUE_MAX;

/// Longest id, in bytes.
const ID_MAX: usize = 512;
/// Longest category, in bytes.
const CATEGORY_MAX: usize = 128;
/// How a line reads.
const FORM: &str = "write id<TAB>title<TAB>category|category";
/// The same in a catalogue without ids.
const FORM_WITHOUT_IDS: &str = "write title<TAB>category|category";

/// What a catalogue says about its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    ids: Vec<String>,
    titles: Vec<String>,
    /// Of each item, by their numbers.
    categories: Vec<Vec<u32>>,
    /// Every category, in alphabetical order: the place is its number.
    names: Vec<String>,
    by_id: HashMap<String, u32>,
}

/// One line, as it is written.
struct Line<'a> {
    id: Option<&'a str>,
    title: String,
    categories: Vec<&'a str>,
}

impl Catalogue {
    /// Reads a catalogue.
    ///
    /// # Errors
    /// What is wrong, in which line, and what to write instead; the caller names the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let lines = bytes
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .zip(1usize..)
            .filter(|(line, _)| !line.is_empty());
        let with_ids = lines
            .clone()
            .next()
            .is_some_and(|(line, _)| tabs(line) > 1);

        let mut read = Vec::new();
        for (line, number) in lines {
            if read.len() == CATALOGUE_MAX as usize {
                return Err(wrong_length());
            }
            let parsed = if with_ids {
                parse_line(line)
            } else {
                parse_without_id(line)
            };
            read.push(parsed.map_err(|problem| format!("line {number}: {problem}"))?);
        }
        if read.is_empty() {
            return Err(wrong_length());
        }
        Self::assemble(read)
    }

    fn assemble(lines: Vec<Line<'_>>) -> Result<Self, String> {
        let names: BTreeSet<&str> = lines
            .iter()
            .flat_map(|line| line.categories.iter().copied())
            .collect();
        let numbers: HashMap<&str, u32> = names.iter().copied().zip(0u32..).collect();

        let mut read = Self {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            ..Self::default()
        };
        for (line, index) in lines.into_iter().zip(0u32..) {
            let id = line
                .id
                .map_or_else(|| index.to_string(), str::to_owned);
            if read.by_id.insert(id.clone(), index).is_some() {
                return Err(format!(
                    "the id '{id}' stands in two lines; an id names one item"
                ));
            }
            let own: BTreeSet<u32> = line
                .categories
                .iter()
                .map(|name| numbers[name])
                .collect();
            read.ids.push(id);
            read.titles.push(line.title);
            read.categories.push(own.into_iter().collect());
        }
        Ok(read)
    }

    /// M, the number of items; 0 only for the default.
    pub fn items(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    /// The app's own name for an item.
    pub fn id(&self, item: ItemId) -> Option<&str> {
        let id = self.ids.get(item.0 as usize);
        id.map(String::as_str)
    }

    /// The item of an id.
    pub fn item(&self, id: &str) -> Option<ItemId> {
        let index = self.by_id.get(id)?;
        Some(ItemId(*index))
    }

    /// What people call an item.
    pub fn title(&self, item: ItemId) -> Option<&str> {
        let title = self.titles.get(item.0 as usize);
        title.map(String::as_str)
    }

    /// Every category, in alphabetical order: the place is its number.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Categories of an item, by their numbers, in ascending order.
    pub fn categories(&self, item: ItemId) -> &[u32] {
        let own = self.categories.get(item.0 as usize);
        match own {
            Some(own) => own,
            None => &[],
        }
    }

    /// Items in any of these categories.
    pub fn in_categories<'a>(&'a self, wanted: &'a [u32]) -> impl Iterator<Item = ItemId> + 'a {
        let within = |own: &[u32]| own.iter().any(|category| wanted.contains(category));
        let items = self.categories.iter().zip(0u32..);
        items
            .filter(move |(own, _)| within(own))
            .map(|(_, item)| ItemId(item))
    }

    /// Whether every id of `earlier` names the same index here, so that nothing that was done turns
    /// into something else.
    pub fn continues(&self, earlier: &Self) -> bool {
        self.ids.starts_with(&earlier.ids)
    }

    /// The categories as features of a model: (M, F).
    ///
    /// # Errors
    /// The limit that there are too many of them for, and what to do.
    pub fn features(&self) -> Result<Features, String> {
        let named = |own: &Vec<u32>| -> Vec<&str> {
            own.iter()
                .map(|&number| self.names[number as usize].as_str())
                .collect()
        };
        let items: Vec<Vec<&str>> = self.categories.iter().map(named).collect();
        Features::from_categories(&items)
            .map_err(|error| format!("{error}; use fewer or leave them out"))
    }
}

fn tabs(line: &[u8]) -> usize {
    line.iter().filter(|&&byte| byte == b'\t').count()
}

fn wrong_length() -> String {
    format!("it must have from 1 to {CATALOGUE_MAX} lines, one an item")
}

fn parse_line(line: &[u8]) -> Result<Line<'_>, String> {
    let line = utf8(line, "the line")?;
    let mut fields = line.split('\t');
    let (Some(id), Some(title), Some(categories), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(format!(
            "it has not two tabs, as the first line has; {FORM}"
        ));
    };
    if id.is_empty() || id.len() > ID_MAX {
        return Err(format!("an id has 1 to {ID_MAX} bytes; {FORM}"));
    }
    if id.chars().chain(title.chars()).any(char::is_control) {
        return Err("the id or the title has a control character; remove it".into());
    }
    Ok(Line {
        id: Some(id),
        title: title.trim().to_owned(),
        categories: split_categories(categories, FORM)?,
    })
}

/// Titles of such catalogues need not be UTF-8.
fn parse_without_id(line: &[u8]) -> Result<Line<'_>, String> {
    let tab = line.iter().position(|&byte| byte == b'\t');
    let (title, categories) = match tab {
        Some(tab) => (&line[..tab], utf8(&line[tab + 1..], "the categories")?),
        None => (line, ""),
    };
    if categories.contains('\t') {
        let problem = "there is a second tab, and none in the first line";
        return Err(format!("{problem}; {FORM} in every line or in none"));
    }
    Ok(Line {
        id: None,
        title: String::from_utf8_lossy(title).trim().to_owned(),
        categories: split_categories(categories, FORM_WITHOUT_IDS)?,
    })
}

fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, String> {
    let is = if what.ends_with('s') { "are" } else { "is" };
    str::from_utf8(bytes).map_err(|_| format!("{what} {is} not UTF-8; save the file as UTF-8"))
}

fn split_categories<'a>(text: &'a str, form: &str) -> Result<Vec<&'a str>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = |name: &str| {
        if name.trim().is_empty() {
            Some(format!("a category is empty; {form}"))
        } else if name.chars().any(char::is_control) {
            Some("a category has a control character; remove it".to_owned())
        } else if name.len() > CATEGORY_MAX {
            Some("a category is longer than 128 bytes; shorten it".to_owned())
        } else {
            None
        }
    };
    match text.split('|').find_map(wrong) {
        Some(problem) => Err(problem),
        None => Ok(text.split('|').map(str::trim).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        Catalogue::parse(bytes).err().unwrap_or_default()
    }

    #[test]
    fn ids_titles_and_categories_are_read() {
        let text = "tt1\tDune\tSci-Fi|1984\r\n\ntt2\tHeat\t\nb\t\t1984|1984\n";
        let read = Catalogue::parse(text.as_bytes()).unwrap();
        assert_eq!(read.items(), 3);
        assert_eq!(read.names(), ["1984", "Sci-Fi"]);
        assert_eq!(read.id(ItemId(1)), Some("tt2"));
        assert_eq!(read.item("b"), Some(ItemId(2)));
        assert_eq!((read.item("tt3"), read.id(ItemId(3))), (None, None));
        assert_eq!(read.title(ItemId(0)), Some("Dune"));
        assert_eq!(read.categories(ItemId(0)), [0, 1]);
        assert_eq!(read.categories(ItemId(2)), [0]);
        let in_1984: Vec<ItemId> = read.in_categories(&[0]).collect();
        assert_eq!(in_1984, [ItemId(0), ItemId(2)]);
        assert_eq!(read.features().unwrap().count(), 2);
    }

    #[test]
    fn a_catalogue_without_ids_is_read_as_before() {
        let read = Catalogue::parse(b"Dune\tSci-Fi|1984\r\nplain\n\nnone\t\nHeat\t1995\n").unwrap();
        let features = read.features().unwrap();
        assert_eq!((read.items(), features.count()), (4, 3));
        assert_eq!(features.values().row(0).to_vec(), [1.0, 0.0, 1.0]);
        assert_eq!(read.item("3"), Some(ItemId(3)));
        assert_eq!(read.title(ItemId(1)), Some("plain"));
        let old = Catalogue::parse(b"\xff\xfe an old file\nb").unwrap();
        assert_eq!(old.features().unwrap(), Features::none(2));
    }

    /// HOSTILE 156: an id must not come to mean another item.
    #[test]
    fn a_catalogue_continues_another_only_by_adding_at_its_end() {
        let read = |text: &str| Catalogue::parse(text.as_bytes()).unwrap();
        let first = read("a\tA\t\nb\tB\t\n");
        assert!(read("a\tanother title\tx\nb\tB\t\nc\tC\t\n").continues(&first));
        assert!(first.continues(&first) && first.continues(&Catalogue::default()));
        for other in [
            "b\tB\t\na\tA\t\n",
            "a\tA\t\n",
            "a\tA\t\nc\tC\t\nb\tB\t\n",
            "A\nB\n",
        ] {
            assert!(!read(other).continues(&first), "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, problem) in [
            (
                &b"a\nb\tx||y\n"[..],
                "line 2: a category is empty; write title<TAB>category|category",
            ),
            (
                b"\n\nb\tx\nc\tx\ty\n",
                "line 4: there is a second tab, and none in the first line; write \
                 id<TAB>title<TAB>category|category in every line or in none",
            ),
            (
                b"a\tA\t\nb\tx\n",
                "line 2: it has not two tabs, as the first line has; write \
                 id<TAB>title<TAB>category|category",
            ),
            (
                b"a\tA\t\n\tB\t\n",
                "line 2: an id has 1 to 512 bytes; write id<TAB>title<TAB>category|category",
            ),
            (
                b"a\tA\x01\t\n",
                "line 1: the id or the title has a control character; remove it",
            ),
            (
                b"a\tA\t\na\tB\t\n",
                "the id 'a' stands in two lines; an id names one item",
            ),
            (
                b"a\t\xff",
                "line 1: the categories are not UTF-8; save the file as UTF-8",
            ),
            (
                b"a\t\xff\tx",
                "line 1: the line is not UTF-8; save the file as UTF-8",
            ),
            (
                b"a\tx\x01",
                "line 1: a category has a control character; remove it",
            ),
        ] {
            assert_eq!(refused(text), problem);
        }
        let long = format!("a\t{}", "x".repeat(129));
        assert_eq!(
            refused(long.as_bytes()),
            "line 1: a category is longer than 128 bytes; shorten it"
        );
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(
            refused(b"\n\n"),
            "it must have from 1 to 4194304 lines, one an item"
        );
        let many: String = (0..1025)
            .map(|n| format!("a\tcategory {n}\n"))
            .collect();
        let read = Catalogue::parse(many.as_bytes()).unwrap();
        let expected = "there are 1025 different categories and at most 1024 are allowed; use \
                        fewer or leave them out";
        assert_eq!(read.features().unwrap_err(), expected);
    }
}
