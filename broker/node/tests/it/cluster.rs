//! Several brokers in this process that are one region, without a council.

use crate::harness::{Client, PATIENCE, eventually};
use crate::world::free_address;
use broker::{Broker, Config, Listeners};
use env::real::{SystemClock, SystemEntropy};
use model::{BrokerSlot, RegionName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use wire::ErrorCode;
use wire::api::{alter_partition_reassignments as alter, create_topics, metadata};

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

    /// Gives the broker in `slot`, which does not run, an empty disk; gives the one it had.
    pub(crate) fn wipe(&mut self, slot: u16) -> TempDir {
        std::mem::replace(&mut self.dirs[usize::from(slot)], TempDir::new().unwrap())
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

    /// Asks the broker in `slot` for a move of one partition to `nodes`, or for an end of one under way; again while the
    /// controller of the region is being replaced.
    pub(crate) async fn reassign(&self, slot: u16, name: &str, partition: i32, nodes: Option<&[i32]>) -> ErrorCode {
        let partition =
            alter::Partition { partition_index: partition, replicas: nodes.map(<[i32]>::to_vec), ..Default::default() };
        let topic = alter::Topic { name: name.to_owned(), partitions: vec![partition], ..Default::default() };
        let request = alter::Request { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let mut said = ErrorCode::NONE;
        eventually("the move is begun or refused", async || {
            let answer = self.client(slot).await.0.call(&request, 1).await.unwrap();
            said = answer.responses[0].partitions[0].error_code;
            assert!(answer.error_code.is_ok() || said == answer.error_code, "{answer:?}");
            said != ErrorCode::REQUEST_TIMED_OUT
        })
        .await;
        said
    }

    /// What the broker in `slot` says of itself and the topic, once it knows its region.
    pub(crate) async fn metadata(&self, slot: u16, name: &str) -> metadata::Response {
        let topic = metadata::Topic { name: Some(name.to_owned()), ..Default::default() };
        let request = metadata::Request { topics: Some(vec![topic]), ..Default::default() };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.client(slot).await.0.call(&request, 12).await {
                Ok(answer) => return answer,
                Err(error) => {
                    assert!(tokio::time::Instant::now() < deadline, "slot {slot} says nothing of {name}: {error}");
                }
            }
        }
    }

    /// Waits until every running broker names the same leaders of all partitions, `holds` of them, and each of them
    /// serves: the others may know of a leader before it does. Gives them.
    pub(crate) async fn leaders(&self, name: &str, holds: impl Fn(&metadata::PartitionResponse) -> bool) -> Vec<i32> {
        let (mut last, deadline) = (String::new(), tokio::time::Instant::now() + PATIENCE);
        while tokio::time::Instant::now() < deadline {
            match self.agreed_leaders(name, &holds).await {
                Ok(leaders) => return leaders,
                Err(reason) => last = reason,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the brokers do not agree on leaders of {name} in time: {last}");
    }

    async fn agreed_leaders(
        &self,
        name: &str,
        holds: impl Fn(&metadata::PartitionResponse) -> bool,
    ) -> Result<Vec<i32>, String> {
        let mut named = Vec::new();
        for slot in self.brokers.keys() {
            let found = self.metadata(*slot, name).await.topics.remove(0);
            let sound = |led: &metadata::PartitionResponse| led.error_code == ErrorCode::NONE && holds(led);
            if found.error_code != ErrorCode::NONE || !found.partitions.iter().all(sound) {
                return Err(format!("the broker in slot {slot} says {found:?}"));
            }
            named.push(found.partitions.iter().map(|led| led.leader_id).collect::<Vec<_>>());
        }
        if named.iter().any(|other| *other != named[0]) {
            return Err(format!("leaders by broker: {named:?}"));
        }
        self.all_serve(name, &named[0]).await?;
        Ok(named.remove(0))
    }

    /// Whether each of these nodes takes itself for the leader of the partition that has its place.
    async fn all_serve(&self, name: &str, leaders: &[i32]) -> Result<(), String> {
        for (partition, leader) in (0..).zip(leaders) {
            let slot = u16::try_from(leader - 1).unwrap();
            if !self.brokers.contains_key(&slot) {
                return Err(format!("broker {leader}, which does not run, is taken for a leader"));
            }
            self.client(slot).await.leads(name, partition).await?;
        }
        Ok(())
    }

    /// The values of all records of a partition, of whoever leads it.
    pub(crate) async fn read(&self, name: &str, partition: i32) -> Vec<String> {
        let mut values = None;
        eventually("the leader gives what it has", async || {
            let (slot, _) = self.brokers.first_key_value().unwrap();
            let leader = self.metadata(*slot, name).await.topics[0].partitions[partition as usize].leader_id;
            let leader = u16::try_from(leader - 1).ok().filter(|slot| self.brokers.contains_key(slot));
            let Some(leader) = leader else { return false };
            values = self.client(leader).await.try_values(name, partition, 0).await.ok();
            values.is_some()
        })
        .await;
        values.unwrap()
    }

    pub(crate) async fn end(self) {
        for broker in self.brokers.into_values() {
            broker.abandon().await;
        }
    }
}
