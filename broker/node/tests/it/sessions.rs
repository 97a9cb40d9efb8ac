use crate::harness::{Alone, Client, alone, batch, fetch_request, records};
use broker::standalone::Topic;
use wire::ErrorCode;
use wire::api::fetch::{ForgottenTopic, Partition, Request, Response};

async fn fetch(client: &Client, session: (i32, i32), change: impl FnOnce(&mut Request)) -> Response {
    let mut request = fetch_request("t", 0, 0);
    (request.session_id, request.session_epoch) = session;
    request.topics.clear();
    change(&mut request);
    client.0.call(&request, 11).await.unwrap()
}

fn all(request: &mut Request) {
    request.topics = fetch_request("t", 0, 0).topics;
    let from = |partition| Partition { partition, partition_max_bytes: 1000, ..Default::default() };
    request.topics[0].partitions = (0..3).map(from).collect();
}

fn partitions(response: &Response) -> Vec<i32> {
    response.responses.iter().flat_map(|topic| &topic.partitions).map(|part| part.partition_index).collect()
}

async fn broker() -> (Alone, Client) {
    let alone = alone(&[Topic::new("t", 3)]).await;
    let client = alone.client().await;
    (alone, client)
}

#[tokio::test]
async fn a_session_answers_with_what_changed() {
    let (_alone, client) = broker().await;
    let first = fetch(&client, (0, 0), all).await;
    let id = first.session_id;
    assert!(id > 0);
    assert_eq!(partitions(&first), [0, 1, 2], "the first answer has everything");
    let second = fetch(&client, (id, 1), |_| {}).await;
    assert_eq!((second.error_code, second.session_id, partitions(&second)), (ErrorCode::NONE, id, vec![]));
    client.produce("t", 1, batch(&["news"])).await;
    let third = fetch(&client, (id, 2), |_| {}).await;
    assert_eq!(partitions(&third), [1]);
    assert_eq!(records(&third.responses[0].partitions[0].records), [(0, "news".to_owned())]);
    let moved = |request: &mut Request| {
        all(request);
        request.topics[0].partitions =
            vec![Partition { partition: 1, fetch_offset: 1, partition_max_bytes: 1000, ..Default::default() }];
    };
    let fourth = fetch(&client, (id, 3), moved).await;
    assert_eq!(partitions(&fourth), [0; 0], "nothing is new behind it");
    client.produce("t", 0, batch(&["forgotten"])).await;
    let forget = |request: &mut Request| {
        request.forgotten_topics_data =
            vec![ForgottenTopic { topic: "t".into(), partitions: vec![0], ..Default::default() }];
    };
    assert_eq!(partitions(&fetch(&client, (id, 4), forget).await), [0; 0]);
}

#[tokio::test]
async fn a_session_that_is_not_known_or_out_of_step_is_refused() {
    let (_alone, client) = broker().await;
    let id = fetch(&client, (0, 0), all).await.session_id;
    assert_eq!(fetch(&client, (id + 1000, 1), |_| {}).await.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(fetch(&client, (id, 5), |_| {}).await.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    assert_eq!(fetch(&client, (id, -1), all).await.session_id, 0, "the last fetch closes it");
    assert_eq!(fetch(&client, (id, 1), |_| {}).await.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[tokio::test]
async fn a_session_does_not_mix_names_and_ids() {
    let (_alone, client) = broker().await;
    let id = fetch(&client, (0, 0), all).await.session_id;
    let mut request = fetch_request("", 0, 0);
    (request.session_id, request.session_epoch) = (id, 1);
    let response = client.0.call(&request, 13).await.unwrap();
    assert_eq!(response.error_code, ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
}

#[tokio::test]
async fn a_refused_partition_is_told_every_time() {
    let (_alone, client) = broker().await;
    let unknown = |request: &mut Request| {
        all(request);
        request.topics[0].partitions[1].partition = 77;
    };
    let id = fetch(&client, (0, 0), unknown).await.session_id;
    for epoch in 1..4 {
        assert_eq!(partitions(&fetch(&client, (id, epoch), |_| {}).await), [77]);
    }
}
