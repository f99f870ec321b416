//! Every connection there is: who it is, what it does, and which one has to go.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::identity::Peer;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody knows: no certificate, or not yet.
    Anonymous(IpAddr),
    /// The owner of a certificate.
    Known(Peer),
}

impl Who {
    /// A peer from this address. One customer has a whole /64 of IPv6.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Anonymous(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
            four => four,
        })
    }
}

/// One connection, shared by its stream and by each of its calls.
#[derive(Debug)]
pub(crate) struct Connection {
    who: Who,
    opened: Instant,
    calls: Mutex<Calls>,
    closing: CancellationToken,
}

#[derive(Debug)]
struct Calls {
    open: usize,
    /// When the last call ended, or the first of those open began.
    since: Instant,
}

impl Connection {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when the connection has to end.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Counts a call until what is returned is dropped.
    pub(crate) fn begin_call(self: &Arc<Self>) -> Call {
        let mut calls = self.calls();
        if calls.open == 0 {
            calls.since = Instant::now();
        }
        calls.open += 1;
        Call(self.clone())
    }

    /// Where it stands in the row of those that may be closed for another, the first to go first:
    /// idle ones by their time, then strangers whose call takes too long.
    fn turn(&self, now: Instant, limits: &Limits) -> Option<(bool, Instant)> {
        let Calls { open, since } = *self.calls();
        let least = match (open, self.who) {
            (0, _) => limits.idle_least,
            (_, Who::Anonymous(_)) => limits.call_anonymous,
            (_, Who::Known(_)) => return None,
        };
        (now >= since + least).then_some((open > 0, since))
    }

    /// Whether it has stood long enough. `drain` is when the drain began.
    fn is_over(&self, now: Instant, limits: &Limits, drain: Option<Instant>) -> bool {
        let Calls { open, since } = *self.calls();
        let anonymous = matches!(self.who, Who::Anonymous(_));
        if open > 0 {
            return anonymous && now >= since + limits.calls_anonymous;
        }
        let idle = if anonymous {
            limits.idle_anonymous
        } else {
            limits.idle
        };
        let drained = drain.is_some_and(|drain| now >= drain.max(since) + limits.idle_draining);
        drained || now >= since + idle || now >= self.opened + limits.age
    }
}

/// A call under way.
pub(crate) struct Call(Arc<Connection>);

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = self.0.calls();
        calls.open -= 1;
        if calls.open == 0 {
            calls.since = Instant::now();
        }
    }
}

/// All connections of a listener.
pub(crate) struct Registry {
    limits: Limits,
    /// Closes every connection.
    close: CancellationToken,
    rooms: Mutex<Rooms>,
}

/// Strangers and peers do not compete for room.
#[derive(Default)]
struct Rooms {
    next: u64,
    anonymous: Room,
    known: Room,
}

type Room = BTreeMap<u64, Arc<Connection>>;

impl Rooms {
    fn of(&mut self, who: Who) -> &mut Room {
        match who {
            Who::Anonymous(_) => &mut self.anonymous,
            Who::Known(_) => &mut self.known,
        }
    }
}

impl Registry {
    pub(crate) fn new(limits: Limits, close: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            limits,
            close,
            rooms: Mutex::default(),
        })
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in; `None` at a cap where none is idle.
    pub(crate) fn enter(self: &Arc<Self>, who: Who, now: Instant) -> Option<Place> {
        let (own, all) = match who {
            Who::Anonymous(_) => (self.limits.per_address, self.limits.anonymous),
            Who::Known(_) => (self.limits.per_peer, self.limits.known),
        };
        let mut rooms = self.rooms();
        let room = rooms.of(who);
        let turn = |other: &Connection| other.turn(now, &self.limits);
        let own_turn = |other: &Connection| turn(other).filter(|_| other.who == who);
        let owned = room.values().filter(|other| other.who == who).count();
        let fits =
            (owned < own || displace(room, own_turn)) && (room.len() < all || displace(room, turn));
        if !fits {
            return None;
        }
        let connection = Arc::new(Connection {
            who,
            opened: now,
            calls: Mutex::new(Calls {
                open: 0,
                since: now,
            }),
            closing: self.close.child_token(),
        });
        let id = rooms.next;
        rooms.next += 1;
        rooms.of(who).insert(id, connection.clone());
        Some(Place {
            registry: self.clone(),
            id,
            connection,
        })
    }

    /// Closes the stranger that has been idle longest: the process is out of descriptors.
    pub(crate) fn shed(&self, now: Instant) {
        displace(&mut self.rooms().anonymous, |other| {
            other.turn(now, &self.limits)
        });
    }

    /// Closes what is over; whether anything is left.
    pub(crate) fn sweep(&self, now: Instant, drain: Option<Instant>) -> bool {
        let rooms = self.rooms();
        let all = rooms.anonymous.values().chain(rooms.known.values());
        all.filter(|connection| connection.is_over(now, &self.limits, drain))
            .for_each(|connection| connection.closing.cancel());
        !(rooms.anonymous.is_empty() && rooms.known.is_empty())
    }
}

/// Closes the first in the row; `false` when nobody stands in it.
fn displace(room: &mut Room, turn: impl Fn(&Connection) -> Option<(bool, Instant)>) -> bool {
    let first = room
        .iter()
        .filter_map(|(id, connection)| Some((turn(connection)?, *id)))
        .min();
    let displaced = first.and_then(|(_, id)| room.remove(&id));
    if let Some(connection) = &displaced {
        connection.closing.cancel();
    }
    displaced.is_some()
}

/// A connection's place in the registry, given back when dropped.
pub(crate) struct Place {
    registry: Arc<Registry>,
    id: u64,
    connection: Arc<Connection>,
}

impl Place {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut rooms = self.registry.rooms();
        rooms.of(self.connection.who).remove(&self.id);
    }
}
