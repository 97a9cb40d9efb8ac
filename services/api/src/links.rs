//! `/v1/links`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The mirror of one protection group from its owner to one standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// `source->target/group`.
    #[schema(example = "r1->r2/default")]
    pub name: String,
    /// The source region.
    #[schema(example = "r1")]
    pub source: String,
    /// The target region.
    #[schema(example = "r2")]
    pub target: String,
    /// The protection group.
    #[schema(example = "default")]
    pub group: String,
    /// What it does: the least good state of its partitions.
    #[schema(example = "caught_up")]
    pub state: String,
    /// Records the target lacks, over all partitions.
    pub lag_records: u64,
    /// Bytes the target lacks, over all partitions.
    pub lag_bytes: u64,
    /// Seconds of writes the target lacks: the most of any partition.
    #[schema(example = 0.04)]
    pub lag_seconds: f64,
    /// Milliseconds since the source last answered: the most of any partition.
    pub silent_ms: u64,
    /// Milliseconds to the source and back, as measured: the most of any partition; absent before that.
    #[schema(example = 100.4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// How many bytes one fetch asks for: the most of any partition.
    #[serde(default)]
    pub fetch_bytes: u32,
    /// How many fetches are under way, over all partitions.
    #[serde(default)]
    pub fetches_under_way: u32,
    /// How many requests to the source were answered or failed in the last 10 seconds, where most of them failed.
    #[serde(default)]
    pub requests: u64,
    /// How many of them failed.
    #[serde(default)]
    pub failures: u64,
    /// Its partitions.
    pub partitions: Vec<LinkPartition>,
    /// When the target said so.
    #[schema(format = DateTime)]
    pub observed_at: String,
}

/// One partition of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkPartition {
    /// The topic.
    #[schema(example = "orders")]
    pub topic: String,
    /// Its id.
    pub topic_id: String,
    /// The partition.
    pub partition: i32,
    /// What the link does with it.
    #[schema(example = "fetching")]
    pub state: String,
    /// The next offset the target lacks.
    pub tail_offset: i64,
    /// The source's next offset when it last answered; absent when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_tail_offset: Option<i64>,
    /// Records the target lacks.
    pub lag_records: u64,
    /// Bytes the target lacks.
    pub lag_bytes: u64,
    /// Seconds of writes the target lacks.
    pub lag_seconds: f64,
    /// Milliseconds since the source last answered.
    pub silent_ms: u64,
    /// Milliseconds to the source and back, as measured; absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// How many bytes one fetch asks for, by the round trip and what arrives.
    #[serde(default)]
    pub fetch_bytes: u32,
    /// How many fetches are under way.
    #[serde(default)]
    pub fetches_under_way: u32,
}
