use crate::cluster::Cluster;
use crate::counter::{Command, until};
use broker_quorum::{ConfirmError, Outcome, ProposeError};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_outlives_its_leader_and_the_leader_comes_back() {
    let mut cluster = Cluster::of_three(|config| config).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower(leader);
    assert_eq!(cluster.add(follower, 5).await, 5);
    assert_eq!(cluster.add(leader, 6).await, 11);
    let term = cluster.quorum(follower).leadership().borrow().term;

    cluster.stop(leader).await;
    let killed = Instant::now();
    assert_eq!(add_after_the_end(&cluster, follower, 7).await, 18);
    println!("from the leader's end to the next answer: {:?}", killed.elapsed());
    let next = cluster.leader().await;
    assert!(cluster.quorum(next).leadership().borrow().term > term);

    cluster.start(leader).await;
    cluster.all_have(18).await;
    assert_eq!(cluster.add(leader, 1).await, 19);
    cluster.end().await;
}

/// Adds a number when the leader is known to have ended: an answer that was lost means that nothing happened, which only
/// a test can know.
async fn add_after_the_end(cluster: &Cluster, slot: u16, number: u64) -> u64 {
    loop {
        match cluster.quorum(slot).propose(&Command::Add(number)).await {
            Ok(sum) => return sum,
            Err(error) => assert!(matches!(error, ProposeError::Lost(_)), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_leader_cannot_confirm_that_it_leads() {
    let cluster = Cluster::of_three(|config| config).await;
    let old = cluster.leader().await;
    let confirmed = cluster.quorum(old).confirm_leadership().await.unwrap();
    assert_eq!(confirmed.term, cluster.quorum(old).leadership().borrow().term);

    cluster.isolate(old, true);
    let cut = Instant::now();
    let error = loop {
        // A message may still slip through a wire that is being cut.
        if let Err(error) = cluster.quorum(old).confirm_leadership().await {
            break error;
        }
        assert!(cut.elapsed() < Duration::from_secs(5), "it still confirms");
    };
    assert!(matches!(error, ConfirmError::NoQuorum | ConfirmError::TimedOut { .. }), "{error}");
    println!("refused to confirm after {:?}", cut.elapsed());
    let others: Vec<u16> = (0..3).filter(|slot| *slot != old).collect();
    let new = cluster.leader_among(&others).await;
    println!("a new leader after {:?}", cut.elapsed());
    assert_eq!(cluster.add(new, 3).await, 3);
    let since = cluster.quorum(new).leadership().borrow().tenure.unwrap().since;
    assert!(since > confirmed.at);

    until("the old leader takes nothing any more", || {
        let refused = || cluster.quorum(old).propose_within(&Command::Add(100), Duration::from_millis(1));
        futures_now(refused()).is_some_and(|error| error.outcome() == Outcome::Nothing)
    })
    .await;
    cluster.isolate(old, false);
    assert_eq!(cluster.leader().await, new);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hears_nobody_keeps_quiet_and_is_replaced() {
    let cluster = Cluster::of_three(|config| config).await;
    let old = cluster.leader().await;
    assert_eq!(cluster.add(old, 3).await, 3);
    cluster.deafen(old, true);
    let deaf = Instant::now();
    let others: Vec<u16> = (0..3).filter(|slot| *slot != old).collect();
    let new = cluster.leader_among(&others).await;
    println!("a new leader after {:?}", deaf.elapsed());
    assert_eq!(cluster.add(new, 3).await, 6);
    // It comes back as a follower.
    cluster.deafen(old, false);
    cluster.all_have(6).await;
    assert_eq!(cluster.leader().await, new);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_learns_since_when_the_one_before_is_silent() {
    let mut cluster = Cluster::of_three(|config| config).await;
    let old = cluster.leader().await;
    let tenure = |cluster: &Cluster, slot| cluster.quorum(slot).leadership().borrow().tenure.unwrap();
    let within = Duration::from_secs(5);
    assert_eq!(cluster.quorum(old).predecessor(tenure(&cluster, old), within).await, None, "nobody led before");
    let id = cluster.quorum(old).id();
    let confirmed = cluster.quorum(old).confirm_leadership().await.unwrap();
    cluster.stop(old).await;
    let new = cluster.leader().await;
    let tenure = tenure(&cluster, new);
    let before = cluster.quorum(new).predecessor(tenure, within).await.expect("both others followed it");
    assert_eq!(before.id, id);
    assert!(before.silent_since >= confirmed.at, "{before:?} {confirmed:?}");
    // Nobody votes for another one before an election's time has passed.
    assert!(tenure.since.since(before.silent_since) > Duration::from_millis(300), "{before:?} {tenure:?}");
    cluster.end().await;
}

/// The error of a future that ends at once.
fn futures_now<T, E>(future: impl Future<Output = Result<T, E>>) -> Option<E> {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future)).err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_from_isolation_deposes_nobody() {
    let cluster = Cluster::of_three(|config| config).await;
    let leader = cluster.leader().await;
    let away = cluster.follower(leader);
    let term = cluster.quorum(leader).leadership().borrow().term;
    cluster.isolate(away, true);
    let isolated = Instant::now();
    let mut sum = 0;
    while isolated.elapsed() < Duration::from_secs(4) {
        sum = cluster.add(leader, 1).await;
    }
    cluster.isolate(away, false);
    cluster.all_have(sum).await;
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(cluster.quorum(away).leadership().borrow().term, term);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_reads_what_was_committed_before() {
    let cluster = Cluster::of_three(|config| config).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower(leader);
    for sum in 1..=50 {
        cluster.add(leader, 1).await;
        cluster.quorum(follower).ensure_linearizable().await.unwrap();
        assert_eq!(cluster.nodes[&follower].counter.sum(), sum);
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_can_stop_and_start_again() {
    let mut cluster = Cluster::of_three(|config| config).await;
    let leader = cluster.leader().await;
    for _ in 0..20 {
        cluster.add(leader, 1).await;
    }
    for slot in 0..3 {
        cluster.stop(slot).await;
    }
    let started = Instant::now();
    for slot in 0..3 {
        cluster.start(slot).await;
    }
    let leader = cluster.leader().await;
    println!("a leader {:?} after the start of all", started.elapsed());
    assert_eq!(cluster.add(leader, 1).await, 21);
    cluster.all_have(21).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_happens_and_it_is_said() {
    let mut cluster = Cluster::of_three(|config| config).await;
    let leader = cluster.leader().await;
    for slot in (0..3).filter(|slot| *slot != leader) {
        cluster.stop(slot).await;
    }
    let alone = cluster.quorum(leader);
    let waited = Duration::from_millis(300);
    until("it notices", || {
        let error = futures_now(alone.propose_within(&Command::Add(1), waited));
        error.is_some_and(|error| error.is_retryable() && error.outcome() == Outcome::Nothing)
    })
    .await;
    assert!(alone.confirm_leadership().await.is_err());
    assert!(alone.ensure_linearizable().await.is_err());
    cluster.end().await;
}
