//! `/v1/regions`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Region {
    /// Its name.
    #[schema(example = "r1")]
    pub name: String,
    /// Its number among the regions, from 0.
    pub index: u16,
    /// How many empty disks the council had seen when this region's was new; never reused.
    pub incarnation: u16,
    /// Where it is reached.
    pub addresses: Addresses,
    /// What the council thinks of it.
    pub state: RegionState,
    /// How well it is, from 0 to 100; absent when too little is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100, example = 98.5)]
    pub health_score: Option<f64>,
    /// What stands behind the score.
    #[serde(default)]
    pub signals: Vec<Signal>,
    /// Its council node.
    pub council: CouncilNode,
    /// How it stands towards each protection group; empty while it does not answer.
    #[serde(default)]
    pub holdings: Vec<Holding>,
    /// Its disks; empty while it does not answer.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// How many partitions it carries.
    pub partitions: u64,
    /// Bytes of all its partitions on disk.
    pub size_bytes: u64,
    /// When it last answered; absent when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub observed_at: Option<String>,
    /// Records its old log held that the new owner never got, archived here.
    #[serde(default)]
    pub diverged: Vec<DivergedTail>,
    /// The journal of orders it has carried out for runs, one entry per run and step; only when one region is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<JournaledOrder>,
}

/// Where a region is reached: `host:port` each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Addresses {
    /// Its own Kafka clients.
    #[schema(example = "127.0.0.1:19092")]
    pub clients: String,
    /// The gateways.
    pub gateways: String,
    /// Links between regions.
    pub internal: String,
    /// Its council node.
    pub council: String,
    /// Its REST API.
    pub rest: String,
}

/// What the council thinks of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegionState {
    /// All is well.
    Healthy,
    /// It works, and something is not as it should be.
    Degraded,
    /// It may be failing.
    Suspect,
    /// It is lost, or answers badly for too long.
    Failed,
    /// It came back and is watched.
    Recovering,
    /// Too little is known.
    Unknown,
}

/// One thing that is watched in a region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Signal {
    /// Its name.
    #[schema(example = "mirror_lag")]
    pub name: String,
    /// From 0 (bad) to 1 (good); absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What was seen.
    pub detail: String,
}

/// A council node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CouncilNode {
    /// Its name in the council, as text: it is larger than a JavaScript number can hold.
    pub node_id: String,
    /// What it does.
    pub role: CouncilRole,
    /// The newest council log entry it has applied; absent while it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_index: Option<u64>,
}

/// What a council node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouncilRole {
    /// It leads.
    Leader,
    /// It votes.
    Follower,
    /// It catches up and has no vote yet.
    Learner,
    /// It does not answer.
    Unreachable,
}

/// How a region stands towards a protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holding {
    /// The group.
    #[schema(example = "default")]
    pub group: String,
    /// Whether it is the owner.
    pub owner: bool,
    /// The ownership epoch it obeys.
    pub ownership_epoch: u32,
    /// Whether its lease stands (owners only).
    pub leased: bool,
    /// Whether all partitions of the group take writes.
    pub open: bool,
    /// Whether writes are stopped for a switch.
    pub stopped: bool,
    /// Whether it takes nothing more from its links.
    pub sealed: bool,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// The directory.
    pub path: String,
    /// Free bytes.
    pub free_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
    /// Whether writes are refused for lack of space.
    pub full: bool,
}

/// Records an old owner acknowledged that the new owner never got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DivergedTail {
    /// The topic's id.
    pub topic_id: String,
    /// Its name; absent when it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The partition.
    pub partition: i32,
    /// The ownership epoch they were written under.
    pub ownership_epoch: u32,
    /// Their offsets.
    pub range: crate::OffsetRange,
    /// How many.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Where they are kept, relative to the region's data directory.
    pub file: String,
    /// When the first was appended.
    #[schema(format = DateTime)]
    pub first_at: String,
    /// When the last was appended.
    #[schema(format = DateTime)]
    pub last_at: String,
}

/// An order of a run that a region has carried out. One that comes again has no further effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JournaledOrder {
    /// The run.
    pub run: String,
    /// The step of the run.
    #[schema(example = "seal")]
    pub step: String,
    /// When it was done, on the region's clock.
    #[schema(format = DateTime)]
    pub at: String,
}
