//! What the owner decides and may see: categories, forgetting, consent, and what is held.

use tacit_privacy::DeviceBudget;
use tacit_types::Timestamp;

use super::export::export;
use super::{PrivacyStatus, Recommender};
use crate::error::SdkError;
use crate::store::{Consent, Forget};

impl Recommender {
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

    /// Forgets at once and for good; gives how many interactions are gone.
    ///
    /// What is forgotten no longer ranks anything and is in no later contribution. A contribution
    /// that was made and not sent is erased with it, and stays charged. What was released stays
    /// released: hidden in noise, and charged to the budget, which forgetting does not give back.
    ///
    /// # Errors
    /// As [`Store::forget`](crate::Store::forget).
    pub fn forget(&mut self, what: &Forget) -> Result<usize, SdkError> {
        let mut store = self.store()?;
        let gone = store.forget(what);
        // Also after an error: what the file still holds counts, and nothing else.
        self.interactions = store.interactions()?;
        (self.categories, self.trusted) = (store.categories()?, store.trusted()?);
        self.profile.rebuild(&self.counted(), &self.ranker);
        gone
    }

    /// All that this installation holds of its owner, as one JSON object for the owner to keep or
    /// read: what was done, chosen and trusted, the taste made of it, and every release with its
    /// price.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn export_my_data(&self) -> Result<String, SdkError> {
        export(&self.store()?, &self.interactions, self.profile.profile())
    }

    /// What the owner allows over the network.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn consent(&self) -> Result<Consent, SdkError> {
        self.store()?.consent()
    }

    /// Makes what the owner allows durable. Lists stay whatever it is; opting out erases a
    /// contribution that was not sent.
    ///
    /// # Errors
    /// As [`Store::set_consent`](crate::Store::set_consent).
    pub fn set_consent(&mut self, consent: Consent) -> Result<(), SdkError> {
        self.store()?.set_consent(consent)
    }

    /// What this installation has spent of the budget of its policy
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
