//! Keeps the helper's ledger beside the coordinator's own: every head says how long it is, and
//! auditors get both.

use tokio::runtime::Handle;

use super::Driver;
use crate::error::ServerError;
use crate::standing::HelperEnd;

impl Driver {
    /// Takes over every line that the helper has written since; `None` when stopped first.
    pub(super) fn follow_helper(
        &mut self,
        runtime: &Handle,
    ) -> Result<Option<HelperEnd>, ServerError> {
        let mut end = HelperEnd::of(&self.store.helper_lines().wait()?);
        let from = end.size;
        let Some(standing) = self.standing(runtime, from)? else {
            return Ok(None);
        };
        if standing.size < from {
            return Err(gone_back(standing.size, from));
        }

        let mut new = Vec::with_capacity(standing.lines.len());
        for line in standing.lines {
            end = end.after(&line)?;
            new.push(line.signed);
        }
        if !new.is_empty() {
            self.store.keep_helper_lines(new).wait()?;
        }
        Ok(Some(end))
    }
}

fn gone_back(has: u64, signed: u64) -> ServerError {
    ServerError::OperatorConfig(format!(
        "helper: its ledger has {has} lines and it has signed {signed}, so its state was put back \
         from a copy; start the helper once with --restored"
    ))
}
