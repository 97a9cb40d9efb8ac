use super::admit;
use super::group::ConsumerGroup;
use super::journal::{self, Change, Told};
use super::migrate;
use super::state::{JOINING, State};
use super::{ConsumerDescription, ConsumerHeartbeat, Topics, View};
use crate::config::{GroupConfig, GroupEntries};
use crate::group::machine::Group;
use crate::group::record::ConsumerKey;
use crate::group::{Commit, Coordinator, Effect, GroupError, MemberId, Moment, Reply, Settings, Token};
use model::GroupId;
use std::sync::Arc;

/// What a group was before its last change, for as long as that is not appended.
#[derive(Clone, Debug)]
pub(in crate::group) struct Undo {
    consumer: Option<Arc<State>>,
    classic: Option<Group>,
}

impl Undo {
    pub(super) fn of(state: Arc<State>) -> Self {
        Self { consumer: Some(state), classic: None }
    }
}

impl Coordinator {
    /// Takes note of the topics there are. Groups look at them with their next heartbeat.
    pub fn see_topics(&mut self, topics: Topics) {
        if *self.topics != topics {
            self.topics = Arc::new(topics);
            self.topics_version += 1;
        }
    }

    /// Takes note of what groups say themselves of how they are coordinated. A member hears of it with its next
    /// heartbeat; who is silent until then, and a session longer, is taken for dead.
    pub fn see_entries(&mut self, now: Moment, entries: &Arc<GroupEntries>) {
        if Arc::ptr_eq(&self.entries, entries) {
            return;
        }
        let own = entries.iter().map(|(group, entries)| (group.clone(), GroupConfig::of(entries))).collect();
        let before = std::mem::replace(&mut self.own, own);
        self.entries = entries.clone();
        let is_new = |id: &&GroupId| self.own.get(*id) != before.get(*id);
        let changed: Vec<_> = self.consumers.keys().filter(is_new).cloned().collect();
        for id in changed {
            let heard = before.get(&id).copied().unwrap_or_default().over(&self.settings).consumer_heartbeat_interval;
            let settings = self.settings_of(&id);
            if let Some(group) = self.consumers.get_mut(&id) {
                group.hurry(now, &settings, heard);
            }
            let next = self.deadline_of(&id);
            self.schedule(&id, next);
        }
    }

    /// What holds for a group.
    pub(super) fn settings_of(&self, id: &GroupId) -> Settings {
        self.own.get(id).map_or_else(|| self.settings.clone(), |own| own.over(&self.settings))
    }

    pub(in crate::group) fn on_consumer_heartbeat(
        &mut self,
        now: Moment,
        token: Token,
        heartbeat: &ConsumerHeartbeat,
        out: &mut Vec<Effect>,
    ) {
        let id = &heartbeat.group;
        let before = Undo { consumer: self.consumer_state(id), classic: None };
        let taken = admit::check(heartbeat).and_then(|()| self.take_heartbeat(now, heartbeat, before, out));
        let (changes, result) = match taken {
            Ok((changes, result)) => (changes, result),
            Err(error) => (vec![], Err(error)),
        };
        let changes = self.downgrade_if_due(now, id, changes);
        self.write(id, changes, vec![(token, Reply::Consumer(result))], out);
        self.settle(now, id, out);
    }

    fn take_heartbeat(
        &mut self,
        now: Moment,
        heartbeat: &ConsumerHeartbeat,
        mut before: Undo,
        out: &mut Vec<Effect>,
    ) -> Result<(Vec<Change>, Result<super::Assigned, GroupError>), GroupError> {
        let id = &heartbeat.group;
        let is_known = self.consumers.contains_key(id);
        let mut group = self.taken_group(now, heartbeat)?;
        let (topics, version) = (self.topics.clone(), self.topics_version);
        let settings = self.settings_of(id);
        let view = View { settings: &settings, topics: &topics, version };
        let (mut changes, result) = group.heartbeat(now, view, heartbeat);
        if result.is_err() && !is_known {
            return Ok((changes, result));
        }
        // A group of the classic protocol makes room; whoever of its members waits joins again, here.
        if let Some(mut classic) = self.groups.remove(id) {
            classic.answer_all(&GroupError::RebalanceInProgress, out);
            changes = journal::changes(id, None, Some(&group.state));
            changes.insert(0, classic.tombstone_change());
            before.classic = Some(classic);
        }
        if !changes.is_empty() {
            self.undo.insert(id.clone(), before);
        }
        self.consumers.insert(id.clone(), group);
        Ok((changes, result))
    }

    /// The group, to be put back; a new one for who joins.
    fn taken_group(&mut self, now: Moment, heartbeat: &ConsumerHeartbeat) -> Result<ConsumerGroup, GroupError> {
        let id = &heartbeat.group;
        if let Some(group) = self.consumers.remove(id) {
            return Ok(group);
        }
        match self.groups.get(id) {
            Some(classic) if !classic.is_idle() => self.upgraded_group(now, heartbeat, classic),
            // The members of a region that is gone are told to join again, by an error they know to deal with.
            _ if heartbeat.epoch != JOINING => Err(GroupError::UnknownMember(heartbeat.member.clone())),
            Some(classic) => Ok(ConsumerGroup::following(id.clone(), now, classic.generation)),
            None if !self.has_room() => Err(GroupError::CoordinatorNotAvailable),
            None => Ok(ConsumerGroup::new(id.clone(), now)),
        }
    }

    /// What a group of the classic protocol with members becomes when one of the consumer protocol joins.
    fn upgraded_group(
        &self,
        now: Moment,
        heartbeat: &ConsumerHeartbeat,
        classic: &Group,
    ) -> Result<ConsumerGroup, GroupError> {
        let settings = self.settings_of(&heartbeat.group);
        let may = heartbeat.epoch == JOINING && settings.migration_policy.upgrades();
        let state = may.then(|| migrate::upgraded(classic, &self.topics)).flatten();
        let state = state.ok_or(GroupError::OtherProtocol)?;
        Ok(ConsumerGroup::upgraded(now, &settings, classic, state))
    }

    /// Goes on as a group of the classic protocol when only its members are left; the records for it replace `changes`.
    pub(super) fn downgrade_if_due(&mut self, now: Moment, id: &GroupId, changes: Vec<Change>) -> Vec<Change> {
        let is_due = |group: &ConsumerGroup| migrate::is_to_downgrade(group.state(), &self.settings);
        if changes.is_empty() || !self.consumers.get(id).is_some_and(is_due) {
            return changes;
        }
        let before = self.undo.get(id).and_then(|undo| undo.consumer.clone());
        let Some(group) = self.consumers.remove(id) else { return changes };
        let mut classic = migrate::downgraded(now, &group, &self.topics);
        let mut changes = journal::changes(id, before.as_deref(), None);
        changes.push(classic.record_change(now));
        // Nobody waits for anything yet: no answer comes of it.
        classic.rebalance(now, &self.settings, &mut vec![]);
        self.groups.insert(id.clone(), classic);
        changes
    }

    fn consumer_state(&self, id: &GroupId) -> Option<Arc<State>> {
        self.consumers.get(id).map(|group| group.state.clone())
    }

    /// Answers when `changes`, and all changes before them, are committed.
    pub(super) fn write(
        &mut self,
        id: &GroupId,
        changes: Vec<Change>,
        answers: Vec<(Token, Reply)>,
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::Write { group: id.clone(), records: changes, answers });
    }

    /// The last [`Effect::Write`] of this group is in the log. It counts once it is committed.
    pub fn on_appended(&mut self, id: &GroupId) {
        self.undo.remove(id);
    }

    /// The last [`Effect::Write`] of this group could not be appended: it is as if it had never been.
    pub fn on_refused(&mut self, now: Moment, id: &GroupId) -> Vec<Effect> {
        let mut out = vec![];
        let Some(Undo { consumer, classic }) = self.undo.remove(id) else { return out };
        if let Some(mut replaced) = self.groups.remove(id) {
            replaced.answer_all(&GroupError::CoordinatorNotAvailable, &mut out);
        }
        let settings = self.settings_of(id);
        match (consumer, self.consumers.get_mut(id)) {
            (Some(state), Some(group)) => group.go_back(now, &settings, state),
            (Some(state), None) => {
                let mut group = ConsumerGroup::new(id.clone(), now);
                group.go_back(now, &settings, state);
                self.consumers.insert(id.clone(), group);
            }
            (None, _) => drop(self.consumers.remove(id)),
        }
        if let Some(classic) = classic {
            self.groups.insert(id.clone(), classic);
        }
        let next = self.deadline_of(id);
        self.schedule(id, next);
        out
    }

    /// Makes room for a group of the classic protocol where one of the consumer protocol has nobody left; returns the
    /// epoch that generations go on from.
    pub(in crate::group) fn retire_empty_consumer(&mut self, id: &GroupId, out: &mut Vec<Effect>) -> i32 {
        if !self.consumers.get(id).is_some_and(ConsumerGroup::is_empty) {
            return 0;
        }
        let Some(group) = self.consumers.remove(id) else { return 0 };
        self.undo.insert(id.clone(), Undo { consumer: Some(group.state.clone()), classic: None });
        self.write(id, group.tombstones(), vec![], out);
        group.state.epoch
    }

    /// Takes out the members of a group whose time is up.
    pub(in crate::group) fn expire_consumers(&mut self, now: Moment, id: &GroupId, out: &mut Vec<Effect>) {
        let settings = self.settings_of(id);
        let Some(group) = self.consumers.get_mut(id) else { return };
        let before = Undo { consumer: Some(group.state.clone()), classic: None };
        let changes = group.expire(now, &settings);
        if !changes.is_empty() {
            self.undo.insert(id.clone(), before);
            let changes = self.downgrade_if_due(now, id, changes);
            self.write(id, changes, vec![], out);
        }
    }

    /// Takes one record of a group of the consumer protocol in, while the log is replayed.
    pub(in crate::group) fn replay_consumer(&mut self, now: Moment, id: GroupId, key: ConsumerKey, told: Option<Told>) {
        if key == ConsumerKey::Epoch && told.is_none() {
            self.consumers.remove(&id);
            let next = self.deadline_of(&id);
            return self.schedule(&id, next);
        }
        if told.is_none() && !self.consumers.contains_key(&id) {
            return;
        }
        let settings = self.settings_of(&id);
        let fresh = || ConsumerGroup::new(id.clone(), now);
        self.consumers.entry(id.clone()).or_insert_with(fresh).replay(now, &settings, key, told);
        let next = self.deadline_of(&id);
        self.schedule(&id, next);
    }

    /// Forgets the groups that are coordinated elsewhere from now on, and takes their records back.
    pub(in crate::group) fn lose_consumers(&mut self, lost: &impl Fn(&GroupId) -> bool, out: &mut Vec<Effect>) {
        let gone: Vec<_> = self.consumers.keys().filter(|id| lost(id)).cloned().collect();
        for id in gone {
            let Some(group) = self.consumers.remove(&id) else { continue };
            self.undo.remove(&id);
            self.write(&id, group.tombstones(), vec![], out);
            self.schedule(&id, None);
        }
    }

    /// Deletes what is known of a group of the consumer protocol; `None` when it is none.
    pub(in crate::group) fn delete_consumer(&mut self, id: &GroupId) -> Option<Result<Vec<Effect>, GroupError>> {
        let group = self.consumers.get(id)?;
        if !group.is_empty() {
            return Some(Err(GroupError::NonEmptyGroup));
        }
        let mut out = vec![];
        let records = group.tombstones();
        self.consumers.remove(id);
        self.schedule(id, None);
        self.write(id, records, vec![], &mut out);
        Some(Ok(out))
    }

    /// Whether the member may read what its group has committed.
    ///
    /// # Errors
    /// The [`GroupError`] to answer for the group.
    pub fn admit_fetch(&self, group: &GroupId, member: &MemberId, epoch: i32) -> Result<(), GroupError> {
        self.consumers.get(group).map_or(Ok(()), |known| known.state().check_fetch(member, epoch))
    }

    pub(in crate::group) fn admit_consumer_commit(&self, commit: &Commit) -> Option<Result<(), GroupError>> {
        self.consumers.get(&commit.group).map(|group| group.state().check_commit(commit))
    }

    /// The group as ConsumerGroupDescribe shows it; `None` when there is no such group of the consumer protocol.
    pub fn describe_consumer(&self, id: &GroupId) -> Option<ConsumerDescription> {
        self.consumers.get(id).map(ConsumerGroup::describe)
    }

    /// The topics there are, as the groups see them.
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.clone()
    }
}
