//! Holds a task against what the helper asks of its tickets: at every start, and for
//! `--check-helper`.

use tacit_plan::Plan;
use tacit_proto::v2::TermsResponse;

use crate::config::Config;
use crate::error::ServerError;
use crate::helper::HelperClient;
use crate::prepared::Prepared;

impl Prepared {
    /// Asks the helper for its terms, over the connection a round would use, and holds the task
    /// against them.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the key that does not meet them;
    /// [`ServerError::HelperUnavailable`] naming the address when there is no answer.
    pub async fn check_helper(&self) -> Result<(), ServerError> {
        check(&self.live.helper, &self.config, &self.inputs.planned).await
    }
}

/// As [`Prepared::check_helper`], except that a helper which is away says nothing against the task:
/// a round would be refused for the same reasons, but only once enough devices have come for it.
pub(crate) async fn refuse_unmet(
    helper: &HelperClient,
    config: &Config,
    plan: &Plan,
) -> Result<(), ServerError> {
    match check(helper, config, plan).await {
        Err(ServerError::HelperUnavailable(_)) => Ok(()),
        checked => checked,
    }
}

async fn check(helper: &HelperClient, config: &Config, plan: &Plan) -> Result<(), ServerError> {
    let address = helper.address();
    let terms = helper.terms().await;
    let terms = terms.map_err(|error| match error {
        ServerError::HelperUnavailable(why) => {
            ServerError::HelperUnavailable(format!("{address}: {why}"))
        }
        other => other,
    })?;
    let problem = problem(config, plan, &terms);
    problem.map_or(Ok(()), |problem| Err(ServerError::OperatorConfig(problem)))
}

/// The first term that the task does not meet, and what to change.
fn problem(config: &Config, plan: &Plan, terms: &TermsResponse) -> Option<String> {
    let task = &config.task;
    if terms.identity_key != config.helper.identity_key.0[..] {
        let key = hex::encode(&terms.identity_key);
        return Some(format!(
            "helper.identity_key is not that of the helper at this address, which is {key}; ask \
             the partner whether it is theirs"
        ));
    }
    if task.cohort > terms.cohort_max {
        let most = terms.cohort_max;
        return Some(format!(
            "task.cohort must be at most {most}, the most the helper sums"
        ));
    }
    if plan.n_min < terms.honest_min {
        let (has, least) = (plan.n_min, terms.honest_min);
        return Some(format!(
            "task.cohort leaves {has} honest devices under dropout and dishonest, and the helper \
             hides one among at least {least}; raise it, or ask the partner for another honest_min"
        ));
    }
    match (task.membership, terms.issuer.is_empty()) {
        (true, true) => Some(
            "task.membership is on, and the helper has no [membership]; leave it out, or ask the \
             partner for it"
                .into(),
        ),
        (false, _) if terms.membership_required => {
            Some("task.membership must be true: the helper requires members".into())
        }
        _ => None,
    }
}
