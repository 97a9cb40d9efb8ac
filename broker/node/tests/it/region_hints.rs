//! What clients are told of a region's brokers: racks, fenced ones, and who leads what they asked the wrong one for.

use crate::cluster::Cluster;
use crate::harness::{Client, batch, eventually, fetch_request, produce_request};
use model::TopicId;
use wire::ErrorCode;
use wire::api::{describe_cluster, describe_topic_partitions, fetch, metadata, produce};

/// A topic of one partition, the slot of its leader and that of another broker.
async fn led_topic(cluster: &Cluster) -> (TopicId, u16, u16) {
    cluster.create(0, "t", 1).await;
    let leaders = cluster.leaders("t", |led| led.isr_nodes.len() == 3).await;
    let leader = leaders[0] as u16 - 1;
    let id = cluster.broker(0).image().topic_named("t").unwrap().id;
    (id, leader, (leader + 1) % 3)
}

fn produce_by_id(id: TopicId) -> produce::Request {
    let mut request = produce_request("", 0, batch(&["v"]), -1);
    request.topic_data[0].topic_id = id;
    request
}

fn fetch_by_id(id: TopicId) -> fetch::Request {
    let mut request = fetch_request("", 0, 0);
    request.topics[0].topic_id = id;
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_cannot_hear_of_its_region_after_a_start_calls_no_topic_unknown() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, "t", 3).await;
    cluster.leaders("t", |led| led.isr_nodes.len() == 3).await;
    for slot in 0..3 {
        cluster.kill(slot).await;
    }
    cluster.start(2).await;
    let asked = metadata::Topic { name: Some("t".to_owned()), ..Default::default() };
    let request = metadata::Request { topics: Some(vec![asked]), ..Default::default() };
    let described = describe_topic_partitions::Request { response_partition_limit: 10, ..Default::default() };
    let (one, other) = (cluster.client(2).await, cluster.client(2).await);
    let (named, listed) = tokio::join!(one.0.call(&request, 12), other.0.call(&described, 0));
    assert!(named.is_err() && listed.is_err(), "{named:?} {listed:?}");
    cluster.start(0).await;
    let led = cluster.leaders("t", |led| led.leader_id >= 0).await;
    assert_eq!(led.len(), 3);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_the_wrong_broker_is_told_the_right_one() {
    let cluster = Cluster::of(3).await;
    let (id, leader, other) = led_topic(&cluster).await;
    let leader_node = i32::from(leader) + 1;
    let port = i32::from(cluster.broker(leader).addresses().unwrap().clients.port());
    let client = cluster.client(other).await;

    let answer = client.0.call(&produce_by_id(id), 13).await.unwrap();
    let refused = &answer.responses[0].partition_responses[0];
    assert_eq!(refused.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(refused.current_leader.leader_id, leader_node);
    assert!(refused.current_leader.leader_epoch >= 0);
    let nodes: Vec<_> =
        answer.node_endpoints.iter().map(|node| (node.node_id, node.host.as_str(), node.port)).collect();
    assert_eq!(nodes, [(leader_node, "127.0.0.1", port)]);

    // A fetch that knows an epoch is one of a consumer that may read replicas; one with an older epoch is misled.
    let mut stale = fetch_by_id(id);
    stale.topics[0].partitions[0].current_leader_epoch = 0;
    let answer = cluster.client(leader).await.0.call(&stale, 17).await.unwrap();
    let refused = &answer.responses[0].partitions[0];
    assert_eq!(refused.error_code, ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(refused.current_leader.leader_id, leader_node);
    assert_eq!(answer.node_endpoints.len(), 1);

    // Where there is no room, and through the gateways' listener, nobody is named.
    let answer = client.0.call(&produce_request("t", 0, batch(&["v"]), -1), 9).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert!(answer.node_endpoints.is_empty());
    let gateway = Client::at(cluster.broker(other).addresses().unwrap().gateways).await;
    let answer = gateway.0.call(&produce_by_id(id), 13).await.unwrap();
    let refused = &answer.responses[0].partition_responses[0];
    assert_eq!((refused.error_code, refused.current_leader.leader_id), (ErrorCode::NOT_LEADER_OR_FOLLOWER, -1));
    assert!(answer.node_endpoints.is_empty());
    let right = cluster.client(leader).await.0.call(&produce_by_id(id), 13).await.unwrap();
    assert_eq!(right.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
    assert!(right.node_endpoints.is_empty());
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_may_not_serve_sends_nobody_back_to_itself() {
    let mut cluster = Cluster::of(3).await;
    let (id, leader, other) = led_topic(&cluster).await;
    cluster.kill(other).await;
    cluster.kill(3 - leader - other).await;
    let mut request = produce_by_id(id);
    request.acks = 1;
    eventually("the last broker serves nobody", async || {
        // An answer that must not be given any more ends the connection.
        let Ok(answer) = cluster.client(leader).await.0.call(&request, 13).await else { return false };
        let refused = &answer.responses[0].partition_responses[0];
        if refused.error_code == ErrorCode::NONE {
            return false;
        }
        assert_eq!((refused.error_code, refused.current_leader.leader_id), (ErrorCode::NOT_LEADER_OR_FOLLOWER, -1));
        assert!(answer.node_endpoints.is_empty());
        true
    })
    .await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_fenced_are_described_to_who_asks_for_them() {
    let mut cluster = Cluster::of(3).await;
    let described = async |client: &Client, include_fenced_brokers| {
        let request = describe_cluster::Request { include_fenced_brokers, ..Default::default() };
        let answer = client.0.call(&request, 2).await.unwrap();
        let mut brokers: Vec<_> = answer.brokers.iter().map(|node| (node.broker_id, node.is_fenced)).collect();
        brokers.sort_unstable();
        brokers
    };
    let client = cluster.client(0).await;
    assert_eq!(described(&client, true).await, [(1, false), (2, false), (3, false)]);
    cluster.kill(2).await;
    eventually("the killed broker is fenced", async || {
        described(&client, true).await == [(1, false), (2, false), (3, true)]
    })
    .await;
    assert_eq!(described(&client, false).await, [(1, false), (2, false)]);
    drop(client);
    cluster.end().await;
}
