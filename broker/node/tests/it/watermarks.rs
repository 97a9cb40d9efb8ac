//! What readers have seen stays visible when a broker starts again.

use crate::cluster::Cluster;
use crate::harness::{batch, eventually};
use wire::ErrorCode;
use wire::api::{alter_partition_reassignments as alter, metadata};

/// Has the partition of `t` on these nodes only.
async fn place(cluster: &Cluster, nodes: &[i32]) {
    let partition = alter::Partition { replicas: Some(nodes.to_vec()), ..Default::default() };
    let topic = alter::Topic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = alter::Request { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
    let answer = cluster.client(0).await.0.call(&request, 0).await.unwrap();
    assert_eq!(answer.responses[0].partitions[0].error_code, ErrorCode::NONE);
    let is_there = |led: &metadata::PartitionResponse| led.replica_nodes == nodes && led.isr_nodes.len() == nodes.len();
    cluster.leaders("t", is_there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_starts_again_alone_shows_what_was_committed_though_it_can_commit_nothing() {
    let mut cluster = Cluster::of(3).await;
    cluster.create_with(0, "t", &[("min.insync.replicas", "2")]).await;
    place(&cluster, &[2, 3]).await;
    eventually("the write is taken", async || {
        let leader = cluster.metadata(0, "t").await.topics[0].partitions[0].leader_id;
        let Ok(slot) = u16::try_from(leader - 1) else { return false };
        cluster.client(slot).await.produce("t", 0, batch(&["v"])).await.error_code == ErrorCode::NONE
    })
    .await;
    eventually("the other one has heard that it is committed", async || {
        let status = cluster.broker(2).status(false).await.unwrap();
        status.partitions.iter().any(|known| known.topic.as_str() == "t" && known.high_watermark.0 == 1)
    })
    .await;
    cluster.kill(1).await;
    cluster.leaders("t", |led| led.isr_nodes == [3]).await;
    cluster.stop(2).await;
    cluster.start(2).await;
    cluster.leaders("t", |led| led.leader_id == 3).await;
    let client = cluster.client(2).await;
    assert_eq!(client.produce("t", 0, batch(&["w"])).await.error_code, ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(client.values("t", 0, 0).await, ["v"]);
    cluster.end().await;
}
