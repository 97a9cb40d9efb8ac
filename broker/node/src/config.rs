use model::{BrokerSlot, RegionName};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What one broker is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The region it belongs to.
    pub region: RegionName,
    /// That region's number among the regions.
    pub region_index: u16,
    /// Its place in the region.
    pub slot: BrokerSlot,
    /// The cluster id its own clients see.
    pub cluster_id: String,
    /// Where it keeps its metadata and logs.
    pub data_dir: PathBuf,
    /// Where its own Kafka clients connect.
    pub clients: SocketAddr,
    /// Where gateways connect: no policy errors, no names of other nodes.
    pub gateways: SocketAddr,
    /// Where links, offset sync and metadata followers connect.
    pub internal: SocketAddr,
    /// Whether a client that asks for an unknown topic gets it.
    pub auto_create_topics: bool,
    /// How many partitions a topic gets that does not say.
    pub default_partitions: i32,
    /// What an acknowledgement waits for, where a topic does not say.
    pub flush: Flush,
    /// How long links' fetches are held back, for drills.
    pub link_delay: Duration,
    /// How long a new group waits for more members before its first rebalance.
    pub initial_rebalance_delay: Duration,
}

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// The record is on disk.
    #[default]
    BeforeAck,
    /// The operating system has the record, which is Kafka's own promise.
    Os,
}
