//! The payloads of the internal listener's calls: what gateways and links ask a region.

use crate::{
    CommitCursor, GroupId, LeaderEpoch, Offset, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, Timestamp,
    TopicId, TopicName,
};
use serde::{Deserialize, Serialize};

/// `follow-metadata`: answered as soon as the region's metadata is newer than `since`, or the time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowMetadata {
    /// The version the asker has; 0 for none.
    pub since: u64,
    /// How long to wait for a newer one.
    pub max_wait_ms: u32,
}

/// The answer to [`FollowMetadata`]: who leads what in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaders {
    /// The region.
    pub region: RegionName,
    /// Rises with every change, for one start of the region's controller.
    pub version: u64,
    /// Its topics that carry client data.
    pub topics: Vec<TopicLeaders>,
    /// For each partition of `__consumer_offsets` the slot of the broker that leads it, and coordinates its groups; `None`
    /// while nobody does. Empty from a broker that does not say.
    #[serde(default)]
    pub coordinators: Vec<Option<u16>>,
}

/// The leaders of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicLeaders {
    /// The topic.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionLeader>,
}

/// The leader of one partition in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionLeader {
    /// The partition.
    pub partition: PartitionId,
    /// The slot of the broker that leads it.
    pub leader: u16,
    /// The epoch it leads under. Of a copy, the last epoch copied.
    pub leader_epoch: LeaderEpoch,
    /// The ownership epoch the region obeys for it.
    pub ownership_epoch: OwnershipEpoch,
    /// The slots of its in-sync replicas.
    pub isr: Vec<u16>,
    /// Whether it is open for writes in this region.
    pub writable: bool,
}

/// `offset-sync`: the commits of a protection group's consumer groups, newest state per partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCommits {
    /// The group.
    pub group: ProtectionGroup,
    /// What the asker has; another session's cursor is answered from the start.
    pub since: CommitCursor,
    /// How long to wait for more.
    pub max_wait_ms: u32,
    /// How many commits to answer with at most.
    pub limit: u32,
}

/// The answer to [`SyncCommits`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPage {
    /// The ownership epoch under which they were taken.
    pub ownership_epoch: OwnershipEpoch,
    /// Ask from here next time.
    pub next: CommitCursor,
    /// The source's newest.
    pub newest: CommitCursor,
    /// The commits, oldest first.
    pub commits: Vec<Commit>,
}

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The consumer group.
    pub consumer_group: GroupId,
    /// The topic.
    pub topic: TopicName,
    /// Its id when the offset was committed.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The offset to read next; `None` is a deleted commit.
    pub offset: Option<Offset>,
    /// The leader epoch that came with it, -1 for none.
    pub leader_epoch: LeaderEpoch,
    /// The client's own note.
    pub metadata: String,
    /// When it was committed.
    pub commit_time: Timestamp,
    /// When it expires, if the client said so (KIP-211's predecessors do).
    pub expire_time: Option<Timestamp>,
}

/// The names of the calls, as control requests carry them.
pub mod methods {
    /// See [`super::FollowMetadata`].
    pub const FOLLOW_METADATA: &str = "follow-metadata";
    /// See [`super::SyncCommits`].
    pub const SYNC_COMMITS: &str = "sync-commits";
}
