use super::member::{Member, Waiting};
use super::{Effect, GroupError, InstanceId, MemberId, Moment, Reply, Token, record};
use model::{GroupId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Where a group stands in its rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is in it.
    Empty,
    /// Members are joining the next generation.
    Preparing,
    /// The generation is formed; its leader assigns.
    Completing,
    /// Everyone has, or can have, an assignment.
    Stable,
}

impl Phase {
    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// How long members that join the next generation are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JoinWait {
    pub(super) due: Duration,
    /// The first rebalance of an empty group waits for more members, in steps, as long as more come.
    pub(super) initial: Option<InitialDelay>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    pub(super) remaining: Duration,
    pub(super) more_came: bool,
}

/// One consumer group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) phase: Phase,
    /// When the phase last changed.
    pub(super) since: Timestamp,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<MemberId>,
    pub(super) members: BTreeMap<MemberId, Member>,
    pub(super) instances: BTreeMap<InstanceId, MemberId>,
    /// Names given out to members that have not joined with them yet, until when.
    pub(super) named: BTreeMap<MemberId, Duration>,
    /// In phase `Preparing`.
    pub(super) join_wait: Option<JoinWait>,
    /// Members of this generation that have not asked for their assignment, and until when they may.
    pub(super) unsynced: BTreeSet<MemberId>,
    pub(super) sync_due: Duration,
    /// In phase `Completing`: the leader's assignment is on its way to the disk.
    pub(super) persisting: bool,
}

impl Group {
    pub(super) fn new(id: GroupId, since: Timestamp) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            since,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            named: BTreeMap::new(),
            join_wait: None,
            unsynced: BTreeSet::new(),
            sync_due: Duration::ZERO,
            persisting: false,
        }
    }

    pub(super) fn enter(&mut self, now: Moment, phase: Phase) {
        self.phase = phase;
        self.since = now.wall;
    }

    pub(super) fn is_leader(&self, member: &MemberId) -> bool {
        self.leader.as_ref() == Some(member)
    }

    /// Finds the member a request names, or refuses an impostor of a static one.
    pub(super) fn check_member(&self, id: &MemberId, instance: Option<&InstanceId>) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            let holder = self.instances.get(instance).ok_or_else(|| GroupError::UnknownMember(id.clone()))?;
            if holder != id {
                return Err(GroupError::FencedInstance(instance.clone()));
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(GroupError::UnknownMember(id.clone())) }
    }

    pub(super) fn check_generation(&self, given: i32) -> Result<(), GroupError> {
        let current = self.generation;
        if given == current { Ok(()) } else { Err(GroupError::IllegalGeneration { given, current }) }
    }

    pub(super) fn refresh(&mut self, now: Moment, id: &MemberId) {
        if let Some(member) = self.members.get_mut(id) {
            member.refresh(now.boot);
        }
    }

    pub(super) fn insert_member(&mut self, id: MemberId, member: Member) {
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.named.remove(&id);
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, member);
    }

    /// Takes a member out; a request of its that waits is refused with `error`. A rebalance has to follow: it chooses
    /// another leader if that was the one.
    pub(super) fn remove_member(&mut self, id: &MemberId, error: GroupError, out: &mut Vec<Effect>) {
        self.answer_waiting(id, error, out);
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = member.instance {
            self.instances.remove(&instance);
        }
    }

    /// Puts a request of a member on hold. One that waited before can only be an attempt its client has given up.
    pub(super) fn hold(&mut self, id: &MemberId, waiting: Waiting, out: &mut Vec<Effect>) {
        self.answer_waiting(id, GroupError::RebalanceInProgress, out);
        if let Some(member) = self.members.get_mut(id) {
            member.waiting = Some(waiting);
        }
    }

    pub(super) fn answer_waiting(&mut self, id: &MemberId, error: GroupError, out: &mut Vec<Effect>) {
        let waiting = self.members.get_mut(id).and_then(|member| member.waiting.take());
        out.extend(waiting.map(|waiting| refusal(waiting, error)));
    }

    /// Refuses everything that waits.
    pub(super) fn answer_all(&mut self, error: &GroupError, out: &mut Vec<Effect>) {
        let waiting = self.members.values_mut().filter_map(|member| member.waiting.take());
        out.extend(waiting.map(|waiting| refusal(waiting, error.clone())));
    }

    /// What is written to `__consumer_offsets` about it.
    pub(super) fn persist(&self, now: Moment) -> Effect {
        Effect::Persist {
            group: self.id.clone(),
            generation: self.generation,
            key: record::group_key(&self.id),
            value: Some(record::group_value(&self.to_record(now.wall))),
        }
    }

    pub(super) fn tombstone(&self) -> Effect {
        let (group, generation) = (self.id.clone(), self.generation);
        Effect::Persist { key: record::group_key(&group), group, generation, value: None }
    }

    /// Its record, as part of another change.
    pub(super) fn record_change(&self, now: Moment) -> (bytes::Bytes, Option<bytes::Bytes>) {
        (record::group_key(&self.id), Some(record::group_value(&self.to_record(now.wall))))
    }

    /// Its tombstone, as part of another change.
    pub(super) fn tombstone_change(&self) -> (bytes::Bytes, Option<bytes::Bytes>) {
        (record::group_key(&self.id), None)
    }

    /// Whether nobody is in it or was promised a place.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Empty && self.named.is_empty()
    }

    fn to_record(&self, at: Timestamp) -> record::GroupRecord {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |(id, member): (&MemberId, &Member)| record::MemberRecord {
            member: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout,
            session_timeout: member.session_timeout,
            subscription: member.metadata(protocol),
            assignment: member.assignment.clone(),
        };
        record::GroupRecord {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            at,
            members: self.members.iter().map(member).collect(),
        }
    }

    /// The next moment at which something happens by itself.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let members = self.members.values().filter_map(Member::deadline);
        let named = self.named.values().copied();
        let phase = self.join_wait.map(|wait| wait.due);
        let syncs = (!self.unsynced.is_empty()).then_some(self.sync_due);
        members.chain(named).chain(phase).chain(syncs).min()
    }
}

pub(super) fn reply(token: Token, reply: Reply) -> Effect {
    Effect::Reply { token, reply }
}

fn refusal(waiting: Waiting, error: GroupError) -> Effect {
    match waiting {
        Waiting::Join(token) => reply(token, Reply::Join(Err(error))),
        Waiting::Sync(token) => reply(token, Reply::Sync(Err(error))),
    }
}
