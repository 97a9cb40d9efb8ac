use crate::harness::{Client, alone, batch, builder, large, produce_request};
use broker::standalone::Topic;
use bytes::Bytes;
use record::BatchBuilder;
use wire::api::{api_versions, init_producer_id, sasl_authenticate, sasl_handshake};
use wire::{ApiKey, ErrorCode};

#[tokio::test]
async fn bad_batches_are_refused_by_kafkas_codes() {
    let alone = alone(&[Topic::new("t", 1), Topic::new("keyed", 1).with("cleanup.policy", "compact")]).await;
    let client = alone.client().await;
    let mut damaged = batch(&["v"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let two = [batch(&["a"]), batch(&["b"])].concat();
    let mut old = batch(&["v"]).to_vec();
    old[16] = 1;
    let future = BatchBuilder::new().record(i64::MAX / 2, None, Some(b"v"), &[]).build();
    for (topic, bytes, code) in [
        ("t", Bytes::new(), ErrorCode::INVALID_RECORD),
        ("t", damaged.into(), ErrorCode::CORRUPT_MESSAGE),
        ("t", two.into(), ErrorCode::INVALID_RECORD),
        ("t", old.into(), ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("t", large(1_100_000), ErrorCode::MESSAGE_TOO_LARGE),
        ("t", builder(&["v"]).control().build().into(), ErrorCode::INVALID_RECORD),
        ("t", builder(&["v"]).transactional().build().into(), ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        ("t", future.into(), ErrorCode::INVALID_TIMESTAMP),
        ("keyed", batch(&["no key"]), ErrorCode::INVALID_RECORD),
    ] {
        let answer = client.produce(topic, 0, bytes).await;
        assert_eq!(answer.error_code, code, "{answer:?}");
        assert!(answer.error_message.is_some());
        assert_eq!(answer.record_errors.len(), usize::from(topic == "keyed"));
    }
    assert_eq!(client.produce_acks("t", 0, batch(&["v"]), 2).await.error_code, ErrorCode::INVALID_REQUIRED_ACKS);
    assert_eq!(client.produce("t", 0, batch(&["good"])).await.base_offset, 0, "nothing of all that is in the log");
}

#[tokio::test]
async fn a_refused_write_without_acks_closes_its_connection() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let client = alone.client().await;
    client.0.send(&produce_request("no such topic", 0, batch(&["v"]), 0), 9).await.unwrap();
    assert!(client.0.api_versions().await.is_err());
}

#[tokio::test]
async fn transactions_are_refused_for_good_and_not_advertised() {
    let alone = alone(&[]).await;
    let client = alone.client().await;
    let request = init_producer_id::Request { transactional_id: Some("tx".into()), ..Default::default() };
    let answer = client.0.call(&request, 4).await.unwrap();
    assert_eq!(answer.error_code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    let versions = client.0.api_versions().await.unwrap();
    for key in [ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn, ApiKey::EndTxn, ApiKey::TxnOffsetCommit] {
        assert!(!versions.contains_key(&key.number()));
    }
    assert_eq!(versions[&ApiKey::Produce.number()], wire::Versions::new(0, 13));
    assert!(versions.keys().all(|key| *key < wire::internal::FIRST_KEY));
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_told_the_known_ones() {
    let alone = alone(&[]).await;
    let client = alone.client().await;
    let bad_name = api_versions::Request { client_software_name: "no spaces".into(), ..Default::default() };
    assert_eq!(client.0.call(&bad_name, 4).await.unwrap().error_code, ErrorCode::INVALID_REQUEST);
    let answer = client.0.call(&api_versions::Request::default(), 0).await.unwrap();
    assert_eq!(answer.error_code, ErrorCode::NONE);
    assert!(!answer.api_keys.is_empty());
}

#[tokio::test]
async fn sasl_is_refused_with_the_remedy() {
    let alone = alone(&[]).await;
    let client = alone.client().await;
    let handshake = sasl_handshake::Request { mechanism: "PLAIN".into(), ..Default::default() };
    assert_eq!(client.0.call(&handshake, 1).await.unwrap().error_code, ErrorCode::ILLEGAL_SASL_STATE);
    let answer = client.0.call(&sasl_authenticate::Request::default(), 2).await.unwrap();
    assert_eq!(answer.error_code, ErrorCode::ILLEGAL_SASL_STATE);
    assert!(answer.error_message.unwrap().contains("PLAINTEXT"));
}

#[tokio::test]
async fn another_regions_topic_is_read_but_not_written() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let client = alone.client().await;
    client.produce("t", 0, batch(&["mine"])).await;
    alone.broker.demote("r2");
    let answer = client.produce("t", 0, batch(&["not mine"])).await;
    assert_eq!(answer.error_code, ErrorCode::POLICY_VIOLATION);
    let message = answer.error_message.unwrap();
    assert!(message.contains("region r2") && message.contains("127.0.0.1:9092"), "{message}");
    assert_eq!(client.values("t", 0, 0).await, ["mine"]);
    assert_eq!(client.fetch("t", 0, 5).await.error_code, ErrorCode::OFFSET_NOT_AVAILABLE, "a copy may be behind");
    let gateway = Client::at(alone.broker.broker.addresses().unwrap().gateways).await;
    let not_leader = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    assert_eq!(gateway.produce("t", 0, batch(&["not mine"])).await.error_code, not_leader);
    assert_eq!(gateway.fetch("t", 0, 0).await.error_code, not_leader);
}

#[tokio::test]
async fn a_lapsed_lease_takes_no_writes() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let client = alone.client().await;
    client.produce("t", 0, batch(&["a"])).await;
    alone.broker.lapse();
    assert_eq!(client.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(client.values("t", 0, 0).await, ["a"]);
}

#[tokio::test]
async fn acks_of_all_need_the_replicas_that_the_topic_asks_for() {
    let alone = alone(&[Topic::new("t", 1).with("min.insync.replicas", "2")]).await;
    let client = alone.client().await;
    assert_eq!(client.produce_acks("t", 0, batch(&["v"]), -1).await.error_code, ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(client.produce_acks("t", 0, batch(&["v"]), 1).await.error_code, ErrorCode::NONE);
}
