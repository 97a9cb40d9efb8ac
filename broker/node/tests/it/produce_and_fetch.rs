use crate::harness::{Client, alone, alone_with, batch, fetch_request, large, only, os, produce_request, records};
use broker::standalone::Topic;
use wire::ErrorCode;
use wire::api::list_offsets::{EARLIEST, LATEST, MAX_TIMESTAMP};
use wire::api::{fetch, offset_for_leader_epoch, produce};

#[tokio::test]
async fn what_was_acknowledged_is_read_with_any_acks() {
    for flush_os in [false, true] {
        let change = |config: &mut broker::Config| {
            if flush_os {
                os(config);
            }
        };
        let alone = alone_with(&[Topic::new("orders", 1)], change).await;
        let client = alone.client().await;
        for (acks, value) in [(-1, "all"), (1, "one")] {
            let answer = client.produce_acks("orders", 0, batch(&[value]), acks).await;
            assert_eq!((answer.error_code, answer.error_message), (ErrorCode::NONE, None));
        }
        client.0.send(&produce_request("orders", 0, batch(&["none"]), 0), 9).await.unwrap();
        let answer = client.produce("orders", 0, batch(&["a", "b"])).await;
        assert_eq!((answer.base_offset, answer.log_start_offset), (3, 0), "acks=0 keeps its place");
        assert_eq!(client.values("orders", 0, 0).await, ["all", "one", "none", "a", "b"]);
        assert_eq!(client.values("orders", 0, 4).await, ["b"], "an offset within a batch is read with its batch");
        assert_eq!(client.list_offset("orders", LATEST).await.offset, 5);
    }
}

#[tokio::test]
async fn one_request_reaches_several_partitions_of_several_topics() {
    let alone = alone(&[Topic::new("a", 2), Topic::new("b", 1)]).await;
    let client = alone.client().await;
    let data = |index, value: &str| produce::Partition { index, records: Some(batch(&[value])), ..Default::default() };
    let topic = |name: &str, partition_data| produce::Topic { name: name.into(), partition_data, ..Default::default() };
    let topic_data = vec![
        topic("a", vec![data(0, "a0"), data(1, "a1"), data(2, "none such")]),
        topic("b", vec![data(0, "b0")]),
        topic("c", vec![data(0, "none such")]),
    ];
    let request = produce::Request { acks: 1, timeout_ms: 1000, topic_data, ..Default::default() };
    let response = client.0.call(&request, 9).await.unwrap();
    let codes: Vec<_> = response.responses.iter().flat_map(|t| &t.partition_responses).map(|p| p.error_code).collect();
    let (ok, unknown) = (ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(codes, [ok, ok, unknown, ok, unknown]);
    let from = |partition| fetch::Partition { partition, partition_max_bytes: 1000, ..Default::default() };
    let topic = |name: &str, partitions| fetch::Topic { topic: name.into(), partitions, ..Default::default() };
    let topics = vec![topic("a", vec![from(0), from(1)]), topic("b", vec![from(0)])];
    let request = fetch::Request { max_wait_ms: 5000, min_bytes: 1, topics, ..Default::default() };
    let response = client.0.call(&request, 12).await.unwrap();
    let parts = response.responses.iter().flat_map(|topic| &topic.partitions);
    let values: Vec<_> = parts.flat_map(|part| records(&part.records)).map(|(_, value)| value).collect();
    assert_eq!(values, ["a0", "a1", "b0"]);
}

#[tokio::test]
async fn topics_are_found_by_id_in_newer_versions() {
    let topic = Topic::new("orders", 1);
    let alone = alone(std::slice::from_ref(&topic)).await;
    let client = alone.client().await;
    let mut request = produce_request("", 0, batch(&["by id"]), -1);
    request.topic_data[0].topic_id = topic.id();
    let response = client.0.call(&request, 13).await.unwrap();
    assert_eq!(response.responses[0].topic_id, topic.id());
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
    let mut request = fetch_request("", 0, 0);
    request.topics[0].topic_id = topic.id();
    let found = client.0.call(&request, 17).await.unwrap();
    assert_eq!(records(&only(found).records), [(0, "by id".to_owned())]);
    request.topics[0].topic_id = model::TopicId(uuid::Uuid::from_u128(77));
    let found = client.0.call(&request, 17).await.unwrap();
    assert_eq!(only(found).error_code, ErrorCode::UNKNOWN_TOPIC_ID);
}

#[tokio::test]
async fn every_version_of_produce_and_fetch_works() {
    let topic = Topic::new("orders", 1);
    let alone = alone(std::slice::from_ref(&topic)).await;
    let client = alone.client().await;
    for version in 3..=13 {
        let mut request = produce_request("orders", 0, batch(&["v"]), -1);
        request.topic_data[0].topic_id = topic.id();
        let response = client.0.call(&request, version).await.unwrap();
        assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE, "{version}");
    }
    for version in 4..=17 {
        let mut request = fetch_request("orders", 0, 0);
        request.topics[0].topic_id = topic.id();
        let found = only(client.0.call(&request, version).await.unwrap());
        assert_eq!(records(&found.records).len(), 11, "{version}");
    }
}

#[tokio::test]
async fn large_batches_come_from_the_file_as_they_were_sent() {
    let alone = alone(&[Topic::new("large", 1).with("max.message.bytes", "20000000")]).await;
    let client = alone.client().await;
    let sizes = [10, 15_000, 17_000, 400_000, 5_000_000];
    for size in sizes {
        assert_eq!(client.produce("large", 0, large(size)).await.error_code, ErrorCode::NONE);
    }
    for (offset, size) in sizes.into_iter().enumerate() {
        let mut request = fetch_request("large", 0, offset as i64);
        request.topics[0].partitions[0].partition_max_bytes = 1;
        let found = only(client.0.call(&request, 11).await.unwrap());
        let [(at, value)] = &records(&found.records)[..] else { panic!("the first batch comes whatever its size") };
        assert_eq!((*at, value.len()), (offset as i64, size));
    }
}

#[tokio::test]
async fn an_answer_keeps_to_its_limits_after_the_first_batch() {
    let alone = alone(&[Topic::new("t", 2)]).await;
    let client = alone.client().await;
    for _ in 0..10 {
        client.produce("t", 0, large(1000)).await;
        client.produce("t", 1, large(1000)).await;
    }
    let mut request = fetch_request("t", 0, 0);
    request.topics[0].partitions.push(fetch::Partition {
        partition: 1,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    request.max_bytes = 3500;
    let response = client.0.call(&request, 11).await.unwrap();
    let counts: Vec<_> = response.responses[0].partitions.iter().map(|p| records(&p.records).len()).collect();
    assert_eq!(counts, [3, 0]);
    request.topics[0].partitions[0].partition_max_bytes = 2500;
    let response = client.0.call(&request, 11).await.unwrap();
    let counts: Vec<_> = response.responses[0].partitions.iter().map(|p| records(&p.records).len()).collect();
    assert_eq!(counts, [2, 1]);
    assert!(response.responses[0].partitions.iter().all(|p| p.records.bytes().is_some()), "never null");
}

#[tokio::test]
async fn offsets_are_found_by_time_and_at_both_ends() {
    let alone = alone(&[Topic::new("t", 1).with("message.timestamp.before.max.ms", "9223372036854775807")]).await;
    let client = alone.client().await;
    assert_eq!(client.list_offset("t", EARLIEST).await.offset, 0);
    for time in [1000, 3000, 2000] {
        let batch = record::BatchBuilder::new().record(time, None, Some(b"v"), &[]).build();
        assert_eq!(client.produce("t", 0, batch.into()).await.error_code, ErrorCode::NONE);
    }
    let at = async |time| {
        let found = client.list_offset("t", time).await;
        (found.offset, found.timestamp)
    };
    assert_eq!(at(0).await, (0, 1000));
    assert_eq!(at(1001).await, (1, 3000));
    assert_eq!(at(3001).await, (-1, -1), "none that young is no error");
    assert_eq!(at(MAX_TIMESTAMP).await, (1, 3000));
    assert_eq!(at(LATEST).await, (3, -1));
}

#[tokio::test]
async fn epochs_are_checked_and_their_ends_told() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let client = alone.client().await;
    client.produce("t", 0, batch(&["a"])).await;
    let epoch = client.list_offset("t", LATEST).await.leader_epoch;
    for (offered, expected) in [
        (-1, ErrorCode::NONE),
        (epoch, ErrorCode::NONE),
        (epoch - 1, ErrorCode::FENCED_LEADER_EPOCH),
        (epoch + 1, ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        let mut request = fetch_request("t", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = offered;
        assert_eq!(only(client.0.call(&request, 11).await.unwrap()).error_code, expected, "{offered}");
    }
    let mut request = fetch_request("t", 0, 1);
    request.topics[0].partitions[0].last_fetched_epoch = epoch - 1;
    let found = only(client.0.call(&request, 12).await.unwrap());
    assert_eq!((found.diverging_epoch.epoch, found.diverging_epoch.end_offset), (epoch - 1, 0));
    let asked = offset_for_leader_epoch::Partition { leader_epoch: epoch, ..Default::default() };
    let topic = offset_for_leader_epoch::Topic { topic: "t".into(), partitions: vec![asked], ..Default::default() };
    let request = offset_for_leader_epoch::Request { topics: vec![topic], ..Default::default() };
    let response = client.0.call(&request, 4).await.unwrap();
    let found = &response.topics[0].partitions[0];
    assert_eq!((found.error_code, found.leader_epoch, found.end_offset), (ErrorCode::NONE, epoch, 1));
}

#[tokio::test]
async fn an_offset_outside_the_log_is_out_of_range_and_its_end_is_not() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let client = alone.client().await;
    client.produce("t", 0, batch(&["a"])).await;
    assert_eq!(client.fetch("t", 0, 1).await.error_code, ErrorCode::NONE);
    assert_eq!(client.fetch("t", 0, 2).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(client.fetch("t", 0, -1).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
}

#[tokio::test]
async fn append_time_is_stamped_and_answered() {
    let alone = alone(&[Topic::new("t", 1).with("message.timestamp.type", "LogAppendTime")]).await;
    let client = alone.client().await;
    let answer = client.produce("t", 0, record::BatchBuilder::new().record(7, None, None, &[]).build().into()).await;
    assert_eq!(answer.error_code, ErrorCode::NONE);
    assert!(answer.log_append_time_ms > 1_600_000_000_000);
    assert_eq!(client.list_offset("t", MAX_TIMESTAMP).await.timestamp, answer.log_append_time_ms);
}

#[tokio::test]
async fn many_connections_share_flushes() {
    let alone = alone(&[Topic::new("t", 4)]).await;
    let mut producers = tokio::task::JoinSet::new();
    for number in 0..16 {
        let client = Client::of(&alone.broker).await;
        producers.spawn(async move {
            for _ in 0..50 {
                let answer = client.produce("t", number % 4, batch(&["v"])).await;
                assert_eq!(answer.error_code, ErrorCode::NONE);
            }
        });
    }
    while let Some(done) = producers.join_next().await {
        done.unwrap();
    }
    let client = alone.client().await;
    for partition in 0..4 {
        assert_eq!(client.values("t", partition, 0).await.len(), 200);
    }
}
