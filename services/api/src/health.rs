//! `/v1/health`

use crate::regions::RegionState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the platform is, as the node that was asked sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// The cluster id Kafka clients see; absent before the platform is formed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The node that was asked.
    #[schema(example = "r1")]
    pub node: String,
    /// The version of farshore it runs.
    pub version: String,
    /// The council.
    pub council: Council,
    /// The regions.
    pub regions: Vec<RegionHealth>,
    /// The protection groups.
    pub groups: Vec<GroupHealth>,
    /// What is not as it should be, in words.
    pub findings: Vec<Finding>,
}

/// How something is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// All is well.
    Ok,
    /// Clients are served, and something is not as it should be.
    Degraded,
    /// Clients are not served, or not for long.
    Failing,
}

/// How the council is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Council {
    /// Whether it can decide.
    pub quorum: bool,
    /// The leader's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The leader's term.
    pub term: u64,
    /// How many votes it has.
    pub voters: u64,
    /// The newest entry applied on this node.
    pub applied_index: u64,
    /// Without a quorum: how long until the owners stop for lack of a lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners_stop_in_ms: Option<u64>,
}

/// How a region is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegionHealth {
    /// The region.
    #[schema(example = "r1")]
    pub name: String,
    /// What the council thinks of it.
    pub state: RegionState,
    /// How well it is, from 0 to 100; absent when too little is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// How a protection group is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupHealth {
    /// The group.
    #[schema(example = "default")]
    pub name: String,
    /// The region that takes its writes.
    pub owner: String,
    /// Whether the owner takes writes now.
    pub writable: bool,
    /// The standbys that could take over now.
    pub ready_standbys: Vec<String>,
    /// Seconds of writes the best standby lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// Whether losing the owner now would keep to the objective.
    pub rpo_met: bool,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// How bad it is.
    pub status: HealthStatus,
    /// What it is about.
    #[schema(example = "r2")]
    pub subject: String,
    /// What was seen and what to do.
    pub detail: String,
}
