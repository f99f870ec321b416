//! A helper whose own state was put back from an older copy: noticed by what it has signed itself,
//! and taken up only when its operator says so. The coordinator gives back the lines it lost.

use tacit_privacy::canonical;
use tacit_privacy::record::TreeHead;
use tacit_round::head::SignedHead;
use tacit_round::keys::Context;
use tacit_round::ticket::Ticket;
use tacit_types::TaskId;

use crate::error::Failure;
use crate::helper::Helper;
use crate::store::Store;
use crate::store::lines::{SignedLine, parse, task_of};
use crate::store::lost::Lost;

/// What the coordinator gives back.
pub(crate) struct GivenBack {
    /// The newest head that both signed, if it is given.
    pub(crate) head: Option<SignedHead>,
    /// Lines of one task, in order.
    pub(crate) lines: Vec<Lost>,
}

impl Helper {
    /// Whether a line that this helper signed stands in its ledger. If not, its state is an older
    /// copy, and only its operator can say what is to be done.
    pub(crate) fn check_known(&self, store: &Store, shown: &SignedLine) -> Result<(), Failure> {
        let unknown = Failure::Malformed("newest is no line that this helper signed");
        let own = self.signing.public();
        if !own.verifies(Context::Line, &shown.bytes, &shown.signature) {
            return Err(unknown);
        }
        let line = parse(&shown.bytes)?;
        let Some(task) = task_of(&line.event) else {
            return Err(unknown);
        };
        let stands = store.lines_from(task, line.seq, 1)?.pop();
        match stands {
            Some(stands) if stands.bytes == shown.bytes => Ok(()),
            Some(_) => Err(Failure::OldCopy(format!(
                "state = '{}': helper.sqlite has another line {} of the ledger of '{task}' than \
                 this helper has signed; put the newest back",
                self.state.display(),
                line.seq
            ))),
            None if self.restored => Ok(()),
            None => Err(self.old_copy(task, line.seq + 1, store.end_of(task)?.size)),
        }
    }

    /// Whether the ledger that a draft stands in counts no more of this helper's lines than there
    /// are.
    pub(crate) fn check_counted(&self, store: &Store, asked: &Ticket) -> Result<(), Failure> {
        let SignedHead {
            head,
            helper_signature,
            ..
        } = &asked.logged.head;
        let own = store.end_beside(head.ledger_id)?.size;
        let bytes = canonical::encode(head)?;
        let is_own = || {
            let key = self.signing.public();
            key.verifies(Context::Head, &bytes, helper_signature)
        };
        if head.helper_size <= own || !is_own() {
            return Ok(());
        }
        if self.restored {
            let problem = "this helper was restored and waits for the lines it lost";
            return Err(tacit_round::helper::HelperRefusal::Draft(problem.into()).into());
        }
        Err(self.old_copy(&asked.task, head.helper_size, own))
    }

    fn old_copy(&self, task: &TaskId, signed: u64, has: u64) -> Failure {
        Failure::OldCopy(format!(
            "state = '{}': helper.sqlite is an older copy: it has {has} lines of the ledger of \
             '{task}', and this helper has signed {signed}; put the newest back, or start once \
             with --restored, which ends every open round",
            self.state.display()
        ))
    }

    /// Takes back lines that this helper signed and lost, and the newest head.
    pub(crate) fn take_back(&self, given: &GivenBack) -> Result<(), Failure> {
        if !self.restored {
            return Err(Failure::Malformed("this helper was not restored"));
        }
        let mut store = self.store();
        let own = self.signing.public();
        for lost in &given.lines {
            store.take_back(lost, &own)?;
        }
        let Some(signed) = &given.head else {
            return Ok(());
        };
        if !signed.verifies(&self.coordinator_key, &own) {
            return Err(Failure::Malformed(
                "a head given back is not one that both parties signed",
            ));
        }
        let newest = store.newest_head(signed.head.ledger_id)?;
        let place = |head: &TreeHead| (head.generation, head.size);
        if newest.is_none_or(|newest| place(&newest) < place(&signed.head)) {
            store.add_head(&signed.head)?;
        }
        Ok(())
    }
}
