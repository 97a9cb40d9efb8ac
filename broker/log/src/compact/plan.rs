//! What is compacted, and which segments become one. Pure.

use super::Compaction;
use crate::Config;
use model::{Offset, Timestamp};
use std::ops::Range;

/// The bytes of an offset and a time entry together.
const INDEX_ENTRY_BYTES: u64 = 12;

/// What is known of one segment without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentFacts {
    pub(super) base: Offset,
    pub(super) next: Offset,
    pub(super) size: u64,
    pub(super) index_entries: usize,
    pub(super) first_time: Option<Timestamp>,
    pub(super) latest_time: Option<Timestamp>,
    /// It begins behind a hole.
    pub(super) opens_hole: bool,
}

/// Segments that become one: their places in the log.
pub(super) type Group = Range<usize>;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dirty {
    /// How many segments from the first one on may be changed.
    pub(super) segments: usize,
}

/// How many of `segments`, all behind the active one, are to be compacted, where everything below `start` was looked
/// at before; `None` when that is not due.
pub(super) fn dirty(
    segments: &[SegmentFacts],
    start: Offset,
    limit: Offset,
    policy: &Compaction,
    now: Timestamp,
) -> Option<Dirty> {
    let settled = |segment: &&SegmentFacts| {
        let young = segment.latest_time.is_some_and(|time| now.since(time) < policy.lag_min);
        segment.next <= limit && (segment.next <= start || !young)
    };
    let segments = &segments[..segments.iter().take_while(settled).count()];
    let (clean, new): (Vec<_>, Vec<_>) = segments.iter().partition(|segment| segment.next <= start);
    let bytes = |some: &[&SegmentFacts]| some.iter().map(|segment| segment.size).sum::<u64>();
    let (clean_bytes, new_bytes) = (bytes(&clean), bytes(&new));
    let overdue = new.iter().filter_map(|segment| segment.first_time).any(|time| now.since(time) > policy.lag_max);
    let ratio = new_bytes as f64 / (clean_bytes + new_bytes).max(1) as f64;
    let due = new_bytes > 0 && (overdue || ratio > policy.dirty_ratio_min);
    due.then_some(Dirty { segments: segments.len() })
}

/// Which of `segments` become one: as many as one segment may hold, and never two on different sides of a hole.
pub(super) fn groups(segments: &[SegmentFacts], config: &Config) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        match groups.last_mut().filter(|group| joins(&segments[(*group).clone()], segment, config)) {
            Some(group) => group.end = at + 1,
            None => groups.push(at..at + 1),
        }
    }
    groups
}

fn joins(group: &[SegmentFacts], segment: &SegmentFacts, config: &Config) -> bool {
    let sum = |of: fn(&SegmentFacts) -> u64| group.iter().map(of).sum::<u64>() + of(segment);
    let fits = sum(|facts| facts.size) <= config.segment_bytes_max()
        && sum(|facts| facts.index_entries as u64 + 1) * INDEX_ENTRY_BYTES <= config.segment_index_bytes.0;
    let reach = segment.next.since(group[0].base);
    fits && !segment.opens_hole && reach <= i32::MAX as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ByteCount;
    use std::time::Duration;

    fn segment(n: i64) -> SegmentFacts {
        SegmentFacts {
            base: Offset(10 * n),
            next: Offset(10 * n + 10),
            size: 100,
            index_entries: 1,
            first_time: Some(Timestamp(1000 * n)),
            latest_time: Some(Timestamp(1000 * n + 900)),
            opens_hole: false,
        }
    }

    fn segments() -> Vec<SegmentFacts> {
        (0..10).map(segment).collect()
    }

    fn policy() -> Compaction {
        Compaction {
            dirty_ratio_min: 0.5,
            lag_min: Duration::ZERO,
            lag_max: Duration::MAX,
            delete_retention: Duration::ZERO,
            memory: ByteCount::mib(1),
        }
    }

    fn count(start: i64, limit: i64, policy: Compaction) -> Option<usize> {
        dirty(&segments(), Offset(start), Offset(limit), &policy, Timestamp(10_000)).map(|dirty| dirty.segments)
    }

    #[test]
    fn it_is_due_when_more_than_the_ratio_is_new() {
        assert_eq!(count(0, 100, policy()), Some(10));
        assert_eq!(count(49, 100, policy()), Some(10), "half a segment is new as a whole");
        assert_eq!(count(50, 100, policy()), None);
        assert_eq!(count(50, 100, Compaction { dirty_ratio_min: 0.4, ..policy() }), Some(10));
        assert_eq!(count(100, 100, Compaction { dirty_ratio_min: 0.0, ..policy() }), None, "nothing is new");
    }

    #[test]
    fn nothing_above_the_limit_is_touched() {
        assert_eq!([0, 9, 10, 55].map(|limit| count(0, limit, policy())), [None, None, Some(1), Some(5)]);
    }

    #[test]
    fn records_that_are_too_young_wait() {
        let young = Compaction { lag_min: Duration::from_millis(5000), ..policy() };
        assert_eq!(count(0, 100, young), Some(5), "up to the first segment with a record after 5000");
    }

    #[test]
    fn records_that_waited_too_long_are_compacted_whatever_the_ratio() {
        let late = |lag| Compaction { lag_max: Duration::from_millis(lag), dirty_ratio_min: 1.0, ..policy() };
        assert_eq!((count(90, 100, late(1000)), count(90, 100, late(999))), (None, Some(10)));
    }

    #[test]
    fn segments_are_merged_up_to_the_size_of_one_and_never_across_a_hole() {
        let grouped = |segments: &[SegmentFacts], bytes: u64, index: u64| {
            let config =
                Config { segment_bytes: ByteCount(bytes), segment_index_bytes: ByteCount(index), ..Config::default() };
            groups(segments, &config)
        };
        let all = &segments()[..4];
        assert_eq!(grouped(all, 250, 1 << 20), [0..2, 2..4]);
        assert_eq!(grouped(all, 50, 1 << 20), [0..1, 1..2, 2..3, 3..4], "one that is too large stays alone");
        assert_eq!(grouped(all, 1000, 72), [0..3, 3..4]);
        let mut holed = segments()[..4].to_vec();
        holed[2].opens_hole = true;
        assert_eq!(grouped(&holed, 1000, 1 << 20), [0..2, 2..4]);
        holed[2].opens_hole = false;
        holed[3].next = Offset(1 << 31);
        assert_eq!(grouped(&holed, 1000, 1 << 20), [0..3, 3..4], "offsets are kept relative to the base");
    }
}
