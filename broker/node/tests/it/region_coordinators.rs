//! Consumer groups in a region of several brokers: each is coordinated by the leader of its offsets partition.

use crate::cluster::Cluster;
use crate::harness::eventually;
use std::collections::BTreeMap;
use wire::ErrorCode;
use wire::api::{consumer_group_heartbeat as beat, find_coordinator, offset_commit, offset_fetch};

/// Enough that every broker coordinates some.
const GROUPS: usize = 12;

fn name(number: usize) -> String {
    format!("group-{number}")
}

/// The slot of the broker that coordinates a group, as any broker that runs says.
async fn coordinator(cluster: &Cluster, group: &str) -> Option<u16> {
    let (slot, _) = cluster.brokers.first_key_value().unwrap();
    let request = find_coordinator::Request { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    let found = cluster.client(*slot).await.0.call(&request, 6).await.unwrap().coordinators.remove(0);
    let running = |slot: &u16| cluster.brokers.contains_key(slot);
    found.error_code.is_ok().then(|| u16::try_from(found.node_id - 1).unwrap()).filter(running)
}

async fn commit(cluster: &Cluster, slot: u16, group: &str, offset: i64) -> ErrorCode {
    let partition = offset_commit::Partition { committed_offset: offset, ..Default::default() };
    let topic = offset_commit::Topic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = offset_commit::Request { group_id: group.to_owned(), topics: vec![topic], ..Default::default() };
    cluster.client(slot).await.0.call(&request, 8).await.unwrap().topics[0].partitions[0].error_code
}

async fn committed(cluster: &Cluster, group: &str) -> Option<i64> {
    let slot = coordinator(cluster, group).await?;
    let topic = offset_fetch::Topic { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
    let asked = offset_fetch::Group { group_id: group.to_owned(), topics: Some(vec![topic]), ..Default::default() };
    let request = offset_fetch::Request { groups: vec![asked], ..Default::default() };
    let answer = cluster.client(slot).await.0.call(&request, 8).await.unwrap().groups.remove(0);
    answer.error_code.is_ok().then(|| answer.topics[0].partitions[0].committed_offset)
}

async fn commit_in_time(cluster: &Cluster, group: &str, offset: i64) {
    eventually("the commit is taken", async || match coordinator(cluster, group).await {
        Some(slot) => commit(cluster, slot, group, offset).await.is_ok(),
        None => false,
    })
    .await;
}

fn heartbeat(group: &str, epoch: i32) -> beat::Request {
    let joins = epoch == 0;
    beat::Request {
        group_id: group.to_owned(),
        member_id: "m".into(),
        member_epoch: epoch,
        rebalance_timeout_ms: if joins { 10_000 } else { -1 },
        subscribed_topic_names: joins.then(|| vec!["t".into()]),
        topic_partitions: joins.then(Vec::new),
        ..Default::default()
    }
}

async fn beat(cluster: &Cluster, slot: u16, request: &beat::Request) -> beat::Response {
    cluster.client(slot).await.0.call(request, 1).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_members_outlive_their_coordinator() {
    let mut cluster = Cluster::of(3).await;
    assert_eq!(cluster.create(0, "t", 1).await.error_code, ErrorCode::NONE);
    let mut by_slot: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for group in (0..GROUPS).map(name) {
        commit_in_time(&cluster, &group, 7).await;
        by_slot.entry(coordinator(&cluster, &group).await.unwrap()).or_default().push(group);
    }
    assert_eq!(by_slot.len(), 3, "{by_slot:?}");
    let (last, of_last) = by_slot.last_key_value().unwrap();
    assert_eq!(commit(&cluster, (last + 1) % 3, &of_last[0], 8).await, ErrorCode::NOT_COORDINATOR);

    let members = coordinator(&cluster, "members").await.unwrap();
    let mut epoch = 0;
    eventually("a member is in the group", async || {
        let joined = beat(&cluster, members, &heartbeat("members", 0)).await;
        epoch = joined.member_epoch;
        joined.error_code.is_ok()
    })
    .await;
    cluster.kill(members).await;
    for group in (0..GROUPS).map(name) {
        eventually("what was acknowledged is there", async || committed(&cluster, &group).await == Some(7)).await;
        commit_in_time(&cluster, &group, 9).await;
        assert_eq!(committed(&cluster, &group).await, Some(9));
    }
    let goes_on = async || match coordinator(&cluster, "members").await {
        Some(slot) => {
            let answer = beat(&cluster, slot, &heartbeat("members", epoch)).await;
            (answer.error_code, answer.member_epoch) == (ErrorCode::NONE, epoch)
        }
        None => false,
    };
    eventually("the member goes on in its epoch with the new coordinator", goes_on).await;
    cluster.end().await;
}
