//! The payloads of the internal listener's calls: what gateways and links ask a region.

use crate::{LeaderEpoch, OwnershipEpoch, PartitionId, RegionName, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// `follow-metadata`: answered as soon as the region's metadata is newer than `since`, or the time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowMetadata {
    /// The version the asker has; 0 for none.
    pub since: u64,
    /// How long to wait for a newer one.
    pub max_wait_ms: u32,
    /// Whether the version alone is enough for an answer when there is no newer one.
    #[serde(default)]
    pub brief: bool,
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
    /// Where its brokers are reached from inside. Empty from a broker that does not say.
    #[serde(default)]
    pub brokers: Vec<BrokerAddress>,
    /// The slots of those of its brokers that are fenced: they lead nothing, and may not answer at all. Empty from a broker
    /// that does not say.
    #[serde(default)]
    pub fenced: Vec<u16>,
}

/// Where one broker of a region is reached by links, offset sync and metadata followers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerAddress {
    /// Its slot.
    pub slot: u16,
    /// `host:port` of its internal listener.
    pub internal: String,
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

/// The names of the calls, as control requests carry them.
pub mod methods {
    /// See [`super::FollowMetadata`].
    pub const FOLLOW_METADATA: &str = "follow-metadata";
    /// See [`crate::SyncCommits`].
    pub const SYNC_COMMITS: &str = "sync-commits";
    /// Asks for what a leader has hashed of its logs; the mirror's core says what goes to and fro.
    pub const CHECKPOINTS: &str = "checkpoints";
}
