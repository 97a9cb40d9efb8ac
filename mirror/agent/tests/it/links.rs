//! How copies follow their source, and what of it is told.

mod collection;
mod commits;
mod failover;
mod pace;
mod trouble;

use crate::world::{KEY, TOPIC, World, key, ranges, until};
use mirror::SyncTerms;
use model::{CopyTerm, ModeEpoch, Offset, OffsetRange, OwnershipEpoch, PartitionId, TopicId};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_copy_is_byte_equal_and_knows_its_lag() {
    let world = World::new(2, 1);
    (0..50).for_each(|n| world.region(1).produce(KEY, n % 4 + 1));
    world.until_equal(2, 1).await;
    until("the link says so", || world.status(2).state == "caught_up").await;
    let status = world.status(2);
    assert_eq!((status.lag_records, status.lag_bytes, status.lag_seconds), (0, 0, 0.0));
    assert_eq!(Some(status.tail), status.source_tail);
    let tail = world.region(1).log(KEY).tail();
    let state = world.region(2).state();
    assert_eq!(state.logs[&KEY].high_watermark, tail, "readers may see it");
    let (epoch, marks) = state.marks[&KEY];
    assert_eq!((epoch, marks.tail, marks.high_watermark), (OwnershipEpoch(1), tail, tail));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_waits_for_the_copy_is_told_at_once_what_is_on_disk() {
    let world = World::new(2, 1);
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    let said = |copy_term| {
        let state = world.region(1).state();
        let tail = state.logs[&KEY].log.tail();
        state.words.iter().any(|word| {
            let sync = word.sync.unwrap();
            (word.from, word.durable, sync.terms.copy_term.0) == (tail, tail, copy_term) && sync.leader_epoch.0 >= 4096
        })
    };
    assert!(world.region(1).state().words.is_empty(), "nobody waits");
    let terms = |term| SyncTerms { mode_epoch: ModeEpoch(3), copy_term: CopyTerm(term) };
    *world.region(2).sync_terms.lock().unwrap() = Some(terms(1));
    world.region(1).produce(KEY, 2);
    until("the word is there", || said(1)).await;
    *world.region(2).sync_terms.lock().unwrap() = Some(terms(2));
    world.region(1).produce(KEY, 2);
    world.until_equal(2, 1).await;
    assert!(!said(2), "what one leader of the copy has on disk is not said in the name of the next");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_never_heard_of_has_an_unknown_lag() {
    let mut world = World::new(2, 1);
    world.lose(1);
    world.heal(2);
    tokio::task::yield_now().await;
    let status = world.status(2);
    assert_eq!((status.source_tail, status.silent_ms), (None, u64::MAX));
    assert!(status.state != "caught_up", "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn an_order_of_the_past_changes_nothing() {
    let mut world = World::new(3, 1);
    let past = world.assignment(&world.region(3).name);
    world.switch(2);
    world.agent(3).assign(&past);
    world.region(2).produce(KEY, 3);
    world.until_equal(3, 2).await;
    assert_eq!(world.status(3).source, world.region(2).name);
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_again_is_another_topic() {
    let mut world = World::new(2, 2);
    world.region(1).produce(KEY, 3);
    world.until_equal(2, 1).await;
    let again = TopicId(uuid::Uuid::from_u128(8));
    world.delete_topic(TOPIC);
    world.create_topic(again, 1);
    world.assign();
    world.region(1).produce((again, PartitionId(0)), 1);
    world.until_equal(2, 1).await;
    let status = world.agent(2).status();
    assert_eq!(status.iter().map(|link| link.topic_id).collect::<Vec<_>>(), [again]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_again_that_is_stopped_is_no_standby_and_is_copied_once_it_may_be() {
    let mut world = World::new(2, 1);
    world.region(1).produce(KEY, 3);
    world.until_equal(2, 1).await;
    let again = TopicId(uuid::Uuid::from_u128(8));
    world.delete_topic(TOPIC);
    world.create_topic(again, 1);
    world.stopped = vec![again];
    world.assign();
    world.region(1).produce((again, PartitionId(0)), 1);
    until("it is shown", || world.status(2).unusable() == Some(model::copy_states::TOPIC_RESET)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!world.is_equal(2, 1), "nothing is copied");
    world.stopped.clear();
    world.assign();
    world.until_equal(2, 1).await;
    assert_eq!((world.status(2).unusable(), world.status(2).topic_id), (None, again));
}

#[tokio::test(start_paused = true)]
async fn what_the_source_dropped_before_it_was_copied_is_a_gap() {
    let world = World::new(2, 1);
    world.region(1).produce(KEY, 2);
    world.until_equal(2, 1).await;
    world.region(2).change(|state| state.is_sealed = true);
    (0..4).for_each(|_| world.region(1).produce(KEY, 2));
    world.region(1).change(|state| state.logs.get_mut(&KEY).unwrap().log.raise_start(Offset(6)));
    world.region(2).change(|state| state.is_sealed = false);
    world.until_equal(2, 1).await;
    let state = world.region(2).state();
    assert_eq!(state.gaps.iter().map(|gap| gap.range).collect::<Vec<_>>(), [OffsetRange::new(Offset(2), Offset(6))]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_read_at_its_leader_and_moves_with_it_while_others_go_on() {
    let mut world = World::new(2, 4);
    world.region(1).spread(2, &[(key(2), 1), (key(3), 1)]);
    world.assign();
    (0..4).for_each(|partition| world.region(1).produce(key(partition), 2));
    world.until_equal(2, 1).await;

    world.region(1).change(|state| _ = state.hung.insert(1));
    (0..4).for_each(|partition| world.region(1).produce(key(partition), 2));
    let hung_at = Instant::now();
    let is_there = |partition| ranges(world.region(2), key(partition)).len() == 2;
    until("the others go on", || is_there(0) && is_there(1)).await;
    assert!(hung_at.elapsed() < Duration::from_secs(1), "{:?}", hung_at.elapsed());
    assert!(!is_there(2) && !is_there(3));

    world.region(1).spread(2, &[]);
    let moved_at = Instant::now();
    world.until_equal(2, 1).await;
    assert!(moved_at.elapsed() < Duration::from_secs(4), "nobody waits for who led before: {:?}", moved_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn only_what_is_led_here_is_followed() {
    let world = World::new(2, 3);
    world.region(2).lead_all_but(&[key(0), key(2)]);
    let followed = || world.agent(2).status().iter().map(|link| link.partition.0).collect::<Vec<_>>();
    until("one is followed", || followed() == [1]).await;
    (0..3).for_each(|partition| world.region(1).produce(key(partition), 1));
    until("it is copied", || ranges(world.region(2), key(1)).len() == 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((ranges(world.region(2), key(0)), ranges(world.region(2), key(2))), (vec![], vec![]));
    world.region(2).lead_all_but(&[key(1)]);
    until("the others are followed", || followed() == [0, 2]).await;
    world.until_equal(2, 1).await;
    world.region(1).produce(key(1), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ranges(world.region(2), key(1)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropped_links_do_nothing_any_more() {
    let mut world = World::new(2, 5);
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    world.lose(2);
    world.region(1).change(|state| state.fetches.clear());
    world.region(1).produce(KEY, 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ranges(world.region(2), KEY).len(), 1);
    assert_eq!(world.region(1).state().under_way.0, 0);
    world.heal(2);
    world.until_equal(2, 1).await;
}
