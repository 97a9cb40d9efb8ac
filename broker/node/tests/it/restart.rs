use crate::harness::{Client, alone_with, batch, builder, config, os, start};
use broker::standalone::Topic;
use model::ProducerId;
use wire::ErrorCode;
use wire::api::list_offsets::LATEST;

/// The files as a process leaves them that is killed: a copy taken while the broker runs.
fn snapshot(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let topic = Topic::new("t", 2).with("segment.bytes", "20000");
    let alone = alone_with(std::slice::from_ref(&topic), |_| {}).await;
    let client = alone.client().await;
    for number in 0..60 {
        let batch = builder(&[&format!("{number}-{}", "x".repeat(900))]).producer(ProducerId(7), 0, number / 2);
        assert_eq!(client.produce("t", number % 2, batch.build().into()).await.error_code, ErrorCode::NONE);
    }
    let other = tempfile::tempdir().unwrap();
    snapshot(&alone.dir.path().join("topics"), &other.path().join("topics"));
    let again = start(config(other.path()), &[topic]).await;
    let client = Client::of(&again).await;
    for partition in 0..2 {
        let values = client.values("t", partition, 0).await;
        let expected = (0..30).map(|number| format!("{}-", 2 * number + partition));
        assert!(values.iter().map(|value| &value[..value.find('-').unwrap() + 1]).eq(expected), "{}", values.len());
        let duplicate = builder(&["again"]).producer(ProducerId(7), 0, 29).build();
        assert_eq!(client.produce("t", partition, duplicate.into()).await.base_offset, 29, "producers are known");
    }
}

#[tokio::test]
async fn an_orderly_stop_keeps_what_nobody_flushed() {
    let topic = Topic::new("t", 1);
    let alone = alone_with(std::slice::from_ref(&topic), os).await;
    alone.client().await.produce_acks("t", 0, batch(&["a", "b"]), 1).await;
    alone.broker.clone().stop().await;
    let again = start(config(alone.dir.path()), &[topic]).await;
    let client = Client::of(&again).await;
    assert_eq!(client.values("t", 0, 0).await, ["a", "b"]);
    assert_eq!(client.list_offset("t", LATEST).await.offset, 2);
    again.stop().await;
}
