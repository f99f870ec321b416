//! Invented titles: eight categories, each with words of its own, so that a list of recommendations
//! can be judged by eye.

use std::sync::LazyLock;

use crate::Item;

/// Adjectives per category.
const ADJECTIVES: usize = 12;

/// Nouns per category. Invariant: no noun belongs to two categories, so titles of two categories
/// never meet.
const NOUNS: usize = 16;

/// Words of one category.
struct Words {
    category: &'static str,
    adjectives: Vec<&'static str>,
    nouns: Vec<&'static str>,
}

static WORDS: LazyLock<Vec<Words>> = LazyLock::new(|| {
    let paragraphs = include_str!("words.txt").split("\n\n");
    paragraphs.map(words).collect()
});

/// Number of categories, one per planted factor.
pub(crate) const CATEGORIES: usize = 8;

/// Reads one paragraph of the list: category, adjectives and nouns, parted by bars.
fn words(paragraph: &'static str) -> Words {
    let mut parts = paragraph.split('|');
    let mut next = || {
        parts
            .next()
            .expect("each paragraph of the list has three parts")
    };
    Words {
        category: next().trim(),
        adjectives: next().split_whitespace().collect(),
        nouns: next().split_whitespace().collect(),
    }
}

/// The item of this index: titled after its main category, and listed under the second one as well
/// if it has one.
pub(crate) fn item(index: usize, main: usize, second: Option<usize>) -> Item {
    let words = &WORDS[main % CATEGORIES];
    let number = index / CATEGORIES;
    let (adjective, shift) = (number % ADJECTIVES, number / ADJECTIVES);
    // Steps of 5 through 16 nouns: neighbours in the list share neither word, and no pair of words
    // returns early.
    let (adjective, noun) = (
        words.adjectives[adjective],
        words.nouns[(shift + 5 * adjective) % NOUNS],
    );
    let part = match number / (ADJECTIVES * NOUNS) {
        0 => String::new(),
        part => format!(" {}", part + 1),
    };
    let article = if number.is_multiple_of(3) { "" } else { "The " };
    let year = 1950 + (37 * number + 11 * main) % 75;
    let categories = std::iter::once(main)
        .chain(second)
        .map(|category| WORDS[category % CATEGORIES].category.to_owned());
    Item {
        key: format!("film-{:04}", index + 1),
        title: format!("{article}{adjective} {noun}{part} ({year})"),
        categories: categories.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn titles_are_unique_and_readable() {
        let items: Vec<_> = (0..5_000)
            .map(|index| item(index, index % CATEGORIES, None))
            .collect();
        assert_eq!(
            items
                .iter()
                .map(|item| &item.title)
                .collect::<HashSet<_>>()
                .len(),
            5_000
        );
        assert_eq!(
            items
                .iter()
                .map(|item| &item.key)
                .collect::<HashSet<_>>()
                .len(),
            5_000
        );
        assert_eq!(items[8].title, "The Silent Cipher (1987)");
        assert_eq!(items[8].categories, ["Mystery"]);
        assert!(
            items[4_999].title.contains(" 4 ("),
            "{}",
            items[4_999].title
        );
    }

    #[test]
    fn every_category_has_its_words() {
        assert_eq!(WORDS.len(), CATEGORIES);
        for words in &*WORDS {
            assert_eq!(words.adjectives.len(), ADJECTIVES, "{}", words.category);
            assert_eq!(words.nouns.len(), NOUNS, "{}", words.category);
        }
    }

    #[test]
    fn no_noun_belongs_to_two_categories() {
        let nouns: HashSet<_> = WORDS.iter().flat_map(|words| &words.nouns).collect();
        assert_eq!(nouns.len(), CATEGORIES * NOUNS);
    }
}
