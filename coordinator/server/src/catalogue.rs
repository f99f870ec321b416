//! The catalogue file: one item a line, `title<TAB>category|category`; tab and categories may be
//! left out.
//!
//! The number of a line, empty ones not counted, is the index of its item. Categories are public:
//! they go into the published catalogue, whose hash is in the ledger, and into the model, see
//! `tacit_model::family::features`. Titles are not looked at.

use tacit_model::family::features::Features;
use tacit_privacy::mechanism::LENGTH_MAX;

/// Longest category, in bytes.
const CATEGORY_MAX: usize = 128;

/// What the coordinator takes from a catalogue.
pub struct Catalogue {
    /// M, the number of items.
    pub items: u32,
    /// Their categories.
    pub features: Features,
}

/// Reads a catalogue.
///
/// # Errors
/// What is wrong, in which line, and what to write instead; the caller names the file.
pub fn parse(bytes: &[u8]) -> Result<Catalogue, String> {
    let lines = bytes
        .split(|&byte| byte == b'\n')
        .zip(1usize..)
        .filter(|(line, _)| !line.is_empty());
    let mut items = Vec::new();
    for (line, number) in lines {
        if items.len() == LENGTH_MAX as usize {
            return Err(wrong_length());
        }
        items.push(categories(line).map_err(|problem| format!("line {number}: {problem}"))?);
    }
    let count = u32::try_from(items.len())
        .ok()
        .filter(|&count| count > 0)
        .ok_or_else(wrong_length)?;
    let features = Features::from_categories(&items)
        .map_err(|error| format!("{error}; use fewer or leave them out"))?;
    Ok(Catalogue {
        items: count,
        features,
    })
}

fn wrong_length() -> String {
    format!("it must have from 1 to {LENGTH_MAX} lines, one an item")
}

/// The categories of one line; none without a tab.
fn categories(line: &[u8]) -> Result<Vec<&str>, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(tab) = line.iter().position(|&byte| byte == b'\t') else {
        return Ok(Vec::new());
    };
    let text = std::str::from_utf8(&line[tab + 1..])
        .map_err(|_| "the categories are not UTF-8; save the file as UTF-8")?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = |name: &str| {
        if name.trim().is_empty() {
            Some("a category is empty; write title<TAB>category|category")
        } else if name.contains('\t') {
            Some("there is a second tab; write title<TAB>category|category")
        } else if name.chars().any(char::is_control) {
            Some("a category has a control character; remove it")
        } else {
            (name.len() > CATEGORY_MAX).then_some("a category is longer than 128 bytes; shorten it")
        }
    };
    match text.split('|').find_map(wrong) {
        Some(problem) => Err(problem.to_owned()),
        None => Ok(text.split('|').map(str::trim).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        parse(bytes).err().unwrap_or_default()
    }

    #[test]
    fn tab_and_categories_are_optional() {
        let read = parse(b"Dune\tSci-Fi|1984\r\nplain\n\nnone\t\nHeat\t1995\n").unwrap();
        assert_eq!((read.items, read.features.count()), (4, 3));
        assert_eq!(read.features.values().row(0).to_vec(), [1.0, 0.0, 1.0]);
        assert_eq!(
            parse(b"\xff\xfe an old file\nb").unwrap().features,
            Features::none(2)
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(
            refused(b"a\nb\tx||y\n"),
            "line 2: a category is empty; write title<TAB>category|category"
        );
        assert_eq!(
            refused(b"\n\nb\tx\ty\n"),
            "line 3: there is a second tab; write title<TAB>category|category"
        );
        assert_eq!(
            refused(b"a\t\xff"),
            "line 1: the categories are not UTF-8; save the file as UTF-8"
        );
        assert_eq!(
            refused(b"a\tx\x01"),
            "line 1: a category has a control character; remove it"
        );
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
        let expected = "there are 1025 different categories and at most 1024 are allowed; use \
                        fewer or leave them out";
        assert_eq!(refused(many.as_bytes()), expected);
    }
}
