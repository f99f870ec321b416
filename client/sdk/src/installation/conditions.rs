//! When an app's host lets work be done that the owner did not ask for.

use tacit_types::Timestamp;

use crate::store::Consent;

/// What the host knows of the device at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Whether it is charging. Needed to contribute.
    pub charging: bool,
    /// Whether the network costs nothing by the byte. Needed for all.
    pub unmetered: bool,
    /// Whether nobody uses it. Needed to contribute.
    pub idle: bool,
    /// The wall clock.
    pub now: Timestamp,
}

/// What is missing for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The owner has not consented to anything over the network.
    Consent,
    /// A network that costs nothing by the byte.
    Network,
    /// Power.
    Charger,
    /// The owner's absence.
    Idleness,
    /// Another step runs.
    Turn,
}

impl Conditions {
    /// What is missing for what the owner has consented to.
    pub(super) fn missing(self, consent: Consent) -> Option<Missing> {
        let contributes = consent == Consent::Contribute;
        [
            (consent == Consent::Off, Missing::Consent),
            (!self.unmetered, Missing::Network),
            (contributes && !self.charging, Missing::Charger),
            (contributes && !self.idle, Missing::Idleness),
        ]
        .into_iter()
        .find_map(|(is_missing, what)| is_missing.then_some(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contribution_needs_power_and_rest_and_a_refresh_only_a_free_network() {
        let all = Conditions {
            charging: true,
            unmetered: true,
            idle: true,
            now: Timestamp(0),
        };
        let metered = Conditions {
            unmetered: false,
            ..all
        };
        let carried = Conditions {
            charging: false,
            ..all
        };
        let used = Conditions { idle: false, ..all };
        for (conditions, contribute, receive) in [
            (all, None, None),
            (metered, Some(Missing::Network), Some(Missing::Network)),
            (carried, Some(Missing::Charger), None),
            (used, Some(Missing::Idleness), None),
        ] {
            assert_eq!(conditions.missing(Consent::Contribute), contribute);
            assert_eq!(conditions.missing(Consent::Receive), receive);
            assert_eq!(conditions.missing(Consent::Off), Some(Missing::Consent));
        }
    }
}
