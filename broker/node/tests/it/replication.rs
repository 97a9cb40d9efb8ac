//! Records on several brokers: what an acknowledgement of all promises, and who is in sync.

use crate::cluster::Cluster;
use crate::harness::{Client, batch, eventually, fetch_request, only, records};
use crate::world::World;
use broker::Broker;
use bytes::Bytes;
use model::{LeaderEpoch, Offset, PartitionId, PartitionStatus, Timestamp, TopicId};
use record::{CheckedBatch, ProduceRules};
use std::sync::Arc;
use std::time::Duration;
use wire::ErrorCode;
use wire::api::metadata::PartitionResponse as Led;
use wire::client::{Options, Producer};

const TOPIC: &str = "orders";

impl Cluster {
    /// The slot of the broker that leads the only partition of the topic.
    async fn leader(&self, holds: impl Fn(&Led) -> bool) -> u16 {
        u16::try_from(self.leaders(TOPIC, holds).await[0] - 1).unwrap()
    }

    /// How the only partition of the topic stands on the broker in `slot`.
    async fn stands(&self, slot: u16) -> PartitionStatus {
        let status = self.broker(slot).own_status(true).await.unwrap();
        status.partitions.into_iter().find(|partition| partition.topic.as_str() == TOPIC).unwrap()
    }

    /// Who is in sync, as the first broker knows.
    fn in_sync(&self) -> Vec<u16> {
        let image = self.broker(0).image();
        let placed = image.topic_named(TOPIC).unwrap().partition(PartitionId(0)).unwrap();
        placed.isr.iter().map(|slot| slot.0).collect()
    }

    /// What the leader, whoever that is, says to a batch.
    async fn ask_leader(&self, value: &str, acks: i16) -> ErrorCode {
        let mut said = ErrorCode::NONE;
        eventually("a leader answers", async || {
            let client = self.client(self.leader(|_| true).await).await;
            let request = crate::harness::produce_request(TOPIC, 0, batch(&[value]), acks);
            let Ok(answer) = client.0.call(&request, 9).await else { return false };
            said = answer.responses[0].partition_responses[0].error_code;
            said != ErrorCode::NOT_LEADER_OR_FOLLOWER
        })
        .await;
        said
    }

    /// Waits until every running broker has committed everything below `tail`, and the same records.
    async fn agree(&self, tail: i64) {
        eventually("all replicas agree", async || {
            let mut hashes = Vec::new();
            for slot in self.brokers.keys() {
                let stands = self.stands(*slot).await;
                if (stands.tail.0, stands.flushed.0, stands.high_watermark.0) != (tail, tail, tail) {
                    return false;
                }
                hashes.push(stands.hash);
            }
            hashes.windows(2).all(|pair| pair[0].is_some() && pair[0] == pair[1])
        })
        .await;
    }

    /// A client that finds leaders by itself.
    pub(crate) fn finder(&self) -> Arc<wire::client::Cluster> {
        let bootstrap: Vec<_> =
            self.brokers.values().map(|broker| broker.addresses().unwrap().clients.to_string()).collect();
        let options = Options { call_timeout: Duration::from_secs(2), ..Options::default() };
        Arc::new(wire::client::Cluster::new(&bootstrap.join(","), options))
    }
}

fn full(led: &Led) -> bool {
    led.isr_nodes.len() == 3
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_of_all_is_on_every_disk_in_sync() {
    let cluster = Cluster::of(3).await;
    cluster.create(0, TOPIC, 1).await;
    cluster.leader(full).await;
    let mut producer = Producer::new(cluster.finder(), TOPIC);
    for round in 0..20 {
        let acked = producer.send(0, crate::harness::builder(&["a", "b"])).await.unwrap();
        assert_eq!(acked.base_offset, round * 2);
        // Whoever joins meanwhile has it as well.
        for slot in cluster.in_sync() {
            assert!(cluster.stands(slot).await.flushed.0 >= acked.base_offset + 2, "broker {slot} has it on disk");
        }
    }
    let leader = cluster.leader(full).await;
    cluster.agree(40).await;
    let lags = cluster.broker(leader).replica_lags();
    let of_topic: Vec<_> = lags.iter().filter(|lag| lag.partition.topic.as_str() == TOPIC).collect();
    assert_eq!(of_topic.len(), 2);
    assert!(of_topic.iter().all(|lag| lag.in_sync && lag.behind == 0), "{of_topic:?}");
    assert_eq!(cluster.read(TOPIC, 0).await.len(), 40);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_takes_no_records_and_gives_none() {
    let cluster = Cluster::of(3).await;
    cluster.create(0, TOPIC, 1).await;
    let other = cluster.client((cluster.leader(full).await + 1) % 3).await;
    let refused = other.produce(TOPIC, 0, batch(&["a"])).await;
    assert_eq!(refused.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    // Readers of version 10 know nothing of replicas.
    let read = other.0.call(&fetch_request(TOPIC, 0, 0), 10).await.unwrap();
    assert_eq!(only(read).error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_its_leader_and_comes_once() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, TOPIC, 1).await;
    let leader = cluster.leader(full).await;
    let producing = tokio::spawn({
        let finder = cluster.finder();
        async move {
            let mut producer = Producer::new(finder, TOPIC);
            for number in 0..300 {
                let value = number.to_string();
                producer.send(0, crate::harness::builder(&[&value])).await.unwrap();
            }
        }
    });
    eventually("some are there", async || cluster.stands(leader).await.tail.0 > 50).await;
    cluster.kill(leader).await;
    producing.await.unwrap();
    cluster.leader(|led| led.leader_id != i32::from(leader) + 1).await;
    let values = cluster.read(TOPIC, 0).await;
    assert_eq!(values, (0..300).map(|number| number.to_string()).collect::<Vec<_>>());
    cluster.start(leader).await;
    cluster.leader(full).await;
    cluster.agree(300).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_in_sync_refuse_acks_of_all_and_take_acks_of_one() {
    let mut cluster = Cluster::of(3).await;
    cluster.create_with(0, TOPIC, &[("min.insync.replicas", "3")]).await;
    let leader = cluster.leader(full).await;
    assert_eq!(cluster.ask_leader("a", -1).await, ErrorCode::NONE);
    let gone = (leader + 1) % 3;
    cluster.kill(gone).await;
    cluster.leader(|led| led.isr_nodes.len() == 2).await;
    assert_eq!(cluster.ask_leader("b", -1).await, ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(cluster.ask_leader("c", 1).await, ErrorCode::NONE);
    assert_eq!(cluster.read(TOPIC, 0).await, ["a"], "what too few hold is not shown");
    cluster.start(gone).await;
    cluster.leader(full).await;
    cluster.agree(2).await;
    assert_eq!(cluster.read(TOPIC, 0).await, ["a", "c"]);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_comes_back_cuts_off_what_nobody_else_had() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, TOPIC, 1).await;
    let before = cluster.leader(full).await;
    let client = cluster.client(before).await;
    for value in ["a", "b"] {
        client.produce(TOPIC, 0, batch(&[value])).await;
    }
    let (epoch, topic) = (cluster.stands(before).await.leader_epoch, cluster.stands(before).await.topic_id);
    cluster.kill(before).await;
    add_to_log(&cluster.config(before), topic, epoch, &["x", "y", "z"]);
    let next = cluster.leader(|led| led.leader_id != i32::from(before) + 1).await;
    assert_ne!(next, before);
    assert_eq!(cluster.ask_leader("c", -1).await, ErrorCode::NONE);
    cluster.start(before).await;
    cluster.leader(full).await;
    cluster.agree(3).await;
    assert_eq!(cluster.read(TOPIC, 0).await, ["a", "b", "c"]);
    cluster.end().await;
}

/// What a leader wrote that nobody fetched before it died.
fn add_to_log(config: &broker::Config, topic: TopicId, epoch: LeaderEpoch, values: &[&str]) {
    let dir = config.data_dir.join("topics").join(format!("{TOPIC}-0"));
    let (mut log, _) = log::Log::open(&dir, topic, log::Config::default()).unwrap();
    for value in values {
        let checked = CheckedBatch::check(batch(&[value]), &ProduceRules::default()).unwrap();
        log.append(&checked, epoch, Timestamp(1)).unwrap();
    }
    log.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_its_region_acknowledges_nothing() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, TOPIC, 1).await;
    let leader = cluster.leader(full).await;
    let client = cluster.client(leader).await;
    assert_eq!(client.produce(TOPIC, 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
    for other in [(leader + 1) % 3, (leader + 2) % 3] {
        cluster.kill(other).await;
    }
    for acks in [-1, 1] {
        let late = late_ack(&cluster, leader, acks).await;
        assert!(!late, "acks={acks}: nobody else is there to know of it");
    }
    cluster.end().await;
}

/// Whether a batch is acknowledged by a leader that has heard nothing of its region for a while.
async fn late_ack(cluster: &Cluster, leader: u16, acks: i16) -> bool {
    let mut acked = true;
    eventually("an answer, or none", async || {
        let client: Client = cluster.client(leader).await;
        let request = crate::harness::produce_request(TOPIC, 0, batch(&["b"]), acks);
        let asked = client.0.call_within(Duration::from_secs(3), &request, 9).await;
        acked = asked.is_ok_and(|answer| answer.responses[0].partition_responses[0].error_code == ErrorCode::NONE);
        !acked
    })
    .await;
    acked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_another_rack_is_sent_to_a_replica_there_and_reads_what_is_committed() {
    let cluster = Cluster::of(3).await;
    cluster.create(0, TOPIC, 1).await;
    let leader = cluster.leader(full).await;
    let client = cluster.client(leader).await;
    client.produce(TOPIC, 0, batch(&["a", "b"])).await;
    cluster.agree(2).await;
    let near = (leader + 1) % 3;
    let fetch = async |slot: u16, rack: u16, offset: i64| {
        let mut request = fetch_request(TOPIC, 0, offset);
        request.rack_id = format!("rack-{rack}");
        only(cluster.client(slot).await.0.call(&request, 11).await.unwrap())
    };
    let sent = fetch(leader, near, 0).await;
    assert_eq!((sent.preferred_read_replica, sent.records.len()), (i32::from(near) + 1, 0));
    let read = fetch(near, near, 0).await;
    assert_eq!((read.error_code, read.high_watermark), (ErrorCode::NONE, 2));
    assert_eq!(records(&read.records), [(0, "a".to_owned()), (1, "b".to_owned())]);
    let here = fetch(leader, leader, 0).await;
    assert_eq!((here.preferred_read_replica, records(&here.records).len()), (-1, 2));
    assert_eq!(fetch(leader, 7, 0).await.preferred_read_replica, -1, "nobody is there");
    assert_eq!(fetch(near, near, 9).await.error_code, ErrorCode::OFFSET_NOT_AVAILABLE, "it may come yet");
    cluster.end().await;
}

/// The brokers of a region that holds a copy of `topic`, the one that leads the copy first.
async fn copy_leader_first(brokers: &[Broker], topic: TopicId) -> Vec<Broker> {
    let mut led = Vec::new();
    eventually("the copy is led", async || {
        let leads = |broker: &Broker| broker.copy_state(topic, PartitionId(0)).is_ok();
        let (first, rest): (Vec<_>, Vec<_>) = brokers.iter().cloned().partition(leads);
        led = first.into_iter().chain(rest).collect();
        leads(&led[0])
    })
    .await;
    led
}

async fn held(broker: &Broker, topic: TopicId) -> PartitionStatus {
    let status = broker.own_status(true).await.unwrap();
    status.partitions.into_iter().find(|partition| partition.topic_id == topic).unwrap()
}

/// Batches of one record each as another region's leader wrote them.
fn of_another_region(from: i64, epoch: i32, values: &[&str]) -> Bytes {
    let stamp = |(offset, value): (i64, &&str)| {
        let mut bytes = batch(&[value]).to_vec();
        record::set_base_offset(&mut bytes, Offset(offset));
        record::set_leader_epoch(&mut bytes, LeaderEpoch(epoch));
        bytes
    };
    (from..).zip(values).flat_map(stamp).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_held_by_its_whole_region_and_cut_everywhere() {
    let (world, dirs) = (World::new(), [0; 3].map(|_| tempfile::tempdir().unwrap()));
    let brokers = world.start_cluster("r2", &dirs).await;
    let (topic, zero) = (world.create(TOPIC, 1).await, PartitionId(0));
    let brokers = copy_leader_first(&brokers, topic).await;
    let leader = &brokers[0];
    eventually("all three hold the copy", async || {
        let image = leader.image();
        image.topic(topic).is_some_and(|topic| topic.partition(zero).is_some_and(|placed| placed.isr.len() == 3))
    })
    .await;
    leader.append_copy(topic, zero, Offset(0), of_another_region(0, 4096, &["a", "b", "c"])).await.unwrap();
    leader.copy_flushed(topic, zero, Offset(3)).await.unwrap();
    for broker in &brokers {
        assert_eq!(held(broker, topic).await.flushed, Offset(3), "the copy watermark is what all have on disk");
    }
    leader.truncate_copy(topic, zero, Offset(1)).await.unwrap();
    leader.append_copy(topic, zero, Offset(1), of_another_region(1, 8192, &["x", "y", "z"])).await.unwrap();
    leader.copy_flushed(topic, zero, Offset(4)).await.unwrap();
    eventually("all three hold the same", async || {
        let mut hashes = Vec::new();
        for broker in &brokers {
            let held = held(broker, topic).await;
            hashes.push((held.tail, held.high_watermark, held.hash));
        }
        hashes.iter().all(|hash| *hash == hashes[0]) && hashes[0].1 == Offset(4)
    })
    .await;
    for broker in brokers {
        broker.abandon().await;
    }
}
