use crate::logs::range;
use crate::world::{KEY, TOPIC, World, group, key, ranges, until};
use mirror::SyncTerms;
use model::{
    Commit, CopyTerm, GroupId, LeaderEpoch, ModeEpoch, Offset, OffsetRange, OwnershipEpoch, PartitionId, Timestamp,
    TopicId, TopicName, limits,
};
use std::time::Duration;
use tokio::time::Instant;

const HOLE: i64 = limits::PROMOTE_HOLE_OFFSETS;

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
async fn a_thousand_partitions_are_copied_by_a_few_requests() {
    let world = World::new(2, 1000);
    (0..1000).for_each(|partition| world.region(1).produce(key(partition), 1));
    world.until_equal(2, 1).await;
    // The polls come together.
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.region(1).change(|state| state.fetches.clear());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let state = world.region(1).state();
    assert!(state.under_way.1 <= 8, "{} requests at once", state.under_way.1);
    assert!(state.fetches.len() <= 60, "three polls every 250 ms: {:?}", state.fetches);
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
async fn a_planned_switch_leaves_no_hole_and_the_old_owner_follows() {
    let mut world = World::new(3, 2);
    world.region(1).produce(key(0), 3);
    world.region(1).produce(key(1), 2);
    world.until_equal(2, 1).await;
    world.until_equal(3, 1).await;
    world.switch(2);
    world.region(2).produce(key(0), 4);
    world.until_equal(1, 2).await;
    world.until_equal(3, 2).await;
    assert_eq!(ranges(world.region(1), key(0)), [(0, 3), (3, 7)]);
    assert!(world.agent(2).status().is_empty(), "the owner follows nobody");
    world.switch(1);
    world.region(1).produce(key(1), 1);
    world.until_equal(2, 1).await;
    assert!(world.regions.iter().all(|region| region.state().archived.is_empty()));
}

/// `r1` is lost with `lost` batches that nobody else has; `r2` takes over.
async fn lost_tail(lost: i64) -> World {
    let mut world = World::new(3, 1);
    (0..5).for_each(|_| world.region(1).produce(KEY, 2));
    world.until_equal(2, 1).await;
    world.until_equal(3, 1).await;
    world.lose(1);
    (0..lost).for_each(|_| world.region(1).produce(KEY, 1));
    world.fail_over(2);
    world
}

#[tokio::test(start_paused = true)]
async fn a_copy_crosses_the_hole_of_a_failover() {
    let world = lost_tail(3).await;
    world.region(2).produce(KEY, 2);
    world.until_equal(3, 2).await;
    let base = 13 + HOLE;
    assert_eq!(ranges(world.region(3), KEY)[4..], [(8, 10), (base, base + 1), (base + 1, base + 3)]);
    until("the lag counts no hole", || world.status(3).lag_records == 0).await;
    assert!(world.region(3).state().gaps.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_old_owner_archives_what_diverged_and_follows() {
    let mut world = lost_tail(3).await;
    world.region(2).produce(KEY, 2);
    let diverged = world.region(1).log(KEY).batches[5..].to_vec();
    world.heal(1);
    world.until_equal(1, 2).await;
    let state = world.region(1).state();
    let (key, cut, batches) = &state.archived[0];
    assert_eq!((*key, *cut), (KEY, OffsetRange::new(Offset(10), Offset(13))));
    assert_eq!((batches, state.archived.len()), (&diverged, 1));
}

#[tokio::test(start_paused = true)]
async fn a_tail_of_several_epochs_is_archived_in_parts_and_as_a_whole() {
    let mut world = World::new(2, 1);
    world.region(1).produce(KEY, 2);
    world.until_equal(2, 1).await;
    world.lose(1);
    for _ in 0..4 {
        world.region(1).produce(KEY, 2);
        world.region(1).restart();
    }
    let diverged = world.region(1).log(KEY).batches[1..].to_vec();
    world.fail_over(2);
    world.heal(1);
    world.until_equal(1, 2).await;
    let state = world.region(1).state();
    let mut archived: Vec<_> = state.archived.iter().flat_map(|(_, _, batches)| batches.clone()).collect();
    archived.sort_by_key(|batch| range(batch).start);
    assert_eq!(archived, diverged);
}

#[tokio::test(start_paused = true)]
async fn regions_take_over_in_turn_and_end_equal() {
    let mut world = World::new(3, 3);
    for to in [2, 3, 1, 3] {
        let from = world.regions.iter().position(|region| region.state().is_owner).unwrap() + 1;
        (0..3).for_each(|partition| world.region(from).produce(key(partition), 2));
        world.until_equal(to, from).await;
        world.lose(from);
        world.region(from).produce(key(1), 1);
        world.fail_over(to);
        (0..3).for_each(|partition| world.region(to).produce(key(partition), 1));
        world.heal(from);
        for copy in (1..=3).filter(|copy| *copy != to) {
            world.until_equal(copy, to).await;
        }
    }
}

/// `r1` is lost; `r2` has `second` and `r3` has `third` of its batches.
async fn uneven(second: usize, third: usize) -> World {
    let world = World::new(3, 2);
    for count in 0..=second.max(third) {
        for (number, _) in [(2, second), (3, third)].into_iter().filter(|(_, has)| count == *has) {
            world.pause(number).await;
        }
        if count == second.max(third) {
            break;
        }
        world.region(1).produce(KEY, 2);
        for (number, _) in [(2, second), (3, third)].into_iter().filter(|(_, has)| count < *has) {
            world.until_equal(number, 1).await;
        }
    }
    world.lose(1);
    world.resume(2);
    world.resume(3);
    world
}

#[tokio::test(start_paused = true)]
async fn what_another_copy_has_more_is_collected() {
    let mut world = uneven(2, 5).await;
    let third = [world.region(3).name.clone()];
    world.agent(2).collect(&group(), &third, Duration::from_secs(5)).await.unwrap();
    assert!(world.is_equal(2, 3));
    assert_eq!(ranges(world.region(2), KEY).len(), 5);
    let (_, marks) = world.region(2).state().marks[&KEY];
    assert_eq!(marks.tail, Offset(4), "what the other copy holds is not what was heard of the owner");
    world.fail_over(2);
    world.until_equal(3, 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_copy_lacks_is_not_cut_off() {
    let world = uneven(5, 2).await;
    let (before, third) = (world.region(2).log(KEY), [world.region(3).name.clone()]);
    let begun = Instant::now();
    world.agent(2).collect(&group(), &third, Duration::from_secs(5)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(world.region(2).log(KEY), before);
    assert!(world.region(2).state().archived.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_an_older_epoch_has_nothing_to_give() {
    let world = uneven(2, 2).await;
    world.region(2).change(|state| {
        let held = state.logs.get_mut(&KEY).unwrap();
        held.log.append(&crate::logs::batch(4, 1, 4097, 0));
    });
    // The link has to look at its log again.
    world.pause(2).await;
    world.resume(2);
    let third = [world.region(3).name.clone()];
    world.agent(2).collect(&group(), &third, Duration::from_secs(5)).await.unwrap();
    assert_eq!(ranges(world.region(2), KEY), [(0, 2), (2, 4), (4, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_leads_by_its_epoch_is_followed_and_what_diverges_is_archived() {
    let world = uneven(3, 2).await;
    world.region(3).change(|state| {
        let held = state.logs.get_mut(&KEY).unwrap();
        held.log.append(&crate::logs::batch(4, 1, 4097, 0));
    });
    let third = [world.region(3).name.clone()];
    world.agent(2).collect(&group(), &third, Duration::from_secs(5)).await.unwrap();
    assert!(world.is_equal(2, 3));
    assert_eq!(world.region(2).state().archived[0].1, OffsetRange::new(Offset(4), Offset(6)));
}

#[tokio::test(start_paused = true)]
async fn a_copy_out_of_reach_is_left_out_soon() {
    let world = uneven(2, 5).await;
    world.region(3).change(|state| state.is_down = true);
    let (begun, third) = (Instant::now(), [world.region(3).name.clone()]);
    let missed = world.agent(2).collect(&group(), &third, Duration::from_secs(30)).await;
    assert_eq!(missed.unwrap_err(), third);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let nobody = [model::RegionName::new("r9").unwrap()];
    assert_eq!(world.agent(2).collect(&group(), &nobody, Duration::from_secs(30)).await.unwrap_err(), nobody);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_does_not_have_the_topic_is_left_out_soon() {
    let world = uneven(2, 5).await;
    world.region(3).drop_topic(TOPIC);
    let (begun, third) = (Instant::now(), [world.region(3).name.clone()]);
    assert!(world.agent(2).collect(&group(), &third, Duration::from_secs(30)).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn news_of_the_council_does_not_break_a_collection_off() {
    let mut world = uneven(2, 5).await;
    world.region(3).change(|state| state.delay = Duration::from_millis(300));
    let third = [world.region(3).name.clone()];
    let collecting = async {
        let assignment = world.assignment(&world.region(2).name);
        let news =
            (1..50).map(|n| model::Assignment { council_index: assignment.council_index + n, ..assignment.clone() });
        let disturbing = async {
            for assignment in news {
                world.agent(2).assign(&assignment);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (group, within) = (group(), Duration::from_secs(5));
        tokio::join!(world.agent(2).collect(&group, &third, within), disturbing).0
    };
    collecting.await.unwrap();
    assert!(world.is_equal(2, 3));
    world.region(1).change(|state| state.is_down = false);
    world.assign();
    world.region(1).produce(KEY, 1);
    until("the owner is followed again", || world.region(2).log(KEY) == world.region(1).log(KEY)).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_back_is_followed_within_half_a_second() {
    let world = World::new(2, 20);
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    for silence in [50, 700, 30_000] {
        world.region(1).change(|state| state.is_down = true);
        tokio::time::sleep(Duration::from_millis(silence)).await;
        (0..20).for_each(|partition| world.region(1).produce(key(partition), 1));
        world.region(1).restart();
        world.region(1).change(|state| state.is_down = false);
        let back = Instant::now();
        world.until_equal(2, 1).await;
        assert!(back.elapsed() <= Duration::from_millis(500), "{:?} after {silence} ms", back.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_down_the_lag_grows() {
    let world = World::new(2, 1);
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    until("it is heard", || world.status(2).state == "caught_up").await;
    world.region(1).change(|state| state.is_down = true);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let status = world.status(2);
    assert_eq!(status.state, "disconnected");
    assert!(status.lag_seconds > 9.0 && status.silent_ms > 9000, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_fail_are_counted_for_as_long_as_they_matter() {
    let world = World::new(2, 1);
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let line = || world.status(2).line.expect("something was asked");
    let idle = line();
    assert!(idle.requests > 5 && idle.failures == 0, "polls that bring nothing are answers: {idle:?}");
    assert!(idle.round_trip_us.is_some_and(|trip| trip < 10_000), "{idle:?}");
    world.region(1).change(|state| state.is_down = true);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let down = line();
    assert!(down.failures > 2 && down.errors_ppm() > 100_000, "{down:?}");
    assert_eq!(down.round_trip_us, None, "nothing was heard of late");
    world.region(1).change(|state| state.is_down = false);
    until("it is heard", || line().round_trip_us.is_some()).await;
    assert!(line().failures > 2, "it has only begun to answer");
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(line().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_busy_partition_is_not_delayed_by_the_polls_of_idle_ones() {
    let world = World::new(2, 60);
    // Idle partitions come to rest at different times, so that their polls are many.
    for partition in 0..60 {
        world.region(1).produce(key(partition), 1);
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    world.until_equal(2, 1).await;
    let mut slowest = Duration::ZERO;
    for round in 0..400_i32 {
        let (busy, other) = (key(0), key(round % 60));
        world.region(1).produce(busy, 1);
        world.region(1).produce(other, 1);
        let begun = Instant::now();
        world.until_equal(2, 1).await;
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(u64::from(round.unsigned_abs()) * 7 % 40)).await;
    }
    assert!(slowest <= Duration::from_millis(80), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sealed_copy_fetches_nothing_until_the_seal_is_undone() {
    let world = World::new(2, 1);
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    world.region(2).change(|state| state.is_sealed = true);
    world.region(1).produce(KEY, 1);
    until("the link sees the seal", || world.status(2).state == "sealed").await;
    world.region(1).change(|state| state.fetches.clear());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.region(1).state().fetches, []);
    assert_eq!(ranges(world.region(2), KEY).len(), 1);
    world.region(2).change(|state| state.is_sealed = false);
    world.until_equal(2, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_written_is_looked_at_once_a_second() {
    let world = World::new(2, 1);
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    world.region(2).change(|state| state.log_failure = Some("input/output error".into()));
    world.region(1).produce(KEY, 1);
    until("the link sees it", || world.status(2).state == "log_failed").await;
    world.region(2).change(|state| state.opened = 0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(world.region(2).state().opened <= 11);
    world.region(2).change(|state| state.log_failure = None);
    world.until_equal(2, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_changed_by_others_is_opened_again() {
    let world = World::new(2, 1);
    (0..4).for_each(|_| world.region(1).produce(KEY, 1));
    world.until_equal(2, 1).await;
    world.region(2).change(|state| _ = state.logs.get_mut(&KEY).unwrap().log.truncate(Offset(2)));
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
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
async fn a_connection_that_breaks_costs_only_its_own_request() {
    let world = World::new(2, 8);
    world.region(1).change(|state| state.delay = Duration::from_millis(50));
    (0..8).for_each(|partition| world.region(1).produce(key(partition), 1));
    world.until_equal(2, 1).await;
    for round in 0..400 {
        world.region(1).produce(key(round % 8), 1);
        if round % 100 == 50 {
            world.region(1).change(|state| state.breaks = 1);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let states: Vec<_> = world.agent(2).status().into_iter().map(|link| link.state).collect();
        assert!(states.iter().all(|state| state != "disconnected"), "round {round}: {states:?}");
    }
    assert_eq!(world.region(1).state().breaks, 0, "each was broken while others were under way");
    world.until_equal(2, 1).await;
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

/// What one fetch of a short line brings, several times over, in a log that is 100 ms away.
async fn long_line() -> (World, usize) {
    let world = World::new(2, 1);
    world.region(1).change(|state| state.delay = Duration::from_millis(100));
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    (0..40).for_each(|_| world.region(1).produce(KEY, 8000));
    let bytes = world.region(1).log(KEY).bytes().len();
    (world, bytes >> 20)
}

#[tokio::test(start_paused = true)]
async fn one_partition_over_a_long_line_is_not_bound_by_the_round_trip() {
    let (world, megabytes) = long_line().await;
    assert!(megabytes >= 8, "{megabytes} MiB");
    let began = Instant::now();
    world.until_equal(2, 1).await;
    let round_trips = began.elapsed().as_millis() / 100;
    // One fetch after the other would bring 1 MiB in each.
    assert!(round_trips <= megabytes as u128 * 3 / 4, "{round_trips} round trips for {megabytes} MiB");
    assert!(world.region(1).state().under_way.1 > 2);
    let status = world.status(2);
    assert!(status.round_trip_ms.is_some_and(|ms| (99.0..110.0).contains(&ms)), "{status:?}");
    assert!(status.fetch_bytes >= 1 << 20 && status.fetches_under_way >= 1, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn records_of_a_steady_load_do_not_wait_for_a_fetch_to_come_back() {
    let world = World::new(2, 1);
    world.region(1).change(|state| state.delay = Duration::from_millis(100));
    for _ in 0..100 {
        world.region(1).produce(KEY, 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sent = world.region(1).log(KEY).tail();
    let began = Instant::now();
    until("all of it is there", || world.region(2).log(KEY).tail() == sent).await;
    // A fetch that had just left would take as long again.
    assert!(began.elapsed() <= Duration::from_millis(130), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn partitions_that_are_stuck_do_not_stall_the_rest() {
    for stuck in [1, 30] {
        let world = World::new(2, 40);
        world.region(2).change(|state| state.stuck = (0..stuck).map(key).collect());
        for _ in 0..5 {
            (0..40).for_each(|partition| world.region(1).produce(key(partition), 2));
            for partition in stuck..40 {
                let is_there = || world.region(2).log(key(partition)) == world.region(1).log(key(partition));
                until("the others go on", is_there).await;
            }
        }
        assert!(world.region(2).log(key(0)).batches.is_empty());
    }
}
