//! Invented titles: eight categories, each with words of its own, so that a list of recommendations
//! can be judged by eye.

use crate::Item;

/// Adjectives per category.
const ADJECTIVES: usize = 12;

/// Nouns per category. Invariant: no noun belongs to two categories, so titles of two categories
/// never meet.
const NOUNS: usize = 16;

/// Words of one category.
struct Words {
    category: &'static str,
    adjectives: [&'static str; ADJECTIVES],
    nouns: [&'static str; NOUNS],
}

/// Number of categories, one per planted factor.
pub(crate) const CATEGORIES: usize = 8;

#[rustfmt::skip]
const WORDS: [Words; CATEGORIES] = [
    Words {
        category: "Mystery",
        adjectives: ["Amber", "Silent", "Vanished", "Crooked", "Midnight", "Locked", "Scarlet", "Forgotten", "Hollow",
            "Second", "Whispering", "Paper"],
        nouns: ["Lighthouse", "Witness", "Alibi", "Corridor", "Telegram", "Cipher", "Portrait", "Key", "Inquest", "Manor",
            "Inspector", "Stranger", "Passenger", "Staircase", "Confession", "Envelope"],
    },
    Words {
        category: "Science Fiction",
        adjectives: ["Orbital", "Electric", "Distant", "Frozen", "Binary", "Lunar", "Quantum", "Last", "Synthetic",
            "Infinite", "Solar", "Drifting"],
        nouns: ["Horizon", "Colony", "Signal", "Engine", "Android", "Nebula", "Station", "Paradox", "Archive", "Beacon",
            "Voyage", "Comet", "Machine", "Satellite", "Frontier", "Eclipse"],
    },
    Words {
        category: "Romance",
        adjectives: ["Tender", "Lavender", "Summer", "Secret", "Moonlit", "Velvet", "Sunday", "Borrowed", "Gentle",
            "Golden", "Winter", "Unwritten"],
        nouns: ["Letter", "Waltz", "Promise", "Garden", "Serenade", "Orchard", "Proposal", "Kiss", "Harbour",
            "Rendezvous", "Valentine", "Bouquet", "Balcony", "Honeymoon", "Heart", "Melody"],
    },
    Words {
        category: "Comedy",
        adjectives: ["Accidental", "Clumsy", "Reluctant", "Unlikely", "Jolly", "Cheerful", "Runaway", "Ridiculous",
            "Suspicious", "Overdue", "Confused", "Hungry"],
        nouns: ["Butler", "Neighbour", "Wedding", "Parrot", "Dentist", "Holiday", "Roommate", "Landlord", "Orchestra",
            "Goldfish", "Bachelor", "Penguin", "Waiter", "Babysitter", "Uncle", "Picnic"],
    },
    Words {
        category: "Adventure",
        adjectives: ["Lost", "Emerald", "Wild", "Desert", "Uncharted", "Daring", "Northern", "Sunken", "Jade", "Restless",
            "Stormy", "Ivory"],
        nouns: ["Expedition", "Treasure", "Caravan", "Compass", "Island", "Jungle", "Summit", "Schooner", "Temple",
            "River", "Explorer", "Canyon", "Map", "Reef", "Glacier", "Passage"],
    },
    Words {
        category: "Horror",
        adjectives: ["Haunted", "Crimson", "Screaming", "Cursed", "Rotting", "Pale", "Buried", "Nameless", "Starving",
            "Shadowed", "Bleeding", "Unholy"],
        nouns: ["Cellar", "Chapel", "Doll", "Asylum", "Marsh", "Mirror", "Crypt", "Scarecrow", "Attic", "Shadow",
            "Puppet", "Ritual", "Grave", "Well", "Mask", "Fog"],
    },
    Words {
        category: "Western",
        adjectives: ["Dusty", "Lonesome", "Iron", "Copper", "Outlaw", "Broken", "Burning", "Rusty", "Red", "Bitter",
            "Wandering", "Thundering"],
        nouns: ["Saloon", "Sheriff", "Stagecoach", "Ranch", "Spur", "Prairie", "Gunslinger", "Railroad", "Mesa",
            "Bounty", "Stallion", "Gulch", "Canteen", "Revolver", "Homestead", "Cattleman"],
    },
    Words {
        category: "Fantasy",
        adjectives: ["Enchanted", "Silver", "Whispered", "Ancient", "Sleeping", "Starlit", "Hidden", "Forsaken", "Eternal",
            "Mythic", "Winged", "Elder"],
        nouns: ["Dragon", "Kingdom", "Sorcerer", "Crown", "Forest", "Oracle", "Sword", "Throne", "Phoenix", "Wizard",
            "Spell", "Castle", "Griffin", "Amulet", "Realm", "Prophecy"],
    },
];

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
    fn no_noun_belongs_to_two_categories() {
        let nouns: HashSet<_> = WORDS.iter().flat_map(|words| words.nouns).collect();
        assert_eq!(nouns.len(), CATEGORIES * NOUNS);
    }
}
