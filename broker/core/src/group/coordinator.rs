use super::consumer::{ConsumerGroup, Topics, Undo};
use super::machine::{Group, Phase, reply};
use super::member::Member;
use super::record::{GroupRecord, MemberRecord};
use super::subscription::subscribed_topics;
use super::{
    Commit, Description, Effect, GroupError, Heartbeat, Join, Leave, Leaver, Listing, MemberId, Moment, Protocol,
    Reply, Request, Settings, Sync, Token, commit,
};
use crate::config::{GroupConfig, GroupEntries};
use model::GroupId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The groups one broker coordinates.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub(super) settings: Settings,
    /// Those of the classic protocol. No name is in both.
    pub(super) groups: BTreeMap<GroupId, Group>,
    /// Those of the consumer protocol.
    pub(super) consumers: BTreeMap<GroupId, ConsumerGroup>,
    /// What groups were before a change that is not appended yet.
    pub(super) undo: BTreeMap<GroupId, Undo>,
    pub(super) topics: Arc<Topics>,
    pub(super) topics_version: u64,
    /// Groups with settings of their own, as they were told.
    pub(super) entries: Arc<GroupEntries>,
    pub(super) own: BTreeMap<GroupId, GroupConfig>,
    /// When each group wants to be looked at, or earlier: signs of life only make a group's deadline later.
    due: BTreeSet<(Duration, GroupId)>,
    scheduled: BTreeMap<GroupId, Duration>,
}

impl Coordinator {
    /// One without groups.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            groups: BTreeMap::new(),
            consumers: BTreeMap::new(),
            undo: BTreeMap::new(),
            topics: Arc::default(),
            topics_version: 1,
            entries: Arc::default(),
            own: BTreeMap::new(),
            due: BTreeSet::new(),
            scheduled: BTreeMap::new(),
        }
    }

    /// Takes a request. Its answer is among the effects now, or of a later call.
    pub fn on_request(&mut self, now: Moment, token: Token, request: Request) -> Vec<Effect> {
        let mut out = vec![];
        match request {
            Request::Join(join) => self.on_join(now, token, &join, &mut out),
            Request::Sync(sync) => self.on_sync(now, token, sync, &mut out),
            Request::Heartbeat(heartbeat) => {
                out.push(reply(token, Reply::Heartbeat(self.on_heartbeat(now, &heartbeat))));
            }
            Request::Leave(leave) => self.on_leave(now, token, &leave, &mut out),
            Request::Consumer(heartbeat) => self.on_consumer_heartbeat(now, token, &heartbeat, &mut out),
        }
        out
    }

    fn on_join(&mut self, now: Moment, token: Token, join: &Join, out: &mut Vec<Effect>) {
        if let Err(error) = self.admit_join(join) {
            out.push(reply(token, Reply::Join(Err(error))));
            return;
        }
        if self.is_mixed(&join.group) {
            return self.on_mixed_join(now, token, join, out);
        }
        let generation = self.retire_empty_consumer(&join.group, out);
        let fresh = || Group { generation, ..Group::new(join.group.clone(), now.wall) };
        let group = self.groups.entry(join.group.clone()).or_insert_with(fresh);
        group.join(now, &self.settings, token, join, out);
        self.settle(now, &join.group, out);
    }

    fn admit_join(&self, join: &Join) -> Result<(), GroupError> {
        let Settings { session_timeout_min: min, session_timeout_max: max, member_bytes_max: allowed, .. } =
            self.settings;
        if join.group.as_str().is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        if join.session_timeout < min || join.session_timeout > max {
            return Err(GroupError::InvalidSessionTimeout { given: join.session_timeout, min, max });
        }
        let given = join.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum();
        if given > allowed {
            return Err(GroupError::TooMuchMetadata { given, allowed });
        }
        match self.groups.contains_key(&join.group) || self.is_mixed(&join.group) {
            false if !join.member.is_unnamed() => Err(GroupError::UnknownMember(join.member.clone())),
            false if !self.has_room() => Err(GroupError::CoordinatorNotAvailable),
            _ => Ok(()),
        }
    }

    /// Whether one more group may come.
    pub(super) fn has_room(&self) -> bool {
        self.groups.len() + self.consumers.len() < self.settings.groups_max
    }

    fn on_sync(&mut self, now: Moment, token: Token, sync: Sync, out: &mut Vec<Effect>) {
        if self.is_mixed(&sync.group) {
            return self.on_mixed_sync(now, token, &sync, out);
        }
        let id = sync.group.clone();
        match self.member_group(&id, &sync.member) {
            Ok(group) => group.sync(now, token, sync, out),
            Err(error) => out.push(reply(token, Reply::Sync(Err(error)))),
        }
        self.settle(now, &id, out);
    }

    fn on_heartbeat(&mut self, now: Moment, heartbeat: &Heartbeat) -> Result<(), GroupError> {
        if self.is_mixed(&heartbeat.group) {
            return self.on_mixed_heartbeat(now, heartbeat);
        }
        self.member_group(&heartbeat.group, &heartbeat.member)?.heartbeat(now, heartbeat)
    }

    fn on_leave(&mut self, now: Moment, token: Token, leave: &Leave, out: &mut Vec<Effect>) {
        if self.is_mixed(&leave.group) {
            return self.on_mixed_leave(now, token, leave, out);
        }
        let settings = self.settings.clone();
        let unknown = |leaver: &Leaver| Err(GroupError::UnknownMember(leaver.member.clone()));
        let result = match self.groups.get_mut(&leave.group) {
            _ if leave.group.as_str().is_empty() => Err(GroupError::InvalidGroupId),
            Some(group) => Ok(group.leave(now, &settings, &leave.members, out)),
            None => Ok(leave.members.iter().map(unknown).collect()),
        };
        out.push(reply(token, Reply::Leave(result)));
        self.settle(now, &leave.group, out);
    }

    fn member_group(&mut self, group: &GroupId, member: &MemberId) -> Result<&mut Group, GroupError> {
        if group.as_str().is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        self.groups.get_mut(group).ok_or_else(|| GroupError::UnknownMember(member.clone()))
    }

    /// Lets happen what is due in `group` already, and notes when it wants to be looked at next.
    pub(super) fn settle(&mut self, now: Moment, id: &GroupId, out: &mut Vec<Effect>) {
        if let Some(group) = self.groups.get_mut(id) {
            while group.next_deadline().is_some_and(|due| due <= now.boot) {
                group.on_time(now, &self.settings, out);
            }
        }
        let next = self.deadline_of(id);
        self.schedule(id, next);
    }

    /// When the group wants to be looked at next.
    pub(super) fn deadline_of(&self, id: &GroupId) -> Option<Duration> {
        let classic = self.groups.get(id).and_then(Group::next_deadline);
        let consumer = self.consumers.get(id).and_then(ConsumerGroup::next_deadline);
        classic.into_iter().chain(consumer).min()
    }

    pub(super) fn schedule(&mut self, id: &GroupId, next: Option<Duration>) {
        if let Some(before) = self.scheduled.remove(id) {
            self.due.remove(&(before, id.clone()));
        }
        if let Some(next) = next {
            self.scheduled.insert(id.clone(), next);
            self.due.insert((next, id.clone()));
        }
    }

    /// When [`on_time`](Self::on_time) wants to be called, on the boot clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Lets happen what is due: sessions end, rebalances go on.
    pub fn on_time(&mut self, now: Moment) -> Vec<Effect> {
        let mut out = vec![];
        while let Some((_, id)) = self.due.first().filter(|(due, _)| *due <= now.boot).cloned() {
            self.expire_consumers(now, &id, &mut out);
            self.settle(now, &id, &mut out);
        }
        out
    }

    /// What became of an [`Effect::Persist`]. A failure sends the members of that generation back to join.
    pub fn on_persisted(
        &mut self,
        now: Moment,
        group: &GroupId,
        generation: i32,
        result: Result<(), GroupError>,
    ) -> Vec<Effect> {
        let mut out = vec![];
        if let Some(known) = self.groups.get_mut(group) {
            known.on_persisted(now, &self.settings, generation, result, &mut out);
            self.settle(now, group, &mut out);
        }
        out
    }

    /// Whether this commit may be appended now; a sign of life of the member.
    ///
    /// # Errors
    /// The [`GroupError`] to answer for every partition of the commit.
    pub fn admit_commit(&mut self, now: Moment, commit: &Commit) -> Result<(), GroupError> {
        if let Some(admitted) = self.admit_consumer_commit(commit) {
            return admitted;
        }
        match self.groups.get_mut(&commit.group) {
            Some(group) => group.admit_commit(now, commit),
            None => commit::admit_without_group(commit),
        }
    }

    /// Forgets the groups that are coordinated elsewhere from now on: their waiting members are answered
    /// NOT_COORDINATOR and their records are taken back. Committed offsets are none of its business.
    pub fn lose(&mut self, lost: impl Fn(&GroupId) -> bool) -> Vec<Effect> {
        let gone: Vec<_> = self.groups.keys().filter(|id| lost(id)).cloned().collect();
        let mut out = vec![];
        for id in gone {
            let Some(mut group) = self.groups.remove(&id) else { continue };
            group.answer_all(&GroupError::NotCoordinator, &mut out);
            out.push(group.tombstone());
            self.schedule(&id, None);
        }
        self.lose_consumers(&lost, &mut out);
        out
    }

    /// Forgets groups that another broker of the region coordinates from now on: it reads their records. Their waiting
    /// members are answered NOT_COORDINATOR; nothing is written.
    pub fn unload(&mut self, moved: impl Fn(&GroupId) -> bool) -> Vec<Effect> {
        let mut out = vec![];
        let classic: Vec<_> = self.groups.keys().filter(|id| moved(id)).cloned().collect();
        for mut group in classic.iter().filter_map(|id| self.groups.remove(id)) {
            group.answer_all(&GroupError::NotCoordinator, &mut out);
        }
        let consumers: Vec<_> = self.consumers.keys().filter(|id| moved(id)).cloned().collect();
        consumers.iter().for_each(|id| drop(self.consumers.remove(id)));
        self.undo.retain(|id, _| !moved(id));
        classic.iter().chain(&consumers).for_each(|id| self.schedule(id, None));
        out
    }

    /// Takes a group from its record, while the log is replayed; its members have one session to show up.
    pub fn restore(&mut self, now: Moment, id: GroupId, record: GroupRecord) {
        let mut group = Group::new(id.clone(), record.at);
        group.generation = record.generation;
        group.protocol_type = (!record.protocol_type.is_empty()).then_some(record.protocol_type);
        group.protocol.clone_from(&record.protocol);
        for member in record.members {
            let id = member.member.clone();
            group.insert_member(id, restored(now, record.protocol.as_deref().unwrap_or_default(), member));
        }
        group.leader = record.leader.filter(|leader| group.members.contains_key(leader)).or(group.leader);
        group.phase = if group.members.is_empty() { Phase::Empty } else { Phase::Stable };
        self.groups.insert(id.clone(), group);
        let next = self.deadline_of(&id);
        self.schedule(&id, next);
    }

    /// Forgets a group whose record was taken back, while the log is replayed.
    pub fn forget(&mut self, id: &GroupId) {
        self.groups.remove(id);
        let next = self.deadline_of(id);
        self.schedule(id, next);
    }

    /// Whether the group may be deleted, and deletes what is known of it here.
    ///
    /// # Errors
    /// [`GroupError::NonEmptyGroup`], or [`GroupError::GroupNotFound`] when it has neither members' traces nor offsets.
    pub fn delete(&mut self, id: &GroupId, has_offsets: bool) -> Result<Vec<Effect>, GroupError> {
        if let Some(deleted) = self.delete_consumer(id) {
            return deleted;
        }
        match self.groups.get(id).map(|group| group.phase) {
            Some(Phase::Empty) => {}
            Some(_) => return Err(GroupError::NonEmptyGroup),
            None if has_offsets => return Ok(vec![]),
            None => return Err(GroupError::GroupNotFound),
        }
        let tombstone = self.groups.get(id).map(Group::tombstone).into_iter().collect();
        self.forget(id);
        Ok(tombstone)
    }

    /// Forgets groups that nobody is in and nothing is kept of.
    pub fn sweep(&mut self, has_offsets: impl Fn(&GroupId) -> bool) -> Vec<Effect> {
        let idle = |group: &Group| group.phase == Phase::Empty && group.named.is_empty() && !has_offsets(&group.id);
        let gone: Vec<_> = self.groups.values().filter(|group| idle(group)).map(|group| group.id.clone()).collect();
        let written = gone.iter().filter_map(|id| self.groups.get(id)).filter(|group| group.generation > 0);
        let mut out: Vec<_> = written.map(Group::tombstone).collect();
        for id in &gone {
            self.forget(id);
        }
        let idle = |group: &&ConsumerGroup| group.is_empty() && !has_offsets(group.id());
        let gone: Vec<_> = self.consumers.values().filter(idle).map(|group| group.id().clone()).collect();
        out.extend(gone.iter().filter_map(|id| self.delete_consumer(id)).filter_map(Result::ok).flatten());
        out
    }

    /// The topics members of the group subscribe to.
    ///
    /// # Errors
    /// [`GroupError::NonEmptyGroup`] when it has members that are no consumers: what they read is unknown.
    pub fn subscribed_topics(&self, id: &GroupId) -> Result<BTreeSet<String>, GroupError> {
        if let Some(group) = self.consumers.get(id) {
            return Ok(group.state().subscribed());
        }
        let Some(group) = self.groups.get(id) else { return Ok(BTreeSet::new()) };
        let protocol = group.protocol.clone().unwrap_or_default();
        let mut topics = BTreeSet::new();
        for member in group.members.values() {
            let first = member.protocols.first().map(|known| known.metadata.clone()).unwrap_or_default();
            let metadata = if member.supports(&protocol) { member.metadata(&protocol) } else { first };
            let consumer = group.protocol_type.as_deref() == Some("consumer");
            let subscribed = consumer.then(|| subscribed_topics(&metadata)).flatten();
            topics.extend(subscribed.ok_or(GroupError::NonEmptyGroup)?);
        }
        Ok(topics)
    }

    /// Whether the group has, or lately had, members.
    pub fn contains(&self, id: &GroupId) -> bool {
        self.groups.contains_key(id) || self.consumers.contains_key(id)
    }

    /// Since when nobody is in the group; `None` when somebody is, or it is not known.
    pub fn empty_since(&self, id: &GroupId) -> Option<model::Timestamp> {
        let consumer = self.consumers.get(id).filter(|group| group.is_empty()).map(|group| group.since);
        let classic = self.groups.get(id).filter(|group| group.phase == Phase::Empty).map(|group| group.since);
        consumer.or(classic)
    }

    /// The group as DescribeGroups shows it; `None` when there is no such group of the classic protocol.
    pub fn describe(&self, id: &GroupId) -> Option<Description> {
        self.groups.get(id).map(Group::describe)
    }

    /// Every group, as ListGroups shows it.
    pub fn list(&self) -> impl Iterator<Item = Listing> {
        self.groups.values().map(Group::listing).chain(self.consumers.values().map(ConsumerGroup::listing))
    }
}

fn restored(now: Moment, protocol: &str, record: MemberRecord) -> Member {
    Member {
        instance: record.instance,
        client_id: record.client_id,
        client_host: record.client_host,
        session_timeout: record.session_timeout,
        rebalance_timeout: record.rebalance_timeout,
        protocols: vec![Protocol { name: protocol.to_owned(), metadata: record.subscription }],
        assignment: record.assignment,
        waiting: None,
        expires: now.boot + record.session_timeout,
        is_new: false,
    }
}
