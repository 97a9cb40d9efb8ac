//! `/v1/consumer-groups`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A Kafka consumer group, as the region that coordinates it sees it; where that one does not answer, as a copy does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsumerGroup {
    /// Its name.
    #[schema(example = "billing")]
    pub name: String,
    /// The protection group it belongs to; absent when none covers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "default")]
    pub group: Option<String>,
    /// The region that tells of it.
    #[schema(example = "r1")]
    pub region: String,
    /// Kafka's name of its state; `Copy` in a region that does not coordinate it.
    #[schema(example = "Stable")]
    pub state: String,
    /// How many members it has.
    pub members: u64,
    /// Records it has not read yet, over all partitions whose end is known.
    pub lag_records: u64,
    /// How far it has read.
    pub offsets: Vec<ConsumerOffset>,
}

/// How far a consumer group has read one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsumerOffset {
    /// The topic.
    #[schema(example = "orders")]
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset to read next.
    pub offset: i64,
    /// Below it records are shown to readers in that region; absent when the region holds no such partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_watermark: Option<i64>,
    /// Offsets from there on that are not read yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<u64>,
    /// The client's own note.
    pub metadata: String,
    /// When it was committed.
    #[schema(format = DateTime)]
    pub committed_at: String,
}
