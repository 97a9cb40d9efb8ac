//! Members of the classic protocol in a group of the consumer protocol (KIP-848, online migration): they join, sync and
//! beat as ever, and are given what the coordinator assigned. Nobody leads, so nobody assigns.

use super::admit::check_generation;
use super::heartbeat::Scene;
use super::protocol::{Subscription, assignment, read_subscription};
use super::state::{Classic, JOINING, Member, Progress, State};
use crate::group::{GroupError, InstanceId, Join, Joined, Leaver, MemberId, Sync, Synced};
use std::sync::Arc;

/// What consumers call their kind of group.
const CONSUMER: &str = "consumer";

impl State {
    /// JoinGroup; on an error the state is not to be used any more.
    pub(super) fn classic_join(&mut self, scene: Scene<'_>, join: &Join) -> Result<Joined, GroupError> {
        self.check_protocols(join)?;
        if join.member.is_unnamed() && join.instance.is_none() && join.names_first {
            return Err(GroupError::MemberIdRequired(join.fresh_member.clone()));
        }
        let id = if join.member.is_unnamed() { join.fresh_member.clone() } else { join.member.clone() };
        let before = self.enrolled_classic(scene, &id, join)?;
        let subscription = self.subscription(scene, join)?;
        let member = updated(&before, join, &subscription);
        let protocol = join.protocols.first().map(|protocol| protocol.name.clone()).unwrap_or_default();
        self.settle(scene, &id, &before, member, Some(&subscription.owned))?;
        Ok(Joined {
            generation: self.known(&id)?.epoch,
            protocol_type: CONSUMER.to_owned(),
            protocol,
            leader: MemberId::new(""),
            member: id,
            skip_assignment: false,
            members: vec![],
        })
    }

    /// Whether somebody with these protocols can be in a group with the members of the classic protocol who are here.
    fn check_protocols(&self, join: &Join) -> Result<(), GroupError> {
        let shared = |name: &str| {
            let mut classic = self.members.values().filter_map(|member| member.classic.as_ref());
            classic.all(|known| known.protocols.iter().any(|protocol| protocol.name == name))
        };
        let fits = join.protocol_type == CONSUMER && join.protocols.iter().any(|protocol| shared(&protocol.name));
        if fits { Ok(()) } else { Err(GroupError::InconsistentProtocol) }
    }

    fn subscription(&self, scene: Scene<'_>, join: &Join) -> Result<Subscription, GroupError> {
        let first = join.protocols.first().ok_or(GroupError::InconsistentProtocol)?;
        read_subscription(&first.metadata, scene.topics).ok_or(GroupError::InconsistentProtocol)
    }

    fn enrolled_classic(&mut self, scene: Scene<'_>, id: &MemberId, join: &Join) -> Result<Arc<Member>, GroupError> {
        let holder = join.instance.as_ref().and_then(|instance| self.holder(instance));
        let holder = holder.map(|(id, member)| (id.clone(), member.clone()));
        match (holder, &join.instance) {
            (Some((holder, member)), _) if holder == *id => Ok(member),
            // A static member that comes back as a new process has no name yet.
            (Some((holder, _)), _) if join.member.is_unnamed() => {
                let epoch = self.target_epoch;
                Ok(self.replace(&holder, id, epoch))
            }
            (Some(_), Some(instance)) => Err(GroupError::FencedInstance(instance.clone())),
            _ => match self.members.get(id) {
                Some(member) => Ok(member.clone()),
                None => self.check_room(scene.settings).map(|()| Arc::default()),
            },
        }
    }

    /// The member of the classic protocol that a request names.
    fn classic_member(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
        generation: i32,
    ) -> Result<(&Arc<Member>, &Classic), GroupError> {
        let member = self.identified(id, instance)?;
        let classic = member.classic.as_ref().ok_or_else(|| GroupError::UnknownMember(id.clone()))?;
        check_generation(member, generation)?;
        Ok((member, classic))
    }

    /// SyncGroup.
    pub(super) fn classic_sync(&self, scene: Scene<'_>, sync: &Sync) -> Result<Synced, GroupError> {
        let (member, classic) = self.classic_member(&sync.member, sync.instance.as_ref(), sync.generation)?;
        let first = classic.protocols.first().ok_or(GroupError::InconsistentProtocol)?;
        let differs = |given: &Option<String>, ours: &str| given.as_deref().is_some_and(|given| given != ours);
        if differs(&sync.protocol_type, CONSUMER) || differs(&sync.protocol, &first.name) {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.epoch > member.epoch && member.progress != Progress::Revoking {
            return Err(GroupError::RebalanceInProgress);
        }
        let version = read_subscription(&first.metadata, scene.topics).map_or(0, |known| known.version);
        let assignment = assignment(version, &member.assigned, scene.topics);
        Ok(Synced { protocol_type: CONSUMER.to_owned(), protocol: first.name.clone(), assignment })
    }

    /// Heartbeat: whether the member has to join again, to give something back or to be given something.
    pub(super) fn classic_heartbeat(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
        generation: i32,
    ) -> Result<(), GroupError> {
        let (member, _) = self.classic_member(id, instance, generation)?;
        let behind = member.epoch < self.epoch || member.progress == Progress::Revoking;
        let served = member.progress == Progress::Waiting && !self.waits(id, member);
        if behind || served { Err(GroupError::RebalanceInProgress) } else { Ok(()) }
    }

    /// Whether others still hold something of the member's target.
    fn waits(&self, id: &MemberId, member: &Member) -> bool {
        let target = self.target(id);
        let missing = target.without(&member.assigned);
        missing.iter().any(|(topic, partition)| self.is_held_by_others(id, topic, partition))
    }

    /// The member that is to go; those of the consumer protocol go with a heartbeat, or by their static name.
    pub(super) fn classic_leaver(&self, leaver: &Leaver) -> Result<MemberId, GroupError> {
        let unknown = || GroupError::UnknownMember(leaver.member.clone());
        match &leaver.instance {
            Some(instance) if leaver.member.is_unnamed() => {
                self.holder(instance).map(|(id, _)| id.clone()).ok_or_else(unknown)
            }
            instance => {
                let member = self.identified(&leaver.member, instance.as_ref())?;
                member.classic.as_ref().map(|_| leaver.member.clone()).ok_or_else(unknown)
            }
        }
    }
}

fn updated(before: &Member, join: &Join, subscription: &Subscription) -> Member {
    let classic = Classic { session_timeout: join.session_timeout, protocols: join.protocols.clone() };
    Member {
        instance: join.instance.clone().or_else(|| before.instance.clone()),
        client_id: join.client_id.clone(),
        client_host: join.client_host.clone(),
        topics: subscription.topics.clone(),
        pattern: None,
        rebalance_timeout: join.rebalance_timeout,
        assignor: None,
        classic: Some(classic),
        epoch: before.epoch.max(JOINING),
        ..before.clone()
    }
}
