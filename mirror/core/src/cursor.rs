//! The commits of consumer groups on their way to another region, or into an archive.
//!
//! The source keeps the newest commit per (group, topic, partition). The target asks for what came after the place it has
//! reached in each partition of the source's `__consumer_offsets`, page by page, and writes what differs from what it
//! holds. Commits travel as they are: never translated, never clamped. A rewind is a commit like any other: newer is what
//! the source took later, not what is larger.

use model::{Commit, GroupId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// What one group last said of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCommit {
    /// The consumer group.
    pub consumer_group: GroupId,
    /// The topic.
    pub topic_id: TopicId,
    /// Its name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset the group reads; -1 when its commit was removed or has expired.
    pub offset: Offset,
    /// The leader epoch the group had read there.
    pub leader_epoch: LeaderEpoch,
    /// What the group said with it.
    pub metadata: String,
    /// When the source took it.
    pub commit_time: Timestamp,
}

impl GroupCommit {
    /// Whether the source forgot the group's place.
    pub const fn is_removal(&self) -> bool {
        self.offset.0 < 0
    }
}

impl From<Commit> for GroupCommit {
    fn from(commit: Commit) -> Self {
        Self {
            consumer_group: commit.consumer_group,
            topic_id: commit.topic_id,
            topic: commit.topic,
            partition: commit.partition,
            offset: commit.offset.unwrap_or(Offset(-1)),
            leader_epoch: commit.leader_epoch,
            metadata: commit.metadata,
            commit_time: commit.commit_time,
        }
    }
}

/// A carried commit expires by the source's decision alone: it has no time of its own for that.
impl From<GroupCommit> for Commit {
    fn from(commit: GroupCommit) -> Self {
        let offset = (!commit.is_removal()).then_some(commit.offset);
        Self {
            consumer_group: commit.consumer_group,
            topic: commit.topic,
            topic_id: commit.topic_id,
            partition: commit.partition,
            offset,
            leader_epoch: if offset.is_some() { commit.leader_epoch } else { LeaderEpoch::NONE },
            metadata: commit.metadata,
            commit_time: commit.commit_time,
            expire_time: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(group: u8, partition: i32, offset: i64) -> GroupCommit {
        GroupCommit {
            consumer_group: GroupId::new(format!("group-{group}")),
            topic_id: TopicId(uuid::Uuid::from_u128(1)),
            topic: TopicName::new("orders").unwrap(),
            partition: PartitionId(partition),
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(4096),
            metadata: "note".into(),
            commit_time: Timestamp(offset),
        }
    }

    #[test]
    fn a_commit_crosses_the_wire_as_it_is() {
        let json = serde_json::to_string(&commit(1, 0, -1)).unwrap();
        assert_eq!(serde_json::from_str::<GroupCommit>(&json).unwrap(), commit(1, 0, -1));
        assert!(commit(1, 0, -1).is_removal());
    }

    #[test]
    fn a_removal_has_no_offset_and_comes_back_as_one() {
        let removal = Commit::from(commit(1, 0, -1));
        assert_eq!((removal.offset, removal.leader_epoch), (None, LeaderEpoch::NONE));
        assert!(GroupCommit::from(removal).is_removal());
        assert_eq!(GroupCommit::from(Commit::from(commit(1, 0, 5))), commit(1, 0, 5));
    }
}
