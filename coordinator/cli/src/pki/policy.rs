//! What an owner agrees to, signed by the publisher of their app.

use std::fmt::Display;
use std::path::Path;

use tacit_round::keys::PublicKey;
use tacit_round::policy::Policy;
use tacit_round::signed_policy::SignedPolicy;
use tacit_types::{Delta, Epsilon};
use tacit_wire::files;

use super::keys::{public_key, read_signing_key};
use crate::failure::Failure;

/// What an owner agrees to, as the publisher of their app says it.
pub(crate) struct Agreed {
    pub(super) epsilon: Epsilon,
    pub(super) delta: Delta,
    pub(super) cohort: u32,
    /// Most that one window may cost, and its hours; the lifetime's without it.
    pub(super) window: Option<(Epsilon, u32)>,
    pub(super) releases: u32,
    pub(super) helper_noise: bool,
    pub(super) membership: bool,
    /// Whether it takes the place of the one that is there.
    pub(super) replace: bool,
    pub(super) next_publisher: Option<PublicKey>,
}

impl Agreed {
    /// One window without end, which one task may use up.
    pub(crate) fn new(epsilon: Epsilon, delta: Delta, cohort: u32) -> Self {
        Self {
            epsilon,
            delta,
            cohort,
            window: None,
            releases: 1000,
            helper_noise: false,
            membership: false,
            replace: false,
            next_publisher: None,
        }
    }
}

/// Signs a policy.
pub(crate) fn policy(dir: &Path, agreed: &Agreed) -> Result<(), Failure> {
    let delta = agreed.delta;
    let budget = |option: &str, epsilon: Epsilon| {
        tacit_plan::budget(epsilon, delta)
            .map_err(|error| Failure::input(format!("--{option}{}: {error}", error.field())))
    };

    let rho = budget("", agreed.epsilon)?;
    let window = agreed
        .window
        .map(|(epsilon, hours)| Ok::<_, Failure>((budget("window-", epsilon)?, hours)));
    let (rho_window, window_hours) = window.transpose()?.unwrap_or((rho, u32::MAX));
    if rho_window > rho {
        let problem = "--window-epsilon: a window may not cost more than the lifetime (--epsilon)";
        return Err(Failure::input(problem));
    }

    let (coordinator, helper) = (public_key(dir, "coordinator")?, public_key(dir, "helper")?);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "delta is at most 0.1"
    )]
    let delta_pico_max = (delta.get() * 1e12).round() as u64;
    let own = Policy::new(coordinator, helper, rho, agreed.cohort);
    let path = dir.join("policy.json");
    let serial = match agreed.replace {
        true => next_serial(&path)?,
        false => 1,
    };
    let policy = Policy {
        serial,
        publisher_next: agreed.next_publisher,
        rho_window,
        window_hours,
        releases_max: agreed.releases,
        delta_pico_max,
        helper_noise: agreed.helper_noise,
        membership: agreed.membership,
        ..own
    };

    let signed = SignedPolicy::new(&policy, &read_signing_key(dir, "publisher")?)?;
    let text = serde_json::to_string_pretty(&signed)?;
    match agreed.replace {
        true => files::replace_public(&path, &text)
            .map_err(|error| Failure::input(format!("{}: {error}", path.display()))),
        false => Ok(files::write_new_public(&path, &text)?),
    }
}

/// The serial after that of the policy in a file.
fn next_serial(path: &Path) -> Result<u32, Failure> {
    let text = files::read_text(path).map_err(Failure::input)?;
    let bad = |error: &dyn Display| Failure::input(format!("{}: {error}", path.display()));
    let signed: SignedPolicy = serde_json::from_str(&text).map_err(|error| bad(&error))?;
    let policy = signed.read().map_err(|error| bad(&error))?;
    let next = policy.serial.checked_add(1);
    next.ok_or_else(|| bad(&"has the last serial there is"))
}
