//! `/v1/regions/{region}/brokers`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A broker of a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Broker {
    /// Its slot: its place among the brokers of the region, from 0.
    #[schema(example = 2)]
    pub slot: u16,
    /// The id that the region's own Kafka clients know it by.
    pub node_id: i32,
    /// How often its slot began with an empty disk, from 1; an earlier one is never taken back.
    pub incarnation: u16,
    /// Whether it is in use.
    pub state: BrokerState,
    /// Whether it runs, and may lead and be in sync.
    pub alive: bool,
    /// The data centre it stands in; empty where nobody said.
    pub data_centre: String,
    /// The rack it stands in; empty where nobody said.
    pub rack: String,
    /// Where the region's own Kafka clients reach it.
    #[schema(example = "127.0.0.1:19192")]
    pub clients: String,
    /// Partitions it is a replica of: what is left to move while it is drained.
    pub replicas: u64,
    /// Those of them it is in sync with.
    pub in_sync: u64,
    /// Those of them it leads.
    pub leaders: u64,
    /// Those of them that are on their way to other brokers now.
    pub leaving: u64,
    /// The slot of the one broker that takes all it holds; absent where whoever is fit does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onto: Option<u16>,
}

/// Whether a broker is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BrokerState {
    /// Partitions are placed on it.
    InUse,
    /// What it holds moves to others, and nothing new is placed on it.
    Draining,
    /// It holds nothing: it can be stopped, and then unregistered.
    Drained,
}

/// An order to empty a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainBroker {
    /// The slot of the one broker that takes all it holds, in its place; whoever is fit where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    pub onto: Option<u16>,
}
