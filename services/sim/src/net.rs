//! The network: in order within a connection, in any order between connections, cut in one direction or both.

use crate::random::Random;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A broker, by its slot, or a client: [`CLIENTS`] and more.
pub(crate) type Node = usize;

/// Where clients begin.
pub(crate) const CLIENTS: Node = 100;

/// What is spoken of over a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Replication,
    Controller,
    Client,
}

/// One direction of a connection.
pub(crate) type Way = (Lane, Node, Node);

#[derive(Clone, Debug, Default)]
pub(crate) struct SimNet {
    /// Nothing comes through from one to the other.
    cuts: BTreeMap<(Node, Node), ()>,
    /// Counts the connections between two nodes.
    connections: BTreeMap<Way, u64>,
    /// The last connection of somebody who died: what it had sent may still arrive.
    lingering: BTreeMap<Way, u64>,
    /// When the last message of each direction arrives.
    last: BTreeMap<Way, Duration>,
    /// How long a message takes, in microseconds.
    delay: Range<u64>,
}

impl SimNet {
    pub(crate) fn new(delay: Range<u64>) -> Self {
        Self { delay, ..Self::default() }
    }

    /// When a message sent at `now` arrives, and over which connection.
    pub(crate) fn send(&mut self, now: Duration, way: Way, random: &mut Random) -> (Duration, u64) {
        // Now and then a packet has to be sent again.
        let again = if random.chance(1) { random.millis(5..80) } else { Duration::ZERO };
        let last = self.last.entry(way).or_default();
        *last = (now + random.micros(self.delay.clone()) + again).max(*last + Duration::from_micros(1));
        (*last, self.connection(way))
    }

    pub(crate) fn connection(&self, (lane, a, b): Way) -> u64 {
        self.connections.get(&(lane, a.min(b), a.max(b))).copied().unwrap_or_default()
    }

    /// The connection is lost, with all that was under way.
    pub(crate) fn reset(&mut self, (lane, a, b): Way) {
        *self.connections.entry((lane, a.min(b), a.max(b))).or_default() += 1;
        self.last.remove(&(lane, a, b));
        self.last.remove(&(lane, b, a));
    }

    /// The one that is named first has died: what it has sent may still arrive, what was sent to it does not.
    pub(crate) fn die(&mut self, way: Way) {
        self.lingering.insert(way, self.connection(way));
        self.reset(way);
    }

    /// Whether a message sent over `connection` arrives.
    pub(crate) fn arrives(&self, way: Way, connection: u64) -> bool {
        self.connection(way) == connection || self.lingering.get(&way) == Some(&connection)
    }

    pub(crate) fn cut(&mut self, from: Node, to: Node) {
        self.cuts.insert((from, to), ());
    }

    pub(crate) fn heal(&mut self, from: Node, to: Node) {
        self.cuts.remove(&(from, to));
    }

    pub(crate) fn heal_all(&mut self) {
        self.cuts.clear();
    }

    pub(crate) fn is_cut(&self, from: Node, to: Node) -> bool {
        self.cuts.contains_key(&(from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_keeps_the_order_and_another_one_does_not_wait_for_it() {
        let (mut net, mut random) = (SimNet::new(10..5000), Random::new(3));
        let mut overtaken = false;
        let mut before = (Duration::ZERO, Duration::ZERO);
        for _ in 0..100 {
            let (a, _) = net.send(Duration::ZERO, (Lane::Client, 0, 1), &mut random);
            let (b, _) = net.send(Duration::ZERO, (Lane::Controller, 0, 1), &mut random);
            assert!(a > before.0 && b > before.1);
            overtaken |= b < a;
            before = (a, b);
        }
        assert!(overtaken);
    }

    #[test]
    fn a_lost_connection_is_another_one_in_both_directions() {
        let mut net = SimNet::new(1..2);
        let before = net.connection((Lane::Client, 1, 2));
        net.reset((Lane::Client, 2, 1));
        assert_ne!(net.connection((Lane::Client, 1, 2)), before);
        assert_eq!(net.connection((Lane::Replication, 1, 2)), before);
    }
}
