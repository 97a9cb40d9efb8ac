//! What backups read of a region of several brokers, and restores write to it: at the leaders, wherever those are.

use crate::harness::{Client, batch, eventually, produce_request};
use crate::world::{World, default_group};
use broker::{Broker, RegionShelf, ShelfError};
use bytes::Bytes;
use model::{
    ByteCount, Commit, GroupId, LeaderEpoch, Offset, OffsetRange, PartitionId, TopicId, TopicName, TopicSpec,
    TopicState,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;

const PARTITIONS: i32 = 3;
const ALL: ByteCount = ByteCount::mib(1);

struct Stage {
    world: Arc<World>,
    brokers: Vec<Broker>,
    shelf: RegionShelf,
    topic: TopicId,
    _dirs: [TempDir; 3],
}

async fn stage() -> Stage {
    let (world, dirs) = (World::new(), std::array::from_fn(|_| TempDir::new().unwrap()));
    let brokers = world.start_cluster("r1", &dirs).await;
    let topic = world.create("t", PARTITIONS).await;
    Stage { world, shelf: brokers[0].region_shelf(), brokers, topic, _dirs: dirs }
}

impl Stage {
    fn leader(&self, topic: TopicId, partition: i32) -> Option<&Broker> {
        let leader = self.brokers[0].image().partition(topic, PartitionId(partition))?.leader?;
        self.brokers.get(usize::from(leader.broker.0))
    }

    /// A broker that leads no more of the topic than any other does: most of what it is asked lies elsewhere.
    fn far_from_leaders(&self) -> &Broker {
        let led = |broker: &&Broker| {
            let leaders = (0..PARTITIONS).filter_map(|partition| self.leader(self.topic, partition));
            leaders.filter(|leader| leader.config().slot == broker.config().slot).count()
        };
        self.brokers.iter().min_by_key(led).unwrap()
    }

    async fn produce(&self, name: &str, topic: TopicId, partition: i32, value: &str) {
        eventually("a record is taken", async || {
            let Some(leader) = self.leader(topic, partition) else { return false };
            let client = Client::at(leader.addresses().unwrap().clients).await;
            let request = produce_request(name, partition, batch(&[value]), -1);
            client.0.call(&request, 9).await.unwrap().responses[0].partition_responses[0].error_code.is_ok()
        })
        .await;
    }

    async fn all_of(&self, topic: TopicId, partition: i32, committed: bool) -> Bytes {
        told(async || self.shelf.read(topic, PartitionId(partition), Offset(0), ALL, committed).await).await
    }

    /// A topic that a restore fills.
    async fn restoring(&self) -> TopicId {
        let id = TopicId(uuid::Uuid::from_u128(77));
        let spec = TopicSpec {
            id,
            name: TopicName::new("u").unwrap(),
            partitions: PARTITIONS,
            config: BTreeMap::new(),
            group: default_group(),
            state: TopicState::Restoring,
            epochs_above: Some(LeaderEpoch(4096 + 100)),
        };
        self.world.decide(|_, topics| topics.push(spec)).await;
        id
    }

    async fn append(&self, topic: TopicId, partition: i32, batches: &Bytes) {
        let mut refused = None;
        eventually("the leader takes them", async || {
            let appended = self.shelf.append(topic, PartitionId(partition), Offset(0), batches.clone()).await;
            refused = appended.err();
            assert!(matches!(refused, None | Some(ShelfError::NotReady(_))), "{refused:?}");
            refused.is_none()
        })
        .await;
    }

    async fn end(self) {
        for broker in self.brokers {
            broker.abandon().await;
        }
    }
}

/// What the shelf says once it can: on a busy machine a broker may be taken for dead, and another lead in its place.
async fn told<T>(mut ask: impl AsyncFnMut() -> Result<T, ShelfError>) -> T {
    let mut said = None;
    eventually("the shelf is ready", async || {
        said = match ask().await {
            Err(ShelfError::NotReady(_)) => None,
            said => Some(said.unwrap()),
        };
        said.is_some()
    })
    .await;
    said.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broker_reads_and_restores_for_all() {
    let mut stage = stage().await;
    for partition in 0..PARTITIONS {
        stage.produce("t", stage.topic, partition, &format!("value {partition}")).await;
    }
    stage.shelf = stage.far_from_leaders().region_shelf();
    let extents = told(async || stage.shelf.extents(stage.topic).await).await;
    let ranges: Vec<_> = extents.iter().map(|(partition, range, _)| (partition.0, *range)).collect();
    let one = OffsetRange::new(Offset(0), Offset(1));
    assert_eq!(ranges, [(0, one), (1, one), (2, one)]);

    let restored = stage.restoring().await;
    for partition in 0..PARTITIONS {
        let batches = stage.all_of(stage.topic, partition, true).await;
        assert!(!batches.is_empty());
        stage.append(restored, partition, &batches).await;
        // Its answer was lost; it is sent again.
        stage.append(restored, partition, &batches).await;
        assert_eq!(told(async || stage.shelf.span(restored, PartitionId(partition)).await).await, one);
        assert_eq!(stage.all_of(restored, partition, false).await, batches);
        told(async || stage.shelf.finish(restored, PartitionId(partition), Offset(0)).await).await;
    }
    stage
        .world
        .decide(|_, topics| {
            topics.iter_mut().filter(|topic| topic.id == restored).for_each(|topic| topic.state = TopicState::Live);
        })
        .await;
    for partition in 0..PARTITIONS {
        stage.produce("u", restored, partition, "next").await;
        let late = stage.shelf.append(restored, PartitionId(partition), Offset(0), Bytes::new()).await;
        assert!(matches!(late, Err(ShelfError::NotReady(_))), "it is no copy any more: {late:?}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_are_read_and_restored_at_their_coordinators() {
    let stage = stage().await;
    let commit = |group: usize| Commit {
        consumer_group: GroupId::new(format!("group-{group}")),
        topic: TopicName::new("t").unwrap(),
        topic_id: stage.topic,
        partition: PartitionId(0),
        offset: Some(Offset(group as i64)),
        leader_epoch: LeaderEpoch::NONE,
        metadata: String::new(),
        commit_time: model::Timestamp(1),
        expire_time: None,
    };
    let commits: Vec<_> = (0..12).map(commit).collect();
    eventually("they are restored", async || stage.shelf.restore_commits(commits.clone()).await == Ok(12)).await;
    let mut found = told(async || stage.shelf.commits(&default_group()).await).await;
    found.sort_by_key(|commit| commit.offset);
    assert_eq!(found, commits);
    assert_eq!(stage.brokers[1].region_shelf().commits(&default_group()).await.unwrap().len(), 12);
    stage.end().await;
}
