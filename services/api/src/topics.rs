//! `/v1/topics`

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Topic {
    /// Its id: new whenever a topic of the name is made again.
    #[schema(example = "c3d7a5f0-5d0e-4b5c-9a51-1d1a2c0f9e11")]
    pub id: String,
    /// Its name.
    #[schema(example = "orders")]
    pub name: String,
    /// How many partitions it has.
    #[schema(example = 6)]
    pub partitions: i32,
    /// Its configuration where it differs from the default, as Kafka names the entries.
    pub config: BTreeMap<String, String>,
    /// The protection group it belongs to.
    #[schema(example = "default")]
    pub group: String,
    /// The region that takes its writes.
    #[schema(example = "r1")]
    pub owner: String,
    /// Whether clients may use it.
    pub state: TopicState,
    /// Whether it was made again under the name of another, and is not copied to other regions before it is said at
    /// `/v1/topics/{name}/follow`.
    #[serde(default)]
    pub is_stopped: bool,
    /// Which version of it this is, for `If-Match`.
    pub revision: u64,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Its partitions in each region that answers; only when one topic is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<Replica>,
}

/// Whether clients may use a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TopicState {
    /// They may.
    Live,
    /// A restore is writing it.
    Restoring,
}

/// One partition in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replica {
    /// The partition.
    pub partition: i32,
    /// The region.
    pub region: String,
    /// Whether it takes writes.
    pub writable: bool,
    /// The leader epoch of its newest batch.
    pub leader_epoch: i32,
    /// The first offset kept.
    pub start_offset: i64,
    /// The next offset.
    pub tail_offset: i64,
    /// Below it records are committed and shown to readers.
    pub high_watermark: i64,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// A hash over its committed batches, when one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Why it refuses writes for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Creates a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTopic {
    /// Its name.
    #[schema(example = "orders")]
    pub name: String,
    /// How many partitions it gets.
    #[serde(default = "one")]
    #[schema(example = 6, default = 1, minimum = 1, maximum = 10000)]
    pub partitions: i32,
    /// Its configuration, as Kafka names the entries.
    #[serde(default)]
    #[schema(example = json!({"retention.ms": "604800000"}))]
    pub config: BTreeMap<String, String>,
}

/// Changes a topic. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTopic {
    /// How many partitions it shall have; more than now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Configuration entries to set.
    #[serde(default)]
    #[schema(example = json!({"retention.ms": "86400000"}))]
    pub set: BTreeMap<String, String>,
    /// Configuration entries to take back to their defaults.
    #[serde(default)]
    pub remove: BTreeSet<String>,
}

fn one() -> i32 {
    1
}
