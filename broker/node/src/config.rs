use broker_core::group::Settings;
use broker_core::liveness::Timing;
use broker_core::metadata::Location;
use broker_core::retention::Hold;
use model::{BrokerSlot, ByteCount, RegionName};
use std::collections::BTreeMap;
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
    /// Where its controller listens for those of the region's other brokers; `None` for a broker that is its region.
    pub controller: Option<SocketAddr>,
    /// Where the controllers of all brokers of the region are reached, by slot; empty for a broker that is its region.
    pub peers: BTreeMap<BrokerSlot, String>,
    /// The one of them that is the region's desk: it speaks for the region to the council and hosts no partitions.
    /// `None` where the council speaks to a broker.
    pub desk: Option<BrokerSlot>,
    /// How many of them vote on the metadata, from the first slot on: 1, 3 or 5. The others follow.
    pub controllers: usize,
    /// Where it stands.
    pub location: Location,
    /// How long a broker of the region may be silent before others lead what it led.
    pub liveness: Timing,
    /// How often it hands over what it leads in the place of a preferred leader that is back in sync.
    pub rebalance_every: Duration,
    /// Where it keeps its metadata and logs.
    pub data_dir: PathBuf,
    /// Where it keeps its logs, each perhaps on a disk of its own (`log.dirs`); empty for one directory in `data_dir`.
    pub log_dirs: Vec<PathBuf>,
    /// Where the region keeps everything: files it names to the council are named from here on. The same, unless the region
    /// has several brokers on one disk.
    pub region_dir: PathBuf,
    /// Where its own Kafka clients connect.
    pub clients: SocketAddr,
    /// Where gateways connect: no policy errors, no names of other nodes.
    pub gateways: SocketAddr,
    /// Where links, offset sync and metadata followers connect.
    pub internal: SocketAddr,
    /// Where other brokers reach that listener, if not where it listens.
    pub internal_at: Option<String>,
    /// Whether a client that asks for an unknown topic gets it.
    pub auto_create_topics: bool,
    /// How many partitions a topic gets that does not say.
    pub default_partitions: i32,
    /// What an acknowledgement waits for, where a topic does not say.
    pub flush: Flush,
    /// How long a replica may lag before it is out of sync (`replica.lag.time.max.ms`).
    pub replica_lag_max: Duration,
    /// How many connections replicas are fetched by from each broker (`num.replica.fetchers`).
    pub replica_fetchers: usize,
    /// How long links' fetches are held back, for drills.
    pub link_delay: Duration,
    /// How long a new group waits for more members before its first rebalance.
    pub initial_rebalance_delay: Duration,
    /// How long a member of a group of the consumer protocol may be silent.
    pub consumer_session_timeout: Duration,
    /// How often such a member is expected to be heard.
    pub consumer_heartbeat_interval: Duration,
    /// How often old records are looked for (`log.retention.check.interval.ms`).
    pub retention_check: Duration,
    /// How much longer than configured records are kept for another region that has not copied them yet.
    pub link_hold: Hold,
    /// How often what is new is hashed, for comparing it with other regions.
    pub verify_every: Duration,
    /// How often what is owned here and compacted is digested by its keys, for the same.
    pub digest_every: Duration,
    /// How much of what was hashed before is read again each time there is nothing new; 0 for never.
    pub reread: ByteCount,
    /// Writes of records to a disk are refused while it has less than this free, so that metadata can still be written.
    pub disk_reserve: ByteCount,
}

impl Config {
    /// How its groups are coordinated.
    pub(crate) fn group_settings(&self) -> Settings {
        Settings {
            initial_rebalance_delay: self.initial_rebalance_delay,
            consumer_session_timeout: self.consumer_session_timeout,
            consumer_heartbeat_interval: self.consumer_heartbeat_interval,
            ..Settings::default()
        }
    }

    /// The configuration of the first broker of a region's three listeners, with everything else at its default.
    pub fn new(region: RegionName, region_index: u16, data_dir: PathBuf, listeners: Listeners) -> Self {
        Self {
            cluster_id: format!("farshore-{region}"),
            region,
            region_index,
            slot: BrokerSlot(0),
            controller: None,
            peers: BTreeMap::new(),
            desk: None,
            controllers: 3,
            location: Location::default(),
            rebalance_every: Duration::from_secs(30),
            liveness: Timing { silence_max: Duration::from_millis(1300) },
            region_dir: data_dir.clone(),
            data_dir,
            log_dirs: Vec::new(),
            clients: listeners.clients,
            gateways: listeners.gateways,
            internal: listeners.internal,
            internal_at: None,
            auto_create_topics: true,
            default_partitions: 1,
            flush: Flush::default(),
            replica_lag_max: broker_core::partition::REPLICA_LAG_MAX,
            replica_fetchers: 2,
            link_delay: Duration::ZERO,
            initial_rebalance_delay: Duration::from_secs(3),
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            retention_check: Duration::from_secs(300),
            link_hold: Hold::default(),
            verify_every: Duration::from_secs(1),
            digest_every: Duration::from_secs(600),
            reread: ByteCount::mib(1),
            disk_reserve: ByteCount::mib(64),
        }
    }

    /// The id that clients of the region know the broker by.
    pub fn node_id(&self) -> i32 {
        i32::from(self.region_index) * SLOTS_PER_REGION + i32::from(self.slot.0) + 1
    }

    /// Whether the region has other brokers.
    pub(crate) fn is_clustered(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Whether it is the region's desk.
    pub(crate) fn is_desk(&self) -> bool {
        self.desk == Some(self.slot)
    }

    /// How many brokers that host partitions the region is to have.
    pub(crate) fn broker_count(&self) -> usize {
        let desks = self.desk.iter().filter(|desk| self.peers.contains_key(desk)).count();
        (self.peers.len() - desks).max(1)
    }

    /// Where it is to listen.
    pub(crate) fn listeners(&self) -> Listeners {
        Listeners { clients: self.clients, gateways: self.gateways, internal: self.internal }
    }

    /// All directories of logs.
    pub(crate) fn log_paths(&self) -> Vec<PathBuf> {
        match &self.log_dirs[..] {
            [] => vec![self.topics_dir()],
            given => given.to_vec(),
        }
    }

    /// Where the logs of partitions are that were given no other place.
    pub(crate) fn topics_dir(&self) -> PathBuf {
        self.data_dir.join("topics")
    }

    /// Where tails are archived that a later owner never got.
    pub fn diverged_dir(&self) -> PathBuf {
        self.data_dir.join("diverged")
    }
}

/// How many node ids each region has.
const SLOTS_PER_REGION: i32 = 3;

/// Where a broker listens; port 0 is any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// For the region's own Kafka clients.
    pub clients: SocketAddr,
    /// For gateways.
    pub gateways: SocketAddr,
    /// For links, offset sync and metadata followers.
    pub internal: SocketAddr,
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
