//! The offsets of consumer groups.

use crate::world::{TOPIC, World, until};
use model::{Commit, GroupId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName};

fn commit(consumer_group: &str, offset: Option<i64>, time: i64) -> Commit {
    Commit {
        consumer_group: GroupId::new(consumer_group),
        topic: TopicName::new("orders").unwrap(),
        topic_id: if offset.is_some() { TOPIC } else { TopicId::ZERO },
        partition: PartitionId(0),
        offset: offset.map(Offset),
        leader_epoch: LeaderEpoch(if offset.is_some() { 4096 } else { -1 }),
        metadata: "note".into(),
        commit_time: Timestamp(time),
        expire_time: None,
    }
}

async fn until_commits_equal(world: &World, copy: usize, source: usize) {
    let is_equal = || {
        let (copy, source) = (world.region(copy).state(), world.region(source).state());
        copy.commits == source.commits && copy.reached == source.newest_commit()
    };
    until("commits are equal", is_equal).await;
}

#[tokio::test(start_paused = true)]
async fn commits_are_carried_as_they_are_rewinds_and_removals_too() {
    let mut world = World::new(2, 1);
    let source = world.region(1).clone();
    let steps =
        [("a", Some(5)), ("b", Some(9)), ("a", Some(2)), ("b", None), ("b", Some(4)), ("b", None), ("a", Some(7))];
    for (time, (group, offset)) in (1..).zip(steps) {
        source.commit(commit(group, offset, time));
        until_commits_equal(&world, 2, 1).await;
    }
    source.restart();
    until_commits_equal(&world, 2, 1).await;
    source.commit(commit("c", Some(1), 20));
    until_commits_equal(&world, 2, 1).await;
    world.switch(2);
    world.region(2).commit(commit("a", Some(1), 30));
    until_commits_equal(&world, 1, 2).await;
}

#[tokio::test(start_paused = true)]
async fn thousands_of_commits_come_page_by_page() {
    let world = World::new(2, 1);
    (0..5000).for_each(|n| world.region(1).commit(commit(&format!("group-{n}"), Some(n), n)));
    until_commits_equal(&world, 2, 1).await;
}
