//! A region of several brokers whose desk speaks to the council for all of them: orders, leases, topics, and what it says
//! of itself.

use crate::harness::{Client, batch, eventually, produce_request};
use crate::world::free_address;
use crate::world::{World, carry_out, default_group, order, region};
use broker::{Broker, Config, Listeners, Ports, Timing};
use bytes::Bytes;
use env::real::{SystemClock, SystemEntropy};
use model::{
    Action, BrokerSlot, Done, LeaderEpoch, Offset, Opening, OwnershipEpoch, PartitionId, RegionStatus, TopicId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use wire::ErrorCode;
use wire::api::{create_topics, metadata};

const DESK: BrokerSlot = BrokerSlot(9);
const BROKERS: u16 = 3;
const PARTITIONS: i32 = 6;

struct Desked {
    world: Arc<World>,
    desk: Broker,
    brokers: BTreeMap<u16, Broker>,
    peers: BTreeMap<BrokerSlot, String>,
    dirs: BTreeMap<BrokerSlot, TempDir>,
}

impl Desked {
    /// Region `name` of three brokers and a desk.
    async fn start(name: &str) -> Self {
        let slots = || (0..BROKERS).map(BrokerSlot).chain([DESK]);
        let peers: BTreeMap<_, _> = slots().map(|slot| (slot, free_address())).collect();
        let dirs: BTreeMap<_, _> = slots().map(|slot| (slot, TempDir::new().unwrap())).collect();
        let world = World::new();
        let ports = Ports { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), council: world.seat() };
        let desk = Broker::start(config(name, &peers, &dirs, DESK), ports).await.unwrap();
        let mut desked = Self { world, desk, brokers: BTreeMap::new(), peers, dirs };
        for slot in 0..BROKERS {
            desked.start_broker(slot).await;
        }
        let (world, desk) = (desked.world.clone(), desked.desk.clone());
        world.speak_to(&desk, vec![]).await;
        desked.settle().await;
        desked
    }

    async fn start_broker(&mut self, slot: u16) {
        let name = self.desk.config().region.to_string();
        let config = config(&name, &self.peers, &self.dirs, BrokerSlot(slot));
        let broker = Broker::start_member(config, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.unwrap();
        self.brokers.insert(slot, broker);
    }

    /// Waits until exactly the brokers that run are let in, as all of them know.
    async fn settle(&self) {
        let running: Vec<_> = self.brokers.keys().copied().collect();
        eventually("all brokers are let in", async || {
            self.brokers.values().chain([&self.desk]).all(|broker| {
                let image = broker.image();
                let alive = image.brokers().filter(|(_, known)| !known.is_fenced()).map(|(slot, _)| slot.0);
                alive.collect::<Vec<_>>() == running
            })
        })
        .await;
    }

    /// Waits until all partitions of `topic` are led with `in_sync` replicas in sync.
    async fn led(&self, topic: TopicId, in_sync: usize) {
        eventually("all partitions are led and in sync", async || {
            let image = self.desk.image();
            image.topic(topic).is_some_and(|topic| {
                topic.partition_count() == PARTITIONS
                    && topic
                        .partitions()
                        .all(|(_, p)| p.isr.len() == in_sync && p.leader.is_some_and(|l| image.is_live(&l)))
            })
        })
        .await;
    }

    fn leader(&self, topic: TopicId, partition: i32) -> &Broker {
        let image = self.desk.image();
        let slot = image.partition(topic, PartitionId(partition)).unwrap().leader.unwrap().broker.0;
        &self.brokers[&slot]
    }

    async fn client(&self, slot: u16) -> Client {
        Client::at(self.brokers[&slot].addresses().unwrap().clients).await
    }

    async fn write(&self, topic: TopicId, partition: i32, value: &str) -> ErrorCode {
        let client = Client::at(self.leader(topic, partition).addresses().unwrap().clients).await;
        let request = produce_request("t", partition, batch(&[value]), -1);
        // A broker whose lease has lapsed meanwhile closes the connection.
        let Ok(response) = client.0.call(&request, 9).await else { return ErrorCode::NETWORK_EXCEPTION };
        response.responses[0].partition_responses[0].error_code
    }

    async fn write_in_time(&self, topic: TopicId, partition: i32, value: &str) {
        eventually("the write is taken", async || self.write(topic, partition, value).await.is_ok()).await;
    }

    async fn status(&self) -> RegionStatus {
        self.desk.status(false).await.unwrap()
    }

    async fn kill(&mut self, slot: u16) {
        self.brokers.remove(&slot).unwrap().abandon().await;
    }

    async fn end(self) {
        for broker in self.brokers.into_values().chain([self.desk]) {
            broker.abandon().await;
        }
    }
}

fn config(
    name: &str,
    peers: &BTreeMap<BrokerSlot, String>,
    dirs: &BTreeMap<BrokerSlot, TempDir>,
    slot: BrokerSlot,
) -> Config {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners { clients: any, gateways: any, internal: any };
    let mut config = Config::new(region(name), 0, dirs[&slot].path().to_owned(), listeners);
    config.slot = slot;
    config.desk = Some(DESK);
    config.controller = Some(peers[&slot].parse().unwrap());
    config.peers.clone_from(peers);
    // Many regions share this process and a few processors.
    config.liveness = Timing { silence_max: Duration::from_secs(3) };
    config.disk_reserve = model::ByteCount(0);
    config.initial_rebalance_delay = Duration::from_millis(50);
    config
}

/// One record as region r2 wrote it under the first grant.
fn copied(at: i64) -> Bytes {
    let mut bytes = batch(&["copied"]).to_vec();
    record::set_base_offset(&mut bytes, Offset(at));
    record::set_leader_epoch(&mut bytes, LeaderEpoch(4096));
    bytes.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_through_any_broker_and_the_desk_hosts_nothing() {
    let desked = Desked::start("r1").await;
    let topic = create_topics::Topic {
        name: "t".into(),
        num_partitions: PARTITIONS,
        replication_factor: -1,
        ..Default::default()
    };
    let request = create_topics::Request { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let made = desked.client(1).await.0.call(&request, 7).await.unwrap().topics.remove(0);
    assert_eq!(made.error_code, ErrorCode::NONE, "{:?}", made.error_message);
    let topic = desked.world.topic("t").id;
    desked.led(topic, 3).await;
    let again = desked.client(2).await.0.call(&request, 7).await.unwrap().topics.remove(0);
    assert_eq!(again.error_code, ErrorCode::TOPIC_ALREADY_EXISTS);
    for partition in 0..PARTITIONS {
        desked.write_in_time(topic, partition, "a").await;
    }
    for slot in 0..BROKERS {
        let asked = metadata::Topic { name: Some("t".into()), ..Default::default() };
        let request = metadata::Request { topics: Some(vec![asked]), ..Default::default() };
        let seen = desked.client(slot).await.0.call(&request, 12).await.unwrap();
        assert_eq!(seen.brokers.iter().map(|node| node.node_id).collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3]));
        let newest = desked.brokers[&slot].watch_assignment();
        let names = |newest: &tokio::sync::watch::Receiver<Option<Arc<model::Assignment>>>| {
            newest.borrow().as_ref().is_some_and(|known| known.topics.iter().any(|known| known.id == topic))
        };
        eventually("the assignment has come to the broker", async || names(&newest)).await;
    }
    assert!(desked.desk.own_status(false).await.unwrap().partitions.is_empty());
    let mut status = desked.status().await;
    eventually("all partitions are seen to take writes", async || {
        status = desked.status().await;
        let ours: Vec<_> = status.partitions.iter().filter(|known| known.topic_id == topic).collect();
        ours.len() == PARTITIONS as usize && ours.iter().all(|known| known.writable && known.tail >= Offset(1))
    })
    .await;
    assert_eq!(status.disks.len(), usize::from(BROKERS) + 1, "the desk has one too");
    assert!(desked.desk.answers().await.is_ok());
    eventually("the desk has the lease", async || desked.desk.holdings()[0].leased).await;
    desked.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_stop_on_all_brokers_by_one_order_even_when_one_is_lost_and_go_on_by_another() {
    let mut desked = Desked::start("r1").await;
    let topic = desked.world.create("t", PARTITIONS).await;
    desked.led(topic, 3).await;
    for partition in 0..PARTITIONS {
        desked.write_in_time(topic, partition, "a").await;
    }
    let stop = order("run", "stop", 1, Action::StopWrites);
    let Done::Stopped { ends, .. } = carry_out(&desked.desk, stop.clone()).await else { panic!("stopped") };
    assert_eq!(ends.iter().map(|end| end.tail.0).collect::<Vec<_>>(), [1; PARTITIONS as usize]);
    for partition in 0..PARTITIONS {
        assert_eq!(desked.write(topic, partition, "b").await, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    assert_eq!(carry_out(&desked.desk, order("run", "stop.undo", 1, Action::ResumeWrites)).await, Done::Ok);
    for partition in 0..PARTITIONS {
        desked.write_in_time(topic, partition, "b").await;
    }
    desked.kill(0).await;
    let again = order("again", "stop", 1, Action::StopWrites);
    let Done::Stopped { ends, .. } = carry_out(&desked.desk, again).await else { panic!("stopped") };
    assert_eq!(ends.len(), PARTITIONS as usize, "what the lost one led is led by others");
    assert!(ends.iter().all(|end| end.tail >= Offset(2)));
    let repeated = desked.desk.order(stop).await.unwrap();
    assert!(matches!(repeated, Done::Stopped { ends, .. } if ends[0].tail == Offset(1)), "as it was answered before");
    assert!(desked.desk.answers().await.is_ok(), "two of three serve");
    desked.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_the_council_does_not_renew_ends_on_all_brokers() {
    let desked = Desked::start("r1").await;
    let topic = desked.world.create("t", PARTITIONS).await;
    desked.led(topic, 3).await;
    for partition in 0..PARTITIONS {
        desked.write_in_time(topic, partition, "a").await;
    }
    desked.world.keep_leases("r1", false);
    eventually("the desk's lease has lapsed", async || !desked.desk.holdings()[0].leased).await;
    for partition in 0..PARTITIONS {
        assert!(!desked.write(topic, partition, "b").await.is_ok(), "no broker has a lease for longer than its desk");
    }
    desked.world.keep_leases("r1", true);
    for partition in 0..PARTITIONS {
        desked.write_in_time(topic, partition, "c").await;
    }
    desked.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_region_reports_what_all_replicas_hold_and_opens_behind_a_hole_on_all_brokers() {
    let mut desked = Desked::start("r2").await;
    let topic = desked.world.create("t", PARTITIONS).await;
    desked.led(topic, 3).await;
    for partition in 0..PARTITIONS {
        let number = PartitionId(partition);
        let filled = async || {
            let leader = desked.leader(topic, partition);
            let Ok(state) = leader.copy_state(topic, number) else { return false };
            state.tail == Offset(2) || {
                _ = leader.append_copy(topic, number, state.tail, copied(state.tail.0)).await;
                false
            }
        };
        eventually("the copy is filled", filled).await;
    }
    let Done::Sealed { partitions } = carry_out(&desked.desk, order("run", "seal", 1, Action::Seal)).await else {
        panic!("sealed")
    };
    let sealed: Vec<_> = partitions.iter().map(|sealed| (sealed.durable_end.0, sealed.last_epoch.0)).collect();
    assert_eq!(sealed, [(2, 4096); PARTITIONS as usize]);
    for broker in desked.brokers.values() {
        let held = broker.own_status(false).await.unwrap().partitions;
        assert!(held.iter().filter(|known| known.topic_id == topic).all(|known| known.flushed == Offset(2)));
    }
    let base = Offset(2 + model::limits::PROMOTE_HOLE_OFFSETS);
    let opening = |partition| Opening { topic, partition: PartitionId(partition), common_end: Offset(2), base };
    let openings: Vec<_> = (0..PARTITIONS).map(opening).collect();
    desked.world.give("r2", 2, openings.clone()).await;
    assert_ne!(desked.write(topic, 0, "early").await, ErrorCode::NONE, "it is not opened yet");
    let open = order("run", "open", 2, Action::Open { openings, jumps: true });
    let Done::Opened { ends } = carry_out(&desked.desk, open).await else { panic!("opened") };
    let begun: Vec<_> = ends.iter().map(|end| (end.tail, end.last_epoch.ownership())).collect();
    assert_eq!(begun, [(Offset(base.0 + 1), OwnershipEpoch(2)); PARTITIONS as usize]);
    for partition in 0..PARTITIONS {
        desked.write_in_time(topic, partition, "new").await;
    }
    desked.kill(1).await;
    desked.settle().await;
    desked.led(topic, 2).await;
    for partition in 0..PARTITIONS {
        desked.write_in_time(topic, partition, "newer").await;
    }
    let holds = || desked.desk.holdings().into_iter().find(|holding| holding.group == default_group());
    eventually("the loss of one broker leaves lease and ownership", async || {
        holds().is_some_and(|holding| holding.owner && holding.open && holding.leased)
    })
    .await;
    desked.end().await;
}
