//! What openraft is told about us. Nothing outside this crate sees its types.

pub(crate) mod codec;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod store;
#[cfg(test)]
mod suite;
pub(crate) mod voice;

use crate::{Applied, Member, Membership, NodeId, Position};
use bytes::Bytes;

openraft::declare_raft_types!(
    /// The types of our quorums: commands and answers are bytes, so that the consensus is compiled once.
    pub(crate) Types:
        D = Commands,
        R = Answers,
        NodeId = NodeId,
        Node = Member,
        Entry = openraft::Entry<Types>,
        SnapshotData = tokio::fs::File,
        AsyncRuntime = openraft::TokioRuntime,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type RaftEntry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type StoredMembership = openraft::StoredMembership<NodeId, Member>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;
pub(crate) type Metrics = openraft::RaftMetrics<NodeId, Member>;

/// Commands that were proposed together: one log entry, one flush.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Commands(pub(crate) Vec<Bytes>);

/// Their answers, in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Answers(pub(crate) Vec<Bytes>);

impl From<LogId> for Position {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl From<Position> for LogId {
    fn from(position: Position) -> Self {
        Self::new(openraft::CommittedLeaderId::new(position.term, position.leader), position.index)
    }
}

impl From<&openraft::Membership<NodeId, Member>> for Membership {
    fn from(membership: &openraft::Membership<NodeId, Member>) -> Self {
        Self {
            voters: membership.get_joint_config().clone(),
            members: membership.nodes().map(|(id, member)| (*id, member.clone())).collect(),
        }
    }
}

impl From<&Membership> for openraft::Membership<NodeId, Member> {
    fn from(membership: &Membership) -> Self {
        Self::new(membership.voters.clone(), membership.members.clone())
    }
}

impl Applied {
    /// Moves on to `position`, where `membership` came into force if it is given.
    pub(crate) fn advance(&mut self, position: Position, membership: Option<&openraft::Membership<NodeId, Member>>) {
        self.position = Some(position);
        if let Some(membership) = membership {
            self.membership_position = Some(position);
            self.membership = membership.into();
        }
    }

    pub(crate) fn stored_membership(&self) -> StoredMembership {
        StoredMembership::new(self.membership_position.map(LogId::from), (&self.membership).into())
    }

    pub(crate) fn of_snapshot(meta: &openraft::SnapshotMeta<NodeId, Member>) -> Self {
        Self {
            position: meta.last_log_id.map(Position::from),
            membership_position: meta.last_membership.log_id().map(Position::from),
            membership: meta.last_membership.membership().into(),
        }
    }
}
