//! The release ledger of one task: exact bytes of its lines, the helper's, heads and tickets.

use tacit_privacy::Rho;
use tacit_round::keys::SignatureBytes;
use tacit_round::ticket::SignedTicket;
use tacit_types::{DeviceId, Digest};

use super::Answer;

/// A line of the helper's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedLine {
    /// Its place in the helper's ledger.
    pub seq: u64,
    /// Exact bytes.
    pub bytes: Vec<u8>,
    /// The helper's signature over them.
    pub signature: SignatureBytes,
}

/// The end of a round, as one commit writes it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Place of the ledger line.
    pub seq: u64,
    /// Its exact bytes.
    pub line: Vec<u8>,
    /// Added to what every contributor of the open round was counted for.
    pub rho: Rho,
    /// What the helper answered, if it did.
    pub helper: Option<SignedLine>,
}

/// The beginning of a new generation, as one commit writes it.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// Ledger lines with their places.
    pub lines: Vec<(u64, Vec<u8>)>,
    /// Tickets of the rounds among them.
    pub tickets: Vec<SignedTicket>,
    /// Added to what every contributor of the open round was counted for.
    pub rho: Rho,
    /// Key of a note that is forgotten.
    pub forget: &'static str,
}

/// The ledger of one task.
pub trait LedgerStore: Send + Sync {
    /// Exact bytes of every line, in order.
    fn lines(&self) -> Answer<Vec<Vec<u8>>>;

    /// Appends a line that belongs to no round. An error when the place is taken.
    fn append_line(&self, seq: u64, line: Vec<u8>) -> Answer<()>;

    /// Appends the line that ends the open round, with the helper's line; counts its price for
    /// every contributor, and moves the round to [`Phase::Recorded`](super::Phase::Recorded). All
    /// of it in one commit.
    ///
    /// [`HelperRefused`](crate::ServerError::HelperRefused) when another line of the helper's is
    /// kept at that place, which would leave the release without its proof.
    fn record(&self, end: Recorded) -> Answer<()>;

    /// Begins a new generation, and forgets the open round. All of it in one commit.
    fn restore(&self, resumed: Resumed) -> Answer<()>;

    /// Every line of the helper's that is kept, in its order.
    fn helper_lines(&self) -> Answer<Vec<SignedLine>>;

    /// Keeps lines of the helper's, and the tickets that some of them are about, in one commit. An
    /// error as for [`Self::record`].
    fn keep_helper_lines(&self, lines: Vec<SignedLine>, tickets: Vec<SignedTicket>) -> Answer<()>;

    /// Signed heads as JSON with their sizes, smallest first.
    fn heads(&self) -> Answer<Vec<(u64, String)>>;

    /// Keeps a signed head.
    fn keep_head(&self, size: u64, json: String) -> Answer<()>;

    /// The file auditors get of a ticket that was opened. An error when there is none.
    fn ticket_file(&self, hash: Digest) -> Answer<Vec<u8>>;

    /// What each contributor of the open round was counted for, by every line of this ledger.
    fn totals_of_round(&self) -> Answer<Vec<(DeviceId, Rho)>>;

    /// What devices were counted for, by every line of this ledger: the first `limit` after this
    /// device, in the order of their ids.
    fn totals(&self, after: Option<DeviceId>, limit: usize) -> Answer<Vec<(DeviceId, Rho)>>;

    /// Counts these devices for at least so much.
    fn raise(&self, totals: Vec<(DeviceId, Rho)>) -> Answer<()>;

    /// A small text kept under `key`.
    fn note(&self, key: &'static str) -> Answer<Option<String>>;

    /// Keeps a small text under `key`, in place of what was there.
    fn keep_note(&self, key: &'static str, text: String) -> Answer<()>;
}
