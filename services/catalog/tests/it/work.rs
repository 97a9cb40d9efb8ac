use crate::council::{Council, group, new_topic, topic_name};
use crate::story::{backup_summary, schedule, scorecard};
use catalog::command::*;
use catalog::reader::{FiringState, Page, WorkState};
use catalog::{Answer, Refusal};
use dr_planner::drill::Verdict;
use model::{ByteCount, Timestamp, TopicId, TopicState};

fn claim(due: i64, claimant: &str, expires: i64) -> ClaimFiring {
    ClaimFiring {
        schedule: "nightly".into(),
        due: Timestamp(due),
        claimant: claimant.into(),
        expires: Timestamp(expires),
    }
}

fn finish(due: i64, outcome: FiringOutcome) -> FinishFiring {
    FinishFiring { schedule: "nightly".into(), due: Timestamp(due), outcome }
}

#[tokio::test]
async fn one_node_alone_works_on_a_firing() {
    let mut council = Council::formed().await;
    council.decide(PutSchedule { schedule: schedule("nightly"), expected: None }).await.unwrap();
    council.decide(claim(10, "r1", i64::MAX)).await.unwrap();
    assert!(matches!(council.refusal(claim(10, "r2", i64::MAX)).await, Refusal::Ended { .. }));
    assert!(matches!(council.refusal(claim(20, "r2", i64::MAX)).await, Refusal::InProgress { .. }));
    let done = finish(10, FiringOutcome::Succeeded { started: "backup-1".into() });
    council.decide(done.clone()).await.unwrap();
    council.decide(done).await.unwrap();
    let late = finish(10, FiringOutcome::Failed { reason: "late".into() });
    assert!(matches!(council.refusal(late).await, Refusal::Ended { .. }));
    council.decide(claim(20, "r2", i64::MAX)).await.unwrap();
    let firings = council.catalog.reader().firings("nightly", 10).await.unwrap();
    let states: Vec<_> = firings.iter().map(|firing| (firing.due.0, firing.state)).collect();
    assert_eq!(states, [(20, FiringState::Claimed), (10, FiringState::Succeeded)]);
}

#[tokio::test]
async fn a_claimant_that_is_never_heard_of_again_does_not_stop_the_schedule() {
    let mut council = Council::formed().await;
    council.decide(PutSchedule { schedule: schedule("nightly"), expected: None }).await.unwrap();
    council.decide(claim(10, "r1", 1)).await.unwrap();
    council.decide(claim(20, "r2", i64::MAX)).await.unwrap();
    let firings = council.catalog.reader().firings("nightly", 10).await.unwrap();
    assert_eq!(firings[1].state, FiringState::Abandoned);
    council.decide(finish(10, FiringOutcome::Succeeded { started: "b".into() })).await.expect("it was only slow");
}

#[tokio::test]
async fn a_missed_firing_is_told() {
    let mut council = Council::formed().await;
    council.decide(PutSchedule { schedule: schedule("nightly"), expected: None }).await.unwrap();
    let missed = |due| RecordMissed { schedule: "nightly".into(), due: Timestamp(due), reason: "nobody".into() };
    council.decide(missed(10)).await.unwrap();
    council.decide(claim(20, "r1", i64::MAX)).await.unwrap();
    council.decide(missed(20)).await.unwrap();
    let firings = council.catalog.reader().firings("nightly", 10).await.unwrap();
    assert_eq!(
        firings.iter().map(|firing| firing.state).collect::<Vec<_>>(),
        [FiringState::Claimed, FiringState::Missed]
    );
    let unknown = finish(99, FiringOutcome::Missed { reason: "x".into() });
    assert!(matches!(council.refusal(unknown).await, Refusal::NotFound { .. }));
}

#[tokio::test]
async fn schedules_are_changed_deliberately() {
    let mut council = Council::formed().await;
    let put = |expected| PutSchedule { schedule: schedule("nightly"), expected };
    let Ok(Answer::Revision { revision }) = council.decide(put(Some(0))).await else { panic!("refused") };
    assert_eq!(council.decide(put(None)).await, Ok(Answer::Revision { revision }), "the same is no change");
    assert!(matches!(council.refusal(put(Some(0))).await, Refusal::Changed { .. }));
    let mut off = put(Some(revision));
    off.schedule.enabled = false;
    council.decide(off).await.unwrap();
    assert!(matches!(council.refusal(claim(10, "r1", 20)).await, Refusal::Ended { .. }));
    let mut bad = put(None);
    bad.schedule.cron = "every day".into();
    assert!(matches!(council.refusal(bad).await, Refusal::Unusable { .. }));
    assert_eq!(council.catalog.reader().schedules().await.unwrap().len(), 1);
    council.decide(DeleteSchedule { name: "nightly".into() }).await.unwrap();
    assert_eq!(council.catalog.reader().schedule("nightly").await.unwrap(), None);
    let again = DeleteSchedule { name: "nightly".into() };
    assert!(matches!(council.refusal(again).await, Refusal::NotFound { .. }));
}

fn start(backup: &str) -> StartBackup {
    StartBackup { backup: backup.into(), group: group("default"), repository: "bucket/x".into(), schedule: None }
}

fn finished(backup: &str, outcome: BackupOutcome) -> FinishBackup {
    FinishBackup { backup: backup.into(), outcome }
}

#[tokio::test]
async fn a_group_has_one_backup_at_a_time() {
    let mut council = Council::formed().await;
    council.decide(start("b1")).await.unwrap();
    council.decide(start("b1")).await.unwrap();
    assert!(matches!(council.refusal(start("b2")).await, Refusal::InProgress { .. }));
    council.decide(finished("b1", BackupOutcome::Failed { reason: "full".into() })).await.unwrap();
    let changed = finished("b1", BackupOutcome::Completed(backup_summary()));
    assert!(matches!(council.refusal(changed).await, Refusal::Ended { .. }));
    assert!(matches!(council.refusal(start("b1")).await, Refusal::Exists { .. }));
    council.decide(start("b2")).await.unwrap();
    council.decide(finished("b2", BackupOutcome::Completed(backup_summary()))).await.unwrap();
    let reader = council.catalog.reader();
    let backups = reader.backups(Some(&group("default")), Page::default()).await.unwrap().items;
    assert_eq!(
        backups.iter().map(|backup| (backup.id.as_str(), backup.state)).collect::<Vec<_>>(),
        [("b2", WorkState::Completed), ("b1", WorkState::Failed)]
    );
    assert_eq!(backups[0].summary, Some(backup_summary()));
    let unknown = finished("b9", BackupOutcome::Failed { reason: "x".into() });
    assert!(matches!(council.refusal(unknown).await, Refusal::NotFound { .. }));
}

fn restore(name: &str, topics: Vec<RestoredTopic>) -> StartRestore {
    StartRestore { restore: name.into(), backup: "b1".into(), topics }
}

fn restored(name: &str, replaces: Option<TopicId>) -> RestoredTopic {
    let topic = NewTopic { state: TopicState::Restoring, ..new_topic(name, 500) };
    RestoredTopic { source: topic_name("orders"), topic, replaces }
}

async fn with_backup() -> Council {
    let mut council = Council::formed().await;
    council.decide(start("b1")).await.unwrap();
    council.decide(finished("b1", BackupOutcome::Completed(backup_summary()))).await.unwrap();
    council
}

fn completed() -> RestoreOutcome {
    RestoreOutcome::Completed(RestoreSummary { partitions: 2, at_once: 2, records: 1, bytes: ByteCount(1), offsets: 0 })
}

#[tokio::test]
async fn a_restored_topic_is_hidden_until_it_is_complete() {
    let mut council = with_backup().await;
    council.decide(restore("restore-1", vec![restored("orders", None)])).await.unwrap();
    assert_eq!(council.topic("orders").state, TopicState::Restoring);
    let delete = DeleteTopics { topics: vec![DeleteTopic { name: topic_name("orders"), expected: None }] };
    let Ok(Answer::Topics { outcomes }) = council.decide(delete).await else { panic!("refused") };
    assert!(matches!(outcomes[0], Err(Refusal::TopicRestoring { .. })));
    let forget = ForgetBackup { backup: "b1".into() };
    assert!(matches!(council.refusal(forget).await, Refusal::InProgress { .. }));
    let end = FinishRestore { restore: "restore-1".into(), outcome: completed() };
    council.decide(end.clone()).await.unwrap();
    council.decide(end).await.unwrap();
    assert_eq!(council.topic("orders").state, TopicState::Live);
    let failed = FinishRestore { restore: "restore-1".into(), outcome: RestoreOutcome::Failed { reason: "x".into() } };
    assert!(matches!(council.refusal(failed).await, Refusal::Ended { .. }));
    let stored = council.catalog.reader().restore("restore-1").await.unwrap().unwrap();
    assert_eq!((stored.state, stored.topics.len()), (WorkState::Completed, 1));
}

#[tokio::test]
async fn a_restore_that_fails_leaves_no_topic() {
    let mut council = with_backup().await;
    council.decide(restore("restore-1", vec![restored("orders", None)])).await.unwrap();
    let outcome = RestoreOutcome::Failed { reason: "a flipped bit".into() };
    council.decide(FinishRestore { restore: "restore-1".into(), outcome }).await.unwrap();
    assert!(council.catalog.view().topics.named("orders").is_none());
    assert_eq!(council.catalog.reader().restores(Page::default()).await.unwrap().items[0].state, WorkState::Failed);
}

#[tokio::test]
async fn a_restore_is_all_or_nothing() {
    let mut council = with_backup().await;
    council.create(&["bills"]).await;
    let both = restore("restore-1", vec![restored("orders", None), restored("bills", None)]);
    assert!(matches!(council.refusal(both).await, Refusal::TopicExists { .. }));
    assert!(council.catalog.view().topics.named("orders").is_none());
    let live = RestoredTopic { topic: new_topic("orders", 9), ..restored("orders", None) };
    assert!(matches!(council.refusal(restore("restore-1", vec![live])).await, Refusal::Unusable { .. }));
    let unknown = StartRestore { backup: "b9".into(), ..restore("restore-1", vec![]) };
    assert!(matches!(council.refusal(unknown).await, Refusal::NotFound { .. }));
}

#[tokio::test]
async fn an_empty_topic_that_was_seen_gives_way() {
    let mut council = with_backup().await;
    council.create(&["orders"]).await;
    let empty = council.topic("orders").id;
    let other = restore("restore-1", vec![restored("orders", Some(crate::council::topic_id(99)))]);
    assert!(matches!(council.refusal(other).await, Refusal::OtherTopic { .. }));
    council.decide(restore("restore-1", vec![restored("orders", Some(empty))])).await.unwrap();
    assert_ne!(council.topic("orders").id, empty);
    assert_eq!(council.topic("orders").state, TopicState::Restoring);
}

#[tokio::test]
async fn a_group_has_one_drill_at_a_time() {
    let mut council = Council::formed().await;
    let drill = |name: &str| StartDrill {
        drill: name.into(),
        kind: DrillKind::RegionLoss,
        group: group("default"),
        schedule: None,
    };
    council.decide(drill("d1")).await.unwrap();
    assert!(matches!(council.refusal(drill("d2")).await, Refusal::InProgress { .. }));
    let end = FinishDrill { scorecard: scorecard("d1"), run: None };
    council.decide(end.clone()).await.unwrap();
    council.decide(end.clone()).await.unwrap();
    let mut other = end;
    other.scorecard.verdict = Verdict::Fail;
    assert!(matches!(council.refusal(other).await, Refusal::Ended { .. }));
    council.decide(drill("d2")).await.unwrap();
    let reader = council.catalog.reader();
    let drills = reader.drills(Page::of(1)).await.unwrap();
    assert_eq!((drills.items[0].id.as_str(), drills.next), ("d2", Some(2)));
    assert_eq!(reader.drill("d1").await.unwrap().unwrap().scorecard.unwrap().verdict, Verdict::Pass);
    let unknown = FinishDrill { scorecard: scorecard("d9"), run: None };
    assert!(matches!(council.refusal(unknown).await, Refusal::NotFound { .. }));
}
