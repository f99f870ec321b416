//! What an owner decides and may see: categories, forgetting, consent, and what is held; and who
//! else uses the installation.

use tacit_privacy::DeviceBudget;
use tacit_types::Timestamp;

use tacit_model::history::fusion::Rules;

use super::export::export;
use super::model::Source;
use super::{PrivacyStatus, Recommender};
use crate::error::SdkError;
use crate::store::{Consent, Forget, Store};

impl Recommender {
    /// The same installation and model for the owner of this name, who is added on first use, with
    /// history, lists, decisions and export of their own. What the app set on this handle
    /// (catalogue, limits, rules) is not taken over.
    ///
    /// All owners share the installation's identity, ledger and budget: another one changes nothing
    /// in what is spent or sent.
    ///
    /// # Errors
    /// As [`Store::for_owner`].
    pub fn for_owner(&self, name: &str) -> Result<Self, SdkError> {
        let store = self.store()?.for_owner(name)?;
        let mut ranker = self.ranker.clone();
        ranker.set_taste_prior(Rules::default().taste_prior);
        let source = Source {
            adopted: self.adopted.clone(),
            ranker,
            listing: self.listing.clone(),
        };
        Self::of(store, &self.folder, self.precision, source)
    }

    /// The names of all owners that have one, in the order added.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn owners(&self) -> Result<Vec<String>, SdkError> {
        self.store()?.owners()
    }

    /// Removes an owner and erases all that they did and chose; gives whether there was one. What
    /// was released stays released and spent. Their other handles can record nothing more.
    ///
    /// # Errors
    /// As [`Store::remove_owner`](crate::Store::remove_owner).
    pub fn remove_owner(&mut self, name: &str) -> Result<bool, SdkError> {
        let mut store = self.store()?;
        let was_there = store.remove_owner(name);
        self.read_again(&store)?;
        was_there
    }

    /// Starts a new owner from categories they chose, by the catalogue's numbers; none to go back
    /// to popularity. Durable.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn choose_categories(&mut self, categories: &[u32]) -> Result<(), SdkError> {
        self.store()?.choose_categories(categories)?;
        self.categories = categories.to_vec();
        Ok(())
    }

    /// Categories the owner chose at the start, by the catalogue's numbers.
    pub fn chosen_categories(&self) -> &[u32] {
        &self.categories
    }

    /// Forgets at once and for good what this owner did; gives how many interactions are gone.
    ///
    /// What is forgotten no longer ranks anything and is in no later contribution. A contribution
    /// that was made of it and not sent is erased with it, and stays charged. What was released
    /// stays released: hidden in noise, and charged to the budget, which forgetting does not give
    /// back.
    ///
    /// # Errors
    /// As [`Store::forget`](crate::Store::forget).
    pub fn forget(&mut self, what: &Forget) -> Result<usize, SdkError> {
        let mut store = self.store()?;
        let gone = store.forget(what);
        // Also after an error: what the file still holds counts, and nothing else.
        self.read_again(&store)?;
        gone
    }

    fn read_again(&mut self, store: &Store) -> Result<(), SdkError> {
        self.interactions = store.interactions()?;
        (self.categories, self.trusted) = (store.categories()?, store.trusted()?);
        self.profile.rebuild(&self.counted(), &self.ranker);
        Ok(())
    }

    /// All that this installation holds of this owner, as one JSON object for the owner to keep or
    /// read: what was done, chosen and trusted, the taste made of it, and every release of the
    /// installation with its price. Nothing of another owner is in it.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn export_my_data(&self) -> Result<String, SdkError> {
        export(&self.store()?, &self.interactions, self.profile.profile())
    }

    /// What this owner allows over the network.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn consent(&self) -> Result<Consent, SdkError> {
        self.store()?.consent()
    }

    /// What the installation may do over the network: what the owner allows who allows most.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn widest_consent(&self) -> Result<Consent, SdkError> {
        self.store()?.widest_consent()
    }

    /// Makes what this owner allows durable. Lists stay whatever it is; opting out erases a
    /// contribution that was not sent and has this owner's history in it.
    ///
    /// # Errors
    /// As [`Store::set_consent`](crate::Store::set_consent).
    pub fn set_consent(&mut self, consent: Consent) -> Result<(), SdkError> {
        self.store()?.set_consent(consent)
    }

    /// What this installation, with all its owners, has spent of the budget of its policy
    /// ([`tacit_round::policy::Policy::budget`]).
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn privacy_status(
        &self,
        budget: DeviceBudget,
        now: Timestamp,
    ) -> Result<PrivacyStatus, SdkError> {
        PrivacyStatus::read(&self.store()?, budget, now)
    }
}
