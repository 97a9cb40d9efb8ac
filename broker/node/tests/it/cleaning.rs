//! What becomes of old records.

use crate::harness::{Alone, Client, PATIENCE, alone, alone_with, batch, large};
use broker::Cleaned;
use broker::standalone::Topic;
use broker_core::retention::Hold;
use model::ByteCount;
use std::time::Duration;
use wire::ErrorCode;
use wire::api::delete_records;
use wire::api::list_offsets::{EARLIEST, LATEST};
use wire::internal::link_fetch::{Partition, Request};

fn kept(bytes: &str) -> Topic {
    Topic::new("t", 1).with("segment.bytes", "10000").with("retention.bytes", bytes)
}

async fn fill(client: &Client, batches: usize) {
    for _ in 0..batches {
        assert_eq!(client.produce("t", 0, large(1000)).await.error_code, ErrorCode::NONE);
    }
}

async fn ends(client: &Client) -> (i64, i64) {
    (client.list_offset("t", EARLIEST).await.offset, client.list_offset("t", LATEST).await.offset)
}

#[tokio::test]
async fn a_partition_keeps_as_much_as_its_topic_says_across_restarts() {
    let topic = kept("20000");
    let source = alone(std::slice::from_ref(&topic)).await;
    let client = source.client().await;
    fill(&client, 100).await;
    assert_eq!(ends(&client).await, (0, 100));
    let cleaned = source.broker.broker.clean().await;
    assert!(cleaned.segments >= 8 && cleaned.bytes > 60_000, "{cleaned:?}");
    let (start, end) = ends(&client).await;
    assert!((60..=85).contains(&start) && end == 100, "{start}");
    assert_eq!(client.fetch("t", 0, 0).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(client.values("t", 0, start).await.len() as i64, 100 - start);
    assert_eq!(source.broker.broker.clean().await, Cleaned::default(), "doing it again changes nothing");
    let Alone { broker, dir } = source;
    let config = broker.broker.config().clone();
    broker.stop().await;
    let broker = crate::harness::start(config, &[topic]).await;
    assert_eq!(ends(&Client::of(&broker).await).await, (start, 100));
    drop(dir);
}

#[tokio::test]
async fn records_older_than_their_topic_allows_go_also_when_nobody_writes() {
    let source = alone(&[Topic::new("t", 1).with("retention.ms", "1")]).await;
    let client = source.client().await;
    fill(&client, 3).await;
    crate::harness::eventually("all records are retired", async || {
        source.broker.broker.clean().await;
        ends(&client).await == (3, 3)
    })
    .await;
    assert_eq!(client.produce("t", 0, batch(&["next"])).await.base_offset, 3);
    assert_eq!(client.values("t", 0, 3).await, ["next"]);
}

#[tokio::test]
async fn a_compacted_topic_keeps_its_records_whatever_their_age() {
    let topic =
        Topic::new("t", 1).with("cleanup.policy", "compact").with("retention.ms", "0").with("retention.bytes", "0");
    let source = alone(&[topic]).await;
    let client = source.client().await;
    let keyed = record::BatchBuilder::new().record(1, Some(b"k"), Some(b"v"), &[]).build();
    assert_eq!(client.produce("t", 0, keyed.into()).await.error_code, ErrorCode::NONE);
    source.broker.broker.clean().await;
    assert_eq!(client.values("t", 0, 0).await, ["v"]);
}

async fn link_fetch(source: &Alone, topic: &Topic, durable: i64) {
    let partition =
        Partition { topic_id: topic.id(), fetch_offset: durable, copy_durable_offset: durable, ..Default::default() };
    let request = Request { target_region: "r2".into(), partitions: vec![partition], ..Default::default() };
    let client = Client::at(source.broker.broker.addresses().unwrap().internal).await;
    client.0.call_within(PATIENCE, &request, 0).await.unwrap();
}

#[tokio::test]
async fn records_wait_for_the_links_of_standbys_as_long_as_the_hold_lasts() {
    let topic = kept("0");
    let hold = Hold { age: Duration::ZERO, bytes: ByteCount(50_000) };
    let source = alone_with(std::slice::from_ref(&topic), |config| config.link_hold = hold).await;
    source.broker.copied_to(&["r2"]);
    let client = source.client().await;
    fill(&client, 40).await;
    assert_eq!(source.broker.broker.clean().await, Cleaned::default(), "the standby has nothing yet");
    link_fetch(&source, &topic, 25).await;
    source.broker.broker.clean().await;
    let (start, _) = ends(&client).await;
    assert!((10..=25).contains(&start), "{start}");
    fill(&client, 100).await;
    source.broker.broker.clean().await;
    let (start, end) = ends(&client).await;
    assert!((80..=end - 49).contains(&start), "a gap is better than a full disk: {start}");
}

#[tokio::test]
async fn a_copy_retires_nothing_by_itself() {
    let copy = alone(&[kept("0")]).await;
    fill(&copy.client().await, 40).await;
    copy.broker.demote("r2");
    assert_eq!(copy.broker.broker.clean().await, Cleaned::default());
}

async fn put(client: &Client, key: &str, value: Option<&str>) {
    let batch = record::BatchBuilder::new().record(1, Some(key.as_bytes()), value.map(str::as_bytes), &[]).build();
    assert_eq!(client.produce("t", 0, batch.into()).await.error_code, ErrorCode::NONE);
}

fn compacted() -> Topic {
    Topic::new("t", 1).with("cleanup.policy", "compact").with("segment.bytes", "2000")
}

#[tokio::test]
async fn a_compacted_topic_keeps_the_last_record_of_each_key() {
    let source = alone(&[compacted()]).await;
    let client = source.client().await;
    for n in 0..200 {
        put(&client, &format!("k{}", n % 3), Some(&format!("{n}"))).await;
    }
    let cleaned = source.broker.broker.clean().await;
    assert!(cleaned.compacted == 1 && cleaned.compacted_bytes > 5000, "{cleaned:?}");
    let values = client.values("t", 0, 0).await;
    assert!(values.len() < 40 && values.ends_with(&["197".into(), "198".into(), "199".into()]), "{values:?}");
    assert_eq!(ends(&client).await, (0, 200));
    assert_eq!(source.broker.broker.clean().await.compacted, 0, "too little is new");
}

#[tokio::test]
async fn compaction_waits_for_links_and_leaves_copies_alone() {
    let topic = compacted();
    let source = alone(std::slice::from_ref(&topic)).await;
    source.broker.copied_to(&["r2"]);
    let client = source.client().await;
    for n in 0..100 {
        put(&client, "k", Some(&format!("{n}"))).await;
    }
    assert_eq!(source.broker.broker.clean().await, Cleaned::default());
    link_fetch(&source, &topic, 100).await;
    assert_eq!(source.broker.broker.clean().await.compacted, 1);
    for n in 100..200 {
        put(&client, "k", Some(&format!("{n}"))).await;
    }
    source.broker.demote("r2");
    assert_eq!(source.broker.broker.clean().await, Cleaned::default());
}

async fn delete(client: &Client, topic: &str, partition: i32, offset: i64) -> (i64, ErrorCode) {
    let partition = delete_records::Partition { partition_index: partition, offset, ..Default::default() };
    let topic = delete_records::Topic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = delete_records::Request { topics: vec![topic], timeout_ms: 1000, ..Default::default() };
    let response = client.0.call(&request, 2).await.unwrap();
    let found = response.topics.into_iter().next().unwrap().partitions.into_iter().next().unwrap();
    (found.low_watermark, found.error_code)
}

#[tokio::test]
async fn records_are_deleted_up_to_any_offset_also_within_a_batch() {
    let topic = Topic::new("t", 1);
    let source = alone(std::slice::from_ref(&topic)).await;
    let client = source.client().await;
    client.produce("t", 0, batch(&["a", "b", "c"])).await;
    client.produce("t", 0, batch(&["d", "e"])).await;
    assert_eq!(delete(&client, "t", 0, 1).await, (1, ErrorCode::NONE));
    assert_eq!(ends(&client).await, (1, 5));
    assert_eq!(client.values("t", 0, 1).await, ["b", "c", "d", "e"]);
    assert_eq!(client.fetch("t", 0, 0).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(delete(&client, "t", 0, 0).await, (1, ErrorCode::NONE), "it never goes back");
    assert_eq!(delete(&client, "t", 0, 6).await, (-1, ErrorCode::OFFSET_OUT_OF_RANGE));
    assert_eq!(delete(&client, "t", 0, -2).await, (-1, ErrorCode::OFFSET_OUT_OF_RANGE));
    assert_eq!(delete(&client, "t", 7, 1).await, (-1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let Alone { broker, dir } = source;
    let config = broker.broker.config().clone();
    broker.stop().await;
    let broker = crate::harness::start(config, &[topic]).await;
    let client = Client::of(&broker).await;
    assert_eq!(client.values("t", 0, 1).await, ["b", "c", "d", "e"]);
    assert_eq!(delete(&client, "t", 0, delete_records::HIGH_WATERMARK).await, (5, ErrorCode::NONE));
    assert_eq!(ends(&client).await, (5, 5));
    assert_eq!(client.produce("t", 0, batch(&["f"])).await.base_offset, 5);
    drop(dir);
}

#[tokio::test]
async fn records_are_deleted_by_the_owner_and_where_the_topic_allows_it() {
    let source = alone(&[Topic::new("t", 1), Topic::new("c", 1).with("cleanup.policy", "compact")]).await;
    let client = source.client().await;
    client.produce("t", 0, batch(&["a"])).await;
    assert_eq!(delete(&client, "c", 0, 0).await.1, ErrorCode::POLICY_VIOLATION);
    source.broker.lapse();
    assert_eq!(delete(&client, "t", 0, 1).await.1, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    source.broker.demote("r2");
    assert_eq!(delete(&client, "t", 0, 1).await.1, ErrorCode::POLICY_VIOLATION);
    assert_eq!(ends(&client).await.0, 0);
}

#[tokio::test]
async fn what_is_not_flushed_before_the_ack_is_flushed_by_number_or_by_age() {
    let by_number = Topic::new("n", 1).with("flush.messages", "3").with("farshore.flush", "os");
    let by_age = Topic::new("a", 1).with("flush.ms", "1000").with("farshore.flush", "os");
    let dir = tempfile::tempdir().unwrap();
    // Time stands still: nothing is flushed because it waited.
    let clock = std::sync::Arc::new(env::sim::ManualClock::default());
    let ports = broker::Ports { clock: clock.clone(), ..crate::harness::ports() };
    let topics = [by_number.clone(), by_age.clone()];
    let broker =
        broker::standalone::Standalone::start(crate::harness::config(dir.path()), ports, &topics).await.unwrap();
    let client = Client::of(&broker).await;
    for n in 1..3 {
        client.produce("n", 0, untimed()).await;
        assert_eq!(broker.flushed(by_number.id()), 0, "{n}");
    }
    client.produce("n", 0, untimed()).await;
    crate::harness::eventually("three records are on disk", async || broker.flushed(by_number.id()) == 3).await;
    client.produce("a", 0, untimed()).await;
    assert_eq!(broker.flushed(by_age.id()), 0);
    clock.pass(Duration::from_secs(1));
    crate::harness::eventually("a record that waited is on disk", async || broker.flushed(by_age.id()) == 1).await;
}

/// A batch from the beginning of time.
fn untimed() -> bytes::Bytes {
    record::BatchBuilder::new().record(0, None, Some(b"v"), &[]).build().into()
}
