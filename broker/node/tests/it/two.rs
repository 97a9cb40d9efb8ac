//! Two regions, the second a copy of the first, and what links and gateways ask of them.

use crate::harness::{Client, eventually};
use crate::world::{World, default_group};
use broker::Broker;
use bytes::Bytes;
use model::{
    CommitMarks, CommitPage, CommitsSince, Offset, OwnershipEpoch, PartitionId, SyncCommits, TopicId, methods,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use wire::ErrorCode;
use wire::api::offset_commit;
use wire::internal::{control, link_fetch};

pub(crate) struct Two {
    pub(crate) world: Arc<World>,
    pub(crate) one: Broker,
    pub(crate) two: Broker,
    pub(crate) topic: TopicId,
    _dirs: [tempfile::TempDir; 2],
}

/// Region r1 owns topic `t`, region r2 copies it.
pub(crate) async fn two() -> Two {
    let (world, dirs) = (World::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let one = world.start("r1", dirs[0].path()).await;
    let two = world.start("r2", dirs[1].path()).await;
    let topic = world.create("t", 1).await;
    Two { world, one, two, topic, _dirs: dirs }
}

pub(crate) async fn client(broker: &Broker) -> Client {
    Client::at(broker.addresses().unwrap().clients).await
}

pub(crate) async fn through_gateway(broker: &Broker) -> Client {
    Client::at(broker.addresses().unwrap().gateways).await
}

pub(crate) async fn ask<T: DeserializeOwned>(
    broker: &Broker,
    method: &str,
    ask: &impl Serialize,
) -> Result<T, ErrorCode> {
    let client = Client::at(broker.addresses().unwrap().internal).await;
    let payload = serde_json::to_vec(ask).unwrap().into();
    let request = control::Request { method: method.to_owned(), payload, ..Default::default() };
    let response = client.0.call(&request, 0).await.unwrap();
    response.error.ok()?;
    Ok(serde_json::from_slice(&response.payload).unwrap())
}

pub(crate) async fn commit(client: &Client, group: &str, offset: i64, metadata: &str) -> ErrorCode {
    let partition = offset_commit::Partition {
        committed_offset: offset,
        committed_metadata: Some(metadata.to_owned()),
        ..Default::default()
    };
    let topic = offset_commit::Topic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = offset_commit::Request { group_id: group.into(), topics: vec![topic], ..Default::default() };
    client.0.call(&request, 8).await.unwrap().topics[0].partitions[0].error_code
}

pub(crate) async fn commit_in_time(client: &Client, group: &str, offset: i64, metadata: &str) {
    eventually("the commit is taken", async || commit(client, group, offset, metadata).await.is_ok()).await;
}

impl Two {
    /// Copies everything there is from r1 to r2, as a link does.
    pub(crate) async fn mirror(&self) {
        let source = Client::at(self.one.addresses().unwrap().internal).await;
        loop {
            let state = self.two.copy_state(self.topic, PartitionId(0)).unwrap();
            let asked = link_fetch::Partition {
                topic_id: self.topic,
                fetch_offset: state.tail.0,
                last_epoch: state.epochs.last().map_or(-1, |last| last.epoch.0),
                partition_max_bytes: 1 << 20,
                ..Default::default()
            };
            let request = link_fetch::Request { partitions: vec![asked], max_bytes: 1 << 20, ..Default::default() };
            let found = source.0.call(&request, 0).await.unwrap().partitions.into_iter().next().unwrap();
            assert_eq!((found.error, &found.diverging), (ErrorCode::NONE, &None));
            let heard = broker::SourceMarks {
                high_watermark: Offset(found.high_watermark),
                tail: Offset(found.source_tail),
                ..Default::default()
            };
            let epoch = OwnershipEpoch(u32::try_from(found.ownership_epoch).unwrap());
            self.two.mark_source(self.topic, PartitionId(0), epoch, heard);
            let bytes: Bytes = found.records.into_bytes();
            if bytes.is_empty() {
                return self.two.copy_flushed(self.topic, PartitionId(0), state.tail).await.unwrap();
            }
            self.two.append_copy(self.topic, PartitionId(0), state.tail, bytes).await.unwrap();
        }
    }

    /// Carries the commits of r1 to r2, as a link does; says how far they go.
    pub(crate) async fn mirror_commits(&self) -> CommitMarks {
        let page: CommitPage = ask(&self.one, methods::SYNC_COMMITS, &every_commit()).await.unwrap();
        assert_eq!(page.ownership_epoch, OwnershipEpoch(1));
        eventually("the commits are taken", async || apply(&self.two, &page).await.is_ok()).await;
        page.parts.iter().map(|part| (part.partition, part.newest)).collect()
    }
}

/// Asks for all commits of all partitions.
pub(crate) fn every_commit() -> SyncCommits {
    let since = (0..50).map(|partition| CommitsSince::beginning(PartitionId(partition))).collect();
    SyncCommits { group: default_group(), since, max_wait_ms: 0, limit: 100 }
}

/// Has a region take what another said.
pub(crate) async fn apply(broker: &Broker, page: &CommitPage) -> Result<(), String> {
    for part in &page.parts {
        let (epoch, commits) = (page.ownership_epoch, part.commits.clone());
        broker.apply_commits(&default_group(), epoch, part.partition, commits, part.next).await?;
    }
    Ok(())
}
