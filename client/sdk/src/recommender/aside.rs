//! What is set aside when ranking: interactions that no person meant.

use std::ops::Range;

use tacit_model::history::interaction::Interaction;
use tacit_model::history::sessions::{Anomaly, Limits, anomalies, kept};
use tacit_types::Timestamp;

use super::Recommender;
use crate::error::SdkError;

impl Recommender {
    /// Sets aside, when ranking, interactions that no person meant; `None`, the default, to count
    /// all. What is set aside is still stored, still left out of lists, and still counts in
    /// training.
    pub fn set_limits(&mut self, limits: Option<Limits>) {
        self.limits = limits;
        self.profile.rebuild(&self.counted(), &self.ranker);
    }

    /// What is set aside now, and why.
    pub fn set_aside(&self) -> Vec<(Interaction, Anomaly)> {
        let found = self.anomalies();
        self.interactions
            .iter()
            .zip(found)
            .filter_map(|(one, anomaly)| Some((*one, anomaly?)))
            .collect()
    }

    /// Takes back all that was set aside in a period, durably; it counts again at once.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn trust(&mut self, period: Range<Timestamp>) -> Result<(), SdkError> {
        self.store()?.trust(&period)?;
        self.trusted.push(period);
        self.profile.rebuild(&self.counted(), &self.ranker);
        Ok(())
    }

    fn anomalies(&self) -> Vec<Option<Anomaly>> {
        let Some(limits) = &self.limits else {
            return vec![None; self.interactions.len()];
        };
        let mut found = anomalies(&self.interactions, limits);
        for (one, anomaly) in self.interactions.iter().zip(&mut found) {
            if one
                .timestamp
                .is_some_and(|at| self.trusted.iter().any(|period| period.contains(&at)))
            {
                *anomaly = None;
            }
        }
        found
    }

    /// The interactions that count when ranking.
    pub(super) fn counted(&self) -> Vec<Interaction> {
        kept(&self.interactions, &self.anomalies())
    }
}
