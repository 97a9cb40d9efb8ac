//! A region of several brokers: one metadata, leaders on all of them, and what happens when one is gone.

use crate::cluster::Cluster;
use crate::harness::{batch, eventually};
use crate::world::{default_group, grant, region};
use env::Clock;
use env::real::SystemClock;
use model::{Assignment, Incarnation, OwnershipEpoch, TopicId, TopicName, TopicSpec, TopicState};
use std::collections::BTreeSet;
use std::time::Duration;
use wire::ErrorCode;

#[tokio::test(flavor = "multi_thread")]
async fn three_brokers_are_one_region() {
    let cluster = Cluster::of(3).await;
    let made = cluster.create(2, "orders", 6).await;
    assert_eq!((made.error_code, made.replication_factor), (ErrorCode::NONE, 3), "{:?}", made.error_message);
    let all_in_sync = |led: &wire::api::metadata::PartitionResponse| led.isr_nodes.len() == 3;
    let leaders = cluster.leaders("orders", all_in_sync).await;
    assert_eq!(leaders.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3]));
    for slot in 0..3 {
        let seen = cluster.metadata(slot, "orders").await;
        let nodes: BTreeSet<_> = seen.brokers.iter().map(|node| node.node_id).collect();
        assert_eq!(nodes, BTreeSet::from([1, 2, 3]));
        assert!((1..=3).contains(&seen.controller_id));
        assert!(seen.topics[0].partitions.iter().all(|partition| partition.replica_nodes.len() == 3));
    }
    let offsets = cluster.leaders("__consumer_offsets", all_in_sync).await;
    assert_eq!(offsets.iter().copied().collect::<BTreeSet<_>>().len(), 3);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_broker_led_is_led_by_others_and_it_comes_back_without_a_lead() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, "orders", 6).await;
    let before = cluster.leaders("orders", |led| led.isr_nodes.len() == 3).await;
    let killed = cluster.broker(0).image().broker(model::BrokerSlot(0)).unwrap().session;
    let epochs = |cluster: &Cluster| {
        let image = cluster.brokers.values().next().unwrap().image();
        let topic = image.topic_named("orders").unwrap();
        topic.partitions().map(|(_, partition)| partition.leader_epoch).collect::<Vec<_>>()
    };
    let epochs_before = epochs(&cluster);
    cluster.kill(0).await;
    let after = cluster.leaders("orders", |led| led.leader_id != 1 && !led.isr_nodes.contains(&1)).await;
    for (((was, is), epoch_before), epoch) in before.iter().zip(&after).zip(&epochs_before).zip(epochs(&cluster)) {
        assert_eq!(*was == 1, was != is, "only what the killed broker led is led by another one");
        assert_eq!(*was == 1, epoch > *epoch_before, "a new leader has a new epoch");
    }
    cluster.settle().await;
    assert_eq!(cluster.metadata(1, "orders").await.brokers.len(), 2);
    cluster.start(0).await;
    cluster.settle().await;
    let image = cluster.broker(0).image();
    assert!(image.broker(model::BrokerSlot(0)).unwrap().session > killed);
    assert_eq!(cluster.leaders("orders", |_| true).await, after);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_hands_over_before_it_goes() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(1, "orders", 3).await;
    cluster.leaders("orders", |_| true).await;
    cluster.stop(2).await;
    let image = cluster.broker(0).image();
    eventually("the others know", async || cluster.broker(1).image().version() >= image.version()).await;
    for slot in [0, 1] {
        let image = cluster.broker(slot).image();
        let topic = image.topic_named("orders").unwrap();
        let leads = |slot: u16| topic.partitions().any(|(_, p)| p.leader.is_none_or(|l| l.broker.0 == slot));
        assert!(!leads(2), "it was handed over before it stopped");
    }
    cluster.end().await;
}

/// What the council says of region r1: it owns everything, and there is one topic.
fn assignment() -> Assignment {
    let topic = TopicSpec {
        id: TopicId(uuid::Uuid::from_u128(5)),
        name: TopicName::new("orders").unwrap(),
        partitions: 3,
        config: Default::default(),
        group: default_group(),
        state: TopicState::Live,
        epochs_above: None,
    };
    Assignment {
        council_index: 1,
        region: region("r1"),
        incarnation: Incarnation(7),
        groups: vec![grant("r1", 1)],
        topics: vec![topic],
        stopped: vec![],
        regions: vec![],
        gateway: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_given_to_one_broker_holds_on_all_of_them_and_no_longer() {
    let cluster = Cluster::unfounded(3).await;
    eventually("the council's word is real", async || cluster.broker(0).assign(assignment()).await.is_ok()).await;
    cluster.settle().await;
    let leaders = cluster.leaders("orders", |led| led.isr_nodes.len() == 3).await;
    let code = async |partition: usize| {
        let client = cluster.client(leaders[partition] as u16 - 1).await;
        client.produce("orders", partition as i32, batch(&["a"])).await.error_code
    };
    for partition in 0..3 {
        assert_eq!(code(partition).await, ErrorCode::NOT_LEADER_OR_FOLLOWER, "no lease stands yet");
    }
    let until = SystemClock.boot().plus(Duration::from_secs(4));
    cluster.broker(0).extend_lease(&default_group(), OwnershipEpoch(1), until);
    for partition in 0..3 {
        eventually("it takes writes", async || code(partition).await == ErrorCode::NONE).await;
    }
    eventually("the lease is over", async || SystemClock.boot() >= until).await;
    for partition in 0..3 {
        assert_eq!(code(partition).await, ErrorCode::NOT_LEADER_OR_FOLLOWER, "the lease is over everywhere");
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_disk_is_lost_is_replaced_in_its_slot() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, "orders", 3).await;
    cluster.leaders("orders", |led| led.isr_nodes.len() == 3).await;
    cluster.kill(2).await;
    cluster.settle().await;
    cluster.wipe(2);
    cluster.start(2).await;
    cluster.settle().await;
    cluster.leaders("orders", |led| led.isr_nodes.len() == 3).await;
    let image = cluster.broker(0).image();
    assert_eq!(image.broker(model::BrokerSlot(2)).unwrap().incarnation, Incarnation(2));
    // It has a vote: with another one gone, the two that are left go on.
    cluster.kill(0).await;
    cluster.settle().await;
    assert_eq!(cluster.create(1, "later", 1).await.error_code, ErrorCode::NONE);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_broker_follows_the_metadata_without_a_vote() {
    let cluster = Cluster::of(4).await;
    cluster.create(3, "orders", 4).await;
    let leaders = cluster.leaders("orders", |led| led.isr_nodes.len() == 3).await;
    assert_eq!(leaders.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3, 4]));
    cluster.end().await;
}
