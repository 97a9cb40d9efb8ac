//! Links between regions of three brokers each: an agent beside every broker of the target, with the binary's own sink.

#[path = "../../../../services/farshore/src/roles/region/links.rs"]
#[allow(dead_code, reason = "the tests run agents of their own over the sink")]
mod links;

use crate::harness::{Client, batch, eventually, produce_request};
use crate::world::{World, default_group, region};
use broker::Broker;
use env::real::SystemClock;
use links::BrokerSink;
use mirror::{Agent, Sink, WireConnector};
use model::{BrokerSlot, Commit, GroupId, Incarnation, LinkPartitionStatus, PartitionId, PartitionStatus, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;
use wire::ErrorCode;
use wire::api::offset_commit;

const PARTITIONS: i32 = 6;
const GROUPS: usize = 12;

/// The binary's own sink over a broker.
pub(crate) fn sink(broker: &Broker) -> Arc<dyn Sink> {
    Arc::new(BrokerSink(broker.clone()))
}

/// The brokers of one region that run, by slot.
struct Region {
    brokers: BTreeMap<u16, Broker>,
    _dirs: [TempDir; 3],
}

impl Region {
    async fn start(world: &Arc<World>, name: &str) -> Self {
        let dirs = std::array::from_fn(|_| TempDir::new().unwrap());
        let brokers = world.start_cluster(name, &dirs).await;
        Self { brokers: (0..).zip(brokers).collect(), _dirs: dirs }
    }

    fn any(&self) -> &Broker {
        self.brokers.values().next().unwrap()
    }

    /// The broker that leads a partition, as far as the region knows.
    fn leader(&self, topic: TopicId, partition: i32) -> Option<&Broker> {
        let leader = self.any().image().partition(topic, PartitionId(partition))?.leader?;
        self.brokers.get(&leader.broker.0)
    }

    /// The broker that coordinates a consumer group.
    fn coordinator(&self, group: &str) -> Option<&Broker> {
        let image = self.any().image();
        let topic = image.topic_named("__consumer_offsets")?;
        let number = GroupId::new(group).offsets_partition(topic.partition_count() as usize);
        self.leader(topic.id, number as i32)
    }

    /// Each partition as its leader has it, with its hash.
    async fn partitions(&self, topic: TopicId) -> Vec<Option<PartitionStatus>> {
        let mut found = Vec::new();
        for partition in 0..PARTITIONS {
            let leader = self.leader(topic, partition).cloned();
            let status = match leader {
                Some(leader) => leader.own_status(true).await.unwrap().partitions,
                None => vec![],
            };
            let is_it = |status: &PartitionStatus| (status.topic_id, status.partition.0) == (topic, partition);
            found.push(status.into_iter().find(is_it));
        }
        found
    }

    /// Ends a broker as a crash does.
    async fn kill(&mut self, slot: u16) {
        self.brokers.remove(&slot).unwrap().abandon().await;
    }

    async fn commits(&self) -> BTreeMap<String, Commit> {
        let (_, any) = self.brokers.first_key_value().unwrap();
        let commits = any.consumer_groups().await.into_iter().flat_map(|group| group.commits);
        commits.map(|commit| (commit.consumer_group.to_string(), commit)).collect()
    }

    async fn produce(&self, topic: TopicId, partition: i32, value: &str) {
        eventually("a record is taken", async || {
            let Some(leader) = self.leader(topic, partition) else { return false };
            let client = Client::at(leader.addresses().unwrap().clients).await;
            // The broker may end while it is asked.
            let request = produce_request("t", partition, batch(&[value]), -1);
            let Ok(response) = client.0.call(&request, 9).await else { return false };
            response.responses[0].partition_responses[0].error_code == ErrorCode::NONE
        })
        .await;
    }

    async fn commit(&self, group: &str, offset: i64) {
        let partition = offset_commit::Partition { committed_offset: offset, ..Default::default() };
        let topic = offset_commit::Topic { name: "t".into(), partitions: vec![partition], ..Default::default() };
        let request = offset_commit::Request { group_id: group.to_owned(), topics: vec![topic], ..Default::default() };
        eventually("a commit is taken", async || {
            let Some(coordinator) = self.coordinator(group) else { return false };
            let client = Client::at(coordinator.addresses().unwrap().clients).await;
            let Ok(response) = client.0.call(&request, 8).await else { return false };
            response.topics[0].partitions[0].error_code.is_ok()
        })
        .await;
    }
}

/// Region r1 owns everything, and region r2 copies it.
struct Linked {
    source: Region,
    target: Region,
    agents: BTreeMap<u16, Agent>,
    topic: TopicId,
    written: usize,
}

impl Linked {
    async fn new() -> Self {
        let world = World::new();
        let source = Region::start(&world, "r1").await;
        let target = Region::start(&world, "r2").await;
        let topic = world.create("t", PARTITIONS).await;
        let connector = Arc::new(WireConnector { region: region("r2"), incarnation: Incarnation(7) });
        let agents = target.brokers.iter().map(|(slot, broker)| {
            let agent = Agent::new(sink(broker), connector.clone(), Arc::new(SystemClock));
            agent.assign(&world.assignment(&region("r2")));
            (*slot, agent)
        });
        let agents = agents.collect();
        Self { source, target, agents, topic, written: 0 }
    }

    /// Writes to every partition and commits in every group, and waits until the target has all of it.
    async fn write_and_follow(&mut self) {
        self.written += 1;
        for partition in 0..PARTITIONS {
            self.source.produce(self.topic, partition, &format!("{partition}-{}", self.written)).await;
        }
        for group in 0..GROUPS {
            self.source.commit(&format!("group-{group}"), self.written as i64).await;
        }
        eventually("the copies are equal", async || self.is_equal().await).await;
        let offsets = async |region: &Region| {
            let commits = region.commits().await.into_iter();
            commits.map(|(group, commit)| (group, commit.offset.unwrap().0)).collect::<BTreeMap<_, _>>()
        };
        let all: BTreeMap<_, _> = (0..GROUPS).map(|group| (format!("group-{group}"), self.written as i64)).collect();
        eventually("the commits are there", async || offsets(&self.target).await == all).await;
    }

    async fn is_equal(&self) -> bool {
        let (source, target) = (self.source.partitions(self.topic).await, self.target.partitions(self.topic).await);
        source.iter().zip(&target).all(|pair| match pair {
            (Some(source), Some(target)) => {
                source.hash.is_some()
                    && (&source.hash, source.high_watermark, source.leader_epoch)
                        == (&target.hash, target.high_watermark, target.leader_epoch)
                    && source.high_watermark.0 >= self.written as i64
            }
            _ => false,
        })
    }

    /// Each partition is followed by the agent of its leader, and by no other.
    async fn is_followed_by_leaders(&self) -> bool {
        let led = |slot: u16| {
            let image = self.target.any().image();
            let leads = |partition: &i32| {
                let placed = image.partition(self.topic, PartitionId(*partition)).and_then(|placed| placed.leader);
                placed.is_some_and(|leader| leader.broker == BrokerSlot(slot))
            };
            (0..PARTITIONS).filter(leads).collect::<Vec<_>>()
        };
        let followed = |agent: &Agent| {
            let partitions = agent.status().into_iter().map(|link: LinkPartitionStatus| link.partition.0);
            partitions.collect::<Vec<_>>()
        };
        self.agents.iter().all(|(slot, agent)| followed(agent) == led(*slot))
    }

    async fn end(self) {
        drop(self.agents);
        for broker in self.source.brokers.into_values().chain(self.target.brokers.into_values()) {
            broker.abandon().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_goes_on_when_leaders_at_either_end_are_killed() {
    let mut linked = Linked::new().await;
    linked.write_and_follow().await;
    eventually("leaders alone follow", async || linked.is_followed_by_leaders().await).await;

    linked.source.kill(1).await;
    linked.write_and_follow().await;

    linked.agents.remove(&2);
    linked.target.kill(2).await;
    linked.write_and_follow().await;
    eventually("leaders alone follow", async || linked.is_followed_by_leaders().await).await;
    assert_eq!(linked.target.any().image().group(&default_group()).map(|group| group.owned), Some(false));
    linked.end().await;
}
