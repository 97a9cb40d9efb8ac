//! Partitions that move between the brokers of a region, and leaders that are elected anew, as admin tools ask for it.

use crate::cluster::Cluster;
use crate::harness::{batch, eventually};
use std::path::PathBuf;
use wire::ErrorCode;
use wire::api::{elect_leaders, list_partition_reassignments as list};

async fn reassign(cluster: &Cluster, slot: u16, partition: i32, nodes: Option<&[i32]>) -> ErrorCode {
    cluster.reassign(slot, "t", partition, nodes).await
}

/// What is moving: partition, replicas, those that come, those that go.
async fn moving(cluster: &Cluster, slot: u16) -> Vec<(i32, Vec<i32>, Vec<i32>, Vec<i32>)> {
    let answer = cluster.client(slot).await.0.call(&list::Request::default(), 0).await.unwrap();
    let shown = |moving: list::OngoingPartition| {
        (moving.partition_index, moving.replicas, moving.adding_replicas, moving.removing_replicas)
    };
    answer.topics.into_iter().flat_map(|topic| topic.partitions.into_iter().map(shown)).collect()
}

async fn elect(cluster: &Cluster, slot: u16, election_type: i8, all: bool) -> Vec<(i32, ErrorCode)> {
    let topic = elect_leaders::TopicPartitions { topic: "t".into(), partitions: vec![0, 9], ..Default::default() };
    let request = elect_leaders::Request {
        election_type,
        topic_partitions: (!all).then(|| vec![topic]),
        timeout_ms: 20_000,
        ..Default::default()
    };
    let answer = cluster.client(slot).await.0.call(&request, 2).await.unwrap();
    assert_eq!(answer.error_code, ErrorCode::NONE);
    let results = answer.replica_election_results.into_iter().filter(|topic| topic.topic == "t");
    let results = results.flat_map(|topic| topic.partition_result);
    results.map(|result| (result.partition_id, result.error_code)).collect()
}

/// Waits until every broker names exactly these replicas, all of them in sync.
async fn placed(cluster: &Cluster, nodes: &[i32]) {
    let mut sorted = nodes.to_vec();
    sorted.sort_unstable();
    let is_there = |led: &wire::api::metadata::PartitionResponse| {
        let mut isr = led.isr_nodes.clone();
        isr.sort_unstable();
        led.replica_nodes == nodes && isr == sorted && sorted.contains(&led.leader_id)
    };
    cluster.leaders("t", is_there).await;
    eventually("nothing moves", async || moving(cluster, 0).await.is_empty()).await;
}

async fn produce(cluster: &Cluster, value: &str) {
    eventually("the write is taken", async || {
        let led = cluster.metadata(0, "t").await.topics[0].partitions[0].leader_id;
        let Ok(slot) = u16::try_from(led - 1) else { return false };
        cluster.client(slot).await.produce("t", 0, batch(&[value])).await.error_code == ErrorCode::NONE
    })
    .await;
}

fn log_dir(cluster: &Cluster, slot: u16) -> PathBuf {
    cluster.config(slot).data_dir.join("topics").join("t-0")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_shrinks_to_one_broker_moves_and_grows_again_without_a_loss() {
    let cluster = Cluster::of(3).await;
    cluster.create(0, "t", 1).await;
    cluster.leaders("t", |led| led.isr_nodes.len() == 3).await;
    let leader = cluster.metadata(0, "t").await.topics[0].partitions[0].leader_id;
    let other = leader % 3 + 1;
    produce(&cluster, "a").await;

    assert_eq!(reassign(&cluster, 0, 0, Some(&[leader])).await, ErrorCode::NONE);
    placed(&cluster, &[leader]).await;
    eventually("the logs of the others are gone", async || {
        (0..3).filter(|slot| i32::from(*slot) + 1 != leader).all(|slot| !log_dir(&cluster, slot).exists())
    })
    .await;
    produce(&cluster, "b").await;

    // To a broker that has nothing yet: the leader goes last.
    assert_eq!(reassign(&cluster, 1, 0, Some(&[other])).await, ErrorCode::NONE);
    placed(&cluster, &[other]).await;
    produce(&cluster, "c").await;

    assert_eq!(reassign(&cluster, 2, 0, Some(&[1, 2, 3])).await, ErrorCode::NONE);
    placed(&cluster, &[1, 2, 3]).await;
    produce(&cluster, "d").await;
    let mut values = cluster.read("t", 0).await;
    values.dedup();
    assert_eq!(values, ["a", "b", "c", "d"]);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_cannot_end_is_listed_and_taken_back() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, "t", 1).await;
    cluster.leaders("t", |led| led.isr_nodes.len() == 3).await;
    assert_eq!(reassign(&cluster, 0, 0, Some(&[1, 2])).await, ErrorCode::NONE);
    placed(&cluster, &[1, 2]).await;
    cluster.kill(2).await;
    cluster.settle().await;
    assert_eq!(reassign(&cluster, 1, 0, Some(&[3, 1])).await, ErrorCode::NONE);
    eventually("both know that it moves", async || {
        let expected = [(0, vec![3, 1, 2], vec![3], vec![2])];
        moving(&cluster, 0).await == expected && moving(&cluster, 1).await == expected
    })
    .await;
    assert_eq!(reassign(&cluster, 0, 0, None).await, ErrorCode::NONE);
    placed(&cluster, &[1, 2]).await;
    for (partition, nodes, code) in [
        (0, None, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
        (0, Some(&[][..]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (0, Some(&[1, 1][..]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (0, Some(&[1, 7][..]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (8, Some(&[1][..]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        assert_eq!(reassign(&cluster, 0, partition, nodes).await, code);
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preferred_leaders_are_elected_whoever_is_asked() {
    let cluster = Cluster::of(3).await;
    cluster.create(0, "t", 1).await;
    cluster.leaders("t", |led| led.isr_nodes.len() == 3).await;
    let leader = cluster.metadata(0, "t").await.topics[0].partitions[0].leader_id;
    let (second, third) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let unknown = (9, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let needless = (0, ErrorCode::ELECTION_NOT_NEEDED);
    assert_eq!(elect(&cluster, 0, elect_leaders::PREFERRED, false).await, [needless, unknown]);
    // Another order makes another leader the preferred one.
    assert_eq!(reassign(&cluster, 0, 0, Some(&[second, third, leader])).await, ErrorCode::NONE);
    let asked = third as u16 - 1;
    eventually("the broker that is asked knows of the new order", async || {
        cluster.metadata(asked, "t").await.topics[0].partitions[0].replica_nodes[0] == second
    })
    .await;
    // A broker that is slow to say that it is alive cannot lead for a moment.
    eventually("the preferred leader is elected", async || {
        let elected = elect(&cluster, asked, elect_leaders::PREFERRED, true).await;
        assert_eq!(elected.len(), 1, "it was not led by the preferred one before");
        elected == [(0, ErrorCode::NONE)]
    })
    .await;
    assert_eq!(cluster.metadata(asked, "t").await.topics[0].partitions[0].leader_id, second);
    assert!(elect(&cluster, asked, elect_leaders::PREFERRED, true).await.is_empty());
    assert_eq!(elect(&cluster, 0, elect_leaders::UNCLEAN, false).await, [needless, unknown]);
    cluster.end().await;
}
