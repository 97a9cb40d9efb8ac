use super::Ends;
use super::packet::Ports;
use crate::sockets;
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long the ports of a connection are taken to be asked for by the same process again.
const SAME_WITHIN: Duration = Duration::from_secs(5);
/// How long packets wait at most until it is looked up who has opened their connections, and how many.
const LEARN_EVERY: Duration = Duration::from_millis(100);
const HELD_MAX: usize = 10_000;

/// Processes that nobody else reaches over the line, and that reach nobody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Island {
    /// Who lives on it.
    pub pids: Vec<u32>,
    /// The ports on which they listen.
    pub ports: Vec<u16>,
}

/// Who has opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// One who lives on the island.
    Islander,
    /// Somebody else.
    Stranger,
    /// Somebody who has closed it.
    Gone,
}

/// Whether a packet passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It does.
    Open,
    /// It leads from the island to somebody else, or back.
    Cut,
    /// It is not known yet who has opened its connection.
    Unknown,
}

/// An island, what is known of the connections on the line, and packets of those of which nothing is known yet.
#[derive(Debug)]
pub(super) struct Shore {
    island: Island,
    /// Since when who is known.
    callers: HashMap<Ports, (Caller, Instant)>,
    held: Vec<(Ports, Vec<u8>)>,
    learned_at: Option<Instant>,
}

impl Shore {
    pub(super) fn of(island: Island) -> Self {
        Self { island, callers: HashMap::new(), held: Vec::new(), learned_at: None }
    }

    /// Whether packets of the connection pass. What its caller has closed is held to lead across.
    pub(super) fn passage(&self, ports: Ports, is_new: bool) -> Passage {
        let is_known = |since: &Instant| !is_new || since.elapsed() < SAME_WITHIN;
        let Some((caller, _)) = self.callers.get(&ports).filter(|(_, since)| is_known(since)) else {
            return Passage::Unknown;
        };
        let listens_here = self.island.ports.contains(&ports.1);
        let is_open = match caller {
            Caller::Islander => listens_here,
            Caller::Stranger => !listens_here,
            Caller::Gone => false,
        };
        if is_open { Passage::Open } else { Passage::Cut }
    }

    /// Keeps a packet until it is known who has opened its connection.
    pub(super) fn hold(&mut self, ports: Ports, packet: Vec<u8>) {
        if self.held.len() < HELD_MAX {
            self.callers.remove(&ports);
            self.held.push((ports, packet));
        }
    }

    /// The packets that were kept, now and then, when all of their callers are known.
    pub(super) fn settle(&mut self, ends: &Ends) -> Vec<Vec<u8>> {
        if self.held.is_empty() || self.learned_at.is_some_and(|at| at.elapsed() < LEARN_EVERY) {
            return Vec::new();
        }
        self.learn(ends);
        let held = std::mem::take(&mut self.held);
        for (ports, _) in &held {
            self.callers.entry(*ports).or_insert_with(|| (Caller::Gone, Instant::now()));
        }
        held.into_iter().map(|(_, packet)| packet).collect()
    }

    /// Takes note of all connections of the line at once: asking takes milliseconds.
    fn learn(&mut self, ends: &Ends) {
        let islanders: BTreeSet<_> = self.island.pids.iter().flat_map(|pid| sockets::held_by(*pid)).collect();
        let is_at = |address: &SocketAddr, end: Ipv4Addr| address.ip() == end;
        let ours = sockets::all().into_iter().filter(|((near, far), _)| is_at(near, ends.near) && is_at(far, ends.far));
        for ((near, far), socket) in ours {
            let caller = if islanders.contains(&socket) { Caller::Islander } else { Caller::Stranger };
            self.callers.entry((near.port(), far.port())).or_insert_with(|| (caller, Instant::now()));
        }
        self.learned_at = Some(Instant::now());
    }
}
