//! Quotas, as clients feel them and admin tools see them.

use crate::cluster::Cluster;
use crate::harness::{Client, PATIENCE, batch, eventually, fetch_request, large, produce_request};
use crate::world::World;
use broker::Broker;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use wire::ErrorCode;
use wire::api::{alter_client_quotas, describe_client_quotas, metadata};
use wire::client::Connection;
use wire::codec::Double;

/// Each part of an entity: type and name.
type Parts<'a> = &'a [(&'a str, Option<&'a str>)];

fn entry(parts: Parts, key: &str, value: Option<f64>) -> alter_client_quotas::Entry {
    let part = |(kind, name): &(&str, Option<&str>)| alter_client_quotas::Entity {
        entity_type: (*kind).to_owned(),
        entity_name: name.map(str::to_owned),
        ..Default::default()
    };
    let op = alter_client_quotas::Op {
        key: key.to_owned(),
        value: Double(value.unwrap_or_default()),
        remove: value.is_none(),
        ..Default::default()
    };
    alter_client_quotas::Entry { entity: parts.iter().map(part).collect(), ops: vec![op], ..Default::default() }
}

async fn alter(client: &Client, entries: Vec<alter_client_quotas::Entry>, validate_only: bool) -> Vec<ErrorCode> {
    let request = alter_client_quotas::Request { entries, validate_only, ..Default::default() };
    let response = client.0.call(&request, 1).await.unwrap();
    response.entries.into_iter().map(|entry| entry.error_code).collect()
}

async fn limit(client: &Client, parts: Parts<'_>, key: &str, value: f64) {
    assert_eq!(alter(client, vec![entry(parts, key, Some(value))], false).await, [ErrorCode::NONE]);
}

/// Every quota as `type=name.. key value`.
async fn described(client: &Client) -> Vec<String> {
    let found = client.0.call(&describe_client_quotas::Request::default(), 1).await.unwrap();
    assert_eq!(found.error_code, ErrorCode::NONE);
    let shown = |entry: describe_client_quotas::Entry| {
        let parts = entry.entity.into_iter().map(|part| {
            format!("{}={} ", part.entity_type, part.entity_name.unwrap_or_else(|| "<default>".to_owned()))
        });
        let values = entry.values.into_iter().map(|value| format!("{} {}", value.key, value.value.0));
        parts.chain(values).collect::<String>()
    };
    found.entries.unwrap().into_iter().map(shown).collect()
}

struct Stage {
    _world: std::sync::Arc<World>,
    broker: Broker,
    /// Its client id is `test`.
    client: Client,
    dir: tempfile::TempDir,
}

async fn stage() -> Stage {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    world.create("t", 1).await;
    let client = Client::at(broker.addresses().unwrap().clients).await;
    Stage { _world: world, broker, client, dir }
}

impl Stage {
    fn address(&self) -> SocketAddr {
        self.broker.addresses().unwrap().clients
    }

    /// A connection with another client id.
    async fn other(&self) -> Client {
        Client(Connection::connect(&self.address().to_string(), "other", PATIENCE).await.unwrap())
    }
}

#[tokio::test]
async fn quotas_are_set_described_and_taken_away_and_survive_a_restart() {
    let stage = stage().await;
    let user_and_client: Parts = &[("user", Some("ann")), ("client-id", None)];
    let entries = vec![
        entry(user_and_client, "producer_byte_rate", Some(2048.0)),
        entry(&[("client-id", Some("app"))], "request_percentage", Some(12.5)),
        entry(&[("ip", Some("10.0.0.1"))], "connection_creation_rate", Some(5.0)),
        entry(&[("ip", Some("somewhere"))], "connection_creation_rate", Some(5.0)),
        entry(&[("client-id", Some("app"))], "controller_mutation_rate", Some(5.0)),
    ];
    let (none, invalid) = (ErrorCode::NONE, ErrorCode::INVALID_REQUEST);
    // The last entry is refused already because its entity is there twice.
    assert_eq!(alter(&stage.client, entries.clone(), true).await, [none, none, none, invalid, invalid]);
    assert!(described(&stage.client).await.is_empty(), "it was only asked whether it could");
    assert_eq!(alter(&stage.client, entries, false).await, [none, none, none, invalid, invalid]);
    let all = [
        "client-id=app request_percentage 12.5",
        "user=ann client-id=<default> producer_byte_rate 2048",
        "ip=10.0.0.1 connection_creation_rate 5",
    ];
    assert_eq!(described(&stage.client).await, all);

    let Stage { _world: world, broker, client, dir } = stage;
    drop(client);
    world.stop(broker).await;
    let broker = world.start("r1", dir.path()).await;
    let client = Client::at(broker.addresses().unwrap().clients).await;
    assert_eq!(described(&client).await, all);
    assert_eq!(alter(&client, vec![entry(user_and_client, "producer_byte_rate", None)], false).await, [none]);
    assert_eq!(described(&client).await.len(), 2);
}

#[tokio::test]
async fn a_producer_over_its_quota_is_answered_and_then_not_heard() {
    let stage = stage().await;
    limit(&stage.client, &[("client-id", Some("test"))], "producer_byte_rate", 1_000.0).await;
    // A burst of ten seconds is free.
    let first = stage.client.0.call(&produce_request("t", 0, large(9_000), -1), 9).await.unwrap();
    assert_eq!(first.throttle_time_ms, 0);
    let second = stage.client.0.call(&produce_request("t", 0, large(3_500), -1), 9).await.unwrap();
    let answered = Instant::now();
    assert_eq!(second.responses[0].partition_responses[0].error_code, ErrorCode::NONE, "it is written all the same");
    assert!((1..3_000).contains(&second.throttle_time_ms), "{}", second.throttle_time_ms);
    let silence = Duration::from_millis(second.throttle_time_ms as u64);
    // What has been silent on the way is not counted twice.
    let third = stage.client.0.call(&metadata::Request::default(), 9).await.unwrap();
    assert!(answered.elapsed() + Duration::from_millis(200) >= silence, "{:?} of {silence:?}", answered.elapsed());
    assert_eq!(third.throttle_time_ms, 0);
    let other = stage.other().await;
    let free = other.0.call(&produce_request("t", 0, large(200_000), -1), 9).await.unwrap();
    assert_eq!(free.throttle_time_ms, 0, "another client id has no quota");
    assert_eq!(stage.client.list_offset("t", -1).await.offset, 3);
}

#[tokio::test]
async fn a_reader_gets_no_more_at_once_than_its_quota_allows() {
    let stage = stage().await;
    for _ in 0..20 {
        stage.client.produce("t", 0, large(1_000)).await;
    }
    limit(&stage.client, &[("user", None), ("client-id", None)], "consumer_byte_rate", 1_000.0).await;
    let first = stage.client.0.call(&fetch_request("t", 0, 0), 11).await.unwrap();
    let bytes = first.responses[0].partitions[0].records.len();
    assert!((8_000..=10_000).contains(&bytes), "ten seconds' worth, not all: {bytes}");
    let mut little = fetch_request("t", 0, 0);
    little.topics[0].partitions[0].partition_max_bytes = 3_500;
    let second = stage.client.0.call(&little, 11).await.unwrap();
    assert!(second.throttle_time_ms > 0);
    assert!(!second.responses[0].partitions[0].records.is_empty());
    let answered = Instant::now();
    stage.client.0.call(&metadata::Request::default(), 9).await.unwrap();
    let silence = Duration::from_millis(second.throttle_time_ms as u64);
    assert!(answered.elapsed() + Duration::from_millis(200) >= silence);
}

#[tokio::test]
async fn requests_that_take_too_much_time_are_held_up() {
    let stage = stage().await;
    // A burst is a microsecond of a thread.
    limit(&stage.client, &[("user", Some("ANONYMOUS"))], "request_percentage", 0.000_01).await;
    eventually("a request is over its quota", async || {
        let answer = stage.client.0.call(&metadata::Request::default(), 9).await.unwrap();
        assert!(answer.throttle_time_ms <= 1000, "a second is the longest");
        answer.throttle_time_ms > 0
    })
    .await;
    let produced = stage.client.0.call(&produce_request("t", 0, batch(&["v"]), -1), 9).await.unwrap();
    assert!(produced.throttle_time_ms > 0, "answers that come later are timed too");
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_turned_away() {
    let stage = stage().await;
    limit(&stage.client, &[("ip", None)], "connection_creation_rate", 1.0).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "nobody was turned away");
        let opening = (0..15).map(|_| TcpStream::connect(stage.address()));
        let mut waiting = tokio::task::JoinSet::new();
        for opening in opening {
            let mut stream = opening.await.unwrap();
            // A connection that was let in waits for a request.
            let closed = async move { stream.read_u8().await.is_err() };
            waiting.spawn(async move { tokio::time::timeout(Duration::from_secs(3), closed).await.is_ok() });
        }
        if waiting.join_all().await.contains(&true) {
            break;
        }
    }
    let gateway = stage.broker.addresses().unwrap().gateways;
    for _ in 0..20 {
        Client::at(gateway).await.0.api_versions().await.unwrap();
    }
    assert_eq!(stage.client.0.call(&metadata::Request::default(), 9).await.unwrap().throttle_time_ms, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broker_of_a_region_holds_to_the_quotas() {
    let cluster = Cluster::of(3).await;
    let (one, other) = (cluster.client(0).await, cluster.client(1).await);
    limit(&one, &[("client-id", None)], "request_percentage", 0.000_01).await;
    eventually("another broker has heard of it", async || {
        let answer = other.0.call(&metadata::Request::default(), 9).await.unwrap();
        answer.throttle_time_ms > 0
    })
    .await;
    assert_eq!(described(&other).await, ["client-id=<default> request_percentage 0.00001"]);
    drop((one, other));
    cluster.end().await;
}
