use model::{BrokerSlot, Incarnation};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A node of a quorum: its slot over its incarnation, `slot << 16 | incarnation`.
///
/// A slot is a place (a region of the council, a broker of a region); an empty disk in the same place is a new
/// incarnation and so another node, which never votes, or is counted, for the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NodeId(u64);

impl NodeId {
    /// The node in `slot` that started from its `incarnation`-th empty disk.
    pub const fn of(slot: BrokerSlot, incarnation: Incarnation) -> Self {
        Self((slot.0 as u64) << 16 | incarnation.0 as u64)
    }

    /// Its place.
    pub const fn slot(self) -> BrokerSlot {
        BrokerSlot((self.0 >> 16) as u16)
    }

    /// How many empty disks its place has seen.
    pub const fn incarnation(self) -> Incarnation {
        Incarnation(self.0 as u16)
    }
}

impl fmt::Display for NodeId {
    /// `slot.incarnation`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl From<u64> for NodeId {
    fn from(packed: u64) -> Self {
        Self(packed)
    }
}

impl From<NodeId> for u64 {
    fn from(id: NodeId) -> Self {
        id.0
    }
}

/// Who a node is to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// A name for people, for example the region's.
    pub name: String,
    /// Where its quorum listener is, `host:port`; empty for a quorum of one that does not listen.
    pub address: String,
}

impl Member {
    /// The member `name` that listens at `address`.
    pub fn new(name: impl Into<String>, address: impl ToString) -> Self {
        Self { name: name.into(), address: address.to_string() }
    }
}

/// The nodes of a quorum.
///
/// While voters change there are two sets of them, and a decision needs a majority of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Membership {
    pub(crate) voters: Vec<BTreeSet<NodeId>>,
    pub(crate) members: BTreeMap<NodeId, Member>,
}

impl Membership {
    /// Everybody whose vote counts.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.voters.iter().flatten().copied().collect()
    }

    /// All nodes, voters and learners.
    pub fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// Whether `id` has a vote.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.iter().any(|set| set.contains(&id))
    }

    /// The node that has `slot` now, by its latest incarnation.
    pub fn in_slot(&self, slot: BrokerSlot) -> Option<NodeId> {
        self.members.keys().rev().find(|id| id.slot() == slot).copied()
    }

    /// Whether `nodes` hold a majority of every set of voters.
    pub fn is_quorum(&self, nodes: &BTreeSet<NodeId>) -> bool {
        self.voters.iter().all(|set| set.intersection(nodes).count() > set.len() / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_its_slot_over_its_incarnation() {
        let id = NodeId::of(BrokerSlot(3), Incarnation(7));
        assert_eq!(u64::from(id), 3 << 16 | 7);
        assert_eq!((id.slot(), id.incarnation()), (BrokerSlot(3), Incarnation(7)));
        assert_eq!(id.to_string(), "3.7");
        assert!(NodeId::of(BrokerSlot(1), Incarnation(9)) < NodeId::of(BrokerSlot(2), Incarnation(1)));
    }

    #[test]
    fn a_joint_quorum_needs_both_majorities() {
        let set = |ids: &[u64]| ids.iter().map(|id| NodeId(*id)).collect::<BTreeSet<_>>();
        let joint = Membership { voters: vec![set(&[1, 2, 3]), set(&[2, 3, 4])], members: BTreeMap::new() };
        assert!(joint.is_quorum(&set(&[2, 3])));
        assert!(!joint.is_quorum(&set(&[1, 2])));
    }
}
