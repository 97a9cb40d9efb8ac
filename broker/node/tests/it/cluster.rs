//! Several brokers in this process that are one region, without a council.

use crate::harness::{Client, eventually};
use broker::{Broker, Config, Listeners};
use env::real::{SystemClock, SystemEntropy};
use model::{BrokerSlot, RegionName};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use wire::ErrorCode;
use wire::api::{create_topics, metadata};

pub(crate) struct Cluster {
    pub(crate) brokers: BTreeMap<u16, Broker>,
    peers: BTreeMap<BrokerSlot, String>,
    dirs: Vec<TempDir>,
    /// The directories of logs of brokers that were given some.
    pub(crate) log_dirs: BTreeMap<u16, Vec<PathBuf>>,
}

impl Cluster {
    /// A region of `count` brokers that are all let in.
    pub(crate) async fn of(count: u16) -> Self {
        Self::with_log_dirs(count, BTreeMap::new()).await
    }

    /// The same with brokers that have several directories of logs.
    pub(crate) async fn with_log_dirs(count: u16, log_dirs: BTreeMap<u16, Vec<PathBuf>>) -> Self {
        let mut cluster = Self { log_dirs, ..Self::wired(count) };
        for slot in 0..count {
            cluster.start(slot).await;
        }
        cluster.settle().await;
        cluster
    }

    /// `count` brokers that wait for the word of a council.
    pub(crate) async fn unfounded(count: u16) -> Self {
        let mut cluster = Self::wired(count);
        for slot in 0..count {
            let broker = Broker::start(cluster.config(slot), crate::harness::ports()).await.unwrap();
            cluster.brokers.insert(slot, broker);
        }
        cluster
    }

    fn wired(count: u16) -> Self {
        let peers = (0..count).map(|slot| (BrokerSlot(slot), free_address())).collect();
        let dirs = (0..count).map(|_| TempDir::new().unwrap()).collect();
        Self { brokers: BTreeMap::new(), peers, dirs, log_dirs: BTreeMap::new() }
    }

    pub(crate) fn config(&self, slot: u16) -> Config {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listeners = Listeners { clients: any, gateways: any, internal: any };
        let dir = self.dirs[usize::from(slot)].path().to_owned();
        let mut config = Config::new(RegionName::new("r1").unwrap(), 0, dir, listeners);
        config.slot = BrokerSlot(slot);
        config.log_dirs = self.log_dirs.get(&slot).cloned().unwrap_or_default();
        config.controller = Some(self.peers[&BrokerSlot(slot)].parse().unwrap());
        config.peers.clone_from(&self.peers);
        config.location.rack = format!("rack-{slot}");
        // Many regions share this process and a few processors.
        config.liveness = broker::Timing { silence_max: Duration::from_secs(3) };
        config.disk_reserve = model::ByteCount(0);
        config.initial_rebalance_delay = Duration::from_millis(50);
        config
    }

    pub(crate) async fn start(&mut self, slot: u16) {
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let broker = Broker::start_alone(self.config(slot), clock, entropy).await.unwrap();
        self.brokers.insert(slot, broker);
    }

    /// Ends a broker as a crash does: nobody is told.
    pub(crate) async fn kill(&mut self, slot: u16) {
        self.brokers.remove(&slot).unwrap().abandon().await;
    }

    /// Stops a broker in an orderly way.
    pub(crate) async fn stop(&mut self, slot: u16) {
        self.brokers.remove(&slot).unwrap().shutdown().await;
    }

    /// Waits until every running broker knows that exactly these are let in.
    pub(crate) async fn settle(&self) {
        let running: Vec<_> = self.brokers.keys().copied().collect();
        eventually("all running brokers are let in", async || {
            self.brokers.values().all(|broker| {
                let image = broker.image();
                let known = image.brokers().filter(|(_, known)| !known.is_fenced()).map(|(slot, _)| slot.0);
                known.collect::<Vec<_>>() == running
            })
        })
        .await;
    }

    /// Gives the broker in `slot`, which does not run, an empty disk.
    pub(crate) fn wipe(&mut self, slot: u16) {
        self.dirs[usize::from(slot)] = TempDir::new().unwrap();
    }

    pub(crate) fn broker(&self, slot: u16) -> &Broker {
        &self.brokers[&slot]
    }

    pub(crate) async fn client(&self, slot: u16) -> Client {
        Client::at(self.broker(slot).addresses().unwrap().clients).await
    }

    /// Makes a topic, asked for at the broker in `slot`.
    pub(crate) async fn create(&self, slot: u16, name: &str, partitions: i32) -> create_topics::TopicResponse {
        self.create_as(slot, name, partitions, &[]).await
    }

    /// Makes a topic of one partition that is configured so.
    pub(crate) async fn create_with(&self, slot: u16, name: &str, config: &[(&str, &str)]) {
        let made = self.create_as(slot, name, 1, config).await;
        assert_eq!(made.error_code, ErrorCode::NONE, "{:?}", made.error_message);
    }

    async fn create_as(
        &self,
        slot: u16,
        name: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> create_topics::TopicResponse {
        let entry = |(name, value): &(&str, &str)| create_topics::Config {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        };
        let topic = create_topics::Topic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: -1,
            configs: config.iter().map(entry).collect(),
            ..Default::default()
        };
        let request = create_topics::Request { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let response = self.client(slot).await.0.call(&request, 7).await.unwrap();
        response.topics.into_iter().next().unwrap()
    }

    /// What the broker in `slot` says of itself and the topic.
    pub(crate) async fn metadata(&self, slot: u16, name: &str) -> metadata::Response {
        let topic = metadata::Topic { name: Some(name.to_owned()), ..Default::default() };
        let request = metadata::Request { topics: Some(vec![topic]), ..Default::default() };
        self.client(slot).await.0.call(&request, 12).await.unwrap()
    }

    /// Waits until every running broker names leaders of all partitions that `holds` of, and gives them.
    pub(crate) async fn leaders(&self, name: &str, holds: impl Fn(&metadata::PartitionResponse) -> bool) -> Vec<i32> {
        let mut leaders = Vec::new();
        eventually("all brokers name the leaders", async || {
            let mut named = Vec::new();
            for slot in self.brokers.keys() {
                let found = self.metadata(*slot, name).await.topics.remove(0);
                if found.error_code != ErrorCode::NONE {
                    return false;
                }
                let sound = |led: &metadata::PartitionResponse| led.error_code == ErrorCode::NONE && holds(led);
                if !found.partitions.iter().all(sound) {
                    return false;
                }
                named.push(found.partitions.iter().map(|led| led.leader_id).collect::<Vec<_>>());
            }
            leaders.clone_from(&named[0]);
            named.iter().all(|other| *other == named[0])
        })
        .await;
        leaders
    }

    pub(crate) async fn end(self) {
        for broker in self.brokers.into_values() {
            broker.abandon().await;
        }
    }
}

/// An address nobody listens at. It lies below the ports that the system gives to whoever connects.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id() as u16).wrapping_mul(97).wrapping_add(step) % 18_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap().to_string();
        }
    }
}
