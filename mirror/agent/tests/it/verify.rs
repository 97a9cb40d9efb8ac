use crate::world::{KEY, World, until};
use mirror_core::gap::GapReason;
use mirror_core::verify::{Checkpoint, Checkpoints, Interval, Kept};
use model::{Offset, OffsetRange};
use std::sync::Arc;
use std::time::Duration;

const STEP: i64 = 1 << 16;

fn hashed(generation: u64, hashes: impl IntoIterator<Item = u64>) -> Kept {
    let mut checkpoints = Checkpoints::default();
    for (interval, hash) in (0..).map(Interval).zip(hashes) {
        checkpoints.add(Checkpoint { interval, from: interval.range().start, batches: 1, hash });
    }
    Kept { generation, checkpoints: Arc::new(checkpoints), ..Kept::default() }
}

/// Region 2 copies region 1; a record went over.
async fn copied() -> World {
    let world = World::new(2, 1);
    world.region(1).produce(KEY, 1);
    world.until_equal(2, 1).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_proven_up_to_what_both_have_hashed() {
    let world = copied().await;
    assert_eq!(world.status(2).proof, None);
    world.region(1).change(|state| state.hashed = hashed(7, 0..9_000));
    world.region(2).change(|state| state.hashed = hashed(9, 0..8_000));
    let end = || world.status(2).proof.map(|proof| proof.identical.end);
    until("all pages were heard", || end() == Some(Offset(8_000 * STEP))).await;
    world.region(2).change(|state| state.hashed = hashed(9, 0..8_500));
    until("more is proven", || end() == Some(Offset(8_500 * STEP))).await;
    assert!(world.region(2).state().gaps.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_difference_is_stored_once_and_shown_until_it_is_gone() {
    let world = copied().await;
    world.region(1).change(|state| state.hashed = hashed(7, [1, 2, 3]));
    world.region(2).change(|state| state.hashed = hashed(9, [1, 8, 3]));
    let range = OffsetRange::new(Offset(STEP), Offset(2 * STEP));
    until("it is stored", || !world.region(2).state().gaps.is_empty()).await;
    let shown = world.status(2).proof.unwrap();
    assert_eq!((shown.identical.end, shown.difference), (range.start, Some(range)));
    tokio::time::sleep(Duration::from_secs(300)).await;
    let stored = world.region(2).state().gaps.clone();
    assert_eq!(stored.iter().map(|gap| (gap.range, gap.reason)).collect::<Vec<_>>(), [(range, GapReason::Difference)]);
    world.region(2).change(|state| state.hashed = hashed(10, [1, 2, 3]));
    until("it is mended", || world.status(2).proof.is_some_and(|proof| proof.difference.is_none())).await;
    assert_eq!(world.status(2).proof.unwrap().identical.end, Offset(3 * STEP));
}

#[tokio::test(start_paused = true)]
async fn a_sound_copy_of_a_damaged_source_stays_a_standby_and_is_compared_on() {
    let world = copied().await;
    let range = |interval: u64| Interval(interval).range();
    world.region(1).change(|state| {
        (state.hashed, state.damaged) = (hashed(7, [1, 8, 3, 4]), [Interval(1)].into());
    });
    world.region(2).change(|state| state.hashed = hashed(9, [1, 2, 3, 4]));
    let facts = || world.region(2).state().gaps.iter().map(|gap| (gap.range, gap.reason)).collect::<Vec<_>>();
    until("it is stored", || facts() == [(range(1), GapReason::SourceDamaged)]).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let status = world.status(2);
    let shown = status.proof.clone().unwrap();
    assert_eq!((shown.identical.end, shown.difference), (range(1).start, None));
    assert_eq!((shown.source_damaged, status.unusable()), (vec![range(1)], None));
    assert_eq!(world.region(2).state().logs[&KEY].baseline.different, None);
    let judged = [1, 2].map(|number| world.region(number).state().judged);
    assert_eq!((judged, facts().len()), ([1, 1], 1), "each side is read once, and it is told once");

    world.region(2).change(|state| {
        (state.hashed, state.damaged) = (hashed(10, [1, 2, 3, 9]), [Interval(3)].into());
    });
    until("its own damage is found behind that", || facts().len() == 2).await;
    assert_eq!(facts()[1], (range(3), GapReason::Difference));
    assert_eq!(world.region(2).state().logs[&KEY].baseline.different, Some(range(3)));
    let shown = world.status(2).proof.unwrap();
    assert_eq!((shown.identical.end, shown.difference), (range(1).start, Some(range(3))));
    assert_eq!(shown.source_damaged, [range(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_damaged_where_its_source_is_too_is_no_standby() {
    let world = copied().await;
    let bad = [Interval(1)];
    world.region(1).change(|state| (state.hashed, state.damaged) = (hashed(7, [1, 8, 3]), bad.into()));
    world.region(2).change(|state| (state.hashed, state.damaged) = (hashed(9, [1, 2, 3]), bad.into()));
    let facts = || world.region(2).state().gaps.last().map(|gap| (gap.range, gap.reason));
    until("both are told of", || facts() == Some((bad[0].range(), GapReason::BothDamaged))).await;
    let shown = world.status(2).proof.unwrap();
    assert_eq!((shown.difference, shown.source_damaged), (Some(bad[0].range()), vec![bad[0].range()]));
    assert_eq!(world.region(2).state().logs[&KEY].baseline.different, Some(bad[0].range()));
}
