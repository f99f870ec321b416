//! The model an app ships, so that a new installation has a list in its first second.

use tacit_model::Model;
use tacit_model::family::catalogue::Catalogue;
use tacit_round::bundle;
use tacit_round::policy::Policy;

use crate::error::SdkError;

/// A model that an app ships, checked as one that is fetched is: coordinator and helper signed for
/// it and for its catalogue, and the policy allows it. `tacit bundle` makes the file.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub(crate) model: Model,
    pub(crate) catalogue: Catalogue,
}

impl Bundle {
    /// Reads the file's bytes and checks them against the app's policy.
    ///
    /// # Errors
    /// [`SdkError::Stop`]: what is wrong with it; the app shipped the wrong file.
    pub fn read(bytes: &[u8], policy: &Policy) -> Result<Self, SdkError> {
        let wrong = |problem: &dyn std::fmt::Display| SdkError::Stop(format!("bundle: {problem}"));
        let read = bundle::Bundle::from_bytes(bytes);
        let read = read.ok_or_else(|| wrong(&"not a bundle; make one with: tacit bundle"))?;
        policy
            .check_bundle(&read)
            .map_err(|_| wrong(&"coordinator and helper did not sign for all of it"))?;

        let model = Model::from_bytes(&read.model).map_err(|error| wrong(&error))?;
        let figures = model.plausibility();
        policy
            .factors
            .check(figures.norm, figures.concentration, None)
            .map_err(|fault| wrong(&fault))?;
        let catalogue = Catalogue::parse(&read.catalogue).map_err(|problem| wrong(&problem))?;
        if catalogue.items() != model.catalogue_len() {
            return Err(wrong(&"its model is of another catalogue"));
        }
        Ok(Self { model, catalogue })
    }
}
