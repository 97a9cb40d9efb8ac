//! Brokers on free ports and clients that speak to them request by request.

use broker::standalone::{Standalone, Topic};
use broker::{Config, Flush, Listeners, NoCouncil, Ports};
use bytes::Bytes;
use env::real::{SystemClock, SystemEntropy};
use model::RegionName;
use record::{BatchBuilder, Batches};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wire::ErrorCode;
use wire::api::{fetch, list_offsets, produce};
use wire::client::Connection;

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn config(dir: &Path) -> Config {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners { clients: any, gateways: any, internal: any };
    let mut config = Config::new(RegionName::new("r1").unwrap(), 0, dir.to_owned(), listeners);
    config.disk_reserve = model::ByteCount(0);
    config
}

pub(crate) fn ports() -> Ports {
    Ports { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), council: Arc::new(NoCouncil) }
}

pub(crate) async fn start(config: Config, topics: &[Topic]) -> Standalone {
    Standalone::start(config, ports(), topics).await.unwrap()
}

/// A broker in a directory of its own.
pub(crate) struct Alone {
    pub(crate) broker: Standalone,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) async fn alone(topics: &[Topic]) -> Alone {
    alone_with(topics, |_| {}).await
}

pub(crate) async fn alone_with(topics: &[Topic], change: impl FnOnce(&mut Config)) -> Alone {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    change(&mut config);
    Alone { broker: start(config, topics).await, dir }
}

pub(crate) fn os(config: &mut Config) {
    config.flush = Flush::Os;
}

impl Alone {
    /// Waits until a fetch has found too little, so that what is written now is what wakes it.
    pub(crate) async fn until_a_fetch_waits(&self) {
        eventually("a fetch waits", async || self.broker.broker.waiting_fetches() == 1).await;
    }

    pub(crate) async fn client(&self) -> Client {
        Client::of(&self.broker).await
    }

    /// Stops the broker in an orderly way, and starts it again where it was.
    pub(crate) async fn restart(self, topics: &[Topic]) -> Self {
        self.broker.stop().await;
        Self { broker: start(config(self.dir.path()), topics).await, dir: self.dir }
    }
}

/// One connection.
pub(crate) struct Client(pub Connection);

impl Client {
    pub(crate) async fn of(broker: &Standalone) -> Self {
        Self::at(broker.broker.addresses().unwrap().clients).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        Self(Connection::connect(&address.to_string(), "test", PATIENCE).await.unwrap())
    }

    /// Appends `batch` to partition `partition` of `topic`.
    pub(crate) async fn produce(&self, topic: &str, partition: i32, batch: Bytes) -> produce::PartitionResponse {
        self.produce_acks(topic, partition, batch, -1).await
    }

    pub(crate) async fn produce_acks(
        &self,
        topic: &str,
        partition: i32,
        batch: Bytes,
        acks: i16,
    ) -> produce::PartitionResponse {
        let response = self.0.call(&produce_request(topic, partition, batch, acks), 9).await.unwrap();
        response.responses.into_iter().next().unwrap().partition_responses.into_iter().next().unwrap()
    }

    pub(crate) async fn fetch(&self, topic: &str, partition: i32, offset: i64) -> fetch::PartitionResponse {
        only(self.0.call(&fetch_request(topic, partition, offset), 11).await.unwrap())
    }

    /// The values of all records of a partition from `offset` on.
    pub(crate) async fn values(&self, topic: &str, partition: i32, offset: i64) -> Vec<String> {
        self.try_values(topic, partition, offset).await.unwrap()
    }

    /// The same, or what the broker has against it. One answer has the records of one segment at most.
    pub(crate) async fn try_values(&self, topic: &str, partition: i32, offset: i64) -> Result<Vec<String>, ErrorCode> {
        let (mut values, mut next) = (Vec::new(), offset);
        loop {
            let found = self.fetch(topic, partition, next).await;
            found.error_code.ok()?;
            // By batches: compaction may have left one without a record.
            let batches = Batches::new(found.records.bytes().unwrap());
            let Some(last) = batches.map(Result::unwrap).last() else { return Ok(values) };
            next = last.next_offset().0;
            values.extend(records(&found.records).into_iter().filter(|(at, _)| *at >= offset).map(|(_, value)| value));
        }
    }

    /// Whether the broker takes itself for the leader of this partition.
    pub(crate) async fn leads(&self, topic: &str, partition: i32) -> Result<(), String> {
        let found = self.list_offset_of(topic, partition, list_offsets::EARLIEST).await;
        match found.error_code {
            ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                Err(format!("the leader of {topic}-{partition} says {found:?}"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn list_offset(&self, topic: &str, timestamp: i64) -> list_offsets::PartitionResponse {
        self.list_offset_of(topic, 0, timestamp).await
    }

    async fn list_offset_of(
        &self,
        topic: &str,
        partition_index: i32,
        timestamp: i64,
    ) -> list_offsets::PartitionResponse {
        let asked = list_offsets::Partition { partition_index, timestamp, ..Default::default() };
        let topic = list_offsets::Topic { name: topic.to_owned(), partitions: vec![asked], ..Default::default() };
        let request = list_offsets::Request { topics: vec![topic], ..Default::default() };
        let response = self.0.call(&request, 9).await.unwrap();
        response.topics.into_iter().next().unwrap().partitions.into_iter().next().unwrap()
    }
}

pub(crate) fn produce_request(topic: &str, partition: i32, batch: Bytes, acks: i16) -> produce::Request {
    let data = produce::Partition { index: partition, records: Some(batch), ..Default::default() };
    let topic = produce::Topic { name: topic.to_owned(), partition_data: vec![data], ..Default::default() };
    produce::Request { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}

pub(crate) fn fetch_request(topic: &str, partition: i32, fetch_offset: i64) -> fetch::Request {
    let from = fetch::Partition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = fetch::Topic { topic: topic.to_owned(), partitions: vec![from], ..Default::default() };
    fetch::Request { min_bytes: 1, max_bytes: 1 << 20, topics: vec![topic], ..Default::default() }
}

pub(crate) fn only(response: fetch::Response) -> fetch::PartitionResponse {
    assert_eq!(response.error_code, ErrorCode::NONE);
    response.responses.into_iter().next().unwrap().partitions.into_iter().next().unwrap()
}

/// One batch with these values.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    builder(values).build().into()
}

pub(crate) fn builder(values: &[&str]) -> BatchBuilder {
    let now = env::Clock::now(&SystemClock);
    let mut builder = BatchBuilder::new();
    values.iter().for_each(|value| builder.push(now, None, Some(value.as_bytes()), &[]));
    builder
}

/// A batch of about `bytes` bytes.
pub(crate) fn large(bytes: usize) -> Bytes {
    batch(&[&"x".repeat(bytes)])
}

/// Offsets and values of everything in `records`.
pub(crate) fn records(records: &wire::Records) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for batch in Batches::new(records.bytes().unwrap()) {
        let batch = batch.unwrap();
        batch.verify().unwrap();
        for record in batch.records(model::limits::DECOMPRESSED_BYTES_MAX).unwrap() {
            let record = record.unwrap();
            found.push((record.offset.0, String::from_utf8(record.value.unwrap()).unwrap()));
        }
    }
    found
}

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
