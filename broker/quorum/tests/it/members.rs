use crate::cluster::{Cluster, member};
use crate::counter::{Command, node_id, until};
use broker_quorum::{Config, Handler, MemberError, NodeId, Quorum, StartError, call_address, owner_of};
use bytes::Bytes;
use env::PortFuture;
use model::Incarnation;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(20);

fn small_log(config: Config) -> Config {
    Config { snapshot_every: 20, entries_kept: 2, ..config }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_catches_up_by_a_snapshot_in_many_pieces() {
    let mut cluster = Cluster::wire(4, small_log).await;
    for slot in 0..3 {
        cluster.start(slot).await;
        cluster.quorum(slot).initialize(cluster.members(&[0, 1, 2])).await.unwrap();
    }
    let leader = cluster.leader().await;
    cluster.quorum(leader).propose(&Command::Ballast(6 << 20)).await.unwrap();
    for _ in 0..60 {
        cluster.add(leader, 1).await;
    }
    cluster.start(3).await;
    let started = Instant::now();
    let leader = let_in(&cluster, node_id(3, 1)).await;
    cluster.all_have(60).await;
    println!("caught up in {:?}", started.elapsed());
    assert_eq!(cluster.nodes[&3].counter.state.lock().unwrap().ballast.len(), 6 << 20);
    assert!(!cluster.quorum(leader).membership().is_voter(node_id(3, 1)));
    assert_eq!(cluster.add(3, 1).await, 61);
    cluster.end().await;
}

/// Adds a learner at whoever leads: on a machine that is busy the leader may change. Says who leads.
async fn let_in(cluster: &Cluster, id: NodeId) -> u16 {
    loop {
        let leader = cluster.leader_among(&[0, 1, 2]).await;
        match cluster.quorum(leader).add_learner(id, member(id.slot().0), LONG).await {
            Ok(()) => return leader,
            Err(error) => assert!(matches!(error, MemberError::NotLeader { .. }), "{error}"),
        }
    }
}

/// Lets a node in that lost its disk, as the owner of a quorum does: it allots the next incarnation of the slot.
struct Gatekeeper(Quorum<crate::counter::Counter>);

impl Handler for Gatekeeper {
    fn call(&self, from: Option<NodeId>, request: Bytes) -> PortFuture<'_, Bytes> {
        assert_eq!(from, None);
        Box::pin(async move {
            let slot = u16::from_le_bytes(request.as_ref().try_into().unwrap());
            let old = self.0.membership().in_slot(model::BrokerSlot(slot)).unwrap();
            let new = NodeId::of(old.slot(), Incarnation(old.incarnation().0 + 1));
            Bytes::copy_from_slice(&u64::from(new).to_le_bytes())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_disk_comes_back_under_a_new_id() {
    let mut cluster = Cluster::of_three(small_log).await;
    let leader = cluster.leader().await;
    let wiped = cluster.follower(leader);
    for _ in 0..50 {
        cluster.add(leader, 1).await;
    }
    cluster.stop(wiped).await;
    cluster.dirs.insert(wiped, TempDir::new().unwrap());
    let old = node_id(wiped, 1);
    let mut config = Config { dir: cluster.dirs[&wiped].path().into(), ..cluster.configs[&wiped].clone() };
    assert_eq!(owner_of(&config.dir).unwrap(), None);
    config.is_new = false;
    let refused = Quorum::start(config.clone(), crate::counter::Counter::default()).await;
    assert!(matches!(refused.err(), Some(StartError::NoIdentity { id, .. }) if id == old));

    let keeper = cluster.quorum(leader).clone();
    cluster.quorum(leader).serve(Arc::new(Gatekeeper(keeper)));
    let address = cluster.quorum(leader).address().unwrap().to_string();
    let answer = call_address("test", &address, Bytes::copy_from_slice(&wiped.to_le_bytes()), LONG).await.unwrap();
    let new = NodeId::from(u64::from_le_bytes(answer.as_ref().try_into().unwrap()));
    assert_eq!(new, node_id(wiped, 2));
    (config.id, config.is_new) = (new, true);
    cluster.configs.insert(wiped, config);
    cluster.start(wiped).await;
    for _ in 0..2 {
        // Twice: an interrupted replacement is simply repeated.
        cluster.quorum(leader).replace_member(Some(old), new, member(wiped), LONG).await.unwrap();
    }

    let membership = cluster.quorum(leader).membership();
    assert!(membership.is_voter(new) && !membership.members().contains_key(&old));
    assert_eq!(membership.voters().len(), 3);
    cluster.all_have(50).await;
    // The new node's vote counts: with it a majority outlives the leader.
    cluster.stop(leader).await;
    cluster.leader().await;
    assert_eq!(cluster.add(wiped, 1).await, 51);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_of_one_grows_to_three() {
    let mut cluster = Cluster::wire(3, |config| config).await;
    cluster.start(0).await;
    cluster.quorum(0).initialize(cluster.members(&[0])).await.unwrap();
    cluster.leader().await;
    cluster.add(0, 9).await;
    for slot in 1..3 {
        cluster.start(slot).await;
        cluster.quorum(0).add_learner(node_id(slot, 1), member(slot), LONG).await.unwrap();
    }
    let voters = (0..3).map(|slot| node_id(slot, 1)).collect();
    cluster.quorum(0).change_voters(voters, LONG).await.unwrap();
    cluster.all_have(9).await;
    cluster.stop(0).await;
    cluster.leader().await;
    assert_eq!(cluster.add(2, 1).await, 10);
    until("both have it", || cluster.nodes.values().all(|node| node.counter.sum() == 10)).await;
    cluster.end().await;
}
