//! What readers have seen stays visible when a broker starts again.

use crate::cluster::Cluster;
use crate::harness::{batch, eventually};
use wire::ErrorCode;
use wire::api::metadata;

/// Has the partition of `t` on these nodes only.
async fn place(cluster: &Cluster, nodes: &[i32]) {
    assert_eq!(cluster.reassign(0, "t", 0, Some(nodes)).await, ErrorCode::NONE);
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
        let status = cluster.broker(2).own_status(false).await.unwrap();
        status.partitions.iter().any(|known| known.topic.as_str() == "t" && known.high_watermark.0 >= 1)
    })
    .await;
    cluster.kill(1).await;
    cluster.leaders("t", |led| led.isr_nodes == [3]).await;
    cluster.stop(2).await;
    cluster.start(2).await;
    cluster.leaders("t", |led| led.leader_id == 3).await;
    let refused = cluster.client(2).await.produce("t", 0, batch(&["w"])).await;
    assert_eq!(refused.error_code, ErrorCode::NOT_ENOUGH_REPLICAS);
    let mut shown = cluster.read("t", 0).await;
    // The write may have been refused behind its append, and made again.
    shown.dedup();
    assert_eq!(shown, ["v"]);
    cluster.end().await;
}
