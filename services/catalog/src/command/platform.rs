use super::CreateGroup;
use model::{BrokerSlot, Incarnation, ProtectionGroup, RegionName, Timestamp};
use serde::{Deserialize, Serialize};

/// The place of the witness in the council; regions have their index.
pub const WITNESS_SLOT: BrokerSlot = BrokerSlot(u16::MAX);

/// The name of a council node: its place over its incarnation (`slot << 16 | incarnation`).
pub const fn council_node_id(slot: BrokerSlot, incarnation: Incarnation) -> u64 {
    (slot.0 as u64) << 16 | incarnation.0 as u64
}

/// Forms the platform: the first command of every council.
///
/// The regions get the indexes 0, 1, … and the incarnations 1, 2, … in the order they are listed in, the witness the
/// incarnation behind them: so the founders know their council node ids before there is a council. Forming the same
/// platform again changes nothing; forming another one is refused. Answered with `Answer::Platform`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormPlatform {
    /// The constant cluster id Kafka clients see.
    pub cluster_id: String,
    /// The first regions.
    pub regions: Vec<Founder>,
    /// A council node in no region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<FoundingWitness>,
    /// The first protection groups.
    #[serde(default)]
    pub groups: Vec<CreateGroup>,
}

/// A region of the first hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Founder {
    /// Its name.
    pub region: RegionName,
    /// What its disk calls itself: drawn at random when a data directory is made.
    pub disk_id: String,
    /// Where it is reached.
    pub addresses: Addresses,
}

/// A witness of the first hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundingWitness {
    /// Its name.
    pub name: String,
    /// What its disk calls itself.
    pub disk_id: String,
    /// `host:port` of its council node.
    pub council: String,
}

/// Where a region is reached: `host:port` each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Its own Kafka clients.
    pub clients: String,
    /// The gateways.
    pub gateways: String,
    /// Links, offset sync, metadata followers.
    pub internal: String,
    /// Its council node.
    pub council: String,
    /// Its REST API.
    pub rest: String,
}

/// A region starts: a new one, one that comes back with its disk (perhaps at new addresses), or one that comes back
/// with an empty disk.
///
/// An empty disk gets a new incarnation, and the grants the region held are revoked in the same entry: it has nothing of
/// what it owned. A disk that was replaced meanwhile is refused. Answered with `Answer::Region`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinRegion {
    /// Its name.
    pub region: RegionName,
    /// Its number among the regions; must be free, or its own.
    pub index: u16,
    /// What its disk calls itself.
    pub disk_id: String,
    /// Where it is reached.
    pub addresses: Addresses,
}

/// The witness starts; see [`JoinRegion`]. Answered with `Answer::Region`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinWitness {
    /// Its name.
    pub name: String,
    /// What its disk calls itself.
    pub disk_id: String,
    /// `host:port` of its council node.
    pub council: String,
}

/// A gateway starts. Each (region, slot) it has a port for becomes a virtual node whose id it keeps for ever; ports and
/// host may change, ids never. Answered with `Answer::Gateway`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterGateway {
    /// Its name.
    pub gateway: String,
    /// The host its clients reach it at.
    pub host: String,
    /// The port of its bootstrap listener.
    pub port: u16,
    /// One listener per broker slot of each region.
    pub nodes: Vec<NodePort>,
}

/// The listener of a virtual node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePort {
    /// The region it stands for.
    pub region: RegionName,
    /// The broker slot in that region.
    pub slot: BrokerSlot,
    /// Its port on the gateway.
    pub port: u16,
}

/// Sets a setting of the platform. Answered with `Answer::Revision`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PutSetting {
    /// Its name.
    pub name: String,
    /// Its value; null takes it away.
    pub value: serde_json::Value,
    /// The revision it must have now; 0 for a setting that is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
}

/// Forbids automatic action on a group until a time or until somebody allows it. A later block replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockAutomation {
    /// The group.
    pub group: ProtectionGroup,
    /// Until when; `None` until it is taken away.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// Allows automatic action on a group again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnblockAutomation {
    /// The group.
    pub group: ProtectionGroup,
}
