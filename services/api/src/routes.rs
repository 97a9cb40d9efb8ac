//! What gateways follow: which region serves what, under which epoch, and behind which virtual node.

use model::{Coverage, GrantState, OwnershipEpoch, ProtectionGroup, RegionName, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything a gateway routes by, as of one entry of the council's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// The council log entry this reflects; a table with a smaller number is out of date.
    pub version: u64,
    /// The cluster id every client sees, for ever.
    pub cluster_id: String,
    /// The nodes clients see.
    pub virtual_nodes: Vec<VirtualNode>,
    /// Who owns what.
    pub groups: Vec<Route>,
    /// The topics clients see.
    pub topics: Vec<RoutedTopic>,
    /// Where regions are reached.
    pub regions: Vec<RoutedRegion>,
}

/// A broker slot of a region behind one gateway, as clients see it. Its id and port never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNode {
    /// The node id.
    pub id: i32,
    /// The host clients connect to.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The region it stands for.
    pub region: RegionName,
    /// The broker slot it stands for.
    pub slot: u16,
    /// The gateway that listens there.
    pub gateway: String,
}

/// Which region serves a protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The group.
    pub group: ProtectionGroup,
    /// The region clients are sent to: the owner, once it has opened.
    pub owner: RegionName,
    /// The grant it owns under.
    pub ownership_epoch: OwnershipEpoch,
    /// Whether that grant stands.
    pub state: GrantState,
    /// What belongs to the group.
    pub coverage: Coverage,
    /// The regions that all take its writes, the group's home first; empty where the owner alone does.
    #[serde(default)]
    pub active: Vec<RegionName>,
}

/// A topic clients may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedTopic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// How many partitions it has.
    pub partitions: i32,
    /// The group it belongs to.
    pub group: ProtectionGroup,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

/// Where a region is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedRegion {
    /// The region.
    pub region: RegionName,
    /// `host:port` of the gateways' listener of each of its brokers, in the order of their slots, separated by commas.
    pub gateways: String,
    /// The same of their internal listeners.
    pub internal: String,
}

/// A gateway asks for the route table and confirms its leases. Only the council's leader answers, after it has
/// confirmed that it is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRoutes {
    /// The gateway.
    pub gateway: String,
    /// The version of the table it has; 0 for none.
    pub since: u64,
    /// How long the leader may wait for a newer table before it answers.
    pub max_wait_ms: u32,
    /// Grants that this table calls revoked and that the gateway serves no longer: whatever waited for an answer under
    /// them was dropped. Nobody has to wait for the gateway's lease on them any more.
    #[serde(default)]
    pub released: Vec<(ProtectionGroup, OwnershipEpoch)>,
}

/// The answer to [`FollowRoutes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteLease {
    /// The table, if it is newer than the one the gateway has.
    pub table: Option<RouteTable>,
    /// The grants that stand: from the moment the gateway asked it may serve them for `ttl_ms`.
    pub confirmed: Vec<(ProtectionGroup, OwnershipEpoch)>,
    /// How long the confirmation holds.
    pub ttl_ms: u32,
}
