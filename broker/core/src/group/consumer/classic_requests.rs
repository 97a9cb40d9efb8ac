//! The classic protocol's requests to groups of the consumer protocol.

use super::group::ConsumerGroup;
use super::heartbeat::Scene;
use super::state::State;
use crate::group::{
    Coordinator, Effect, GroupError, Heartbeat, Join, Joined, Leave, MemberId, Moment, Reply, Settings, Sync, Token,
};
use model::GroupId;
use std::sync::Arc;

impl Coordinator {
    /// Whether members of the classic protocol are answered here: somebody is in a group of the consumer protocol.
    pub(in crate::group) fn is_mixed(&self, id: &GroupId) -> bool {
        self.consumers.get(id).is_some_and(|group| !group.is_empty())
    }

    pub(in crate::group) fn on_mixed_join(&mut self, now: Moment, token: Token, join: &Join, out: &mut Vec<Effect>) {
        let mut joined = Err(GroupError::UnknownMember(join.member.clone()));
        let changes = self.change_consumer(now, &join.group, |group, settings, scene| {
            let mut next = (*group.state).clone();
            joined = next.classic_join(scene, join);
            let member = joined.as_ref().ok().map(|joined: &Joined| joined.member.clone());
            let changes = member.as_ref().map(|_| group.turn_into(now, settings, next)).unwrap_or_default();
            if let Some(member) = member {
                group.touch(now, settings, &member);
                group.expect(now, &member, true);
            }
            changes
        });
        self.write(&join.group, changes, vec![(token, Reply::Join(joined))], out);
        self.settle(now, &join.group, out);
    }

    pub(in crate::group) fn on_mixed_sync(&mut self, now: Moment, token: Token, sync: &Sync, out: &mut Vec<Effect>) {
        let mut synced = Err(GroupError::UnknownMember(sync.member.clone()));
        self.change_consumer(now, &sync.group, |group, settings, scene| {
            synced = group.state.classic_sync(scene, sync);
            match &synced {
                Ok(_) => group.expect_nothing(&sync.member),
                Err(GroupError::RebalanceInProgress) => group.expect(now, &sync.member, false),
                Err(_) => {}
            }
            if synced.is_ok() {
                group.touch(now, settings, &sync.member);
            }
            vec![]
        });
        self.write(&sync.group, vec![], vec![(token, Reply::Sync(synced))], out);
        self.settle(now, &sync.group, out);
    }

    pub(in crate::group) fn on_mixed_heartbeat(
        &mut self,
        now: Moment,
        heartbeat: &Heartbeat,
    ) -> Result<(), GroupError> {
        let Heartbeat { member, instance, generation, .. } = heartbeat;
        let mut result = Err(GroupError::UnknownMember(member.clone()));
        self.change_consumer(now, &heartbeat.group, |group, settings, _| {
            result = group.state.classic_heartbeat(member, instance.as_ref(), *generation);
            match &result {
                Err(GroupError::RebalanceInProgress) => group.expect(now, member, false),
                Ok(()) => {}
                Err(_) => return vec![],
            }
            group.touch(now, settings, member);
            vec![]
        });
        let next = self.deadline_of(&heartbeat.group);
        self.schedule(&heartbeat.group, next);
        result
    }

    pub(in crate::group) fn on_mixed_leave(&mut self, now: Moment, token: Token, leave: &Leave, out: &mut Vec<Effect>) {
        let mut results = vec![];
        let changes = self.change_consumer(now, &leave.group, |group, settings, _| {
            let mut gone: Vec<MemberId> = vec![];
            for leaver in &leave.members {
                let found = group.state.classic_leaver(leaver).and_then(|id| match gone.contains(&id) {
                    true => Err(GroupError::UnknownMember(id)),
                    false => Ok(id),
                });
                results.push(found.map(|id| gone.push(id)));
            }
            group.take_out(now, settings, &gone)
        });
        let changes = self.downgrade_if_due(now, &leave.group, changes);
        self.write(&leave.group, changes, vec![(token, Reply::Leave(Ok(results)))], out);
        self.settle(now, &leave.group, out);
    }

    /// Lets `change` change a group, and remembers what it was if that is to be written down.
    fn change_consumer(
        &mut self,
        now: Moment,
        id: &GroupId,
        change: impl FnOnce(&mut ConsumerGroup, &Settings, Scene<'_>) -> Vec<super::journal::Change>,
    ) -> Vec<super::journal::Change> {
        let (topics, version) = (self.topics.clone(), self.topics_version);
        let settings = self.settings_of(id);
        let Some(group) = self.consumers.get_mut(id) else { return vec![] };
        let before: Arc<State> = group.state.clone();
        let news = group.topics_seen != version;
        let scene = Scene { now, settings: &settings, topics: &topics, topics_are_news: news };
        let changes = change(group, &settings, scene);
        if !changes.is_empty() {
            group.topics_seen = version;
            self.undo.insert(id.clone(), super::Undo::of(before));
        }
        changes
    }
}
