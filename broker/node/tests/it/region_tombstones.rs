//! A compacted topic of which the copy was out of reach for longer than the source holds anything back for it.

use crate::harness::{Client, eventually};
use crate::region_links::sink;
use crate::world::{World, default_group, region};
use broker::{Broker, CollectError, Links, NewTopic};
use broker_core::retention::Hold;
use env::PortFuture;
use env::real::SystemClock;
use mirror::{Agent, WireConnector};
use model::{
    Assignment, ByteCount, Incarnation, LinkPartitionStatus, PartitionId, ProtectionGroup, RegionName, TopicId,
    TopicName, copy_states, limits,
};
use record::{BatchBuilder, Batches};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use wire::ErrorCode;

const ZERO: PartitionId = PartitionId(0);

/// An agent beside a broker that leads copies.
struct Following(Arc<Agent>);

impl Links for Following {
    fn collect<'a>(&'a self, _: &'a ProtectionGroup, _: &'a [RegionName]) -> PortFuture<'a, Result<(), CollectError>> {
        Box::pin(async { Ok(()) })
    }

    fn status(&self) -> Vec<LinkPartitionStatus> {
        self.0.status()
    }
}

/// Region r1, which holds nothing back for links, and r2, which copies it on three brokers.
struct Held {
    world: Arc<World>,
    source: Broker,
    target: Vec<Broker>,
    agents: Vec<Arc<Agent>>,
    topic: TopicId,
    told: AtomicU64,
    _dirs: Vec<TempDir>,
}

impl Held {
    async fn new() -> Self {
        let world = World::new();
        let dirs: Vec<_> = (0..4).map(|_| TempDir::new().unwrap()).collect();
        let source = world
            .start_with("r1", dirs[0].path(), |config| {
                config.link_hold = Hold { age: Duration::ZERO, bytes: ByteCount(0) };
            })
            .await;
        let target = world.start_cluster("r2", &dirs[1..]).await;
        let config = [
            ("cleanup.policy", "compact"),
            ("segment.bytes", "2000"),
            ("min.cleanable.dirty.ratio", "0"),
            ("delete.retention.ms", "0"),
        ];
        let config = config.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let topic = world.create_with(NewTopic { name: TopicName::new("t").unwrap(), partitions: 1, config }).await;
        let connector = Arc::new(WireConnector { region: region("r2"), incarnation: Incarnation(7) });
        let agent = |broker: &Broker| {
            let agent = Arc::new(Agent::new(sink(broker), connector.clone(), Arc::new(SystemClock)));
            broker.set_links(Arc::new(Following(agent.clone())));
            agent
        };
        let agents = target.iter().map(agent).collect();
        let held = Self { world, source, target, agents, topic, told: AtomicU64::new(1000), _dirs: dirs };
        held.let_go();
        held
    }

    fn tell(&self, change: impl Fn(&mut Assignment)) {
        let mut assignment = self.world.assignment(&region("r2"));
        assignment.council_index = self.told.fetch_add(1, Ordering::Relaxed);
        change(&mut assignment);
        self.agents.iter().for_each(|agent| agent.assign(&assignment));
    }

    /// Nothing is copied until [`let_go`](Self::let_go).
    async fn hold(&self) {
        self.tell(|assignment| assignment.groups.clear());
        eventually("the links rest", async || self.agents.iter().all(|agent| agent.status().is_empty())).await;
    }

    fn let_go(&self) {
        self.tell(|_| {});
    }

    async fn put(&self, key: &str, value: Option<&str>) {
        let client = Client::at(self.source.addresses().unwrap().clients).await;
        eventually("a record is taken", async || {
            let record = BatchBuilder::new().record(1, Some(key.as_bytes()), value.map(str::as_bytes), &[]).build();
            client.produce("t", 0, record.into()).await.error_code.is_ok()
        })
        .await;
    }

    /// Writes so much to other keys that what was written before may be cleaned.
    async fn fill(&self) {
        for n in 0..60 {
            self.put(&format!("other-{}", n % 3), Some(&"x".repeat(100))).await;
        }
    }

    fn copy_leader(&self) -> Option<&Broker> {
        self.target.iter().find(|broker| broker.leads_copy(self.topic, ZERO))
    }

    async fn link(&self) -> Option<LinkPartitionStatus> {
        self.target[0].links().await.into_iter().find(|link| link.topic_id == self.topic)
    }

    async fn tail_of_source(&self) -> i64 {
        let status = self.source.own_status(false).await.unwrap();
        status.partitions.iter().find(|status| status.topic_id == self.topic).unwrap().high_watermark.0
    }

    async fn until_copied(&self) {
        let tail = self.tail_of_source().await;
        eventually("all of it is copied", async || {
            let Some(leader) = self.copy_leader() else { return false };
            leader.copy_state(self.topic, ZERO).is_ok_and(|state| state.flushed.0 == tail)
        })
        .await;
    }

    /// The hashes of what each broker of the target holds, and of what the source holds.
    async fn hashes(&self) -> Vec<Option<String>> {
        let mut hashes = Vec::new();
        for broker in self.target.iter().chain([&self.source]) {
            let status = broker.own_status(true).await.unwrap();
            let of_topic = status.partitions.into_iter().find(|status| status.topic_id == self.topic);
            hashes.push(of_topic.and_then(|status| status.hash));
        }
        hashes
    }

    async fn end(self) {
        drop(self.agents);
        for broker in self.target.into_iter().chain([self.source]) {
            broker.abandon().await;
        }
    }
}

/// The latest value of each key of the topic, as clients of `broker` read it; `None` for one that was deleted.
async fn state(broker: &Broker) -> BTreeMap<String, Option<String>> {
    let client = Client::at(broker.addresses().unwrap().clients).await;
    let (mut latest, mut next) = (BTreeMap::new(), 0);
    loop {
        let found = client.fetch("t", 0, next).await;
        assert_eq!(found.error_code, ErrorCode::NONE);
        let bytes = found.records.into_bytes();
        let Some(last) = Batches::new(&bytes).map(Result::unwrap).last() else { return latest };
        next = last.next_offset().0;
        for batch in Batches::new(&bytes).map(Result::unwrap) {
            for record in batch.records(limits::DECOMPRESSED_BYTES_MAX).unwrap().map(Result::unwrap) {
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                latest.insert(text(record.key.unwrap()), record.value.map(text));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_missed_a_tombstone_is_no_standby_until_it_is_rebuilt() {
    let held = Held::new().await;
    held.put("deleted", Some("once")).await;
    held.fill().await;
    held.until_copied().await;
    assert_eq!(held.link().await.unwrap().unusable(), None);

    held.hold().await;
    held.put("deleted", None).await;
    eventually("nothing at the source tells of the deletion any more", async || {
        held.fill().await;
        held.source.clean().await;
        !state(&held.source).await.contains_key("deleted")
    })
    .await;
    held.let_go();
    let unusable = async || held.link().await.and_then(|link| link.unusable().map(str::to_owned));
    eventually("the copy is no standby", async || unusable().await.as_deref() == Some(copy_states::MUST_REBUILD)).await;
    held.until_copied().await;
    assert_eq!(unusable().await.as_deref(), Some(copy_states::MUST_REBUILD), "it follows, and stays what it is");
    let leader = held.copy_leader().unwrap();
    assert_eq!(state(leader).await.get("deleted"), Some(&Some("once".to_owned())), "it never heard of it");
    let gaps = leader.pending_facts().await.1;
    assert!(gaps.iter().any(|gap| gap.topic == held.topic && gap.reason.contains("compacted")), "{gaps:?}");

    assert_eq!(held.target[0].rebuild_copies(default_group()).await, Ok(1));
    eventually("it is a standby again", async || {
        held.link().await.is_some_and(|link| link.unusable().is_none() && link.lag_records == 0)
    })
    .await;
    held.until_copied().await;
    assert_eq!(state(held.copy_leader().unwrap()).await, state(&held.source).await);
    eventually("no replica of the copy keeps what was deleted", async || {
        let hashes = held.hashes().await;
        hashes[0].is_some() && hashes.iter().all(|hash| *hash == hashes[0])
    })
    .await;
    assert_eq!(held.target[0].rebuild_copies(default_group()).await, Ok(0), "nothing is to be rebuilt any more");
    held.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_begins_when_much_is_forgotten_is_a_standby_once_it_has_caught_up() {
    let held = Held::new().await;
    held.hold().await;
    held.put("deleted", Some("once")).await;
    held.put("deleted", None).await;
    eventually("nothing tells of the deletion any more", async || {
        held.fill().await;
        held.source.clean().await;
        !state(&held.source).await.contains_key("deleted")
    })
    .await;
    held.let_go();
    held.until_copied().await;
    eventually("it is a standby", async || held.link().await.is_some_and(|link| link.unusable().is_none())).await;
    assert_eq!(state(held.copy_leader().unwrap()).await, state(&held.source).await);
    held.end().await;
}
