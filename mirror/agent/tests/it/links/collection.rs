//! The owner is lost: a copy fetches from the others what it lacks.

use crate::world::{KEY, TOPIC, World, group, ranges, until};
use model::{Offset, OffsetRange};
use std::time::Duration;
use tokio::time::Instant;

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
