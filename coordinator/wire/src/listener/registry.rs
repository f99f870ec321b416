//! Every connection there is: who it is, what it does, and which one has to go.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::identity::{Leaf, Peer};
use crate::revoked::{Fault, Standing};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    leaf: Option<Leaf>,
    standing: Standing,
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
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificate it shows.
    pub(crate) fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_ref()
    }

    /// What is wrong with its certificate now.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.standing.fault(self.leaf.as_ref()?)
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

    fn is_stranger(&self) -> bool {
        matches!(self.who, Who::Anonymous(_))
    }

    /// Whether it has stood long enough, or shows a certificate that holds no more. `drain` is when
    /// the drain began.
    fn is_over(&self, now: Instant, limits: &Limits, drain: Option<Instant>) -> bool {
        if self.fault().is_some() {
            return true;
        }

        let Calls { open, since } = *self.calls();
        if open > 0 {
            let longest = match self.who {
                // No stranger's call is worth waiting for: enrolment takes a moment.
                Who::Anonymous(_) if drain.is_some() => Some(limits.idle_draining),
                Who::Anonymous(_) => Some(limits.calls_anonymous),
                Who::Known(Peer::Device(_)) => Some(limits.calls_device),
                // Calls of the other server may follow each other for as long as both live.
                Who::Known(_) => None,
            };
            let from = drain
                .filter(|_| self.is_stranger())
                .map_or(since, |drain| drain.max(since));
            return longest.is_some_and(|longest| now >= from + longest);
        }

        let idle = match self.who {
            Who::Anonymous(_) => limits.idle_anonymous,
            Who::Known(_) => limits.idle,
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
    standing: Standing,
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
    pub(crate) fn new(limits: Limits, standing: Standing, close: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            limits,
            standing,
            close,
            rooms: Mutex::default(),
        })
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a connection that shows this certificate; `None` at a cap where none is idle.
    pub(crate) fn enter_known(self: &Arc<Self>, leaf: Leaf, now: Instant) -> Option<Place> {
        self.enter(Who::Known(leaf.peer), Some(leaf), now)
    }

    /// Takes in a stranger's; `None` at a cap where none is idle.
    pub(crate) fn enter_stranger(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Place> {
        self.enter(Who::at(address), None, now)
    }

    fn enter(self: &Arc<Self>, who: Who, leaf: Option<Leaf>, now: Instant) -> Option<Place> {
        let (own, all) = match who {
            Who::Anonymous(_) => (self.limits.per_address, self.limits.anonymous),
            Who::Known(_) => (self.limits.per_peer, self.limits.known),
        };

        let mut rooms = self.rooms();
        let room = rooms.of(who);
        let turn = |other: &Connection| other.turn(now, &self.limits);
        let own_turn = |other: &Connection| turn(other).filter(|_| other.who == who);
        let owned = room.values().filter(|other| other.who == who).count();
        let fits = (owned < own || displace(room, own_turn))
            && (room.len() < all || displace(room, turn) || displace_of_most(room, owned));
        if !fits {
            return None;
        }

        let connection = Arc::new(Connection {
            who,
            leaf,
            standing: self.standing.clone(),
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

/// Closes the longest without a pause of whoever has most connections; `false` when nobody has two
/// more than the `owned` ones of the peer that wants to come in. So nobody keeps others out by
/// keeping its own busy.
fn displace_of_most(room: &mut Room, owned: usize) -> bool {
    let mut counts: HashMap<Who, usize> = HashMap::new();
    for connection in room.values() {
        *counts.entry(connection.who).or_default() += 1;
    }

    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    let Some((most, _)) = most.filter(|(_, count)| *count >= owned + 2) else {
        return false;
    };

    displace(room, |other| {
        let since = other.calls().since;
        (other.who == most).then_some((false, since))
    })
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tacit_types::{DeviceId, Timestamp};

    use super::*;

    fn registry(known: usize) -> Arc<Registry> {
        let limits = Limits {
            known,
            ..Limits::default()
        };
        Registry::new(limits, Standing::default(), CancellationToken::new())
    }

    fn leaf(peer: Peer) -> Leaf {
        Leaf {
            peer,
            key: None,
            ends: Timestamp(u64::MAX),
        }
    }

    fn device(name: u8) -> Leaf {
        leaf(Peer::Device(DeviceId([name; DeviceId::LEN])))
    }

    /// HOSTILE 21: who keeps its connections busy gives one to who has fewer, and to nobody else.
    #[test]
    fn a_busy_crowd_of_one_peer_keeps_nobody_out() {
        let (registry, now) = (registry(6), Instant::now());
        let mut inside = Vec::new();
        for who in [1, 1, 1, 1, 2, 2] {
            let place = registry.enter_known(device(who), now).unwrap();
            inside.push((place.connection().begin_call(), place));
        }

        let closed = || {
            let closing = inside
                .iter()
                .map(|(_, place)| &place.connection().closing);
            closing
                .filter(|closing| closing.is_cancelled())
                .count()
        };

        // Six each with a call: the one that has most would take from nobody.
        assert!(registry.enter_known(device(1), now).is_none());
        let _third = registry.enter_known(device(3), now).unwrap();
        assert_eq!(closed(), 1);
        assert!(inside[0].1.connection().closing.is_cancelled());
        let _again = registry.enter_known(device(3), now).unwrap();
        assert_eq!(closed(), 2);
        // Now all have two.
        assert!(registry.enter_known(device(3), now).is_none());
    }

    /// HOSTILE 14: a call that a device never ends is over after a while; those of the other server
    /// may follow each other for ever.
    #[test]
    fn a_devices_endless_call_ends_with_its_connection() {
        let (registry, now) = (registry(6), Instant::now());
        let enter = |who| {
            let place = registry.enter_known(who, now).unwrap();
            (place.connection().begin_call(), place)
        };

        let device = enter(device(1));
        let server = enter(leaf(Peer::Coordinator));
        registry.sweep(now + Duration::from_secs(170), None);
        assert!(!device.1.connection().closing.is_cancelled());
        registry.sweep(now + Duration::from_secs(200), None);
        assert!(device.1.connection().closing.is_cancelled());
        assert!(!server.1.connection().closing.is_cancelled());
    }
}
