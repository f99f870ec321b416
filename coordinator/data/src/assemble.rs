//! Gathers rows into users and a catalogue, numbering both in order of first appearance.

use std::collections::HashMap;

use tacit_model::history::interaction::Interaction;
use tacit_types::ItemId;
use tacit_types::shown::is_control;

use crate::Item;
use crate::error::{Fault, shown};
use crate::rows::Row;

/// Most accepted interactions of one data set: about 3 GB in memory.
const INTERACTIONS_MAX: usize = 100_000_000;

/// Digits of the largest key that is looked up by number.
const SMALL_DIGITS: usize = 6;

/// The number that this key is the only spelling of, if it is a small one.
fn small_number(key: &str) -> Option<usize> {
    let is_short = key.len() <= SMALL_DIGITS && !key.starts_with('0');
    let is_number = is_short && key.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| key.parse().ok()).flatten()
}

/// A data set in the making.
pub(crate) struct Assembly {
    pub(crate) items: Vec<Item>,
    pub(crate) users: Vec<Vec<Interaction>>,
    item_ids: HashMap<String, ItemId>,
    /// The items whose keys are small numbers, by number, which takes no hashing of text: most
    /// catalogues have no others.
    numbered: Vec<Option<ItemId>>,
    /// All users of the file, also those beyond the limit: a test file may name them.
    user_indices: HashMap<String, usize>,
    users_max: usize,
    interactions: usize,
    /// The last row's user, who is most often the next row's as well.
    last: Option<(String, usize)>,
}

impl Assembly {
    /// Starts an empty data set that keeps the first `users_max` users.
    pub(crate) fn new(users_max: usize) -> Self {
        Self {
            items: Vec::new(),
            users: Vec::new(),
            item_ids: HashMap::new(),
            numbered: Vec::new(),
            user_indices: HashMap::new(),
            users_max,
            interactions: 0,
            last: None,
        }
    }

    /// Adds an interaction, unless its user is beyond the limit.
    pub(crate) fn add(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        let index = self.user(row.user);
        if index >= self.users_max {
            return Ok(());
        }
        if self.interactions == INTERACTIONS_MAX {
            return Err(Fault::new(
                format!("there are more than {INTERACTIONS_MAX} interactions"),
                "keep fewer users",
            ));
        }
        self.interactions += 1;
        if index == self.users.len() {
            self.users.push(Vec::new());
        }
        let interaction = Interaction {
            item: self.item(row.item)?,
            timestamp: row.timestamp,
            value: row.value,
            kind: row.kind,
            surface: 0,
        };
        if let Some(history) = self.users.get_mut(index) {
            history.push(interaction);
        }
        Ok(())
    }

    /// Index of a user, entered when new.
    fn user(&mut self, key: &str) -> usize {
        if let Some((last, index)) = &self.last
            && last == key
        {
            return *index;
        }
        let index = match self.user_indices.get(key) {
            Some(index) => *index,
            None => {
                let index = self.user_indices.len();
                self.user_indices.insert(key.to_owned(), index);
                index
            }
        };
        self.last = Some((key.to_owned(), index));
        index
    }

    /// Index of a user that has interactions; `None` when the user is beyond the limit.
    pub(crate) fn known_user(&self, user: &str) -> Result<Option<usize>, Fault> {
        match self.user_indices.get(user) {
            Some(index) => Ok((*index < self.users_max).then_some(*index)),
            None => {
                let problem = format!("user {} has no interactions", shown(user));
                Err(Fault::new(
                    problem,
                    "remove the line, or add this user's interactions",
                ))
            }
        }
    }

    /// The item of this key, entering it into the catalogue when it is new.
    pub(crate) fn item(&mut self, key: &str) -> Result<ItemId, Fault> {
        let number = small_number(key);
        let known = match number {
            Some(number) => self.numbered.get(number).copied().flatten(),
            None => self.item_ids.get(key).copied(),
        };
        if let Some(id) = known {
            return Ok(id);
        }
        let next = u32::try_from(self.items.len());
        let id = ItemId(
            next.map_err(|_| Fault::new("there are more than 2^32 items", "keep fewer users"))?,
        );
        self.item_ids.insert(key.to_owned(), id);
        if let Some(number) = number {
            let length = self.numbered.len().max(number + 1);
            self.numbered.resize(length, None);
            self.numbered[number] = Some(id);
        }
        self.items.push(Item {
            key: key.to_owned(),
            title: key.replace(is_control, " "),
            categories: Vec::new(),
        });
        Ok(id)
    }

    /// The catalogue entry of this key, if there is one.
    pub(crate) fn entry(&mut self, key: &str) -> Option<&mut Item> {
        let id = self.item_ids.get(key)?;
        self.items.get_mut(id.0 as usize)
    }

    /// Drops all times of a user who lacks one: what is recent cannot be told from half of the
    /// times. Gives the numbers of interactions without a time, and of all.
    pub(crate) fn forget_partial_times(&mut self) -> [usize; 2] {
        let mut missing = 0;
        for history in &mut self.users {
            let untimed = history.iter().filter(|one| one.timestamp.is_none());
            let untimed = untimed.count();
            missing += untimed;
            if untimed > 0 {
                history.iter_mut().for_each(|one| one.timestamp = None);
            }
        }
        [missing, self.interactions]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_look_alike_are_items_of_their_own() {
        let mut assembly = Assembly::new(1);
        let keys = ["7", "07", "0", "00", "999999", "1000000", "x", "7"];
        let ids = keys.map(|key| assembly.item(key).unwrap().0);
        assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6, 0]);
        assert!(
            assembly
                .entry("07")
                .is_some_and(|item| item.key == "07")
        );
    }
}
