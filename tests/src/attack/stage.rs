//! What every attack needs: doors, a ticket to answer, and something to count with.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use tacit_round::ticket::Ticket;
use tacit_types::Digest;

use crate::bare::Credentials;
use crate::deployment::Deployment;
use crate::raw::Door;

/// Addresses strangers come from.
const ADDRESSES: u8 = 8;

/// Where attacks are played.
#[derive(Clone)]
pub struct Stage {
    /// Of every attacking identity.
    pub doors: Arc<[Door]>,
    /// Their certificates.
    pub credentials: Arc<[Credentials]>,
    /// Of strangers, one an address.
    pub strangers: Arc<[Door]>,
    /// Address of the coordinator.
    pub address: String,
    /// Root certificate, PEM.
    pub root: String,
    /// The open round.
    pub ticket: Arc<Ticket>,
    /// Hash of its ticket.
    pub hash: Digest,
    /// A published object.
    pub object: Bytes,
    /// Connections of a flood of them.
    pub connections: usize,
    /// What was done.
    pub counts: Arc<Counts>,
}

/// What attackers did, and what was done to them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections made.
    pub opened: AtomicU64,
    /// Connections the daemon did not take.
    pub refused: AtomicU64,
    /// Connections the daemon ended.
    pub closed: AtomicU64,
    /// Frames, messages or calls sent.
    pub sent: AtomicU64,
}

impl Counts {
    /// All of them, set to zero.
    pub fn take(&self) -> [u64; 4] {
        let all = [&self.opened, &self.refused, &self.closed, &self.sent];
        all.map(|count| count.swap(0, Ordering::Relaxed))
    }
}

impl Stage {
    /// Attackers with these credentials before the coordinator of a deployment.
    ///
    /// # Errors
    /// When an address or a certificate cannot be read.
    pub fn new(
        deployment: &Deployment,
        credentials: &[Credentials],
        (ticket, hash): (Ticket, Digest),
        object: Bytes,
        connections: usize,
    ) -> Result<Self> {
        let (address, root) = (
            deployment.coordinator_address(),
            deployment.pki("root.crt")?,
        );
        let at = |host| Ipv4Addr::new(127, 0, 1, host);
        let stranger = |host| Ok(Door::new(&address, &root, None)?.from(at(host)));
        let known = |own| Ok(Door::new(&address, &root, Some(own))?.from(at(ADDRESSES + 1)));
        let strangers: Result<Vec<_>> = (1..=ADDRESSES).map(stranger).collect();
        let doors: Result<Vec<_>> = credentials.iter().map(known).collect();
        Ok(Self {
            strangers: strangers?.into(),
            doors: doors?.into(),
            credentials: credentials.into(),
            address,
            root,
            ticket: Arc::new(ticket),
            hash,
            object,
            connections,
            counts: Arc::default(),
        })
    }

    /// Counts one.
    pub(super) fn count(&self, which: impl Fn(&Counts) -> &AtomicU64, number: u64) {
        which(&self.counts).fetch_add(number, Ordering::Relaxed);
    }

    /// Counts whether a connection was made.
    pub(super) fn opened<T>(&self, made: Result<T>) -> Option<T> {
        let which = if made.is_ok() {
            |counts: &Counts| counts.opened.fetch_add(1, Ordering::Relaxed)
        } else {
            |counts: &Counts| counts.refused.fetch_add(1, Ordering::Relaxed)
        };
        which(&self.counts);
        made.ok()
    }
}
