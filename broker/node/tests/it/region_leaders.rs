//! Who leads what, as gateways follow it.

use crate::harness::{batch, eventually};
use crate::two::{ask, client, two};
use crate::world::World;
use broker::Broker;
use model::{FollowMetadata, Leaders, OwnershipEpoch, methods};

fn asking(since: u64, max_wait_ms: u32) -> FollowMetadata {
    FollowMetadata { since, max_wait_ms, brief: false }
}

#[tokio::test]
async fn gateways_hear_at_once_who_leads_what() {
    let stage = two().await;
    let follow = async |broker: &Broker, since, max_wait_ms| {
        ask::<Leaders>(broker, methods::FOLLOW_METADATA, &asking(since, max_wait_ms)).await.unwrap()
    };
    let first = loop {
        let leaders = follow(&stage.one, 0, 5000).await;
        if leaders.topics.first().is_some_and(|topic| topic.partitions.len() == 1) {
            break leaders;
        }
    };
    let (topic, partition) = (&first.topics[0], &first.topics[0].partitions[0]);
    assert_eq!((first.topics.len(), topic.id, topic.name.as_str()), (1, stage.topic, "t"));
    assert_eq!((partition.leader, partition.leader_epoch.0, partition.writable), (0, 4096, true));
    assert_eq!((partition.ownership_epoch, &partition.isr[..]), (OwnershipEpoch(1), &[0][..]));
    assert_eq!(follow(&stage.one, first.version, 0).await, first, "nothing new");
    let brief = FollowMetadata { brief: true, ..asking(first.version, 0) };
    let nothing: Leaders = ask(&stage.one, methods::FOLLOW_METADATA, &brief).await.unwrap();
    assert_eq!((nothing.version, nothing.topics, nothing.brokers), (first.version, vec![], vec![]));
    let address = stage.one.addresses().unwrap().internal.to_string();
    assert_eq!(first.brokers, [model::BrokerAddress { slot: 0, internal: address }]);
    let waiting = {
        let broker = stage.one.clone();
        let ask_for = asking(first.version, 20_000);
        tokio::spawn(async move { ask::<Leaders>(&broker, methods::FOLLOW_METADATA, &ask_for).await.unwrap() })
    };
    stage.world.create("u", 1).await;
    let second = waiting.await.unwrap();
    assert!(second.version > first.version && second.topics.len() == 2);

    let standby = follow(&stage.two, 0, 0).await;
    let copy = standby.topics.iter().find(|topic| topic.id == stage.topic).unwrap().partitions[0].clone();
    assert_eq!((copy.leader_epoch.0, copy.writable), (-1, false));
    client(&stage.one).await.produce("t", 0, batch(&["a"])).await;
    stage.mirror().await;
    let mut since = standby.version;
    let copied = async || {
        let leaders = follow(&stage.two, since, 1000).await;
        since = leaders.version;
        let topic = leaders.topics.iter().find(|topic| topic.id == stage.topic).unwrap();
        topic.partitions[0].leader_epoch.0 == 4096
    };
    eventually("the copy's epoch is told", copied).await;
    stage.world.give("r2", 2, vec![]).await;
    assert!(!follow(&stage.one, second.version, 5000).await.topics[0].partitions[0].writable);
}

#[tokio::test]
async fn versions_of_the_leaders_rise_over_restarts() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    let version = async |broker: &Broker| {
        ask::<Leaders>(broker, methods::FOLLOW_METADATA, &asking(0, 5000)).await.unwrap().version
    };
    let before = version(&broker).await;
    world.stop(broker).await;
    let broker = world.start("r1", dir.path()).await;
    assert!(version(&broker).await > before);
    world.stop(broker).await;
}
