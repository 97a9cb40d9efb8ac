use crate::harness::{Alone, Client, alone, builder, produce_request};
use broker::standalone::Topic;
use model::ProducerId;
use wire::ErrorCode;
use wire::api::init_producer_id;

async fn producer(client: &Client) -> ProducerId {
    let answer = client.0.call(&init_producer_id::Request::default(), 4).await.unwrap();
    assert_eq!((answer.error_code, answer.producer_epoch), (ErrorCode::NONE, 0));
    ProducerId(answer.producer_id)
}

#[tokio::test]
async fn a_batch_that_comes_again_is_answered_with_its_first_offset() {
    let alone = alone(&[Topic::new("t", 1)]).await;
    let client = alone.client().await;
    let id = producer(&client).await;
    assert_ne!(id, producer(&client).await);
    let send = async |sequence| {
        let answer = client.produce("t", 0, builder(&["a", "b"]).producer(id, 0, sequence).build().into()).await;
        (answer.error_code, answer.base_offset)
    };
    for sequence in 0..6 {
        assert_eq!(send(2 * sequence).await, (ErrorCode::NONE, i64::from(2 * sequence)));
    }
    for again in 1..6 {
        assert_eq!(send(2 * again).await, (ErrorCode::NONE, i64::from(2 * again)));
    }
    assert_eq!(send(0).await.0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "more than five batches ago");
    assert_eq!(send(20).await.0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    let answer = client.produce("t", 0, builder(&["c"]).producer(id, 1, 0).build().into()).await;
    assert_eq!(answer.error_code, ErrorCode::NONE);
    assert_eq!(send(12).await.0, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(client.values("t", 0, 0).await.len(), 13);
}

/// Sends one record as `sequence` over a connection of its own; `None` when the broker closes it.
async fn send(alone: &Alone, id: ProducerId, sequence: i32) -> Option<ErrorCode> {
    let request = produce_request("t", 0, builder(&["v"]).producer(id, 0, sequence).build().into(), -1);
    let answer = alone.client().await.0.call(&request, 9).await.ok()?;
    Some(answer.responses[0].partition_responses[0].error_code)
}

#[tokio::test]
async fn what_comes_too_early_under_a_new_leadership_is_sent_again_in_order_before_it_is_told_so() {
    let topics = [Topic::new("t", 1)];
    let mut alone = alone(&topics).await;
    let id = producer(&alone.client().await).await;
    assert_eq!(send(&alone, id, 0).await, Some(ErrorCode::NONE));
    assert_eq!(send(&alone, id, 2).await, Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), "no other leader has 1");
    alone = alone.restart(&topics).await;
    assert_eq!(send(&alone, id, 2).await, None, "an earlier leader may have 1");
    for sequence in [0, 1, 2] {
        assert_eq!(send(&alone, id, sequence).await, Some(ErrorCode::NONE));
    }
    assert_eq!(send(&alone, id, 4).await, Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    alone = alone.restart(&topics).await;
    for _ in 0..3 {
        assert_eq!(send(&alone, id, 4).await, None);
    }
    assert_eq!(send(&alone, id, 4).await, Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), "3 never comes");
    assert_eq!(alone.client().await.values("t", 0, 0).await.len(), 3);
}
