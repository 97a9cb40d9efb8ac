use crate::cluster::patient;
use crate::counter::{Command, Counter, alone, node_id, start_alone, until};
use broker_quorum::{Config, Outcome, ProposeError, Quorum, StartError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long before anybody would stand for election.
const SOON: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_quorum_of_one_leads_at_once_and_keeps_its_state() {
    let dir = TempDir::new().unwrap();
    let config = patient(alone(dir.path()));
    let started = Instant::now();
    let quorum = start_alone(config.clone(), Counter::default()).await;
    println!("first start to leader: {:?}", started.elapsed());
    assert!(started.elapsed() < SOON);
    assert_eq!(quorum.propose(&Command::Add(40)).await.unwrap(), 40);
    assert_eq!(quorum.propose(&Command::Add(2)).await.unwrap(), 42);
    quorum.shutdown().await;

    let (started, counter) = (Instant::now(), Counter::default());
    let quorum = start_alone(config, counter.clone()).await;
    println!("restart to leader: {:?}", started.elapsed());
    assert!(started.elapsed() < SOON);
    quorum.ensure_linearizable().await.unwrap();
    assert_eq!(counter.sum(), 42);
    assert_eq!(quorum.propose(&Command::Add(1)).await.unwrap(), 43);
    quorum.shutdown().await;
}

#[tokio::test]
async fn a_snapshot_brings_back_what_the_log_has_dropped() {
    let dir = TempDir::new().unwrap();
    let config = Config { snapshot_every: 20, entries_kept: 2, ..alone(dir.path()) };
    let quorum = start_alone(config.clone(), Counter::default()).await;
    for _ in 0..100 {
        quorum.propose(&Command::Add(1)).await.unwrap();
    }
    quorum.shutdown().await;
    let counter = Counter::default();
    let quorum = start_alone(config, counter.clone()).await;
    quorum.ensure_linearizable().await.unwrap();
    assert_eq!(counter.sum(), 100);
    assert!(*counter.batches.lock().unwrap() < 40, "the log was replayed from its beginning");
    quorum.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_that_wait_together_share_a_flush() {
    let dir = TempDir::new().unwrap();
    let counter = Counter::default();
    let quorum = start_alone(alone(dir.path()), counter.clone()).await;
    let started = Instant::now();
    let proposals: Vec<_> = (0..2000)
        .map(|_| {
            let quorum = quorum.clone();
            tokio::spawn(async move { quorum.propose(&Command::Add(1)).await.unwrap() })
        })
        .collect();
    for proposal in proposals {
        proposal.await.unwrap();
    }
    let batches = *counter.batches.lock().unwrap();
    println!("2000 proposals in {:?}, {batches} batches", started.elapsed());
    assert_eq!(counter.sum(), 2000);
    assert!(batches < 400, "{batches} batches");
    quorum.shutdown().await;
}

#[tokio::test]
async fn a_directory_serves_one_process_and_one_node() {
    let dir = TempDir::new().unwrap();
    let quorum = start_alone(alone(dir.path()), Counter::default()).await;
    let second = Quorum::start(alone(dir.path()), Counter::default()).await;
    assert!(matches!(second.err(), Some(StartError::InUse { .. })));
    quorum.shutdown().await;
    let other = Config { id: node_id(1, 1), ..alone(dir.path()) };
    let other = Quorum::start(other, Counter::default()).await;
    assert!(matches!(other.err(), Some(StartError::NotOurs { .. })));
}

#[tokio::test]
async fn a_node_that_served_before_does_not_start_from_an_empty_disk() {
    let dir = TempDir::new().unwrap();
    let config = Config { is_new: false, ..alone(dir.path()) };
    let lost = Quorum::start(config, Counter::default()).await;
    assert!(matches!(lost.err(), Some(StartError::NoIdentity { .. })));
}

#[tokio::test]
async fn a_node_that_is_dropped_lets_its_directory_go() {
    let dir = TempDir::new().unwrap();
    drop(start_alone(alone(dir.path()), Counter::default()).await);
    let mut again = None;
    let deadline = Instant::now() + Duration::from_secs(60);
    while again.is_none() {
        assert!(Instant::now() < deadline, "the directory is still in use");
        again = Quorum::start(alone(dir.path()), Counter::default()).await.ok();
    }
    let again = again.unwrap();
    until("it leads", || again.leader().is_some()).await;
    again.shutdown().await;
}

#[tokio::test]
async fn a_failed_state_machine_stops_the_node() {
    let dir = TempDir::new().unwrap();
    let quorum = start_alone(alone(dir.path()), Counter::default()).await;
    quorum.propose(&Command::Add(1)).await.unwrap();
    let failed = quorum.propose(&Command::Fail).await.unwrap_err();
    assert!(!failed.is_retryable() && failed.outcome() == Outcome::Unknown, "{failed}");
    assert!(quorum.stopped().await.contains("told to fail"));
    let refused = quorum.propose(&Command::Add(1)).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped(_)), "{refused}");
    quorum.shutdown().await;
}

#[tokio::test]
async fn a_command_that_is_too_large_is_refused_at_once() {
    let dir = TempDir::new().unwrap();
    let quorum = start_alone(alone(dir.path()), Counter::default()).await;
    let refused = quorum.propose(&Command::Text("x".repeat(9 << 20))).await.unwrap_err();
    assert!(matches!(refused, ProposeError::TooLarge { .. }) && refused.outcome() == Outcome::Nothing);
    quorum.shutdown().await;
}
