//! Keeps the helper's ledger beside the coordinator's own: every head says how long it is, auditors
//! get both, and a helper that was put back from an older copy gets its own lines from here.

use std::ops::Range;

use tacit_privacy::canonical;
use tacit_privacy::record::{Event, Line};
use tacit_proto::v2;
use tacit_round::keys::Context;
use tacit_round::ticket::{Countersignature, Ticket, TicketFile};
use tacit_types::Digest;
use tokio::runtime::Handle;

use super::Driver;
use super::ask::Asked;
use crate::error::ServerError;
use crate::standing::{HelperEnd, to_proto};
use crate::storage::SignedLine;

/// Lines that are given back at once: each may come with a ticket of 64 KiB.
const PART: usize = 8;

impl Driver {
    /// Takes over every line that the helper has written since; `None` when stopped first.
    pub(super) fn follow_helper(
        &mut self,
        runtime: &Handle,
    ) -> Result<Option<HelperEnd>, ServerError> {
        let known = self.store.helper_lines().wait()?;
        let mut end = HelperEnd::of(&known);
        let Some(standing) = self.standing(runtime, end.size)? else {
            return Ok(None);
        };
        if standing.size < end.size {
            let given = self.give_back(runtime, &known, standing.size..end.size)?;
            return Ok(given.then_some(end));
        }

        let mut new = Vec::with_capacity(standing.lines.len());
        let mut tickets = Vec::new();
        for line in standing.lines {
            end = end.after(&line)?;
            tickets.extend(line.signed_ticket(&self.signing)?);
            new.push(line.signed);
        }
        if !new.is_empty() {
            self.store.keep_helper_lines(new, tickets).wait()?;
        }
        Ok(Some(end))
    }

    /// Whether the helper's line of this ticket is kept here.
    pub(super) fn keeps_line_of(&self, ticket: Digest) -> Result<bool, ServerError> {
        let lines = self.store.helper_lines().wait()?;
        for line in lines.iter().rev() {
            if let Event::Countersigned(signed) = Line::from_bytes(&line.bytes)?.event
                && signed.ticket_hash == ticket
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the helper was put back from an older copy meanwhile, and has its lines again now.
    pub(super) fn has_mended_helper(&self, runtime: &Handle) -> Result<bool, ServerError> {
        let known = self.store.helper_lines().wait()?;
        let end = HelperEnd::of(&known).size;
        match self.standing(runtime, end)? {
            Some(standing) if standing.size < end => {
                self.give_back(runtime, &known, standing.size..end)
            }
            _ => Ok(false),
        }
    }

    /// Gives a restored helper the lines it lost, and the newest head. False when stopped first.
    fn give_back(
        &self,
        runtime: &Handle,
        known: &[SignedLine],
        lost: Range<u64>,
    ) -> Result<bool, ServerError> {
        let lost = known.iter().filter(|line| lost.contains(&line.seq));
        let lines: Vec<v2::HelperLine> = lost
            .map(|line| self.with_ticket(line))
            .collect::<Result<_, _>>()?;
        tracing::warn!(event = "lines_given_back", count = lines.len());
        let heads = self.store.heads().wait()?;
        let head = heads.last().map(|(_, json)| json.clone().into_bytes());
        let mut parts: Vec<_> = lines
            .chunks(PART)
            .map(|part| (part.to_vec(), Vec::new()))
            .collect();
        parts.extend(head.map(|head| (Vec::new(), head)));
        for (lines, head) in parts {
            let helper = self.helper.clone();
            let give = || helper.give_back(lines.clone(), head.clone());
            match self.until_answered(runtime, give)? {
                Asked::Answer(()) => {}
                Asked::Refused(reason) => return Err(ServerError::HelperRefused(reason)),
                Asked::Stopped => return Ok(false),
            }
        }
        Ok(true)
    }

    fn with_ticket(&self, line: &SignedLine) -> Result<v2::HelperLine, ServerError> {
        let Event::Countersigned(signed) = Line::from_bytes(&line.bytes)?.event else {
            return Ok(to_proto(line, None));
        };
        let file = self.store.ticket_file(signed.ticket_hash).wait()?;
        let file: TicketFile = canonical::decode(&file)?;
        let draft = Ticket::from_bytes(file.ticket.as_bytes())?.draft();
        let ticket = Countersignature {
            draft_signature: self.signing.sign(Context::Draft, &draft.to_bytes()?),
            bytes: file.ticket.into_bytes(),
            helper_signature: file.helper_signature,
        };
        Ok(to_proto(line, Some(&ticket)))
    }
}
