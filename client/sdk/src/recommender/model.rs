//! How an installation opens, and which model lists come from: the one that was adopted last, else
//! the app's, else none.

use std::fmt::Display;
use std::path::Path;

use tacit_model::Model;
use tacit_model::family::catalogue::Catalogue;
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::rank::profile::OnlineProfile;
use tacit_model::rank::ranker::{Precision, Ranker};

use super::Recommender;
use crate::bundle::Bundle;
use crate::error::SdkError;
use crate::files;
use crate::kept::{self, Serving};
use crate::store::{CERTIFICATE, Store};

/// The store of an installation, made on first use. One that is missing where the installation has
/// enrolled is never made anew: its budget counts as used up.
pub(super) fn open_store(folder: &Path) -> Result<Store, SdkError> {
    let is_new =
        !files::is_there(&Store::path(folder))? && !files::is_there(&folder.join(CERTIFICATE))?;
    if is_new {
        files::create_folder(folder)?;
        return Store::create(folder);
    }
    Store::open(folder)
}

/// What lists come from.
pub(super) struct Source {
    /// What was adopted; `None` for the app's own, or nothing.
    pub(super) adopted: Option<Serving>,
    pub(super) ranker: Ranker,
    pub(super) listing: Catalogue,
}

impl Source {
    /// What ranks when an installation opens.
    ///
    /// # Errors
    /// [`SdkError::RetryLater`] while the system is short of what reading takes.
    pub(super) fn first(
        folder: &Path,
        precision: Precision,
        bundle: Option<&Bundle>,
    ) -> Result<Self, SdkError> {
        if let Some(adopted) = Self::adopted(folder, precision, None)? {
            return Ok(adopted);
        }
        Ok(match bundle {
            Some(bundle) => Self {
                adopted: None,
                ranker: Ranker::of(&bundle.model, precision),
                listing: bundle.catalogue.clone(),
            },
            None => Self {
                adopted: None,
                ranker: Ranker::empty(precision),
                listing: Catalogue::default(),
            },
        })
    }

    /// What was adopted, unless it is `known`; `None` also where there is no model that can be
    /// read. The next refresh mends that.
    fn adopted(
        folder: &Path,
        precision: Precision,
        known: Option<&Serving>,
    ) -> Result<Option<Self>, SdkError> {
        let served = match kept::serving(folder) {
            Ok(serving) if known.is_some() && serving.as_ref() == known => return Ok(None),
            Ok(_) => kept::served(folder),
            Err(error) => Err(error),
        };
        let served = match served {
            Ok(Some(served)) => served,
            Ok(None) => return Ok(None),
            Err(later @ SdkError::RetryLater { .. }) => return Err(later),
            Err(error) => return Ok(unread(&error)),
        };
        let model = match Model::from_bytes(&served.model) {
            Ok(model) => model,
            Err(error) => return Ok(unread(&error)),
        };
        let listing = served.catalogue.map(|bytes| Catalogue::parse(&bytes));
        Ok(Some(Self {
            adopted: Some(served.serving),
            ranker: Ranker::of(&model, precision),
            listing: listing.and_then(Result::ok).unwrap_or_default(),
        }))
    }
}

/// Nothing, with a word why.
fn unread(reason: &dyn Display) -> Option<Source> {
    tracing::warn!(event = "model_not_read", %reason);
    None
}

impl Recommender {
    /// Takes the model and catalogue that an [`crate::Agent`] has adopted since, in this process or
    /// another; gives whether there were such. Items placed by [`Self::place_new_item`] go, because
    /// the model may know them itself. What waited for an item that is named now counts from here
    /// on.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails. [`SdkError::RetryLater`] while the system is short of
    /// what reading takes; lists come from the model before.
    pub fn reload(&mut self) -> Result<bool, SdkError> {
        let known = self.adopted.as_ref();
        let read = Source::adopted(&self.folder, self.precision, known)?;
        let Some(source) = read else {
            return Ok(false);
        };
        let mut store = self.store()?;
        store.settle(|id| source.listing.item(id))?;
        self.interactions = store.interactions()?;
        let rules = self.profile.rules().clone();
        let mut ranker = source.ranker;
        ranker.set_taste_prior(rules.taste_prior);
        self.profile = OnlineProfile::new(&self.counted(), rules, HISTORY_CAP, &ranker);
        self.ranker = ranker;
        self.listing = source.listing;
        self.adopted = source.adopted;
        Ok(true)
    }

    /// Whether there is a model: until then lists are empty and every item can be recorded.
    pub fn has_model(&self) -> bool {
        self.ranker.catalogue_len() > 0
    }
}
