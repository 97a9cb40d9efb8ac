//! What a heartbeat does to a group.

use super::admit::check_epoch;
use super::reconcile::{Report, reconcile};
use super::state::{AWAY, JOINING, LEAVING, Member, State};
use super::{Assigned, ConsumerHeartbeat, Partitions, Topics};
use crate::group::{GroupError, InstanceId, MemberId, Moment, Settings};
use std::sync::Arc;
use std::time::Duration;

/// What a group is told with a heartbeat, or a request of the classic protocol, beside what is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) now: Moment,
    pub(super) settings: &'a Settings,
    pub(super) topics: &'a Topics,
    /// Whether the topics may have changed since the group last looked at them.
    pub(super) topics_are_news: bool,
}

impl State {
    /// Whether `heartbeat` changes nothing, so that no copy has to be made.
    pub(super) fn is_settled(&self, heartbeat: &ConsumerHeartbeat) -> bool {
        let member = self.members.get(&heartbeat.member);
        let stays = |member: &Arc<Member>| {
            let same = member.epoch == heartbeat.epoch && member.epoch == self.epoch && member.classic.is_none();
            same && member.progress == super::state::Progress::Stable
        };
        heartbeat.is_bare()
            && heartbeat.instance.is_none()
            && self.epoch == self.target_epoch
            && member.is_some_and(stays)
    }

    /// Takes a heartbeat in; on an error the state is not to be used any more.
    pub(super) fn heartbeat(
        &mut self,
        scene: Scene<'_>,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<Assigned, GroupError> {
        match heartbeat.epoch {
            LEAVING => self.leave(scene, heartbeat),
            AWAY => self.go_away(scene, heartbeat),
            _ => self.stay(scene, heartbeat),
        }
    }

    fn stay(&mut self, scene: Scene<'_>, heartbeat: &ConsumerHeartbeat) -> Result<Assigned, GroupError> {
        let id = match heartbeat.member.is_unnamed() {
            true => heartbeat.fresh_member.clone(),
            false => heartbeat.member.clone(),
        };
        let before = self.enrolled(scene.settings, &id, heartbeat)?;
        let mut member = (*before).clone();
        update(&mut member, heartbeat);
        let owned = heartbeat.owned.as_ref();
        let assigned = self.settle(scene, &id, &before, member, owned)?;
        let told = heartbeat.epoch == JOINING || heartbeat.is_full() || assigned != before.assigned;
        let epoch = self.known(&id)?.epoch;
        let heartbeat_interval = scene.settings.consumer_heartbeat_interval;
        Ok(Assigned { member: id, epoch, heartbeat_interval, assignment: told.then_some(assigned) })
    }

    /// Puts in what became of member `id`, which was `before`: a new group epoch if there is a reason, new targets then,
    /// and one step of the member to its own. Returns what it may own now.
    pub(super) fn settle(
        &mut self,
        scene: Scene<'_>,
        id: &MemberId,
        before: &Member,
        member: Member,
        owned: Option<&Partitions>,
    ) -> Result<Partitions, GroupError> {
        let is_new = !self.targets.contains_key(id);
        let resubscribed = is_new || before.topics != member.topics || before.pattern != member.pattern;
        let reassigned = before.assignor != member.assignor;
        self.members.insert(id.clone(), Arc::new(member));
        self.match_patterns(scene.now, scene.topics, scene.topics_are_news)?;
        self.note_subscriptions(resubscribed || reassigned, scene.topics);
        self.assign(scene.topics);
        let member = self.known(id)?;
        let next = reconcile(self, member, &Report { id, owned, resubscribed }, scene.topics);
        let assigned = next.assigned.clone();
        if next != **member {
            self.members.insert(id.clone(), Arc::new(next));
        }
        Ok(assigned)
    }

    /// The member a heartbeat is of, as it was; a new one is made for who joins.
    fn enrolled(
        &mut self,
        settings: &Settings,
        id: &MemberId,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<Arc<Member>, GroupError> {
        let joins = heartbeat.epoch == JOINING;
        if let Some(instance) = heartbeat.instance.as_ref().filter(|_| joins) {
            return self.enrolled_static(settings, id, instance);
        }
        if joins && !self.members.contains_key(id) {
            self.check_room(settings)?;
            return Ok(Arc::default());
        }
        let member = self.identified(id, heartbeat.instance.as_ref())?;
        if member.classic.is_none() {
            check_epoch(member, heartbeat.epoch, heartbeat.owned.as_ref())?;
        }
        Ok(member.clone())
    }

    fn enrolled_static(
        &mut self,
        settings: &Settings,
        id: &MemberId,
        instance: &InstanceId,
    ) -> Result<Arc<Member>, GroupError> {
        let Some((holder, member)) = self.holder(instance).map(|(id, member)| (id.clone(), member.clone())) else {
            self.check_room(settings)?;
            return Ok(Arc::default());
        };
        if holder == *id && !member.is_away() {
            return Ok(member);
        }
        if !member.is_away() && member.classic.is_none() {
            return Err(GroupError::UnreleasedInstance(instance.clone()));
        }
        Ok(self.replace(&holder, id, JOINING))
    }

    /// `new` takes the place of `old`, with all that it may and should own.
    pub(super) fn replace(&mut self, old: &MemberId, new: &MemberId, epoch: i32) -> Arc<Member> {
        let mut member = self.members.remove(old).map(Arc::unwrap_or_clone).unwrap_or_default();
        (member.epoch, member.previous_epoch) = (epoch, epoch);
        (member.progress, member.revoking) = (super::state::Progress::Stable, Partitions::default());
        let member = Arc::new(member);
        self.members.insert(new.clone(), member.clone());
        if let Some(target) = self.targets.remove(old) {
            self.targets.insert(new.clone(), target);
        }
        member
    }

    pub(super) fn check_room(&self, settings: &Settings) -> Result<(), GroupError> {
        let size = self.members.len();
        if size >= settings.members_max { Err(GroupError::GroupFull(size)) } else { Ok(()) }
    }

    fn leave(&mut self, scene: Scene<'_>, heartbeat: &ConsumerHeartbeat) -> Result<Assigned, GroupError> {
        self.identified(&heartbeat.member, heartbeat.instance.as_ref())?;
        self.remove(std::slice::from_ref(&heartbeat.member));
        Ok(gone(scene, heartbeat))
    }

    /// A static member goes and will be back: what it owns stays its own as long as its session lasts.
    fn go_away(&mut self, scene: Scene<'_>, heartbeat: &ConsumerHeartbeat) -> Result<Assigned, GroupError> {
        let mut member = (**self.identified(&heartbeat.member, heartbeat.instance.as_ref())?).clone();
        member.epoch = AWAY;
        member.revoking = Partitions::default();
        self.members.insert(heartbeat.member.clone(), Arc::new(member));
        Ok(gone(scene, heartbeat))
    }
}

fn gone(scene: Scene<'_>, heartbeat: &ConsumerHeartbeat) -> Assigned {
    let heartbeat_interval = scene.settings.consumer_heartbeat_interval;
    Assigned { member: heartbeat.member.clone(), epoch: heartbeat.epoch, heartbeat_interval, assignment: None }
}

/// Takes over what the heartbeat tells.
fn update(member: &mut Member, heartbeat: &ConsumerHeartbeat) {
    let ConsumerHeartbeat { instance, rack, topics, pattern, assignor, rebalance_timeout, .. } = heartbeat;
    member.instance = instance.clone().or(member.instance.take());
    member.rack = rack.clone().or(member.rack.take());
    member.rebalance_timeout = rebalance_timeout.unwrap_or(member.rebalance_timeout).max(Duration::from_secs(1));
    member.assignor = assignor.clone().or(member.assignor.take());
    if let Some(topics) = topics {
        member.topics.clone_from(topics);
    }
    if let Some(pattern) = pattern {
        member.pattern = (!pattern.is_empty()).then(|| pattern.clone());
    }
    member.client_id.clone_from(&heartbeat.client_id);
    member.client_host.clone_from(&heartbeat.client_host);
    member.classic = None;
}
