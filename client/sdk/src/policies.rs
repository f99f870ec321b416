//! Policies that took the place of the one an app shipped with.
//!
//! A coordinator offers the publisher's newest. A later one than the one in force, signed by the
//! same publisher or by the key it named, is kept durably and goes for everything from then on; an
//! earlier one never does. What was spent stays spent: the ledger knows no policy. What is kept is
//! held against what the app shipped each time it is read.

use std::path::{Path, PathBuf};

use tacit_round::signed_policy::{InForce, SignedPolicy};

use crate::error::SdkError;
use crate::files::{self, Found};

fn path(folder: &Path) -> PathBuf {
    folder.join("policies.json")
}

/// The policy in force on an installation whose app shipped with `shipped`.
///
/// # Errors
/// What the operating system says of a file that is there and cannot be read.
pub(crate) fn in_force(folder: &Path, shipped: &InForce) -> Result<InForce, SdkError> {
    let kept = follow(shipped, &kept(folder)?);
    let newest = kept.last().map(|(_, in_force)| in_force.clone());
    Ok(newest.unwrap_or_else(|| shipped.clone()))
}

/// Takes a policy that a coordinator offers, durably, and gives what is in force then; whatever is
/// not a later one of the same publisher changes nothing.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn take(folder: &Path, shipped: &InForce, offered: &[u8]) -> Result<InForce, SdkError> {
    let mut known = follow(shipped, &kept(folder)?);
    let last = known.last().map_or(shipped, |(_, in_force)| in_force);
    let offered: Option<SignedPolicy> = serde_json::from_slice(offered).ok();
    let next = offered.and_then(|offered| {
        let next = last.followed_by(&offered)?;
        Some((offered, next))
    });
    let Some((offered, next)) = next else {
        return Ok(last.clone());
    };

    // Of each key the last policy is enough: it names the next key.
    if next.has_signer_of(last) {
        known.pop();
    }
    known.push((offered, next.clone()));
    let all: Vec<_> = known.iter().map(|(signed, _)| signed).collect();
    let text = serde_json::to_vec(&all);
    let text = text.map_err(|error| SdkError::Bug(format!("policies: {error}")))?;
    files::write(&path(folder), &text)?;
    tracing::info!(event = "policy_taken", serial = next.policy().serial);
    Ok(next)
}

/// What was taken so far; nothing has been checked.
fn kept(folder: &Path) -> Result<Vec<SignedPolicy>, SdkError> {
    let Found::File(bytes) = files::look(&path(folder))? else {
        return Ok(Vec::new());
    };
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Those that follow from the shipped one, each with what is in force by it.
fn follow(shipped: &InForce, kept: &[SignedPolicy]) -> Vec<(SignedPolicy, InForce)> {
    let mut known: Vec<(SignedPolicy, InForce)> = Vec::new();
    for signed in kept {
        let last = known.last().map_or(shipped, |(_, in_force)| in_force);
        if let Some(next) = last.followed_by(signed) {
            known.push((signed.clone(), next));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use tacit_privacy::Rho;
    use tacit_round::keys::SigningKey;
    use tacit_round::policy::Policy;
    use zeroize::Zeroizing;

    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(&Zeroizing::new([byte; 32]))
    }

    fn policy(serial: u32, next: Option<u8>, by: u8) -> SignedPolicy {
        let (coordinator, helper) = (key(8).public(), key(9).public());
        let policy = Policy {
            serial,
            publisher_next: next.map(|next| key(next).public()),
            ..Policy::new(coordinator, helper, Rho::MAX, 10)
        };
        SignedPolicy::new(&policy, &key(by)).unwrap()
    }

    /// PRIVACY 11.14; HOSTILE 135: whatever is offered in whatever order, a restart finds the
    /// latest, over changes of the publisher's key.
    #[test]
    fn the_latest_policy_stays_in_force_and_an_earlier_one_never_returns() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let shipped = InForce::shipped(&policy(1, None, 1), &key(1).public()).unwrap();
        let offer = |signed: &SignedPolicy| {
            let bytes = serde_json::to_vec(signed).unwrap();
            let taken = take(folder, &shipped, &bytes).unwrap();
            assert_eq!(in_force(folder, &shipped).unwrap(), taken);
            taken.policy().serial
        };
        assert_eq!(offer(&policy(3, None, 1)), 3);
        assert_eq!(offer(&policy(2, None, 1)), 3);
        assert_eq!(offer(&policy(9, None, 2)), 3, "nobody named this key");
        assert_eq!(offer(&policy(4, Some(2), 1)), 4);
        assert_eq!(offer(&policy(5, None, 2)), 5);
        assert_eq!(offer(&policy(6, None, 1)), 5, "the old key is retired");
        assert_eq!(offer(&policy(7, Some(3), 2)), 7);
        assert_eq!(offer(&policy(8, None, 3)), 8);
        assert_eq!(kept(folder).unwrap().len(), 3, "one for each key");

        // An app that ships a later one goes by that.
        let update = InForce::shipped(&policy(20, None, 3), &key(3).public()).unwrap();
        let newest = in_force(folder, &update).unwrap();
        assert_eq!(newest.policy().serial, 20);
        // What is damaged falls back to what the app shipped, and is mended by the next offer.
        std::fs::write(path(folder), "[{").unwrap();
        assert_eq!(in_force(folder, &shipped).unwrap(), shipped);
        assert_eq!(offer(&policy(4, Some(2), 1)), 4);
    }
}
