//! Requests that librdkafka does not offer, or would try again, by our own client.

use crate::load::{Journal, RECORD_BYTES, place};
use chaos::history::Event;
use model::{Offset, Timestamp};
use record::BatchBuilder;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use wire::ErrorCode;
use wire::api::{alter_partition_reassignments as moves, elect_leaders, produce};
use wire::client::{Cluster, Connection, Options};

const PATIENCE: Duration = Duration::from_secs(120);

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn node(slot: usize) -> i32 {
    slot as i32 + 1
}

/// Orders that the partitions of `topic` are on these brokers, the preferred leaders first.
pub(super) fn reassign(bootstrap: &str, topic: &str, wanted: &[Vec<usize>]) {
    let partition = |(index, replicas): (usize, &Vec<usize>)| moves::Partition {
        partition_index: index as i32,
        replicas: Some(replicas.iter().map(|slot| node(*slot)).collect()),
        ..Default::default()
    };
    let partitions = wanted.iter().enumerate().map(partition).collect();
    let topic = moves::Topic { name: topic.to_owned(), partitions, ..Default::default() };
    let request = moves::Request { topics: vec![topic], ..Default::default() };
    let answer =
        wait(async { Cluster::new(bootstrap, Options::default()).call_any(&request).await }).expect("an answer");
    assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
    let refused: Vec<_> = answer.responses.iter().flat_map(|topic| &topic.partitions).collect();
    assert!(refused.iter().all(|answer| answer.error_code.is_ok()), "{refused:?}");
}

/// Orders that the preferred replicas of `topic` lead. That they do already, or cannot yet, is no failure.
pub(super) fn elect(bootstrap: &str, topic: &str, partitions: i32) {
    let wanted = elect_leaders::TopicPartitions {
        topic: topic.to_owned(),
        partitions: (0..partitions).collect(),
        ..Default::default()
    };
    let request = elect_leaders::Request {
        election_type: elect_leaders::PREFERRED,
        topic_partitions: Some(vec![wanted]),
        timeout_ms: 10_000,
        ..Default::default()
    };
    let answer = wait(async { Cluster::new(bootstrap, Options::default()).call_any(&request).await });
    println!("elections: {:?}", answer.map(|answer| answer.error_code));
}

/// Writes one record at the broker at `address`, once, in another thread; whether it was acknowledged.
pub(super) fn try_write(address: &str, topic: &str, partition: i32, value: u64, journal: &Journal) -> JoinHandle<bool> {
    let (address, topic, journal) = (address.to_owned(), topic.to_owned(), journal.clone());
    journal.tell("single", Event::Sent { value, partition: place(&topic, partition), idempotent: false });
    thread::spawn(move || {
        let answer = wait(write(&address, &topic, partition, value));
        let event = match &answer {
            Ok(offset) => Event::Acked { value, offset: *offset, region: None },
            Err(reason) => Event::Unclear { value, reason: reason.clone() },
        };
        println!("a single record at {address}: {answer:?}");
        journal.tell("single", event);
        answer.is_ok()
    })
}

async fn write(address: &str, topic: &str, partition: i32, value: u64) -> Result<Offset, String> {
    let mut payload = value.to_be_bytes().to_vec();
    payload.resize(RECORD_BYTES, b'.');
    let mut batch = BatchBuilder::new();
    batch.push(Timestamp(0), None, Some(&payload), &[]);
    let data = produce::Partition { index: partition, records: Some(batch.build().into()), ..Default::default() };
    let topic = produce::Topic { name: topic.to_owned(), partition_data: vec![data], ..Default::default() };
    let request = produce::Request { acks: -1, timeout_ms: 20_000, topic_data: vec![topic], ..Default::default() };
    let connection = Connection::connect(address, "chaos", PATIENCE).await.map_err(|error| error.to_string())?;
    let answer = connection.call(&request, 9).await.map_err(|error| error.to_string())?;
    let answer = &answer.responses[0].partition_responses[0];
    match answer.error_code {
        ErrorCode::NONE => Ok(Offset(answer.base_offset)),
        code => Err(code.to_string()),
    }
}
