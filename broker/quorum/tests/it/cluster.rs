//! Several nodes, each pair connected by a wire of its own.

use crate::counter::{Command, Counter, node_id, until};
use crate::proxy::{Proxy, State};
use broker_quorum::{Config, Member, NodeId, Quorum, Timing};
use model::BrokerSlot;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No leader is replaced because the machine was busy: for tests in which none is lost.
pub(crate) fn patient(config: Config) -> Config {
    let election = Duration::from_secs(20)..Duration::from_secs(40);
    Config { timing: Timing { election, ..Timing::default() }, ..config }
}

pub(crate) struct Node {
    pub(crate) quorum: Quorum<Counter>,
    pub(crate) counter: Counter,
}

pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<u16, Node>,
    pub(crate) configs: BTreeMap<u16, Config>,
    pub(crate) dirs: BTreeMap<u16, TempDir>,
    wires: BTreeMap<(u16, u16), Proxy>,
}

impl Cluster {
    /// Wires for the slots `0..slots`; no node runs yet.
    pub(crate) async fn wire(slots: u16, adjust: impl Fn(Config) -> Config) -> Self {
        let mut wires = BTreeMap::new();
        for (from, to) in (0..slots).flat_map(|from| (0..slots).map(move |to| (from, to))) {
            wires.insert((from, to), Proxy::start().await);
        }
        let dirs: BTreeMap<_, _> = (0..slots).map(|slot| (slot, TempDir::new().unwrap())).collect();
        let config = |slot: u16| {
            let mut config = Config::new(node_id(slot, 1), "test", dirs[&slot].path());
            config.is_new = true;
            config.listen = Some("127.0.0.1:0".parse().unwrap());
            config.addresses = (0..slots).map(|to| (BrokerSlot(to), wires[&(slot, to)].address.to_string())).collect();
            adjust(config)
        };
        let configs = (0..slots).map(|slot| (slot, config(slot))).collect();
        Self { nodes: BTreeMap::new(), configs, dirs, wires }
    }

    /// Three nodes that have a leader.
    pub(crate) async fn of_three(adjust: impl Fn(Config) -> Config) -> Self {
        let mut cluster = Self::wire(3, adjust).await;
        for slot in 0..3 {
            cluster.start(slot).await;
        }
        let founded = Instant::now();
        for node in cluster.nodes.values() {
            node.quorum.initialize(cluster.members(&[0, 1, 2])).await.unwrap();
        }
        cluster.leader().await;
        println!("a first leader {:?} after the founding", founded.elapsed());
        cluster
    }

    pub(crate) fn members(&self, slots: &[u16]) -> BTreeMap<NodeId, Member> {
        slots.iter().map(|slot| (node_id(*slot, 1), member(*slot))).collect()
    }

    pub(crate) async fn start(&mut self, slot: u16) {
        let counter = Counter::default();
        let quorum = Quorum::start(self.configs[&slot].clone(), counter.clone()).await.unwrap();
        for ((_, to), wire) in &self.wires {
            if *to == slot {
                wire.lead_to(quorum.address());
            }
        }
        self.nodes.insert(slot, Node { quorum, counter });
    }

    /// Ends a node, as a crash would: nobody is told.
    pub(crate) async fn stop(&mut self, slot: u16) {
        let node = self.nodes.remove(&slot).unwrap();
        for ((_, to), wire) in &self.wires {
            if *to == slot {
                wire.lead_to(None);
            }
        }
        node.quorum.shutdown().await;
    }

    /// Cuts all wires of a node, or mends them.
    pub(crate) fn isolate(&self, slot: u16, isolated: bool) {
        for ((from, to), wire) in &self.wires {
            if (*from == slot) != (*to == slot) {
                wire.be(if isolated { State::Cut } else { State::Open });
            }
        }
    }

    /// Has a node hear nobody, while all hear it; or mends that.
    pub(crate) fn deafen(&self, slot: u16, deaf: bool) {
        for ((from, _), wire) in self.wires.iter().filter(|((from, to), _)| (*from == slot) != (*to == slot)) {
            let state = if *from == slot { State::ThereOnly } else { State::BackOnly };
            wire.be(if deaf { state } else { State::Open });
        }
    }

    /// Waits until all running nodes agree on a leader among them, and says which it is.
    pub(crate) async fn leader(&self) -> u16 {
        self.leader_among(&self.nodes.keys().copied().collect::<Vec<_>>()).await
    }

    pub(crate) async fn leader_among(&self, slots: &[u16]) -> u16 {
        let mut leader = None;
        let mut agreed = || {
            let leaders: BTreeSet<_> = slots.iter().map(|slot| self.nodes[slot].quorum.leader()).collect();
            leader = leaders.first().copied().flatten().map(|id| id.slot().0);
            let leads = |slot: u16| self.nodes[&slot].quorum.leadership().borrow().tenure.is_some();
            leaders.len() == 1 && leader.is_some_and(|leader| slots.contains(&leader) && leads(leader))
        };
        until("the nodes agree on a leader", &mut agreed).await;
        leader.unwrap()
    }

    pub(crate) fn quorum(&self, slot: u16) -> &Quorum<Counter> {
        &self.nodes[&slot].quorum
    }

    /// A running node that does not lead.
    pub(crate) fn follower(&self, leader: u16) -> u16 {
        self.nodes.keys().copied().find(|slot| *slot != leader).unwrap()
    }

    pub(crate) async fn add(&self, slot: u16, number: u64) -> u64 {
        self.quorum(slot).propose(&Command::Add(number)).await.unwrap()
    }

    /// Waits until every running node has the sum.
    pub(crate) async fn all_have(&self, sum: u64) {
        until("all nodes have the sum", || self.nodes.values().all(|node| node.counter.sum() == sum)).await;
    }

    pub(crate) async fn end(mut self) {
        for slot in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.stop(slot).await;
        }
    }
}

pub(crate) fn member(slot: u16) -> Member {
    Member::new(format!("n{slot}"), "127.0.0.1:1")
}
