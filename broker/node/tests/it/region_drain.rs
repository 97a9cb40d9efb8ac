//! Brokers that are emptied, replaced and forgotten while clients write.

use crate::cluster::Cluster;
use crate::harness::{builder, eventually};
use crate::world::free_address;
use broker::Broker;
use env::real::{SystemClock, SystemEntropy};
use model::{BrokerOrder, BrokerOrderError, BrokerSlot, BrokerStatus, Incarnation, PartitionId};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wire::ErrorCode;
use wire::api::unregister_broker;
use wire::client::Producer;

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 4;

/// An idempotent producer that writes numbers to all partitions in turn, each acknowledged by all, until it is stopped.
struct Load {
    stop: watch::Sender<bool>,
    acknowledged: watch::Receiver<usize>,
    writing: JoinHandle<()>,
}

impl Load {
    fn on(cluster: &Cluster) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (count, acknowledged) = watch::channel(0);
        let finder = cluster.finder();
        let writing = tokio::spawn(async move {
            let mut producer = Producer::new(finder, TOPIC);
            while !*stopped.borrow() {
                let number = *count.borrow();
                let partition = number as i32 % PARTITIONS;
                producer.send(partition, builder(&[&number.to_string()])).await.unwrap();
                count.send_replace(number + 1);
            }
        });
        Self { stop, acknowledged, writing }
    }

    /// Waits until so many more are acknowledged.
    async fn goes_on(&mut self, more: usize) {
        let wanted = *self.acknowledged.borrow() + more;
        self.acknowledged.wait_for(|count| *count >= wanted).await.unwrap();
    }

    /// Stops, and looks whether everything that was acknowledged is there, once and in order.
    async fn ends_without_a_loss(self, cluster: &Cluster) {
        self.stop.send_replace(true);
        self.writing.await.unwrap();
        let count = *self.acknowledged.borrow();
        for partition in 0..PARTITIONS {
            let own = (0..count).filter(|number| *number as i32 % PARTITIONS == partition);
            let expected: Vec<_> = own.map(|number| number.to_string()).collect();
            assert_eq!(cluster.read(TOPIC, partition).await, expected, "partition {partition} of {count} records");
        }
    }
}

impl Cluster {
    /// What the broker in `at` knows of the one in `slot`.
    fn known(&self, at: u16, slot: u16) -> Option<BrokerStatus> {
        self.broker(at).brokers().into_iter().find(|known| known.slot == BrokerSlot(slot))
    }

    /// Gives an order until it is agreed on or refused.
    async fn order(&self, at: u16, order: BrokerOrder) -> Result<(), BrokerOrderError> {
        let mut said = Ok(());
        eventually("the order is taken or refused", async || {
            said = self.broker(at).order_broker(order).await;
            !matches!(said, Err(BrokerOrderError::NotNow(_)))
        })
        .await;
        said
    }

    async fn drain(&self, slot: u16, onto: Option<u16>) -> Result<(), BrokerOrderError> {
        let at = self.brokers.keys().copied().find(|at| *at != slot).unwrap();
        self.order(at, BrokerOrder::Drain { broker: BrokerSlot(slot), onto: onto.map(BrokerSlot) }).await
    }

    /// Waits until every running broker knows that the one in `slot` holds nothing.
    async fn emptied(&self, slot: u16) {
        eventually("it holds nothing", async || {
            let holds_nothing = |at: &u16| self.known(*at, slot).is_some_and(|known| known.replicas == 0);
            self.brokers.keys().all(holds_nothing)
        })
        .await;
    }

    async fn unregister(&self, at: u16, node: i32) -> (ErrorCode, String) {
        let request = unregister_broker::Request { broker_id: node, ..Default::default() };
        let mut said = (ErrorCode::NONE, String::new());
        eventually("it is forgotten or refused", async || {
            let answer = self.client(at).await.0.call(&request, 0).await.unwrap();
            said = (answer.error_code, answer.error_message.unwrap_or_default());
            said.0 != ErrorCode::REQUEST_TIMED_OUT
        })
        .await;
        said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_drained_under_load_stopped_and_forgotten_without_a_loss() {
    let mut cluster = Cluster::of(4).await;
    cluster.create(1, TOPIC, PARTITIONS).await;
    cluster.leaders(TOPIC, |led| led.isr_nodes.len() == 3).await;
    let mut load = Load::on(&cluster);
    load.goes_on(50).await;
    let before = cluster.known(1, 0).unwrap();
    assert!(before.replicas > 0 && before.leaders > 0 && before.drain.is_none(), "{before:?}");

    cluster.drain(0, None).await.unwrap();
    cluster.emptied(0).await;
    let after = cluster.known(1, 0).unwrap();
    assert!((after.leaders, after.in_sync, after.leaving) == (0, 0, 0) && after.drain.is_some(), "{after:?}");
    load.goes_on(50).await;
    // Nothing new comes: three others hold it.
    cluster.create(1, "later", 4).await;
    cluster.leaders("later", |led| led.isr_nodes.len() == 3 && !led.replica_nodes.contains(&1)).await;
    let (code, message) = cluster.unregister(1, 1).await;
    assert!(code == ErrorCode::INVALID_REQUEST && message.contains("still runs"), "{code} {message}");
    let (code, message) = cluster.unregister(1, 2).await;
    assert!(code == ErrorCode::INVALID_REQUEST && message.contains("still holds"), "{code} {message}");

    cluster.stop(0).await;
    cluster.settle().await;
    assert_eq!(cluster.unregister(1, 1).await, (ErrorCode::NONE, String::new()));
    eventually("all know that it is forgotten", async || (1..4).all(|at| cluster.known(at, 0).is_none())).await;
    assert_eq!(cluster.unregister(1, 1).await.0, ErrorCode::BROKER_ID_NOT_REGISTERED);
    load.goes_on(50).await;
    load.ends_without_a_loss(&cluster).await;
    for partition in &cluster.metadata(1, TOPIC).await.topics[0].partitions {
        assert_eq!(partition.isr_nodes.len(), 3, "{partition:?}");
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vote_of_a_broker_that_is_forgotten_goes_to_another_one() {
    let mut cluster = Cluster::of(4).await;
    cluster.drain(0, None).await.unwrap();
    cluster.emptied(0).await;
    cluster.stop(0).await;
    cluster.settle().await;
    assert_eq!(cluster.unregister(2, 1).await.0, ErrorCode::NONE);
    eventually("the fourth has a vote, and the first has none", async || {
        let request = wire::api::describe_quorum::Request::default();
        let topic = wire::api::describe_quorum::Topic {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![wire::api::describe_quorum::Partition { partition_index: 0, ..Default::default() }],
            ..Default::default()
        };
        let request = wire::api::describe_quorum::Request { topics: vec![topic], ..request };
        let answer = cluster.client(2).await.0.call(&request, 1).await.unwrap();
        let Some(partition) = answer.topics.first().and_then(|topic| topic.partitions.first()) else { return false };
        let voters: Vec<_> = partition.current_voters.iter().map(|voter| voter.replica_id).collect();
        voters == [2, 3, 4]
    })
    .await;
    // Two of the three that vote now go on without the third.
    cluster.kill(1).await;
    cluster.settle().await;
    assert_eq!(cluster.create(2, "later", 1).await.error_code, ErrorCode::NONE);
    // Its slot is free for another one, which begins anew.
    cluster.start(1).await;
    cluster.settle().await;
    cluster.wipe(0);
    cluster.start(0).await;
    cluster.settle().await;
    assert_eq!(cluster.known(2, 0).unwrap().incarnation, Incarnation(2));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_replaced_by_exactly_another_one_and_a_drain_is_cancelled() {
    let cluster = Cluster::of(4).await;
    cluster.create(1, TOPIC, PARTITIONS).await;
    cluster.leaders(TOPIC, |led| led.isr_nodes.len() == 3).await;
    let refused = cluster.drain(2, Some(3)).await.unwrap_err();
    assert!(refused.to_string().contains("both hold "), "{refused}");
    assert!(matches!(cluster.drain(8, None).await, Err(BrokerOrderError::Unknown(BrokerSlot(8)))));

    cluster.drain(3, None).await.unwrap();
    cluster.emptied(3).await;
    // The one that is empty takes exactly what the other one has.
    cluster.order(0, BrokerOrder::CancelDrain { broker: BrokerSlot(3) }).await.unwrap();
    let gives = cluster.known(0, 2).unwrap().replicas;
    cluster.drain(2, Some(3)).await.unwrap();
    cluster.emptied(2).await;
    eventually("it has all of it", async || cluster.known(0, 3).unwrap().replicas == gives).await;

    cluster.order(0, BrokerOrder::CancelDrain { broker: BrokerSlot(2) }).await.unwrap();
    let refused = cluster.order(0, BrokerOrder::CancelDrain { broker: BrokerSlot(2) }).await.unwrap_err();
    assert_eq!(refused, BrokerOrderError::Refused("broker 2 is not being emptied".to_owned()));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_brokers_with_three_replicas_give_none_away() {
    let cluster = Cluster::of(3).await;
    cluster.create(0, TOPIC, 1).await;
    cluster.leaders(TOPIC, |led| led.isr_nodes.len() == 3).await;
    let refused = cluster.drain(1, None).await.unwrap_err().to_string();
    assert!(refused.contains("has 3 replicas") && refused.contains("brokers 0, 2 are alive"), "{refused}");
    assert!(cluster.known(0, 1).unwrap().drain.is_none());
    cluster.end().await;
}

/// Whether the broker in `slot` is in sync with all partitions of the topic, as the one in `at` knows.
fn is_in_sync(cluster: &Cluster, at: u16, slot: u16) -> bool {
    let image = cluster.broker(at).image();
    let topic = image.topic_named(TOPIC).unwrap();
    topic.partitions().all(|(_, placed)| placed.isr.contains(&BrokerSlot(slot)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_broker_is_replaced_with_an_empty_disk_under_load_and_the_old_one_stays_out() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, TOPIC, PARTITIONS).await;
    cluster.leaders(TOPIC, |led| led.isr_nodes.len() == 3).await;
    let mut load = Load::on(&cluster);
    load.goes_on(50).await;
    cluster.kill(2).await;
    cluster.settle().await;
    assert!(!is_in_sync(&cluster, 0, 2));
    load.goes_on(50).await;
    let old = cluster.wipe(2);
    cluster.start(2).await;
    cluster.settle().await;
    eventually("everything is copied to it", async || is_in_sync(&cluster, 0, 2)).await;
    let replaced = cluster.known(0, 2).unwrap();
    assert_eq!((replaced.incarnation, replaced.alive), (Incarnation(2), true));

    // The old process comes back beside it, with the disk it had.
    let mut stale = cluster.config(2);
    stale.data_dir = old.path().to_owned();
    stale.region_dir = old.path().to_owned();
    stale.controller = Some(free_address().parse().unwrap());
    let session = |cluster: &Cluster| cluster.broker(0).image().broker(BrokerSlot(2)).unwrap().session;
    let before = session(&cluster);
    let starting = Broker::start_alone(stale, Arc::new(SystemClock), Arc::new(SystemEntropy));
    let starting = tokio::spawn(starting);
    load.goes_on(200).await;
    assert_eq!((session(&cluster), cluster.known(0, 2).unwrap().incarnation), (before, Incarnation(2)));
    assert!(is_in_sync(&cluster, 0, 2));
    starting.abort();
    if let Ok(Ok(stale)) = starting.await {
        stale.abandon().await;
    }
    load.ends_without_a_loss(&cluster).await;
    for number in 0..PARTITIONS {
        eventually("all three have the same", async || {
            let mut hashes = Vec::new();
            for slot in 0..3 {
                let status = cluster.broker(slot).own_status(true).await.unwrap();
                let own = status.partitions.into_iter();
                let own = own.filter(|one| one.topic.as_str() == TOPIC && one.partition == PartitionId(number));
                hashes.extend(own.map(|one| (one.tail, one.hash)));
            }
            hashes.len() == 3 && hashes.windows(2).all(|pair| pair[0] == pair[1])
        })
        .await;
    }
    cluster.end().await;
}
