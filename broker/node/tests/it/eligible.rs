//! Who may lead after brokers are gone where acknowledgements wait for the page cache only (`flush=os`, KIP-966).

use crate::cluster::Cluster;
use crate::harness::{batch, eventually};
use wire::ErrorCode;
use wire::api::describe_topic_partitions::{PartitionResponse, Request, Topic};
use wire::api::elect_leaders;

/// Acknowledged before it is on disk.
const LATE: &str = "late";
/// Acknowledged when it is on disk, which is the default.
const SAFE: &str = "safe";

/// What a broker that runs says of the only partition of a topic.
async fn described(cluster: &Cluster, slot: u16, topic: &str) -> PartitionResponse {
    let topics = vec![Topic { name: topic.to_owned(), ..Default::default() }];
    let request = Request { topics, response_partition_limit: 10, ..Default::default() };
    let answer = cluster.client(slot).await.0.call(&request, 0).await.unwrap();
    answer.topics.into_iter().next().unwrap().partitions.into_iter().next().unwrap()
}

/// Waits until the first broker says so of the topic: leader, in-sync set, eligible replicas and the last known leader.
async fn until(cluster: &Cluster, topic: &str, leader: i32, isr: &[i32], eligible: &[i32], last_known: &[i32]) {
    eventually("the partition is as it should be", async || {
        let seen = described(cluster, 0, topic).await;
        let mut in_sync = seen.isr_nodes;
        in_sync.sort_unstable();
        let (elr, known) = (seen.eligible_leader_replicas.unwrap(), seen.last_known_elr.unwrap());
        (seen.leader_id, &in_sync[..], &elr[..], &known[..]) == (leader, isr, eligible, last_known)
    })
    .await;
}

/// Waits until the leader shows what was acknowledged.
async fn has_all(cluster: &Cluster, topic: &str) {
    eventually("what was acknowledged is shown", async || cluster.read(topic, 0).await == ["a", "b"]).await;
}

/// Has node 3 lead, which is preferred.
async fn have_first_lead(cluster: &Cluster, topic: &str) {
    let asked = elect_leaders::TopicPartitions { topic: topic.into(), partitions: vec![0], ..Default::default() };
    let election_type = elect_leaders::PREFERRED;
    let topic_partitions = Some(vec![asked]);
    let request = elect_leaders::Request { election_type, topic_partitions, timeout_ms: 20_000, ..Default::default() };
    eventually("the preferred leader leads", async || {
        cluster.client(0).await.0.call(&request, 2).await.unwrap();
        described(cluster, 0, topic).await.leader_id == 3
    })
    .await;
    cluster.leaders(topic, |led| led.leader_id == 3 && led.isr_nodes.len() == 3).await;
}

/// Five brokers, the first three with a vote, and both topics on the last three: node 3 leads and is in sync, node 4 has
/// all that is committed and is eligible, node 5 is gone. Node 4 stopped in order, or did not.
async fn with_one_eligible(in_order: bool) -> Cluster {
    let mut cluster = Cluster::of(5).await;
    cluster.create_with(0, LATE, &[("farshore.flush", "os")]).await;
    cluster.create_with(0, SAFE, &[]).await;
    for topic in [LATE, SAFE] {
        assert_eq!(cluster.reassign(0, topic, 0, Some(&[3, 4, 5])).await, ErrorCode::NONE);
    }
    for topic in [LATE, SAFE] {
        let leaders = cluster.leaders(topic, |led| led.replica_nodes == [3, 4, 5] && led.isr_nodes.len() == 3).await;
        assert!(leaders[0] >= 3);
        have_first_lead(&cluster, topic).await;
        let produced = cluster.client(2).await.produce(topic, 0, batch(&["a", "b"])).await;
        assert_eq!(produced.error_code, ErrorCode::NONE);
    }
    cluster.kill(4).await;
    for topic in [LATE, SAFE] {
        until(&cluster, topic, 3, &[3, 4], &[], &[]).await;
    }
    match in_order {
        true => cluster.stop(3).await,
        false => cluster.kill(3).await,
    }
    for topic in [LATE, SAFE] {
        until(&cluster, topic, 3, &[3], &[4], &[]).await;
    }
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stopped_in_order_leads_on_without_a_flush() {
    let mut cluster = with_one_eligible(true).await;
    cluster.kill(2).await;
    for topic in [LATE, SAFE] {
        until(&cluster, topic, -1, &[3], &[4], &[]).await;
    }
    cluster.start(3).await;
    for topic in [LATE, SAFE] {
        until(&cluster, topic, 4, &[4], &[3], &[]).await;
    }
    cluster.start(2).await;
    for topic in [LATE, SAFE] {
        until(&cluster, topic, 4, &[3, 4], &[], &[]).await;
        has_all(&cluster, topic).await;
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_killed_leads_on_only_where_acknowledgements_wait_for_the_disk() {
    let mut cluster = with_one_eligible(false).await;
    cluster.stop(2).await;
    for topic in [LATE, SAFE] {
        until(&cluster, topic, -1, &[3], &[4], &[]).await;
    }
    cluster.start(3).await;
    until(&cluster, SAFE, 4, &[4], &[3], &[]).await;
    // Both were decided by the same entry.
    until(&cluster, LATE, -1, &[3], &[], &[]).await;
    cluster.start(2).await;
    until(&cluster, LATE, 3, &[3, 4], &[], &[]).await;
    has_all(&cluster, LATE).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_last_one_was_killed_nobody_leads_what_waits_for_no_disk() {
    let mut cluster = with_one_eligible(false).await;
    cluster.kill(2).await;
    until(&cluster, LATE, -1, &[3], &[4], &[]).await;
    cluster.start(3).await;
    until(&cluster, SAFE, 4, &[4], &[3], &[]).await;
    cluster.start(2).await;
    until(&cluster, SAFE, 4, &[3, 4], &[], &[]).await;
    until(&cluster, LATE, -1, &[], &[], &[3]).await;
    cluster.end().await;
}
