//! The owner changes: what its copies come to, and what becomes of the old one.

use crate::logs::range;
use crate::world::{KEY, World, key, ranges, until};
use model::{Offset, OffsetRange, limits};

const HOLE: i64 = limits::PROMOTE_HOLE_OFFSETS;

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
