//! Whether the devices of the fleet will take part in a task, found out before it starts: a device
//! refuses what its policy does not allow, and says nothing of it.

use std::path::Path;

use tacit_plan::Plan;
use tacit_privacy::Rho;
use tacit_round::policy::Policy;
use tacit_round::signed_policy::SignedPolicy;
use tacit_wire::files;

use crate::accounts;
use crate::config::Config;
use crate::error::ServerError;

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
    let policy = signed.read().map_err(|error| wrong(error.to_string()))?;
    agrees(&policy, config, plan).map_err(wrong)?;
    let counted = accounts::counted_before(config.deployment_state(), &config.task.name)?;
    can_pay(&policy, plan, &counted).map_err(wrong)
}

/// Bounds that hold for every device alike.
fn agrees(policy: &Policy, config: &Config, plan: &Plan) -> Result<(), String> {
    let task = &config.task;
    let releases = u32::try_from(plan.releases.len()).unwrap_or(u32::MAX);
    let hours = task.deadline_seconds.div_ceil(3600);
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

/// Whether enough devices are left that can pay for the whole task.
///
/// `counted` is what earlier tasks counted each device for. A device that is not in it has taken
/// part in nothing yet, and how many of those will come nobody knows; so the task is refused only
/// when not even a new device could pay, or when it is the known ones that cannot.
fn can_pay(policy: &Policy, plan: &Plan, counted: &[Rho]) -> Result<(), String> {
    let (asked, allowed) = (plan.rho_budget, policy.rho_lifetime);
    let remedy = "lower task.epsilon, or sign a policy with a larger lifetime budget";
    if asked > allowed {
        return Err(format!(
            "no device can pay: the task costs rho {}, a lifetime allows {}; {remedy}",
            shown(asked),
            shown(allowed)
        ));
    }

    let short = counted
        .iter()
        .filter(|spent| spent.compose(asked) > allowed);
    let short: Vec<Rho> = short.copied().collect();
    let able = counted.len() - short.len();
    if short.is_empty() || able >= plan.cohort as usize {
        return Ok(());
    }

    let most = short.iter().copied().max().unwrap_or_default();
    Err(format!(
        "{} of {} devices that took part before cannot pay: the task costs rho {}, a lifetime \
         allows {}, and up to {} of it are spent; {able} can pay and a round takes {}; {remedy}",
        short.len(),
        counted.len(),
        shown(asked),
        shown(allowed),
        shown(most),
        plan.cohort
    ))
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
        let (once, twice) = (plan.rho_budget, plan.rho_budget.compose(plan.rho_budget));
        assert_eq!(can_pay(&allowing(once), &plan, &[]), Ok(()));
        assert_eq!(can_pay(&allowing(twice), &plan, &[once; 60]), Ok(()));

        let less = Rho::saturating_from_units(once.units() - 1);
        let none = can_pay(&allowing(less), &plan, &[]).unwrap_err();
        assert!(
            none.starts_with("no device can pay: the task costs rho "),
            "{none}"
        );

        let spent = can_pay(&allowing(once), &plan, &[once; 40]).unwrap_err();
        assert!(
            spent.starts_with("40 of 40 devices that took part before cannot pay"),
            "{spent}"
        );

        // As long as a cohort can, the others may stay away.
        let mixed = [vec![once; 40], vec![Rho::ZERO; 40]].concat();
        assert_eq!(can_pay(&allowing(once), &plan, &mixed), Ok(()));
        assert!(can_pay(&allowing(once), &plan, &mixed[..79]).is_err());
    }
}
