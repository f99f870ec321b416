//! Rounds that cost nothing, because the helper certified that nobody entered them (PRIVACY.md,
//! section 11, rule 2).

use tacit_privacy::Rho;
use tacit_privacy::record::Empty;
use tacit_round::keys::PublicKey;
use tacit_round::nobody_entered::NobodyEntered;
use tacit_round::ticket::Ticket;

/// A line of such a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyRound {
    /// Position in the ledger.
    pub seq: u64,
    /// Hours since the Unix epoch.
    pub time_bucket: u64,
    /// What it says.
    pub line: Empty,
}

/// Rounds of a ledger that cost nothing, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct EmptyRounds(Vec<EmptyRound>);

impl EmptyRounds {
    /// Takes the next line, whose task and place among all rounds are checked already.
    pub(crate) fn take(&mut self, empty: EmptyRound) -> Result<(), String> {
        let (stated, count) = (empty.line.free_rounds, self.0.len() + 1);
        if stated as usize != count {
            return Err(format!(
                "free_rounds is {stated} and the lines so far have {count}"
            ));
        }
        self.0.push(empty);
        Ok(())
    }

    pub(crate) fn all(&self) -> &[EmptyRound] {
        &self.0
    }

    pub(crate) fn into_all(self) -> Vec<EmptyRound> {
        self.0
    }

    /// The first line that does not carry this helper's certificate for its own ticket.
    pub(crate) fn forged(&self, helper: &PublicKey) -> Option<u64> {
        let forged = self
            .0
            .iter()
            .find(|empty| !NobodyEntered::is_on(&empty.line, helper));
        forged.map(|empty| empty.seq)
    }

    /// How many stand before a line.
    pub(crate) fn before(&self, seq: u64) -> u32 {
        let before = self.0.partition_point(|empty| empty.seq < seq);
        u32::try_from(before).unwrap_or(u32::MAX)
    }
}

/// What a device that took part in all of these rounds has spent by its own ledger.
pub(crate) fn price<'a>(rounds: impl IntoIterator<Item = &'a EmptyRound>) -> Rho {
    rounds
        .into_iter()
        .fold(Rho::ZERO, |sum, empty| sum.compose(empty.line.ticket_rho))
}

/// The first field in which a line differs from its ticket.
pub(crate) fn difference(line: &Empty, ticket: &Ticket) -> Option<&'static str> {
    let mechanism = &ticket.mechanism;
    let priced = mechanism.check().is_ok() && mechanism.rho() == line.ticket_rho;
    let same = [
        ("task", line.task == ticket.task),
        ("round", line.round == ticket.round),
        ("ticket_rho", priced),
    ];
    same.iter()
        .find(|(_, same)| !same)
        .map(|(field, _)| *field)
}
