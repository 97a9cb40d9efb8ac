//! Sources that do not answer, and copies that cannot be written.

use crate::world::{KEY, World, key, ranges, until};
use model::Offset;
use std::time::Duration;
use tokio::time::Instant;

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
