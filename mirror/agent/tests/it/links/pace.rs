//! How many requests it takes, and how long records wait.

use crate::world::{KEY, World, key, until};
use std::time::Duration;
use tokio::time::Instant;

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
