use super::Shared;
use crate::{Member, NodeId, Quorum, StateMachine};
use std::collections::BTreeMap;

/// How far the nodes of a quorum have come, as far as one node knows. Only the leader knows of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The leader.
    pub leader: Option<NodeId>,
    /// The term the asked node is in.
    pub term: u64,
    /// Everything below this index of the log is committed.
    pub committed: u64,
    /// The nodes with a vote.
    pub voters: BTreeMap<NodeId, Replica>,
    /// Those that only follow.
    pub learners: BTreeMap<NodeId, Replica>,
}

/// One node of a quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Who it is to the others.
    pub member: Member,
    /// The index after the last entry it has; `None` where that is not known.
    pub tail: Option<u64>,
}

impl<S: StateMachine> Quorum<S> {
    /// How far the nodes have come, as far as this one knows. Nobody is asked.
    pub fn progress(&self) -> Progress {
        progress(self.shared())
    }
}

fn progress(shared: &Shared) -> Progress {
    let leader = shared.leader();
    let metrics = shared.raft.metrics();
    let metrics = metrics.borrow();
    let tail = |id: NodeId| match &metrics.replication {
        _ if id == metrics.id => Some(metrics.last_log_index.map_or(0, |index| index + 1)),
        Some(known) => known.get(&id).map(|matching| matching.map_or(0, |entry| entry.index + 1)),
        None => None,
    };
    let membership = metrics.membership_config.membership();
    let is_voter = |id: &NodeId| membership.voter_ids().any(|voter| voter == *id);
    let replicas = membership.nodes().map(|(id, member)| (*id, Replica { member: member.clone(), tail: tail(*id) }));
    let (voters, learners) = replicas.partition(|(id, _)| is_voter(id));
    let committed = metrics.last_applied.map_or(0, |entry| entry.index + 1);
    Progress { leader, term: metrics.current_term, committed, voters, learners }
}
