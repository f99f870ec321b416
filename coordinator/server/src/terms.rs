//! Holds a task against what the helper asks of its tickets: `--check-helper`.

use tacit_plan::Plan;
use tacit_proto::v2::TermsResponse;

use crate::config::Config;
use crate::error::ServerError;
use crate::prepared::Prepared;

impl Prepared {
    /// Asks the helper for its terms, over the connection a round would use, and holds the task
    /// against them.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the key that does not meet them;
    /// [`ServerError::HelperUnavailable`] naming the address when there is no answer.
    pub async fn check_helper(&self) -> Result<(), ServerError> {
        let address = self.live.helper.address();
        let terms = self
            .live
            .helper
            .terms()
            .await
            .map_err(|error| match error {
                ServerError::HelperUnavailable(why) => {
                    ServerError::HelperUnavailable(format!("{address}: {why}"))
                }
                other => other,
            })?;
        let problem = problem(&self.config, &self.inputs.planned, &terms);
        problem.map_or(Ok(()), |problem| Err(ServerError::OperatorConfig(problem)))
    }
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
