//! The client against a broker made of a socket.

use crate::fake_broker::{Fake, Running, TOPIC};
use broker_wire::ErrorCode;
use broker_wire::api::{heartbeat, metadata};
use broker_wire::client::{
    ClientError, Cluster, Connection, Consumer, FetchLimits, GroupOffset, Options, Outcome, Producer, Start,
};
use bytes::Bytes;
use record::BatchBuilder;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TIMEOUT: Duration = Duration::from_secs(60);

fn cluster_of(broker: &Running) -> Arc<Cluster> {
    let options = Options { deadline: TIMEOUT, ..Options::default() };
    Arc::new(Cluster::new(&broker.address.to_string(), options))
}

fn batch(values: &[&str]) -> BatchBuilder {
    values.iter().fold(BatchBuilder::new(), |batch, value| batch.record(5, None, Some(value.as_bytes()), &[]))
}

async fn values(consumer: &mut Consumer) -> Vec<String> {
    let records = consumer.poll().await.unwrap();
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn what_is_produced_is_consumed() {
    let broker = Running::start(Fake::default()).await;
    let cluster = cluster_of(&broker);
    let mut producer = Producer::new(cluster.clone(), TOPIC);
    assert_eq!(producer.send(0, batch(&["a", "b"])).await.unwrap().base_offset, 0);
    assert_eq!(producer.send(0, batch(&["c", "d", "e"])).await.unwrap().base_offset, 2);
    let limits = FetchLimits::default();
    let mut consumer = Consumer::open(cluster.clone(), TOPIC, 0, Start::Earliest, limits).await.unwrap();
    assert_eq!(values(&mut consumer).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(consumer.position(), 5);
    assert!(values(&mut consumer).await.is_empty());
    let mut consumer = Consumer::open(cluster.clone(), TOPIC, 0, Start::Offset(3), limits).await.unwrap();
    assert_eq!(values(&mut consumer).await, ["d", "e"], "the records of a batch before the offset are passed over");
    let consumer = Consumer::open(cluster, TOPIC, 0, Start::Time(99), limits).await.unwrap();
    assert_eq!(consumer.position(), 5, "no record is that young");
}

#[tokio::test]
async fn a_change_of_leader_is_waited_for() {
    let broker = Running::start(Fake { refuse_to_lead: 3, ..Fake::default() }).await;
    let mut producer = Producer::new(cluster_of(&broker), TOPIC);
    assert_eq!(producer.send(0, batch(&["a"])).await.unwrap().base_offset, 0);
    assert_eq!(broker.fake.lock().unwrap().refuse_to_lead, 0);
}

#[tokio::test]
async fn a_lost_acknowledgement_makes_no_duplicate() {
    let broker = Running::start(Fake { swallow_acks: 2, ..Fake::default() }).await;
    let mut producer = Producer::new(cluster_of(&broker), TOPIC);
    assert_eq!(producer.send(0, batch(&["a"])).await.unwrap().base_offset, 0);
    assert_eq!(producer.send(0, batch(&["b"])).await.unwrap().base_offset, 1);
    assert_eq!(broker.fake.lock().unwrap().log.len(), 2);
}

#[tokio::test]
async fn a_write_whose_acknowledgement_never_comes_is_of_unknown_outcome() {
    let broker = Running::start(Fake { swallow_acks: u32::MAX, ..Fake::default() }).await;
    let options = Options { deadline: Duration::from_millis(300), ..Options::default() };
    let cluster = Cluster::new(&broker.address.to_string(), options);
    let error = cluster.produce(TOPIC, 0, batch(&["a"]).build().into(), -1).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
}

#[tokio::test]
async fn nobody_there_means_not_done() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let cluster = Cluster::new(&address, Options { deadline: Duration::from_secs(1), ..Options::default() });
    let error = cluster.produce(TOPIC, 0, Bytes::new(), -1).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotDone);
    assert!(error.to_string().contains(&format!("cannot connect to {address}")), "{error}");
}

#[tokio::test]
async fn what_is_tried_again_can_be_seen_until_it_succeeds() {
    let broker = Running::start(Fake { refuse_to_lead: u32::MAX, ..Fake::default() }).await;
    let cluster = cluster_of(&broker);
    assert_eq!(cluster.trouble(), None);
    let producing = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.produce(TOPIC, 0, batch(&["a"]).build().into(), -1).await }
    });
    let refused = |cluster: &Cluster| cluster.trouble().and_then(|trouble| trouble.last);
    while refused(&cluster).is_none() {
        tokio::task::yield_now().await;
    }
    assert!(refused(&cluster).unwrap().contains("NOT_LEADER_OR_FOLLOWER"));
    assert_eq!(cluster.trouble().unwrap().doing, "produce");
    broker.fake.lock().unwrap().refuse_to_lead = 0;
    producing.await.unwrap().unwrap();
    assert_eq!(cluster.trouble(), None);
}

#[tokio::test]
async fn acks_0_is_not_waited_for_and_later_answers_still_match() {
    let broker = Running::start(Fake::default()).await;
    let cluster = cluster_of(&broker);
    for _ in 0..3 {
        let produced = cluster.produce(TOPIC, 0, batch(&["a"]).build().into(), 0).await.unwrap();
        assert_eq!(produced.base_offset, -1);
        cluster.metadata(None).await.unwrap();
    }
    assert_eq!(broker.fake.lock().unwrap().unanswered.len(), 3);
}

#[tokio::test]
async fn calls_overlap_and_each_gets_its_own_answer() {
    let broker = Running::start(Fake::default()).await;
    let connection = Connection::connect(&broker.address.to_string(), "farshore", TIMEOUT).await.unwrap();
    let connection = Arc::new(connection);
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let versions = connection.api_versions().await.unwrap();
                let request = metadata::Request::default();
                let version = number % 14;
                let response = connection.call(&request, version).await.unwrap();
                assert_eq!(response.brokers[0].node_id, 1);
                versions.len()
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), broker_wire::ApiKey::ALL.len());
    }
}

#[tokio::test]
async fn a_broker_that_knows_old_api_versions_only_is_understood() {
    let broker = Running::start(Fake { old_api_versions: true, ..Fake::default() }).await;
    let connection = Connection::connect(&broker.address.to_string(), "farshore", TIMEOUT).await.unwrap();
    assert_eq!(connection.api_versions().await.unwrap()[&0].min, 0);
}

#[tokio::test]
async fn an_answer_to_something_else_ends_the_connection() {
    let broker = Running::start(Fake { mix_up: true, ..Fake::default() }).await;
    let connection = Connection::connect(&broker.address.to_string(), "farshore", TIMEOUT).await.unwrap();
    let error = connection.call(&metadata::Request::default(), 9).await.unwrap_err();
    assert!(error.to_string().ends_with("the answer to request 1 belongs to Some(1001)"), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let error = connection.call(&metadata::Request::default(), 9).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_broker_costs_one_timeout() {
    let (ours, _theirs) = tokio::io::duplex(1 << 16);
    let (read, write) = tokio::io::split(ours);
    let connection = Connection::over(read, write, "nobody", "me", Duration::from_millis(50));
    let error = connection.call(&heartbeat::Request::default(), 4).await.unwrap_err();
    assert!(error.to_string().starts_with("nobody has not answered heartbeat::Request within 50ms"), "{error}");
}

#[tokio::test]
async fn an_answer_of_two_gibibytes_ends_the_connection() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (read, write) = tokio::io::split(ours);
    let connection = Connection::over(read, write, "liar", "me", TIMEOUT);
    theirs.write_all(&i32::MAX.to_be_bytes()).await.unwrap();
    let error = connection.call(&heartbeat::Request::default(), 4).await.unwrap_err();
    assert!(error.to_string().contains("a frame of 2147483647 bytes is larger"), "{error}");
    let mut rest = Vec::new();
    drop(connection);
    theirs.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_groups_offsets_come_back_with_their_metadata() {
    let broker = Running::start(Fake::default()).await;
    let cluster = cluster_of(&broker);
    let offset = GroupOffset {
        topic: TOPIC.to_owned(),
        partition: 3,
        offset: 17,
        leader_epoch: -1,
        metadata: "mine".to_owned(),
    };
    cluster.commit("readers", std::slice::from_ref(&offset)).await.unwrap();
    assert_eq!(cluster.committed("readers").await.unwrap(), [offset]);
}

#[tokio::test]
async fn a_refusal_for_good_is_not_tried_again() {
    let broker = Running::start(Fake::default()).await;
    let error = cluster_of(&broker).create_topic("again", 1, 1, &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS));
    assert_eq!(error.to_string(), "CreateTopics is refused with TOPIC_ALREADY_EXISTS (36)");
}
