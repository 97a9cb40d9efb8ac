use super::{Assignor, Partitions, TopicShape, Topics};
use crate::group::{InstanceId, MemberId, Protocol};
use model::TopicId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The member epoch with which a member joins.
pub(crate) const JOINING: i32 = 0;
/// The member epoch with which a member leaves.
pub(crate) const LEAVING: i32 = -1;
/// The member epoch with which a static member leaves that comes back.
pub(crate) const AWAY: i32 = -2;

/// What is kept of a group in `__consumer_offsets`. Cheap to copy: a change is made on a copy, and the difference is
/// what is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Rises whenever the members, what they read, or the topics they read change.
    pub(crate) epoch: i32,
    /// Tells the topics that are read apart from what they were.
    pub(crate) metadata_hash: i64,
    /// The group epoch the targets were reckoned for.
    pub(crate) target_epoch: i32,
    pub(crate) members: BTreeMap<MemberId, Arc<Member>>,
    /// What each member should own.
    pub(crate) targets: BTreeMap<MemberId, Arc<Partitions>>,
    /// The patterns members read by, and what they hold for.
    pub(crate) patterns: BTreeMap<String, Arc<Matched>>,
}

/// The topics a pattern holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched {
    pub(crate) topics: BTreeSet<String>,
    /// When, in milliseconds of wall-clock time.
    pub(crate) at: i64,
}

/// How far a member is on its way to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It may own all of it.
    #[default]
    Stable,
    /// It has to give back something first.
    Revoking,
    /// Others have to give back something for it.
    Waiting,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) instance: Option<InstanceId>,
    pub(crate) rack: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) pattern: Option<String>,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) assignor: Option<String>,
    /// What a member brought that speaks the classic protocol.
    pub(crate) classic: Option<Classic>,
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) progress: Progress,
    /// What it may own.
    pub(crate) assigned: Partitions,
    /// What it has to give back.
    pub(crate) revoking: Partitions,
}

/// A member that speaks the classic protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classic {
    pub(crate) session_timeout: Duration,
    pub(crate) protocols: Vec<Protocol>,
}

impl Member {
    /// Moves on to `epoch`, remembering the one before.
    pub(super) fn enter(&mut self, epoch: i32) {
        if epoch != self.epoch {
            self.previous_epoch = self.epoch;
            self.epoch = epoch;
        }
    }

    /// Whether a static member has gone to come back.
    pub(super) fn is_away(&self) -> bool {
        self.epoch == AWAY
    }

    /// Everything nobody else may have yet.
    pub(super) fn holds(&self, topic: TopicId, partition: model::PartitionId) -> bool {
        self.assigned.contains(topic, partition) || self.revoking.contains(topic, partition)
    }
}

impl State {
    /// The member with this static name.
    pub(super) fn holder(&self, instance: &InstanceId) -> Option<(&MemberId, &Arc<Member>)> {
        self.members.iter().find(|(_, member)| member.instance.as_ref() == Some(instance))
    }

    /// What `member` should own.
    pub(super) fn target(&self, member: &MemberId) -> Arc<Partitions> {
        self.targets.get(member).cloned().unwrap_or_default()
    }

    /// Whether somebody but `member` may still own the partition.
    pub(super) fn is_held_by_others(&self, member: &MemberId, topic: TopicId, partition: model::PartitionId) -> bool {
        self.members.iter().any(|(id, other)| id != member && other.holds(topic, partition))
    }

    /// The topics `member` reads that there are.
    pub(super) fn read_by(&self, member: &Member, topics: &Topics) -> Vec<TopicShape> {
        let matched = member.pattern.as_ref().and_then(|pattern| self.patterns.get(pattern));
        let by_pattern = matched.iter().flat_map(|matched| &matched.topics);
        let names: BTreeSet<&String> = member.topics.iter().chain(by_pattern).collect();
        names.into_iter().filter_map(|name| topics.named(name)).collect()
    }

    /// The names of everything somebody reads.
    pub(in crate::group) fn subscribed(&self) -> BTreeSet<String> {
        let names = self.members.values().flat_map(|member| &member.topics);
        names.chain(self.patterns.values().flat_map(|matched| &matched.topics)).cloned().collect()
    }

    /// The assignor most members ask for; the default where they ask for none.
    pub(super) fn assignor(&self) -> Assignor {
        let asked = self.members.values().filter_map(|member| Assignor::named(member.assignor.as_deref()?));
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        asked.for_each(|assignor| *votes.entry(assignor).or_default() += 1);
        let most = votes.into_iter().rev().max_by_key(|(_, votes)| *votes);
        most.map_or(Assignor::ALL[0], |(assignor, _)| assignor)
    }

    /// Takes members out, with what they should own; the rest is to be assigned anew.
    pub(super) fn remove(&mut self, gone: &[MemberId]) {
        for id in gone {
            self.members.remove(id);
            self.targets.remove(id);
        }
        self.drop_unread_patterns();
        self.epoch += 1;
    }

    pub(super) fn drop_unread_patterns(&mut self) {
        let read: BTreeSet<&String> = self.members.values().filter_map(|member| member.pattern.as_ref()).collect();
        self.patterns.retain(|pattern, _| read.contains(pattern));
    }

    /// Kafka's name of where the group stands.
    pub(in crate::group) fn name(&self) -> &'static str {
        let settled = |member: &Arc<Member>| {
            member.progress == Progress::Stable && (member.epoch == self.target_epoch || member.is_away())
        };
        match () {
            () if self.members.is_empty() => "Empty",
            () if self.epoch > self.target_epoch => "Assigning",
            () if self.members.values().all(settled) => "Stable",
            () => "Reconciling",
        }
    }
}
