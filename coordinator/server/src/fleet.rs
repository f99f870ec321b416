//! Whether the devices of the fleet will take part in a task, found out before it starts: a device
//! refuses what its policy does not allow, and says nothing of it.

use std::path::Path;

use tacit_plan::Plan;
use tacit_privacy::Rho;
use tacit_round::policy::Policy;
use tacit_round::signed_policy::SignedPolicy;
use tacit_wire::files;

use crate::config::Config;
use crate::error::ServerError;
use crate::storage::sqlite::{Short, short};

/// Reads the policy the app ships and holds the task against it, and against what devices were
/// counted for by the deployment's earlier tasks.
///
/// # Errors
/// [`ServerError::OperatorConfig`] naming the key to change, with the sums where a budget is short.
pub(crate) fn check(path: &Path, config: &Config, plan: &Plan) -> Result<(), ServerError> {
    let wrong = |problem: String| {
        let path = path.display();
        ServerError::OperatorConfig(format!("policy '{path}': {problem}"))
    };

    let text = files::read_text(path).map_err(|error| wrong(error.to_string()))?;
    let signed: SignedPolicy =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    // Who signed it is for devices to check; that it is a policy is enough here.
    let policy = signed
        .read()
        .map_err(|error| wrong(error.to_string()))?;
    agrees(&policy, config, plan).map_err(wrong)?;
    let room = room(&policy, plan).map_err(wrong)?;
    let (folder, task) = (config.deployment_state(), &config.task.name);
    match short(folder, task, room, plan.cohort)? {
        Some(short) => Err(wrong(too_few(&policy, plan, &short))),
        None => Ok(()),
    }
}

/// Bounds that hold for every device alike.
fn agrees(policy: &Policy, config: &Config, plan: &Plan) -> Result<(), String> {
    let task = &config.task;
    let releases = u32::try_from(plan.releases.len()).unwrap_or(u32::MAX);
    let hours = task.deadline_seconds.div_ceil(3600);
    let latest_hours = task.latest_deadline_seconds().div_ceil(3600);
    let dearest = plan.releases.iter().map(|(_, rho)| *rho).max();
    let dearest = dearest.unwrap_or_default();
    let bounds = [
        (
            "helper.identity_key is not its helper_key",
            policy.helper_key == config.helper.identity_key,
        ),
        (
            "task.helper_noise is required",
            plan.helper_noise || !policy.helper_noise,
        ),
        (
            "task.membership is required",
            task.membership || !policy.membership,
        ),
        (
            "task.history_max is above largest_history",
            plan.history_max <= policy.history_max,
        ),
        (
            "task.delta is above largest_delta_pico",
            plan.delta_pico <= policy.delta_pico_max,
        ),
        (
            "task.dishonest is below smallest_dishonest_milli",
            plan.dishonest_milli >= policy.dishonest_milli_min,
        ),
        (
            "task.deadline_seconds is above largest_deadline_hours",
            hours <= policy.deadline_hours_max.into(),
        ),
        (
            "task.latest_deadline_seconds is above largest_latest_deadline_hours",
            latest_hours <= policy.latest_deadline_hours_max.into(),
        ),
        (
            "the task has more releases than largest_releases_per_task",
            releases <= policy.releases_max,
        ),
        (
            "the task has more rounds than largest_round",
            releases <= policy.rounds_max,
        ),
        (
            "a release costs more than largest_rho_per_release",
            dearest <= policy.rho_release_max,
        ),
        (
            "a release costs more than largest_rho_per_window",
            dearest <= policy.rho_window,
        ),
    ];

    if let Some((problem, _)) = bounds.iter().find(|(_, holds)| !holds) {
        return Err(format!("every device would refuse: {problem}"));
    }

    let honest = policy.honest_min..=policy.honest_max;
    if !honest.contains(&plan.n_min) {
        return Err(format!(
            "every device would refuse: task.cohort gives n_min {}, and the policy allows {} to {}",
            plan.n_min, policy.honest_min, policy.honest_max
        ));
    }

    Ok(())
}

const REMEDY: &str = "lower task.epsilon, or sign a policy with a larger lifetime budget";

/// What a device may have spent before and still pay for the whole task.
fn room(policy: &Policy, plan: &Plan) -> Result<Rho, String> {
    let (asked, allowed) = (plan.rho_budget, policy.rho_lifetime);
    allowed.minus(asked).ok_or_else(|| {
        format!(
            "no device can pay: the task costs rho {}, a lifetime allows {}; {REMEDY}",
            shown(asked),
            shown(allowed)
        )
    })
}

/// Why a task is refused whose known devices cannot pay. A device that took part in nothing yet is
/// not known, and how many of those will come nobody can say; so it is refused only when known ones
/// are short, and too few of the others are left.
fn too_few(policy: &Policy, plan: &Plan, short: &Short) -> String {
    format!(
        "{} of {} devices that took part before cannot pay: the task costs rho {}, a lifetime \
         allows {}, and up to {} of it are spent; {} can pay and a round takes {}; {REMEDY}",
        short.short,
        short.short + short.able,
        shown(plan.rho_budget),
        shown(policy.rho_lifetime),
        shown(short.most),
        short.able,
        plan.cohort
    )
}

/// Rho as people read it.
fn shown(rho: Rho) -> String {
    format!("{:.4}", rho.to_f64_up())
}

#[cfg(test)]
mod tests {
    use tacit_plan::plan;
    use tacit_round::keys::PublicKey;

    use super::*;

    fn planned() -> Plan {
        let task: crate::config::Task = serde_json::from_value(serde_json::json!({
            "name": "films",
            "catalogue": "catalogue.txt",
            "epsilon": 8.0,
            "delta": 1e-5,
            "cohort": 40,
        }))
        .unwrap();
        plan(&task.request(300).unwrap()).unwrap()
    }

    fn allowing(rho: Rho) -> Policy {
        Policy::new(PublicKey([1; 32]), PublicKey([2; 32]), rho, 40)
    }

    #[test]
    fn a_fleet_that_has_spent_its_budget_is_found_out_with_the_sums() {
        let plan = planned();
        let once = plan.rho_budget;
        assert_eq!(room(&allowing(once), &plan), Ok(Rho::ZERO));
        let twice = allowing(once.compose(once));
        assert_eq!(room(&twice, &plan), Ok(once));

        let less = Rho::saturating_from_units(once.units() - 1);
        let none = room(&allowing(less), &plan).unwrap_err();
        assert!(
            none.starts_with("no device can pay: the task costs rho "),
            "{none}"
        );

        let short = Short {
            able: 10,
            short: 30,
            most: once,
        };
        let spent = too_few(&allowing(once), &plan, &short);
        assert!(
            spent.starts_with("30 of 40 devices that took part before cannot pay"),
            "{spent}"
        );
        assert!(spent.contains("10 can pay and a round takes 40"), "{spent}");
    }
}
