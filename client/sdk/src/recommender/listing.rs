//! What the catalogue says of the items: ids of the app, titles and categories.

use std::collections::BTreeSet;

use tacit_model::rank::cold_start;
use tacit_model::rank::filter::Filter;
use tacit_types::ItemId;

use super::{Recommender, check_value};
use crate::error::SdkError;
use crate::store::Event;

/// What became of many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Events whose item is known: they rank from now on.
    pub known: usize,
    /// Events that wait until a catalogue names their item.
    pub waiting: usize,
}

impl Recommender {
    /// The app's own id of an item, as the catalogue has it. It never changes its meaning.
    pub fn id(&self, item: ItemId) -> Option<&str> {
        self.listing.id(item)
    }

    /// The item of an id; `None` for one that no catalogue has named yet.
    pub fn item(&self, id: &str) -> Option<ItemId> {
        self.listing.item(id)
    }

    /// Makes what was done durable, by the app's own id; gives whether its item is known. What is
    /// done with another waits under its id until a catalogue names it, and ranks nothing until
    /// then.
    ///
    /// # Errors
    /// As [`Self::record`]; also for an id that no catalogue can have.
    pub fn record_event(&mut self, event: &Event) -> Result<bool, SdkError> {
        if let Some(item) = self.listing.item(&event.id) {
            self.record(event.with(item))?;
            return Ok(true);
        }
        check_value(event.value)?;
        self.store()?.keep(&[], std::slice::from_ref(event))?;
        Ok(false)
    }

    /// Makes many events durable at once, as [`Self::record_event`] makes one: a first history, or
    /// what was collected since the last call. Either all are kept or none.
    ///
    /// # Errors
    /// As [`Self::record_event`], for the first that cannot be kept.
    pub fn record_all(&mut self, events: &[Event]) -> Result<Recorded, SdkError> {
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for event in events {
            match self.listing.item(&event.id) {
                Some(item) => known.push(event.with(item)),
                None => unknown.push(event.clone()),
            }
        }
        known
            .iter()
            .try_for_each(|interaction| self.check(interaction))?;
        unknown
            .iter()
            .try_for_each(|event| check_value(event.value))?;

        self.store()?.keep(&known, &unknown)?;
        let recorded = Recorded {
            known: known.len(),
            waiting: unknown.len(),
        };
        self.interactions.extend(known);
        self.profile.rebuild(&self.counted(), &self.ranker);
        Ok(recorded)
    }

    /// What people call an item.
    pub fn title(&self, item: ItemId) -> Option<&str> {
        self.listing.title(item)
    }

    /// Categories of an item, by their numbers.
    pub fn categories_of(&self, item: ItemId) -> &[u32] {
        self.listing.categories(item)
    }

    /// Every category of the catalogue: its place is the number that [`Self::choose_categories`]
    /// and [`Filter::exclude_categories`] take.
    pub fn category_names(&self) -> &[String] {
        self.listing.names()
    }

    /// Share of its score that each item keeps, by the filter and the catalogue.
    pub(super) fn shares(&self, filter: &Filter) -> Vec<f32> {
        let items = self.ranker.catalogue_len() as usize;
        let mut shares = filter.shares(&self.interactions, &self.catalogue, items);
        if !filter.exclude_categories.is_empty() {
            let excluded = self.listing.in_categories(&filter.exclude_categories);
            for item in excluded {
                if let Some(share) = shares.get_mut(item.0 as usize) {
                    *share = f32::NAN;
                }
            }
        }
        shares
    }

    /// The items that stand for the chosen categories, with their weights; none where ratings are
    /// predicted, because liking a category is no rating.
    pub(super) fn chosen(&self) -> Vec<(ItemId, f64)> {
        if self.categories.is_empty() || self.ranker.scale().is_some() {
            return Vec::new();
        }
        let by_app = self.catalogue.in_categories(&self.categories);
        let by_catalogue = self.listing.in_categories(&self.categories);
        let liked: BTreeSet<ItemId> = by_app.chain(by_catalogue).collect();
        let liked: Vec<ItemId> = liked.into_iter().collect();
        cold_start::prior(&liked, &self.ranker)
    }
}
