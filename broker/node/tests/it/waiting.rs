use crate::harness::{Client, PATIENCE, alone, batch, fetch_request, large, only, records};
use broker::standalone::Topic;
use std::time::{Duration, Instant};
use wire::api::fetch;

#[tokio::test]
async fn a_long_poll_wakes_for_what_is_committed() {
    let alone = alone(&[Topic::new("t", 3)]).await;
    let (reader, writer) = (alone.client().await, alone.client().await);
    let mut request = fetch_request("t", 0, 0);
    let from = |partition| fetch::Partition { partition, partition_max_bytes: 1000, ..Default::default() };
    request.topics[0].partitions.extend([from(1), from(2)]);
    request.max_wait_ms = 60_000;
    let began = Instant::now();
    let waiting = tokio::spawn(async move { reader.0.call_within(PATIENCE, &request, 11).await.unwrap() });
    alone.until_a_fetch_waits().await;
    writer.produce("t", 2, batch(&["wake up"])).await;
    let response = waiting.await.unwrap();
    let found: Vec<_> = response.responses[0].partitions.iter().flat_map(|part| records(&part.records)).collect();
    assert_eq!(found, [(0, "wake up".to_owned())]);
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_long_poll_waits_for_as_many_bytes_as_it_asked_for() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let (reader, writer) = (alone.client().await, alone.client().await);
    let mut request = fetch_request("t", 0, 0);
    (request.max_wait_ms, request.min_bytes) = (60_000, 5000);
    let waiting = tokio::spawn(async move { only(reader.0.call_within(PATIENCE, &request, 11).await.unwrap()) });
    alone.until_a_fetch_waits().await;
    for _ in 0..5 {
        assert!(!waiting.is_finished());
        writer.produce("t", 0, large(1000)).await;
    }
    assert_eq!(records(&waiting.await.unwrap().records).len(), 5);
}

#[tokio::test]
async fn a_long_poll_ends_with_nothing_when_its_time_is_up() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let client = alone.client().await;
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 100;
    let began = Instant::now();
    let found = only(client.0.call(&request, 11).await.unwrap());
    assert!(found.records.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_long_poll_ends_when_its_topic_changes_hands() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let gateway = Client::at(alone.broker.broker.addresses().unwrap().gateways).await;
    let mut request = fetch_request("t", 0, 0);
    request.max_wait_ms = 60_000;
    let waiting = tokio::spawn(async move { only(gateway.0.call_within(PATIENCE, &request, 11).await.unwrap()) });
    alone.until_a_fetch_waits().await;
    alone.broker.demote("r2");
    assert_eq!(waiting.await.unwrap().error_code, wire::ErrorCode::NOT_LEADER_OR_FOLLOWER);
}
