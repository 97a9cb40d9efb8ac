use super::Shared;
use crate::{Member, MemberError, NodeId, Quorum, StateMachine};
use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// How long the other members leave the founding to the first.
const FIRST_MEMBER_MAX: Duration = Duration::from_millis(500);

type WriteError = RaftError<NodeId, ClientWriteError<NodeId, Member>>;

fn refused(error: WriteError) -> MemberError {
    match error {
        RaftError::Fatal(error) => MemberError::Stopped(error.to_string()),
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => MemberError::NotLeader { leader: to.leader_id },
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::InProgress(_) => MemberError::InProgress,
            ChangeMembershipError::EmptyMembership(error) => MemberError::Refused(error.to_string()),
            ChangeMembershipError::LearnerNotFound(error) => MemberError::Refused(error.to_string()),
        },
    }
}

async fn in_time(within: Duration, change: impl Future<Output = Result<(), MemberError>>) -> Result<(), MemberError> {
    timeout(within, change).await.unwrap_or(Err(MemberError::TimedOut { waited: within }))
}

/// Whether the first member founds the quorum in time. Whoever founds stands for election at once, and all of them at the
/// same time would depose each other.
async fn founded(shared: &Shared) -> bool {
    let mut metrics = shared.raft.metrics();
    let known = metrics.wait_for(|now| now.membership_config.nodes().next().is_some());
    timeout(FIRST_MEMBER_MAX, known).await.is_ok_and(|known| known.is_ok())
}

async fn add_learner(shared: &Shared, id: NodeId, member: Member) -> Result<(), MemberError> {
    shared.raft.add_learner(id, member, true).await.map(|_| ()).map_err(refused)
}

async fn change_voters(shared: &Shared, voters: BTreeSet<NodeId>) -> Result<(), MemberError> {
    shared.raft.change_membership(voters, false).await.map(|_| ()).map_err(refused)
}

async fn remove_learner(shared: &Shared, id: NodeId) -> Result<(), MemberError> {
    let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
    shared.raft.change_membership(change, false).await.map(|_| ()).map_err(refused)
}

async fn replace(shared: &Shared, old: Option<NodeId>, new: NodeId, member: Member) -> Result<(), MemberError> {
    let before = shared.membership();
    if !before.is_voter(new) {
        add_learner(shared, new, member).await?;
    }
    let mut voters = before.voters();
    voters.insert(new);
    voters.retain(|id| Some(*id) != old);
    if voters != before.voters() || before.voters.len() > 1 {
        change_voters(shared, voters).await?;
    }
    match old.filter(|old| shared.membership().members().contains_key(old)) {
        Some(old) => remove_learner(shared, old).await,
        None => Ok(()),
    }
}

impl<S: StateMachine> Quorum<S> {
    /// Founds the quorum with `members`, all of them voters. Every founding member calls it with the same ones; where
    /// the quorum is founded already, nothing happens.
    ///
    /// # Errors
    /// [`MemberError::Refused`] when this node is not among `members`.
    pub async fn initialize(&self, members: BTreeMap<NodeId, Member>) -> Result<(), MemberError> {
        if members.first_key_value().is_some_and(|(first, _)| *first != self.id()) && founded(self.shared()).await {
            return Ok(());
        }
        match self.shared().raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(error)) => Err(MemberError::Refused(error.to_string())),
            Err(RaftError::Fatal(error)) => Err(MemberError::Stopped(error.to_string())),
        }
    }

    /// Lets a node listen, without a vote, and waits until it has caught up. Only the leader can.
    ///
    /// # Errors
    /// [`MemberError`] says what is in the way.
    pub async fn add_learner(&self, id: NodeId, member: Member, within: Duration) -> Result<(), MemberError> {
        in_time(within, add_learner(self.shared(), id, member)).await
    }

    /// Makes `voters`, who all have caught up, the only ones with a vote; whoever had one before and has none now is no
    /// member any more. Only the leader can.
    ///
    /// # Errors
    /// [`MemberError`] says what is in the way.
    pub async fn change_voters(&self, voters: BTreeSet<NodeId>, within: Duration) -> Result<(), MemberError> {
        in_time(within, change_voters(self.shared(), voters)).await
    }

    /// Removes a node without a vote. Only the leader can.
    ///
    /// # Errors
    /// [`MemberError`] says what is in the way.
    pub async fn remove_learner(&self, id: NodeId, within: Duration) -> Result<(), MemberError> {
        in_time(within, remove_learner(self.shared(), id)).await
    }

    /// Lets the node `new` in, waits until it has caught up, gives it a vote, and removes `old`, whose disk is lost. Can
    /// be repeated when it was interrupted. Only the leader can.
    ///
    /// # Errors
    /// [`MemberError`] says what is in the way.
    pub async fn replace_member(
        &self,
        old: Option<NodeId>,
        new: NodeId,
        member: Member,
        within: Duration,
    ) -> Result<(), MemberError> {
        in_time(within, replace(self.shared(), old, new, member)).await
    }
}
