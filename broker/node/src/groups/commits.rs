//! Committed offsets, for clients.

use super::journal::{Entry, NotWritten};
use crate::Broker;
use broker_core::group::record::{CommitKey, OffsetRecord};
use broker_core::group::{Commit, GroupError, MemberId};
use broker_core::metadata::Group;
use model::{GroupId, LeaderEpoch, Offset, OwnershipEpoch, Timestamp, TopicId, TopicPartition};

/// What a client commits for one partition.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    /// The partition.
    pub(crate) partition: TopicPartition,
    /// Its topic's id.
    pub(crate) topic_id: TopicId,
    /// The next record the group will read.
    pub(crate) offset: Offset,
    /// The leader epoch of the last one it read.
    pub(crate) leader_epoch: LeaderEpoch,
    /// Whatever the client put beside it.
    pub(crate) metadata: String,
}

impl Broker {
    /// Whether the member may commit now.
    ///
    /// # Errors
    /// What to answer for every partition.
    pub(crate) fn admit_commit(&self, commit: &Commit) -> Result<(), GroupError> {
        let admitted = self.0.groups.state().coordinator.admit_commit(self.moment(), commit);
        self.0.groups.sooner.notify_one();
        admitted
    }

    /// Whether the member may read what its group has committed.
    ///
    /// # Errors
    /// What to answer for the group.
    pub(crate) fn admit_commit_fetch(&self, group: &GroupId, member: &MemberId, epoch: i32) -> Result<(), GroupError> {
        self.0.groups.state().coordinator.admit_fetch(group, member, epoch)
    }

    /// Writes commits of one group; they count when this returns.
    ///
    /// # Errors
    /// [`NotWritten`]: they may count later, or never.
    pub(crate) async fn commit(&self, group: &GroupId, commits: Vec<Committed>) -> Result<(), NotWritten> {
        let (commit_time, ownership_epoch) = (self.0.clock.now(), self.epoch_of(group));
        let entries = commits.into_iter().map(|commit| entry(group, commit, commit_time, ownership_epoch));
        self.write_entries(entries.collect(), &|| true).await
    }

    pub(super) fn epoch_of(&self, group: &GroupId) -> OwnershipEpoch {
        self.image().coordinating_group(group).map(Group::obeyed).unwrap_or_default()
    }

    /// Deletes commits of one group.
    ///
    /// # Errors
    /// [`NotWritten`]: they may be gone later, or never.
    pub(crate) async fn forget_commits(
        &self,
        group: &GroupId,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), NotWritten> {
        let key = |partition| CommitKey { group: group.clone(), partition };
        self.write_entries(partitions.into_iter().map(|partition| (key(partition), None)).collect(), &|| true).await
    }

    /// What the group has committed for a partition.
    pub(crate) fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Option<OffsetRecord> {
        self.0.groups.state().offsets.committed(group, partition).cloned()
    }

    /// Everything the group has committed.
    pub(crate) fn all_committed(&self, group: &GroupId) -> Vec<(TopicPartition, OffsetRecord)> {
        let state = self.0.groups.state();
        let committed = state.offsets.of_group(group);
        committed.map(|(partition, record)| (partition.clone(), record.clone())).collect()
    }
}

fn entry(group: &GroupId, commit: Committed, commit_time: Timestamp, ownership_epoch: OwnershipEpoch) -> Entry {
    let Committed { partition, topic_id, offset, leader_epoch, metadata } = commit;
    let key = CommitKey { group: group.clone(), partition };
    (key, Some(OffsetRecord { offset, leader_epoch, metadata, commit_time, topic_id, ownership_epoch }))
}
