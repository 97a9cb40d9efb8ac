use crate::platform::{Platform, default_group, eventually};
use catalog::command::{DeleteTopic, DeleteTopics, PutSchedule};
use catalog::reader::{FiringState, WorkState};
use control_plane::work::{RestoreWish, TopicWish, WorkError};
use dr_planner::drill::Verdict;
use dr_planner::schedule::{Job, Missed, Overlap, Schedule};
use model::{Offset, PartitionEnd, PartitionId, TopicName, TopicState};

fn wish(topics: &[(&str, Option<&str>)]) -> RestoreWish {
    let name = |name: &str| TopicName::new(name).unwrap();
    let topics = topics.iter().map(|(source, target)| TopicWish { source: name(source), target: target.map(name) });
    RestoreWish { backup: None, group: None, topics: topics.collect(), with_offsets: true, parallel: None }
}

async fn backed_up(platform: &Platform, backup: &str) -> catalog::reader::Backup {
    eventually("the backup ends", || async {
        let backup = platform.any().council.reader().backup(backup).await.unwrap();
        backup.filter(|backup| backup.state != WorkState::Running)
    })
    .await
}

async fn restored(platform: &Platform, restore: &str) -> catalog::reader::Restore {
    eventually("the restore ends", || async {
        let restore = platform.any().council.reader().restore(restore).await.unwrap();
        restore.filter(|restore| restore.state != WorkState::Running)
    })
    .await
}

async fn delete(platform: &Platform, name: &str) {
    let topics = vec![DeleteTopic { name: TopicName::new(name).unwrap(), expected: None }];
    platform.any().council.propose("test", DeleteTopics { topics }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_comes_back_from_a_backup() {
    let platform = Platform::start(1).await;
    let lost = platform.topic("orders", 2).await;
    platform.topic("bills", 1).await;
    platform.settled().await;
    let works = platform.any().automation.works().clone();
    let backup = works.back_up(&default_group(), None, None, "ann").await.unwrap();
    let backup = backed_up(&platform, &backup).await;
    assert_eq!(backup.state, WorkState::Completed, "{backup:?}");
    assert_eq!(backup.summary.as_ref().map(|summary| (summary.topics, summary.partitions)), Some((2, 3)));

    let refused = works.restore(wish(&[("orders", None)]), "ann").await.unwrap_err();
    assert!(matches!(&refused, WorkError::HasData { topic, .. } if topic.as_str() == "orders"), "{refused}");
    assert!(matches!(works.restore(wish(&[]), "ann").await, Err(WorkError::NothingToRestore(_))));
    let refused = works.restore(wish(&[("carts", None)]), "ann").await.unwrap_err();
    assert!(refused.to_string().contains("holds no topic carts; it holds bills, orders"), "{refused}");

    delete(&platform, "orders").await;
    let restore = works.restore(wish(&[]), "ann").await.unwrap();
    let restore = restored(&platform, &restore).await;
    assert_eq!(restore.state, WorkState::Completed, "{restore:?}");
    assert_eq!(restore.summary.map(|summary| (summary.partitions, summary.records)), Some((2, 200)));
    let view = platform.view();
    let back = view.topics.named("orders").unwrap();
    assert_eq!(back.state, TopicState::Live);
    assert_ne!(back.id, lost.id);
    assert!(view.topics.len() >= 2);
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_topic_gives_way_and_a_damaged_backup_leaves_nothing() {
    let platform = Platform::start(1).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    let works = platform.any().automation.works().clone();
    let backup = works.back_up(&default_group(), None, None, "ann").await.unwrap();
    backed_up(&platform, &backup).await;
    delete(&platform, "orders").await;
    let empty = platform.topic("orders", 1).await;
    let nothing =
        PartitionEnd { tail: Offset::ZERO, ..platform.world.region("r1").pages().end((empty.id, PartitionId(0))) };
    platform.world.region("r1").pages().ends.insert((empty.id, PartitionId(0)), nothing);

    *platform.damage.lock().unwrap() = Some("object segments/7 has another hash".into());
    let restore = works.restore(wish(&[("orders", Some("copy"))]), "ann").await.unwrap();
    let restore = restored(&platform, &restore).await;
    assert_eq!(restore.state, WorkState::Failed);
    assert!(restore.failure.unwrap().contains("segments/7"));
    assert!(platform.view().topics.named("copy").is_none(), "what was begun is gone");

    *platform.damage.lock().unwrap() = None;
    let restore = works.restore(wish(&[("orders", None)]), "ann").await.unwrap();
    assert_eq!(restored(&platform, &restore).await.state, WorkState::Completed);
    assert_ne!(platform.view().topics.named("orders").unwrap().id, empty.id);
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_outlives_the_leader_that_began_it() {
    let mut platform = Platform::start(3).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    platform.lead_elsewhere(&["r1"], |_| Default::default()).await;
    platform.settled().await;
    let hold = platform.hold.clone().write_owned().await;
    let works = platform.any().automation.works().clone();
    let backup = works.back_up(&default_group(), None, None, "ann").await.unwrap();
    let group = default_group();
    eventually("the owner is at work", || works.progress(&group, &backup)).await;
    let leader = platform.leader().await;
    platform.kill(&leader).await;
    platform.leader().await;
    drop(hold);
    assert_eq!(backed_up(&platform, &backup).await.state, WorkState::Completed);
    platform.shutdown().await;
}

fn schedule(name: &str, cron: &str, job: Job) -> Schedule {
    let (name, cron) = (name.to_owned(), cron.to_owned());
    Schedule { name, cron, job, overlap: Overlap::Forbid, missed: Missed::RunOnce, enabled: true }
}

async fn fired(platform: &Platform, schedule: &str, state: FiringState) -> catalog::reader::Firing {
    eventually("the schedule has fired", || async {
        let firings = platform.any().council.reader().firings(schedule, 10).await.unwrap();
        firings.into_iter().find(|firing| firing.state == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_backup_is_made() {
    let platform = Platform::start(1).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    let schedule = schedule("often", "* * * * * *", Job::Backup { group: default_group() });
    platform.any().council.propose("ann", PutSchedule { schedule, expected: None }).await.unwrap();
    let firing = fired(&platform, "often", FiringState::Succeeded).await;
    let backup = platform.any().council.reader().backup(&firing.detail.unwrap()).await.unwrap().unwrap();
    assert_eq!((backup.state, backup.schedule.as_deref()), (WorkState::Completed, Some("often")));
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_does_not_overlap_itself() {
    let platform = Platform::start(1).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    let hold = platform.hold.clone().write_owned().await;
    let schedule = schedule("often", "* * * * * *", Job::Backup { group: default_group() });
    platform.any().council.propose("ann", PutSchedule { schedule, expected: None }).await.unwrap();
    let missed = fired(&platform, "often", FiringState::Missed).await;
    assert_eq!(missed.detail.as_deref(), Some("the one before was still at work"));
    let backups = platform.any().council.reader().backups(None, Default::default()).await.unwrap();
    assert_eq!(backups.items.len(), 1);
    drop(hold);
    fired(&platform, "often", FiringState::Succeeded).await;
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_drill_evaluates_and_changes_nothing() {
    let platform = Platform::start(3).await;
    platform.topic("orders", 1).await;
    platform.settled().await;
    let schedule = schedule("practice", "* * * * * *", Job::Drill { group: default_group() });
    platform.any().council.propose("ann", PutSchedule { schedule, expected: None }).await.unwrap();
    let firing = fired(&platform, "practice", FiringState::Succeeded).await;
    let drill = platform.any().council.reader().drill(&firing.detail.unwrap()).await.unwrap().unwrap();
    let scorecard = drill.scorecard.unwrap();
    assert_eq!(scorecard.verdict, Verdict::Pass, "{scorecard:?}");
    assert!(drill.run.is_some());
    assert_eq!(platform.group().grant.ownership_epoch, model::OwnershipEpoch(1));
    assert!(platform.world.effects().is_empty(), "no region was ordered anything");
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_of_a_group_without_a_standby_fails_and_says_why() {
    let platform = Platform::start(1).await;
    platform.settled().await;
    let works = platform.any().automation.works();
    let drill = works.drill(&default_group(), None, None, "ann").await.unwrap();
    let drill = eventually("the drill ends", || async {
        let drill = platform.any().council.reader().drill(&drill).await.unwrap();
        drill.filter(|drill| drill.ended_at.is_some())
    })
    .await;
    let scorecard = drill.scorecard.unwrap();
    assert_eq!(scorecard.verdict, Verdict::Fail);
    assert!(scorecard.checks[0].detail.contains("no standby"), "{scorecard:?}");
    platform.shutdown().await;
}
